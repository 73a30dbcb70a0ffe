"""The review queue: one thing after another that a person is to look at, decided with the keyboard."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from comporta.console.exporting import listed
from comporta.console.messages import conversation
from comporta.console.page import File, Page
from comporta.console.parts.acting import ask, button, go, say, text
from comporta.console.parts.chat import chat
from comporta.console.parts.choosing import links, pages
from comporta.console.parts.components import Cell, Column, Row, Table, When
from comporta.console.parts.pieces import badge, card, code, empty, facts, head
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import BadRequest, NotFound
from comporta.telemetry.calls import one_call

TEXTS: Texts = {
    "title": ("Review", "Revisão"),
    "about": ("What waits for a person's eyes.", "O que espera pelos olhos de uma pessoa."),
    "waiting": ("Waiting", "Esperando"),
    "decided": ("Decided", "Decididas"),
    "what": ("What", "O quê"),
    "kind": ("Kind", "Tipo"),
    "route": ("Route", "Rota"),
    "state": ("State", "Estado"),
    "by": ("By", "Por"),
    "when": ("When", "Quando"),
    "open": ("open", "aberta"),
    "claimed": ("claimed", "assumida"),
    "done": ("decided", "decidida"),
    "accept": ("Accept", "Aceitar"),
    "reject": ("Reject", "Rejeitar"),
    "correct": ("Correct …", "Corrigir …"),
    "skip": ("Skip", "Pular"),
    "claim": ("Claim", "Assumir"),
    "release": ("Give back", "Devolver"),
    "accepted": ("accepted", "aceita"),
    "rejected": ("rejected", "rejeitada"),
    "corrected": ("corrected", "corrigida"),
    "correction": ("What would have been right", "O que seria o certo"),
    "note": ("Note", "Nota"),
    "alternatives": ("The answers", "As respostas"),
    "choose": ("This one is right", "Esta é a certa"),
    "details": ("Details", "Detalhes"),
    "conversation": ("Conversation", "Conversa"),
    "no_content": ("No content is kept of its call.", "Nenhum conteúdo da chamada foi guardado."),
    "trace": ("Trace", "Rastro"),
    "left": ("Review the next of {n}", "Revisar a próxima de {n}"),
    "hint": ("Keys: a accepts, x rejects, c corrects, n skips.", "Teclas: a aceita, x rejeita, c corrige, n pula."),
    "none_title": ("Nothing waits for you", "Nada espera por você"),
    "none_text": (
        "What models disagree on, what guards doubt, what users complain of comes here, to be accepted, rejected or "
        "corrected; each decision becomes a score of its call.",
        "O que os modelos discordam, os guardas duvidam e os usuários reclamam vem para cá, para aceitar, rejeitar ou "
        "corrigir; cada decisão vira uma nota da chamada.",
    ),
    "all_title": ("All done", "Tudo feito"),
}  # fmt: skip
_VERDICTS = {"accept": ("accepted", "good"), "reject": ("rejected", "bad"), "correct": ("corrected", "warn")}
_STATES = {"open": "info", "claimed": "warn", "done": "dim"}
_LIMIT = 30
_HEAD = (
    "id", "at", "kind", "reason", "route", "trace_id", "call_id", "user", "state", "by", "decided_at", "verdict",
    "choice", "correction", "note",
)  # fmt: skip


async def build(view: View) -> None:
    """The queue, the oldest first; `?state=done` what was decided, the newest first."""
    done = view.query.get("state") == "done"
    wanted = {**_wanted(view), "limit": str(_LIMIT), "after": view.query.get("after", "")}
    found, counts = await asyncio.gather(
        view.ask("GET", view.link("/admin/reviews", **wanted)), view.ask("GET", "/admin/reviews/counts")
    )
    t, waiting = view.t, sum(one["open"] + one["claimed"] for one in counts["data"].values())
    with head(t("title"), t("about")):
        if found["data"] and not done:
            first = found["data"][0]["id"]
            tag("a.button.button--main", t("left", n=t.number(waiting)), href=_place(view, first), data_key="n")
    kinds = [(t("any"), view.link(kind=None, after=None), not view.query.get("kind"))]
    kinds += [(kind, view.link(kind=kind, after=None), view.query.get("kind") == kind) for kind in counts["data"]]
    with tag("div.row"):
        links(t("state"), [(t("waiting"), view.link(state=None, after=None), not done),
                           (t("decided"), view.link(state="done", after=None), done)])  # fmt: skip
        if len(kinds) > 2:
            links(t("kind"), kinds)
    if not found["data"]:
        with card():
            title = t("none_title") if not counts["data"] else t("all_title")
            empty(view, title, t("none_text"), command="comporta reviews list")
        return
    columns = [
        Column("what", t("what")), Column("kind", t("kind"), "badge"), Column("route", t("route"), wide=True),
        Column("state", t("state"), "badge"), Column("by", t("by"), wide=True), Column("when", t("when"), "when"),
    ]  # fmt: skip
    with card(classes="flush"):
        Table(t("title"), columns, [_row(view, one) for one in found["data"]])
    pages(view, found["next"], csv=view.link("/review.csv", **{**view.query, "after": None}))


def _wanted(view: View) -> dict[str, str]:
    done = view.query.get("state") == "done"
    named = {name: view.query[name] for name in ("kind", "route") if view.query.get(name)}
    return {"state": "done" if done else "waiting", "order": "newest" if done else "oldest", **named}


def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    return listed(view, "/admin/reviews", _HEAD, {**_wanted(view), "limit": "200"})


def _place(view: View, id: str) -> str:
    kept = {name: view.query[name] for name in ("kind", "route") if view.query.get(name)}
    # An id may hold slashes, which a path can't: it stands in the query.
    return view.link("/review/one", id=id, **kept)


def _row(view: View, one: Mapping[str, Any]) -> Row:
    t = view.t
    state = t(_VERDICTS[one["verdict"]][0]) if one["verdict"] else t(one["state"])
    tone = _VERDICTS[one["verdict"]][1] if one["verdict"] else _STATES[one["state"]]
    cells: dict[str, str | Cell] = {
        "what": one["reason"], "kind": Cell(one["kind"], tone="violet"), "route": one["route"] or "–",
        "state": Cell(state, tone=tone), "by": one["by"] or "–", "when": Cell("", at=_seconds(one["at"])),
    }  # fmt: skip
    return Row(cells, href=_place(view, one["id"]))


def _seconds(at: str) -> float:
    return datetime.datetime.fromisoformat(at).timestamp()


async def build_one(view: View) -> None:
    """One review, with what there is to see, and its decision."""
    t, id = view.t, view.query.get("id", "")
    place = f"/admin/reviews/{quote(id, safe='')}"
    one = await view.ask("GET", place)
    with head(one["reason"], f"{one['kind']} · {one['route'] or '–'}"):
        if one["verdict"]:
            word, tone = _VERDICTS[one["verdict"]]
            badge(t(word), tone)
        elif one["state"] == "claimed":
            badge(f"{t('claimed')}: {one['by']}", "warn")
    if one["state"] != "done":
        _acts(view, one, place)
    with tag("div.halves"):
        with card(t("conversation")):
            await _conversation(view, one)
        with tag("div.rail"):
            _answers(view, one, place)
            _details(view, one)


async def _conversation(view: View, one: Mapping[str, Any]) -> None:
    if one["call_id"]:
        try:
            found = await one_call(view.database, one["call_id"])
        except NotFound:
            found = None
        said = conversation(found.prompt, found.reply) if found else []
        if said:
            chat(view, said)
            return
    tag("p.muted", view.t("no_content"))


def _answers(view: View, one: Mapping[str, Any], place: str) -> None:
    """What several models said, each with a button where it can still be chosen."""
    t, texts = view.t, one["payload"].get("texts")
    if not isinstance(texts, dict) or not texts:
        return
    with card(t("alternatives")):
        for at, (name, said) in enumerate(texts.items()):
            with tag("div.turn"):
                with tag("div.row.spread"):
                    badge(name, "accent" if name in (one["choice"], one["payload"].get("given")) else "dim")
                    if one["state"] != "done":
                        button(view, t("choose"), _chooser(view, place, name), tone="small", key=str(at + 1))
                tag("div.chat__text", said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))


def _chooser(view: View, place: str, name: str) -> Any:
    async def choose() -> None:
        await _decide(view, place, {"verdict": "accept", "choice": name})

    return choose


def _details(view: View, one: Mapping[str, Any]) -> None:
    t, trace = view.t, view.link(f"/traces/{one['trace_id']}", call=one["call_id"])
    pairs: list[tuple[str, Any]] = [
        (t("kind"), one["kind"]), (t("when"), lambda: When(_seconds(one["at"]), "full")), (t("by"), one["by"]),
        (t("correction"), one["correction"]), (t("note"), one["note"]),
        (t("trace"), (lambda: tag("a", one["trace_id"], href=trace)) if one["trace_id"] else None),
    ]  # fmt: skip
    with card():
        facts([(name, value) for name, value in pairs if value])
    rest = {name: value for name, value in one["payload"].items() if name != "texts"}
    if rest:
        with card(t("details")):
            code(json.dumps(rest, indent=2, ensure_ascii=False), label=t("details"))


def _acts(view: View, one: Mapping[str, Any], place: str) -> None:
    t = view.t

    async def accept() -> None:
        await _decide(view, place, {"verdict": "accept"})

    async def reject() -> None:
        await _decide(view, place, {"verdict": "reject"})

    async def correct() -> None:
        fields: list[Any] = []

        def body() -> None:
            fields.append(text(t("correction"), rows=5, most=10_000))
            fields.append(text(t("note"), most=1000))

        if await ask(view, t("correct"), body, label=t("save")):
            if not fields[0].value.strip():
                raise BadRequest(t("correction"), param="correction")
            said = {"verdict": "correct", "correction": fields[0].value, "note": fields[1].value or None}
            await _decide(view, place, said)

    async def skip() -> None:
        await _next(view, after=one["id"])

    with tag("div.row"):
        button(view, t("accept"), accept, tone="main", key="a")
        button(view, t("reject"), reject, tone="danger", key="x")
        button(view, t("correct"), correct, key="c")
        button(view, t("skip"), skip, admin=False, key="n")
        _claiming(view, one, place)
        tag("span.muted.small", t("hint"))


def _claiming(view: View, one: Mapping[str, Any], place: str) -> None:
    async def claim() -> None:
        await view.act("POST", f"{place}/{'claim' if one['state'] == 'open' else 'release'}")
        go(view.link())

    button(view, view.t("claim" if one["state"] == "open" else "release"), claim)


async def _decide(view: View, place: str, said: dict[str, Any]) -> None:
    done = await view.act("POST", f"{place}/decide", said)
    say(view.t(_VERDICTS[done["verdict"]][0]))
    await _next(view, after=done["id"])


async def _next(view: View, *, after: str) -> None:
    """On to the next of the queue; round to its beginning at the end, and to the list where nothing is left."""
    wanted = {"state": "waiting", "order": "oldest", "limit": "200"}
    wanted |= {name: view.query[name] for name in ("kind", "route") if view.query.get(name)}
    found = await view.ask("GET", view.link("/admin/reviews", **wanted))
    ids = [one["id"] for one in found["data"]]
    # One that is decided is in the queue no more: on from its beginning, which is the oldest.
    at = ids.index(after) + 1 if after in ids else 0
    left = [id for id in (*ids[at:], *ids[:at]) if id != after]
    go(_place(view, left[0]) if left else view.link("/review"))


PAGE = Page(
    "/review", "title", build, TEXTS, group="protect", letter="v", icon="person",
    files=(File("/review.csv", "review.csv", _rows),),
)  # fmt: skip
ONE = Page("/review/one", "title", build_one, TEXTS, icon="person", parent="/review")
