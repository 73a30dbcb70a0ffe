"""The alerts: every rule and how it stands, what happened and who was told, a look now, and silence."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from comporta.console.exporting import listed
from comporta.console.page import File, Page
from comporta.console.parts.acting import ask, button, check, choice, go, say, text
from comporta.console.parts.choosing import links, pages
from comporta.console.parts.components import When
from comporta.console.parts.pieces import badge, card, empty, facts, head, notice
from comporta.console.parts.tags import Tag, tag
from comporta.console.view import View
from comporta.console.words import Texts

TEXTS: Texts = {
    "title": ("Alerts", "Alertas"),
    "about": (
        "Rules stand in comporta.yaml; a changed one holds within a second.",
        "As regras ficam em comporta.yaml; uma mudança vale em um segundo.",
    ),
    "rules": ("Rules", "Regras"),
    "history": ("What happened", "O que aconteceu"),
    "every_rule": ("All rules", "Todas as regras"),
    "ok": ("ok", "ok"),
    "warning": ("warning", "aviso"),
    "alert": ("alert", "alerta"),
    "no_data": ("no data", "sem dados"),
    "waiting": ("waits for its first look", "espera a primeira verificação"),
    "silenced": ("silenced", "silenciado"),
    "value": ("Now", "Agora"),
    "threshold": ("Tells when", "Avisa quando"),
    "of": ("of {metric} over {window}", "de {metric} em {window}"),
    "for": ("For", "Para"),
    "calls": ("Calls", "Chamadas"),
    "since": ("Since", "Desde"),
    "looked": ("Looked at", "Verificado"),
    "channels": ("Channels", "Canais"),
    "all_channels": ("all", "todos"),
    "default": ("on by default", "ligada por padrão"),
    "until": ("Silent until {when}, by {by}", "Em silêncio até {when}, por {by}"),
    "test": ("Look now", "Verificar agora"),
    "test_sure": ("Look at {name} now?", "Verificar {name} agora?"),
    "test_text": ("It changes nothing.", "Não muda nada."),
    "send": ("Send a test over its channels", "Enviar um teste pelos canais"),
    "silence": ("Silence", "Silenciar"),
    "silence_sure": ("Silence {name}?", "Silenciar {name}?"),
    "silence_for": ("For how long", "Por quanto tempo"),
    "unsilence": ("End the silence", "Encerrar o silêncio"),
    "reason": ("Why", "Por quê"),
    "to": ("{before} → {after}", "{before} → {after}"),
    "delivered": ("delivered", "entregue"),
    "failed": ("failed", "falhou"),
    "waiting_delivery": ("on its way", "a caminho"),
    "none_title": ("No alert rule", "Nenhuma regra de alerta"),
    "none_text": (
        "What you want to be told of stands here, with how it stands: error rate, latency, cost, whatever is unusual.",
        "O que você quer saber fica aqui, com a situação: erros, latência, custo, o que for fora do comum.",
    ),
    "calm_title": ("Nothing has happened", "Nada aconteceu"),
    "calm_text": (
        "Each change of a rule's state stands here, with who was told and whether that arrived.",
        "Cada mudança de estado de uma regra fica aqui, com quem foi avisado e se o aviso chegou.",
    ),
    "1h": ("an hour", "uma hora"),
    "8h": ("8 hours", "8 horas"),
    "1d": ("a day", "um dia"),
    "7d": ("a week", "uma semana"),
}  # fmt: skip
_TONES = {"ok": "good", "warning": "warn", "alert": "bad", "no_data": "dim", "waiting": "dim"}
_DELIVERED = {"delivered": "good", "failed": "bad", "waiting": "dim"}
_LENGTHS = ("1h", "8h", "1d", "7d")
_PAGE = 30
_HEAD = ("at", "rule", "kind", "state_before", "state", "value", "calls", "reason", "silenced", "notice_id")


async def build(view: View) -> None:
    """The rules, and below them the history: of all, or of `?rule=`."""
    rule = view.query.get("rule", "")
    wanted = {"limit": str(_PAGE), "rule": rule, "after": view.query.get("after", "")}
    found, past = await asyncio.gather(
        view.ask("GET", "/admin/alerts"), view.ask("GET", view.link("/admin/alerts/history", **wanted))
    )
    rules: list[dict[str, Any]] = found["data"]
    with head(view.t("title"), view.t("about")):
        pass
    if not rules:
        with card():
            empty(view, view.t("none_title"), view.t("none_text"), command="comporta alerts list")
    shown = tag("div", aria_live="polite")
    with tag("div.cards.thirds"):
        for one in sorted(rules, key=_worst_first):
            _rule(view, one, shown)
    names = [(view.t("every_rule"), view.link(rule=None, after=None), not rule)]
    names += [(one["name"], view.link(rule=one["name"], after=None), one["name"] == rule) for one in rules]
    with card(view.t("history"), classes="tight"):
        if len(rules) > 1:
            links(view.t("rules"), names)
        _history(view, past["data"])
    csv = view.link("/alerts.csv", rule=rule) if past["data"] else ""
    pages(view, str(past["next"]) if past["next"] else None, csv=csv)


def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    return listed(view, "/admin/alerts/history", _HEAD, {"limit": "200", "rule": view.query.get("rule", "")})


def _worst_first(one: dict[str, Any]) -> tuple[int, str]:
    order = ("alert", "warning", "no_data", "ok", "waiting")
    return order.index(one["state"]) if one["state"] in order else len(order), one["name"]


def _rule(view: View, one: dict[str, Any], shown: Tag) -> None:
    t = view.t
    with card(classes="tight"):
        with tag("div.row.spread"):
            tag("h2.card__title", one["name"])
            with tag("div.chips"):
                if one["silenced"]:
                    badge(t("silenced"), "dim")
                badge(t(one["state"]), _TONES[one["state"]])
        tag("p.figure__value", one["shown"] or "–")
        if one["about"]:
            tag("p.muted.small", one["about"])
        facts(_facts(view, one))
        if one["reason"]:
            notice(one["reason"], "info")
        if one["silenced"]:
            until = one["silenced"]["ends_at"][:16].replace("T", " ")
            notice(t("until", when=f"{until} UTC", by=one["silenced"]["made_by"]), "info")
        _acts(view, one, shown)


def _facts(view: View, one: dict[str, Any]) -> Sequence[tuple[str, Any]]:
    t = view.t
    of = t("of", metric=one["metric"], window=t.seconds(one["window_s"]))
    where = ", ".join(f"{name}={value}" for name, value in one["filter"].items())
    pairs: list[tuple[str, Any]] = [
        (t("threshold"), f"{one['threshold']} {of}"), (t("for"), where), (t("calls"), _calls(view, one)),
        (t("since"), (lambda: When(_seconds(one["since"]))) if one["since"] else None),
        (t("looked"), (lambda: When(_seconds(one["looked_at"]))) if one["looked_at"] else None),
        (t("channels"), t("all_channels") if one["channels"] is None else ", ".join(one["channels"])),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def _calls(view: View, one: dict[str, Any]) -> str | None:
    return None if one["calls"] is None else view.t.number(one["calls"])


def _seconds(at: str) -> float:
    return datetime.datetime.fromisoformat(at).timestamp()


def _acts(view: View, one: dict[str, Any], shown: Tag) -> None:
    t, place = view.t, f"/admin/alerts/{quote(one['name'], safe='')}"

    async def test() -> None:
        sends: list[Any] = []

        def body() -> None:
            tag("p.muted", t("test_text"))
            sends.append(check(t("send")))

        if await ask(view, t("test_sure", name=one["name"]), body, label=t("test")):
            found = await view.act("POST", f"{place}/test", {"send": sends[0].value})
            _tested(view, shown, found)

    async def silence() -> None:
        fields: list[Any] = []

        def body() -> None:
            fields.append(choice(t("silence_for"), [(length, t(length)) for length in _LENGTHS]))
            fields.append(text(t("reason"), most=1000))

        if await ask(view, t("silence_sure", name=one["name"]), body, label=t("silence")):
            said = {"for": fields[0].value, "reason": fields[1].value.strip() or None}
            await view.act("POST", f"{place}/silence", said)
            go(view.link())

    async def unsilence() -> None:
        await view.act("DELETE", f"{place}/silence")
        say(t("done"))
        go(view.link())

    with tag("div.row"):
        button(view, t("test"), test, tone="small")
        if one["silenced"]:
            button(view, t("unsilence"), unsilence, tone="small")
        else:
            button(view, t("silence"), silence, tone="small")


def _tested(view: View, shown: Tag, found: dict[str, Any]) -> None:
    shown.clear()
    with shown:
        tone = {"ok": "good", "alert": "bad", "warning": "warn"}.get(found["level"], "info")
        notice(found["sentence"], tone, title=f"{found['rule']}: {view.t(found['level'])}")


def _history(view: View, events: Sequence[dict[str, Any]]) -> None:
    t = view.t
    if not events:
        empty(view, t("calm_title"), t("calm_text"), command="comporta alerts test error_rate")
        return
    with tag("ol.events"):
        for one in events:
            with tag("li.events__one"):
                badge(t(one["state"]), _TONES.get(one["state"], "dim"))
                with tag("span.events__text"):
                    tag("strong", one["rule"])
                    tag("span.muted", f" · {t('to', before=t(one['state_before']), after=t(one['state']))}")
                    if one["reason"]:
                        tag("div", one["reason"])
                    _deliveries(view, one)
                When(_seconds(one["at"]))


def _deliveries(view: View, one: dict[str, Any]) -> None:
    if one["silenced"]:
        badge(view.t("silenced"), "dim")
    if one["deliveries"]:
        with tag("div.chips"):
            for told in one["deliveries"]:
                word = view.t("waiting_delivery" if told["state"] == "waiting" else told["state"])
                badge(f"{told['channel']}: {word}", _DELIVERED.get(told["state"], "dim"), title=told["told"] or "")


PAGE = Page(
    "/alerts", "title", build, TEXTS, group="protect", letter="a", icon="alerts",
    files=(File("/alerts.csv", "alerts.csv", _rows),),
)  # fmt: skip
