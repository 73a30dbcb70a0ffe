"""Rollouts and experiments: where each stands, both sides' figures, why it was decided so, and taking it in hand."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from comporta.console.exporting import MOST_ROWS
from comporta.console.page import File, Page
from comporta.console.parts.acting import ask, button, go, say, text
from comporta.console.parts.choosing import links, pages
from comporta.console.parts.comparing import findings, sides_table
from comporta.console.parts.components import Cell, Column, Row, Table, When
from comporta.console.parts.live import Pulse
from comporta.console.parts.pieces import badge, card, empty, facts, head, notice
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.routing.rollout.rows import Kind, RolloutRow
from comporta.routing.rollout.store import Rollouts

TEXTS: Texts = {
    "title": ("Rollouts", "Rollouts"),
    "experiments": ("Experiments", "Experimentos"),
    "about": (
        "A change earns its traffic: from side A to side B in steps, and back by itself when B does harm.",
        "Uma mudança conquista seu tráfego: do lado A ao B em passos, e de volta sozinha se B fizer mal.",
    ),
    "name": ("Name", "Nome"),
    "what": ("Of", "De"),
    "state": ("State", "Estado"),
    "share": ("On B", "Em B"),
    "side_b": ("Side B", "Lado B"),
    "side_a": ("Side A", "Lado A"),
    "started": ("Started", "Início"),
    "ended": ("Ended", "Fim"),
    "by": ("By", "Por"),
    "tags": ("Tags", "Etiquetas"),
    "stages": ("Stages", "Etapas"),
    "decision": ("The last decision", "A última decisão"),
    "findings": ("What the figures say", "O que os números dizem"),
    "no_decision": ("Nobody has looked yet.", "Ninguém olhou ainda."),
    "more_calls": ("About {n} more calls would decide it.", "Cerca de {n} chamadas a mais decidiriam."),
    "looked": ("looked at", "verificado"),
    "history": ("What was done", "O que foi feito"),
    "pause": ("Pause", "Pausar"),
    "resume": ("Resume", "Retomar"),
    "promote": ("Promote", "Promover"),
    "whole": ("Promote to all calls", "Promover para tudo"),
    "abort": ("Abort", "Abortar"),
    "stop": ("Stop", "Encerrar"),
    "pause_sure": ("Pause {name}?", "Pausar {name}?"),
    "resume_sure": ("Go on with {name}?", "Retomar {name}?"),
    "promote_sure": ("Take {name} to its next stage now?", "Levar {name} à próxima etapa agora?"),
    "whole_sure": ("All calls of {name} to side B now?", "Todas as chamadas de {name} para o lado B agora?"),
    "abort_sure": ("All calls of {name} back to side A, for good?", "Todas as chamadas de {name} de volta ao lado A?"),
    "stop_sure": ("End {name}? What it found stays.", "Encerrar {name}? O que achou fica."),
    "shadow": ("copies only", "só cópias"),
    "running": ("running", "em curso"),
    "paused": ("paused", "pausado"),
    "standing": ("holds for good", "vale de vez"),
    "done": ("done", "concluído"),
    "rolled_back": ("rolled back", "revertido"),
    "aborted": ("aborted", "abortado"),
    "stopped": ("stopped", "encerrado"),
    "winner": ("winner: {side}", "vencedor: {side}"),
    "harm": ("harm", "dano"),
    "no_difference": ("no difference", "sem diferença"),
    "not_enough_data": ("not enough data", "dados insuficientes"),
    "none_title": ("Nothing is being rolled out", "Nada em rollout"),
    "none_text": (
        "Move a share of callers to another model, prompt or parameters, and watch both sides here. It goes on by "
        "itself when B is no worse, and back when it does harm.",
        "Leve uma parte das chamadas a outro modelo, prompt ou parâmetros e acompanhe os dois lados aqui. Avança "
        "sozinho se B não for pior, e volta se fizer mal.",
    ),
    "none_experiments": ("No experiment yet", "Nenhum experimento ainda"),
    "experiments_text": (
        "Two sides with fixed shares, one metric that decides, and a verdict that may be looked at any time.",
        "Dois lados com partes fixas, uma métrica que decide e um veredito que pode ser olhado a qualquer hora.",
    ),
}  # fmt: skip
_TONES = {
    "shadow": "violet", "running": "accent", "paused": "warn", "standing": "good", "done": "good",
    "rolled_back": "bad", "aborted": "dim", "stopped": "dim",
}  # fmt: skip
_ROLLOUT = "comporta rollout start --route support --to-model openai/gpt-4o-mini"
_EXPERIMENT = "comporta experiment start --route support --to-model openai/gpt-4o-mini --metric score:thumbs"
_LIVE_S = 3.0
_HEAD = (
    "id", "kind", "name", "route", "prompt", "environment", "side_a", "to_variant", "to_model", "to_prompt",
    "to_params", "state", "stage", "share", "started_at", "started_by", "ended_at", "problem", "tags",
)  # fmt: skip


async def build(view: View) -> None:
    """Rollouts, or with `?kind=experiment` experiments: the live ones first."""
    await _list(view, "experiments" if view.query.get("kind") == "experiment" else "rollouts")


async def _list(view: View, kind: str) -> None:
    t = view.t
    found = await view.ask("GET", f"/admin/{kind}")
    with head(t("title"), t("about")):
        pass
    links(t("title"), [
        (t("title"), view.link(kind=None), kind == "rollouts"),
        (t("experiments"), view.link(kind="experiment"), kind == "experiments"),
    ])  # fmt: skip
    rows: list[dict[str, Any]] = found["data"]
    if not rows:
        with card():
            if kind == "rollouts":
                empty(view, t("none_title"), t("none_text"), command=_ROLLOUT)
            else:
                empty(view, t("none_experiments"), t("experiments_text"), command=_EXPERIMENT)
        return
    columns = [
        Column("name", t("name")), Column("what", t("what")), Column("b", t("side_b"), wide=True),
        Column("state", t("state"), "badge"), Column("share", t("share"), "number"),
        Column("started", t("started"), "when", wide=True),
    ]  # fmt: skip
    with card(classes="flush"):
        Table(t("title"), columns, [_row(view, kind, one) for one in rows])
    pages(view, None, csv=view.link("/rollouts.csv", kind=view.query.get("kind")))


def _row(view: View, kind: str, one: Mapping[str, Any]) -> Row:
    t = view.t
    cells: dict[str, str | Cell] = {
        "name": one["name"], "what": _subject(one), "b": side_b(one),
        "state": Cell(t(one["state"]), tone=_TONES[one["state"]]),
        "share": Cell(t.share(one["share"], 0), share=one["share"]),
        "started": Cell("", at=_seconds(one["started_at"])),
    }  # fmt: skip
    return Row(cells, href=view.link(f"/{kind}/{one['id']}"))


def _subject(one: Mapping[str, Any]) -> str:
    return str(one["route"] or f"{one['prompt']}@{one['label']}")


def side_b(one: Mapping[str, Any]) -> str:
    """What side B asks instead, in a line."""
    to = one["to"]
    told = [str(to[name]) for name in ("variant", "model", "prompt") if to.get(name)]
    return " · ".join([*told, *(f"{name}={value}" for name, value in (to.get("params") or {}).items())])


def _seconds(at: str | None) -> float:
    return datetime.datetime.fromisoformat(at).timestamp() if at else 0.0


async def build_rollout(view: View) -> None:
    """One rollout, drawn anew by itself while it is live."""
    await _one(view, "rollouts")


async def build_experiment(view: View) -> None:
    """One experiment."""
    await _one(view, "experiments")


async def _one(view: View, kind: str) -> None:
    place = f"/admin/{kind}/{quote(view.path['id'], safe='')}"
    row, events = await asyncio.gather(view.ask("GET", place), view.ask("GET", f"{place}/events?limit=100"))
    with head(row["name"], _subject(row)):
        badge(view.t(row["state"]), _TONES[row["state"]])
        _acts(view, kind, row, place)
    body = tag("div.stack")
    with body:
        _told(view, row, events["data"])
    if row["ended_at"] is None:

        async def again() -> None:
            new, done = await asyncio.gather(view.ask("GET", place), view.ask("GET", f"{place}/events?limit=100"))
            if (new["state"], new["stage"]) != (row["state"], row["stage"]):
                go(view.link())
                return
            body.clear()
            with body:
                _told(view, new, done["data"])

        Pulse(_LIVE_S, again)


def _told(view: View, row: dict[str, Any], events: Sequence[dict[str, Any]]) -> None:
    if row["problem"]:
        notice(row["problem"], "warn")
    if row["hint"]:
        notice(row["hint"], "info")
    if row["kind"] == "rollout":
        _stages(view, row)
    with card(classes="flush"):
        sides_table(view, row["sides"])
    with tag("div.halves"):
        with tag("div.rail"):
            _decision(view, row)
        with tag("div.rail"):
            with card():
                facts(_facts(view, row))
            _history(view, events)


def _stages(view: View, row: Mapping[str, Any]) -> None:
    """The steps, the present one marked; those before it are filled."""
    stages, live = row["plan"]["stages"], row["state"] in ("running", "paused", "standing", "done")
    with tag("ol.steps", aria_label=view.t("stages")):
        for at, one in enumerate(stages):
            done = live and (at < row["stage"] or row["state"] in ("done", "standing"))
            here = live and at == row["stage"] and row["ended_at"] is None
            kind = ".steps__one--done" if done else ".steps__one--here" if here else ""
            with tag(f"li.steps__one{kind}", aria_current="step" if here else None):
                tag("span.steps__share", view.t.share(one["share"], 0))


def _decision(view: View, row: Mapping[str, Any]) -> None:
    t, decision = view.t, row["decision"]
    with card(t("decision"), classes="tight"):
        if decision is None:
            tag("p.muted", t("no_decision"))
            return
        if decision.get("outcome"):
            winner = decision.get("winner")
            word = t("winner", side=str(winner).upper()) if winner else t(decision["outcome"])
            badge(word, "good" if winner else "bad" if decision["outcome"] == "harm" else "dim")
        tag("p", decision["reason"])
        if decision.get("more_calls") and row["ended_at"] is None:
            tag("p.muted", t("more_calls", n=t.number(decision["more_calls"])))
        if row["looked_at"]:
            with tag("p.muted.small", f"{t('looked')} "):
                When(_seconds(row["looked_at"]))
    found = decision.get("findings") or [decision["deciding"], *decision.get("guards", [])]
    with card(t("findings")):
        findings(view, found)


def _facts(view: View, row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    t = view.t
    pairs: list[tuple[str, Any]] = [
        (t("side_a"), row["variant"]), (t("side_b"), side_b(row)), (t("share"), t.share(row["share"], 0)),
        (t("started"), lambda: When(_seconds(row["started_at"]), "full")), (t("by"), row["started_by"]),
        (t("ended"), (lambda: When(_seconds(row["ended_at"]), "full")) if row["ended_at"] else None),
        (t("tags"), ", ".join(f"{name}={value}" for name, value in row["tags"].items())),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def _history(view: View, events: Sequence[Mapping[str, Any]]) -> None:
    with card(view.t("history")), tag("ol.events"):
        for one in events:
            with tag("li.events__one"):
                badge(str(one["act"]).replace("_", " "), "info")
                with tag("span.events__text"):
                    share = "" if one["share"] is None else view.t.share(one["share"], 0)
                    tag("strong", " · ".join(filter(None, (one["by"], share))))
                    if one["why"]:
                        tag("div", one["why"])
                When(_seconds(one["at"]))


def _acts(view: View, kind: str, row: Mapping[str, Any], place: str) -> None:
    """What may be done now; every act asks why, for the log."""
    if row["ended_at"] is not None:
        return
    words = ["resume"] if row["state"] == "paused" else ["pause"] if row["state"] == "running" else []
    if kind == "rollouts":
        words += ["promote", "whole", "abort"]
    else:
        words.append("stop")
    for word in words:
        _act(view, row, place, word)


def _act(view: View, row: Mapping[str, Any], place: str, word: str) -> None:
    t = view.t
    tone = {"abort": "danger", "stop": "danger", "promote": "main"}.get(word, "")

    async def act() -> None:
        fields: list[Any] = []

        def body() -> None:
            fields.append(text(t("why"), most=1000))

        if not await ask(view, t(f"{word}_sure", name=row["name"]), body, label=t(word), tone=tone or "main"):
            return
        said: dict[str, Any] = {"why": fields[0].value}
        if word == "whole":
            said["whole"] = True
        await view.act("POST", f"{place}/{'promote' if word == 'whole' else word}", said)
        say(view.t(word))
        go(view.link())

    button(view, t(word), act, tone=tone)


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    """All there ever were of the kind that the page shows, read where they stand: the gate lists no more than 500."""
    kind: Kind = "experiment" if view.query.get("kind") == "experiment" else "rollout"
    found = await Rollouts(view.database).list(kind, limit=MOST_ROWS)
    yield _HEAD
    for one in found:
        yield _line(one)


def _line(one: RolloutRow) -> Sequence[object]:
    to = one.change
    return (
        one.id, one.kind, one.name, one.route, one.prompt, one.label, one.variant, to.variant, to.model, to.prompt,
        _told_json(to.params), one.state, one.stage, one.share, _moment(one.started_at_s), one.started_by,
        _moment(one.ended_at_s), one.problem, _told_json(one.tags),
    )  # fmt: skip


def _told_json(value: Mapping[str, Any] | None) -> str | None:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else None


def _moment(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat()


PAGE = Page(
    "/rollouts", "title", build, TEXTS, group="build", letter="r", icon="rollouts",
    files=(File("/rollouts.csv", "rollouts.csv", _rows),),
)  # fmt: skip
ONE = Page("/rollouts/{id}", "title", build_rollout, TEXTS, icon="rollouts", parent="/rollouts")
EXPERIMENT = Page("/experiments/{id}", "experiments", build_experiment, TEXTS, icon="rollouts", parent="/rollouts")
