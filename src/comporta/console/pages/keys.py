"""The virtual keys: who may ask, what they use, and making, changing, rotating and ending them."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import quote

from comporta.console.page import File, Page
from comporta.console.parts.acting import ask, button, check, choice, go, say, text
from comporta.console.parts.choosing import Range, links, pages, range_links, range_of
from comporta.console.parts.components import Cell, Column, Row, Table, When
from comporta.console.parts.pieces import badge, card, command_line, empty, facts, figure, head, notice
from comporta.console.parts.tags import Tag, tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import BadRequest
from comporta.telemetry.series import series

TEXTS: Texts = {
    "title": ("Keys", "Chaves"),
    "about": ("Who may ask, what for, and how much.", "Quem pode pedir, o quê e quanto."),
    "new": ("New key", "Nova chave"),
    "living": ("In use", "Em uso"),
    "all": ("With revoked ones", "Com as revogadas"),
    "name": ("Name", "Nome"),
    "team": ("Team", "Equipe"),
    "environment": ("Environment", "Ambiente"),
    "feature": ("Feature", "Recurso"),
    "state": ("State", "Estado"),
    "active": ("active", "ativa"),
    "expired": ("expired", "expirada"),
    "revoked": ("revoked", "revogada"),
    "admin": ("admin", "administradora"),
    "calls": ("Calls", "Chamadas"),
    "cost": ("Cost", "Custo"),
    "errors": ("Errors", "Erros"),
    "latency": ("Latency, p95", "Latência, p95"),
    "made": ("Made", "Criada"),
    "made_by": ("{when} by {by}", "{when} por {by}"),
    "ends": ("Ends", "Termina"),
    "never": ("never", "nunca"),
    "limits": ("Limits", "Limites"),
    "as_configured": ("as the configuration says", "conforme a configuração"),
    "per_minute": ("{n} calls/min", "{n} chamadas/min"),
    "tokens_per_minute": ("{n} tokens/min", "{n} tokens/min"),
    "at_once": ("{n} at once", "{n} ao mesmo tempo"),
    "allow": ("May ask for", "Pode pedir"),
    "allow_hint": (
        "Routes and models, separated by commas; empty: all.",
        "Rotas e modelos, separados por vírgulas; vazio: todos.",
    ),
    "everything": ("everything", "tudo"),
    "tags": ("Tags", "Etiquetas"),
    "guardrails": ("Guard policy", "Política de guardas"),
    "secret_ends": ("Secret", "Segredo"),
    "rpm": ("Calls per minute", "Chamadas por minuto"),
    "tpm": ("Tokens per minute", "Tokens por minuto"),
    "concurrent": ("Calls at once", "Chamadas ao mesmo tempo"),
    "days": ("Ends in days", "Termina em dias"),
    "is_admin": ("Opens the admin API", "Abre a API de administração"),
    "make": ("Make the key", "Criar a chave"),
    "once": (
        "Copy the secret of {name} now: it is shown this once, and kept nowhere.",
        "Copie o segredo de {name} agora: ele aparece só desta vez e não é guardado.",
    ),
    "secret_of": ("Secret of {name}", "Segredo de {name}"),
    "revoke": ("Revoke", "Revogar"),
    "revoke_sure": ("Revoke {name}?", "Revogar {name}?"),
    "revoke_text": (
        "Whoever uses it is refused within a second. That can't be undone.",
        "Quem a usa é recusado em um segundo. Isso não tem volta.",
    ),
    "rotate": ("New secret", "Novo segredo"),
    "rotate_sure": ("A new secret for {name}?", "Um novo segredo para {name}?"),
    "overlap": ("The old one stays good for", "O antigo continua valendo por"),
    "overlap_0": ("not at all", "nenhum tempo"),
    "overlap_3600": ("an hour", "uma hora"),
    "overlap_86400": ("a day", "um dia"),
    "overlap_604800": ("a week", "uma semana"),
    "see_calls": ("Its calls", "As chamadas dela"),
    "none_title": ("No key yet", "Nenhuma chave ainda"),
    "none_text": (
        "Each application gets a key of its own: it says who asks, and can be limited, followed and ended by itself.",
        "Cada aplicação recebe sua própria chave: ela diz quem pede, e pode ser limitada, seguida e encerrada sozinha.",
    ),
    "whole": ("{field} must be a whole number.", "{field} deve ser um número inteiro."),
    "above": ("{field} must be a number above 0.", "{field} deve ser um número maior que 0."),
}  # fmt: skip
_FIGURES = ("calls", "cost", "error_rate", "latency_p95")
_STATES = {"active": "good", "expired": "warn", "revoked": "dim"}
_OVERLAPS = ("0", "3600", "86400", "604800")
_HEAD = ("id", "name", "shown", "state", "team", "environment", "feature", "admin", "created_at", "expires_at")
#: Rows of a page; and more groups of figures than there are keys.
_LISTED, _ALL = 100, 1_000_000
_COMMAND = "comporta key create support-backend --team care"


async def build(view: View) -> None:
    """All keys; `?revoked=1` with those that are over, `?new=1` with the form open."""
    revoked, chosen = view.query.get("revoked") == "1", range_of(view, "7d")
    keys, by_key = await _read(view, chosen)
    with head(view.t("title"), view.t("about")):
        range_links(view, chosen)
        if view.admin:
            tag("a.button.button--main", view.t("new"), href=view.link(new=1), data_key="n")
    shown = tag("div", aria_live="polite")
    if view.query.get("new") == "1" and view.admin:
        _form(view, shown)
    links(view.t("state"), [
        (view.t("living"), view.link(revoked=None), not revoked), (view.t("all"), view.link(revoked=1), revoked),
    ])  # fmt: skip
    if not keys:
        with card():
            empty(view, view.t("none_title"), view.t("none_text"), command=_COMMAND)
        return
    place = next((at for at, one in enumerate(keys, 1) if one["id"] == view.query.get("after")), 0)
    shown_keys = keys[place : place + _LISTED]
    with card(classes="flush"):
        rows = [_row(view, one, by_key.get(one["id"], {}), chosen) for one in shown_keys]
        Table(view.t("title"), _columns(view), rows)
    more = str(shown_keys[-1]["id"]) if place + _LISTED < len(keys) else None
    pages(view, more, csv=view.link("/keys.csv", **{**view.query, "after": None, "new": None}))


async def _read(view: View, chosen: Range) -> tuple[list[dict[str, Any]], dict[str, dict[str, float | None]]]:
    """The keys, the newest first, and what those that were used came to, by their ids."""
    revoked = "true" if view.query.get("revoked") == "1" else "false"
    found, used = await asyncio.gather(
        view.ask("GET", f"/admin/keys?revoked={revoked}"),
        series(view.database, _FIGURES, since=chosen.since, until=chosen.until, group_by="key", most=_ALL),
    )
    return list(reversed(found["data"])), {line.group or "": line.total for line in used.lines}


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    yield (*_HEAD, "calls", "cost_usd", "error_rate")
    keys, by_key = await _read(view, range_of(view, "7d"))
    for one in keys:
        used = by_key.get(one["id"], {})
        yield (*(one[name] for name in _HEAD), used.get("calls") or 0, used.get("cost"), used.get("error_rate"))


def _columns(view: View) -> list[Column]:
    t = view.t
    return [
        Column("name", t("name")), Column("team", t("team")), Column("environment", t("environment"), wide=True),
        Column("state", t("state"), "badge"), Column("calls", t("calls"), "number"),
        Column("cost", t("cost"), "number"), Column("errors", t("errors"), "number", wide=True),
        Column("made", t("made"), "when", wide=True), Column("ends", t("ends"), "when", wide=True),
    ]  # fmt: skip


def _row(view: View, key: dict[str, Any], used: dict[str, float | None], chosen: Range) -> Row:
    t, cost, errors = view.t, used.get("cost"), used.get("error_rate")
    ends = key["expires_at"]
    cells: dict[str, str | Cell] = {
        "name": Cell(key["name"], sub=key["shown"] + (f" · {t('admin')}" if key["admin"] else "")),
        "team": key["team"] or "–", "environment": key["environment"] or "–",
        "state": Cell(t(key["state"]), tone=_STATES[key["state"]]),
        "calls": t.number(used.get("calls") or 0), "cost": t.money(None if cost is None else cost * 1e6),
        "errors": Cell(t.share(errors), tone="bad" if errors and errors > 0.1 else ""),
        "made": Cell("", at=_seconds(key["created_at"])),
        "ends": Cell("", at=_seconds(ends)) if ends else t("never"),
    }  # fmt: skip
    return Row(cells, href=view.link(f"/keys/{key['id']}", range=chosen.name))


def _seconds(at: str) -> float:
    return datetime.datetime.fromisoformat(at).timestamp()


def _form(view: View, shown: Tag) -> None:
    t = view.t
    with card(t("new")), tag("div.filters__form.bare"):
        name, team = text(t("name"), most=100, placeholder="support-backend"), text(t("team"), most=100)
        environment = text(t("environment"), most=100, placeholder="production")
        feature = text(t("feature"), most=100)
        allow = text(t("allow"), placeholder="support, openai/gpt-4o-mini", hint=t("allow_hint"))
        rpm, tpm = text(t("rpm"), kind="number"), text(t("tpm"), kind="number")
        concurrent, days = text(t("concurrent"), kind="number"), text(t("days"), kind="number")
        admin = check(t("is_admin"))

        async def make() -> None:
            body: dict[str, Any] = {
                "name": name.value.strip(), "team": team.value.strip() or None,
                "environment": environment.value.strip() or None, "feature": feature.value.strip() or None,
                "allow": [one.strip() for one in allow.value.split(",") if one.strip()], "admin": admin.value,
                "requests_per_minute": _whole(view, "rpm", rpm.value),
                "tokens_per_minute": _whole(view, "tpm", tpm.value),
                "concurrent": _whole(view, "concurrent", concurrent.value),
                "expires_in_s": _days(view, days.value),
            }  # fmt: skip
            made = await view.act("POST", "/admin/keys", body)
            _once(view, shown, made)
            name.put("")

        with tag("div.filters__acts"):
            button(view, t("make"), make, tone="main")
            tag("a.button", t("cancel"), href=view.link(new=None))


def _whole(view: View, field: str, written: str) -> int | None:
    if not written.strip():
        return None
    if not written.strip().isdecimal():
        raise BadRequest(view.t("whole", field=view.t(field)), param=field)
    return int(written)


def _days(view: View, written: str) -> float | None:
    if not written.strip():
        return None
    try:
        days = float(written)
    except ValueError:
        days = 0.0
    if not 0 < days < 36_000:
        raise BadRequest(view.t("above", field=view.t("days")), param="days")
    return days * 86_400


def _once(view: View, shown: Tag, made: dict[str, Any]) -> None:
    """The secret, for as long as the page stands."""
    shown.clear()
    with shown, card(classes="tight"):
        notice(view.t("once", name=made["name"]), "good")
        with tag("div.once", role="group", aria_label=view.t("secret_of", name=made["name"])):
            command_line(view, made["secret"])
        tag("a.button", view.t("title"), href="/keys")


async def build_one(view: View) -> None:
    """One key: what it may, what it did, and what can be done with it."""
    chosen = range_of(view, "7d")
    key: dict[str, Any] = await view.ask("GET", f"/admin/keys/{quote(view.path['id'], safe='')}")
    used = await series(
        view.database, _FIGURES, since=chosen.since, until=chosen.until, step_s=chosen.step_s,
        filters={"key": key["id"]},
    )  # fmt: skip
    with head(key["name"], key["shown"]):
        range_links(view, chosen)
        tag("a.button", view.t("see_calls"), href=view.link("/calls", key=key["id"], range=chosen.name))
    shown = tag("div", aria_live="polite")
    line = used.lines[0]
    with tag("div.figures"):
        figure(view, view.t("calls"), view.t.short(line.total["calls"]), values=line.points["calls"])
        cost, errors = line.total["cost"], line.total["error_rate"]
        money = view.t.money(None if cost is None else cost * 1e6)
        figure(view, view.t("cost"), money, values=line.points["cost"])
        figure(view, view.t("errors"), view.t.share(errors), values=line.points["error_rate"], tone="bad")
        late = view.t.seconds(line.total["latency_p95"])
        figure(view, view.t("latency"), late, values=line.points["latency_p95"])
    with card():
        facts(_facts(view, key))
    if key["state"] != "revoked":
        _acts(view, key, shown)


def _facts(view: View, key: dict[str, Any]) -> Sequence[tuple[str, Any]]:
    t = view.t

    def state() -> None:
        with tag("div.chips"):
            badge(t(key["state"]), _STATES[key["state"]])
            if key["admin"]:
                badge(t("admin"), "accent")

    def when(at: str) -> Callable[[], object]:
        return lambda: When(_seconds(at), "full")

    pairs: list[tuple[str, Any]] = [
        (t("state"), state), (t("team"), key["team"]), (t("environment"), key["environment"]),
        (t("feature"), key["feature"]), (t("allow"), ", ".join(key["allow"]) or t("everything")),
        (t("limits"), limits_of(view, key)), (t("guardrails"), key["guardrails"]),
        (t("tags"), ", ".join(f"{k}={v}" for k, v in key["tags"].items())),
        (t("made"), t("made_by", when=key["created_at"][:10], by=key["created_by"])),
        (t("ends"), when(key["expires_at"]) if key["expires_at"] else t("never")),
        (t("rotate"), when(key["rotated_at"]) if key["rotated_at"] else None),
        (t("revoked"), t("made_by", when=key["revoked_at"][:10], by=key["revoked_by"]) if key["revoked_at"] else None),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def limits_of(view: View, key: dict[str, Any]) -> str:
    """A key's own limits in words."""
    names = {"requests_per_minute": "per_minute", "tokens_per_minute": "tokens_per_minute", "concurrent": "at_once"}
    told = [view.t(text, n=view.t.number(key[field])) for field, text in names.items() if key[field] is not None]
    return ", ".join(told) or view.t("as_configured")


def _acts(view: View, key: dict[str, Any], shown: Tag) -> None:
    t, place = view.t, f"/admin/keys/{key['id']}"

    async def rotate() -> None:
        overlaps: list[Any] = []

        def body() -> None:
            overlaps.append(choice(t("overlap"), [(one, t(f"overlap_{one}")) for one in _OVERLAPS]))

        if await ask(view, t("rotate_sure", name=key["name"]), body, label=t("rotate")):
            made = await view.act("POST", f"{place}/rotate", {"overlap_s": float(overlaps[0].value)})
            _once(view, shown, made)

    async def revoke() -> None:
        def body() -> None:
            tag("p.muted", t("revoke_text"))

        if await ask(view, t("revoke_sure", name=key["name"]), body, label=t("revoke"), tone="danger"):
            await view.act("POST", f"{place}/revoke")
            say(t("done"))
            go(view.link("/keys", revoked=1))

    with tag("div.row"):
        button(view, t("rotate"), rotate)
        button(view, t("revoke"), revoke, tone="danger")


PAGE = Page(
    "/keys", "title", build, TEXTS, group="run", letter="e", icon="keys",
    files=(File("/keys.csv", "keys.csv", _rows),),
)  # fmt: skip
ONE = Page("/keys/{id}", "title", build_one, TEXTS, icon="keys", parent="/keys")
