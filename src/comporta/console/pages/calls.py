"""The calls: found by whatever one looks for, page by page, as they come in, and as a file."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any, get_args

from comporta.console.facets import Facets, facets
from comporta.console.page import File, Page
from comporta.console.parts.choosing import RANGES, Filter, filters, links, pages
from comporta.console.parts.components import Cell, Column, Row, Table
from comporta.console.parts.live import Pulse
from comporta.console.parts.pieces import card, empty, head, notice
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import BadRequest
from comporta.telemetry import call_search
from comporta.telemetry.call_search import Found, Judged, Wanted, search
from comporta.telemetry.calls import CallRow

TEXTS: Texts = {
    "title": ("Calls", "Chamadas"),
    "when": ("When", "Quando"),
    "outcome": ("Outcome", "Resultado"),
    "asked": ("Asked", "Perguntado"),
    "route": ("Route", "Rota"),
    "model": ("Model", "Modelo"),
    "prompt": ("Prompt", "Prompt"),
    "prompt_version": ("Prompt version", "Versão do prompt"),
    "key": ("Key", "Chave"),
    "team": ("Team", "Equipe"),
    "latency": ("Latency", "Latência"),
    "tokens": ("Tokens", "Tokens"),
    "cost": ("Cost", "Custo"),
    "cache": ("Cache", "Cache"),
    "hit": ("hit", "acerto"),
    "miss": ("no hit", "sem acerto"),
    "failed": ("failed", "falhou"),
    "least_cost": ("Cost from, $", "Custo a partir de, $"),
    "least_ms": ("Latency from, ms", "Latência a partir de, ms"),
    "judged": ("Judged", "Avaliada"),
    "judged_good": ("good, by people", "boa, por pessoas"),
    "judged_bad": ("bad, by people", "ruim, por pessoas"),
    "judged_any": ("by people", "por pessoas"),
    "judged_guard": ("found by a guard", "achada por um guarda"),
    "text": ("Words, or an id", "Palavras, ou um id"),
    "user": ("User", "Usuário"),
    "session": ("Session", "Sessão"),
    "live": ("Live", "Ao vivo"),
    "list": ("List", "Lista"),
    "per_second": ("{rate} calls a second, the newest {n} are shown", "{rate} chamadas por segundo, as {n} mais novas"),
    "all_time": ("All", "Tudo"),
    "searched_to": (
        "Searched back to {moment} UTC; “{older}” goes on from there.",
        "Procurado até {moment} UTC; “{older}” continua dali.",
    ),
    "none_title": ("No calls yet", "Nenhuma chamada ainda"),
    "none_text": (
        "Every call through the gate stands here about a second after its end.",
        "Cada chamada pela comporta aparece aqui um segundo depois do fim.",
    ),
}  # fmt: skip
_NAMES = ("route", "model", "provider", "prompt", "prompt_version", "key", "team", "environment", "feature", "user",
          "session", "trace")  # fmt: skip
_LIMIT = 50
_LIVE = 60
_CSV_ROWS = 100_000
_RATE = "select count(*) from call where started_at >= now() - interval '7 seconds' and started_at < now() - interval '2 seconds'"  # noqa: E501
_HEAD = (
    "started_at", "id", "trace_id", "outcome", "status", "asked", "route", "variant", "provider", "model", "prompt",
    "prompt_version", "key", "team", "environment", "feature", "user", "session", "duration_ms", "first_ms",
    "input_tokens", "output_tokens", "cost_usd", "cache", "retries", "error",
)  # fmt: skip


async def build(view: View) -> None:
    """The list, or with `?live=1` what comes in."""
    if view.query.get("live"):
        await _live(view)
        return
    wanted = wanted_of(view)
    page, known = await asyncio.gather(
        search(view.database, wanted, after=view.query.get("after"), limit=_LIMIT), facets(view.database)
    )
    _head(view)
    _filters(view, known)
    if not page.found and not page.next:
        _nothing(view)
        return
    with card(classes="flush"):
        Table(view.t("title"), columns(view), [row(view, one) for one in page.found])
    if page.searched_to is not None:
        moment = f"{page.searched_to:%Y-%m-%d %H:%M}"
        notice(view.t("searched_to", moment=moment, older=view.t("older")), "info")
    pages(view, page.next, csv=view.link("/calls.csv", **{**view.query, "after": None}))


def _head(view: View) -> None:
    with head(view.t("title")):
        chosen = view.query.get("range", "")
        known = [(view.t("all_time"), view.link(range=None, after=None), chosen not in RANGES)]
        known += [(view.t(f"range_{n}"), view.link(range=n, after=None), chosen == n) for n in RANGES]
        if not view.query.get("live"):
            links(view.t("range"), known)
        live = bool(view.query.get("live"))
        links(view.t("live"), [(view.t("list"), view.link(live=None), not live),
                               (view.t("live"), view.link(live="1", after=None, range=None), live)])  # fmt: skip


def _filters(view: View, known: Facets) -> None:
    def options(values: Sequence[str]) -> list[tuple[str, str]]:
        return [(value, value) for value in values]

    t = view.t
    outcomes = [("failed", t("failed")), ("ok", "ok"), *options([one for one in known.outcomes if one != "ok"])]
    judged = [(name, t(f"judged_{name}")) for name in get_args(Judged)]
    filters(view, [
        Filter("text", t("text")),
        Filter("route", t("route"), options(known.routes)), Filter("model", t("model"), options(known.models)),
        Filter("prompt", t("prompt"), options(known.prompts)), Filter("prompt_version", t("prompt_version")),
        Filter("outcome", t("outcome"), outcomes), Filter("key", t("key"), known.keys),
        Filter("team", t("team"), options(known.teams)),
        Filter("judged", t("judged"), judged), Filter("cache", t("cache"), [("hit", t("hit")), ("miss", t("miss"))]),
        Filter("least_cost", t("least_cost"), kind="number"), Filter("least_ms", t("least_ms"), kind="number"),
        Filter("user", t("user")), Filter("session", t("session")),
    ], keep=("range", "live"))  # fmt: skip


def _nothing(view: View) -> None:
    asked = any(view.query.get(name) for name in view.query if name != "live")
    with card():
        if asked:
            empty(view, view.t("nothing_found"), "", href="/calls", link=view.t("show_all"))
        else:
            empty(view, view.t("none_title"), view.t("none_text"), command='comporta call "What is a sluice gate?"')


def wanted_of(view: View) -> Wanted:
    """What the address asks for. Raises BadRequest for a number that is none."""
    query = view.query
    judged, cache = query.get("judged", ""), query.get("cache", "")
    least_usd, least_ms = _number(query, "least_cost"), _number(query, "least_ms")
    length = RANGES.get(query.get("range", ""))
    return Wanted(
        filters={name: query[name] for name in _NAMES if query.get(name)},
        outcome=query.get("outcome", ""),
        judged=judged if judged in call_search.JUDGED else None,  # type: ignore[arg-type]
        least_microusd=None if least_usd is None else round(least_usd * 1e6),
        least_us=None if least_ms is None else round(least_ms * 1e3),
        cache=cache if cache in ("hit", "miss") else "",  # type: ignore[arg-type]
        text=query.get("text", "")[:200],
        since=datetime.datetime.now(datetime.UTC) - length if length else None,
    )


def _number(query: Any, name: str) -> float | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12:
        raise BadRequest(f"`{name}` must be a number from 0 on.", param=name)
    return value


def columns(view: View) -> list[Column]:
    """Of every list of calls."""
    t = view.t
    return [
        Column("when", t("when"), "when"), Column("outcome", t("outcome"), "badge"), Column("asked", t("asked")),
        Column("model", t("model"), wide=True), Column("key", t("key"), wide=True),
        Column("latency", t("latency"), "number"), Column("tokens", t("tokens"), "number", wide=True),
        Column("cost", t("cost"), "number"),
    ]  # fmt: skip


def row(view: View, found: Found) -> Row:
    """A call of a list."""
    call, t = found.call, view.t
    hit = call.cache.startswith("hit") or call.cache in ("exact", "semantic")
    prompt = f"{call.prompt_id}@{call.prompt_version}" if call.prompt_id else ""
    cells: dict[str, str | Cell] = {
        "when": Cell("", at=call.started_at.timestamp()),
        "outcome": Cell("ok" if call.outcome_class == "ok" else call.outcome, tone=tone_of(call)),
        "asked": Cell(found.snippet or call.asked, sub=" · ".join(filter(None, (call.route or call.asked, prompt)))),
        "model": Cell(call.model or "–", sub=call.provider or ""),
        "key": Cell(call.key_name, sub=" · ".join(filter(None, (call.team, call.user)))),
        "latency": Cell(t.seconds(call.duration_us / 1e6), sub=t("cache") if hit else ""),
        "tokens": tokens_of(view, call),
        "cost": t.money(call.cost_microusd),
    }
    return Row(cells, href=view.link(f"/traces/{call.trace_id}", call=call.id), id=call.id)


def tone_of(call: CallRow) -> str:
    """good, warn for what callers brought about, bad for what failed."""
    if call.outcome_class == "ok":
        return "good"
    return "warn" if call.outcome_class in ("refused", "rejected", "client_closed") else "bad"


def tokens_of(view: View, call: CallRow) -> Cell:
    """Read and written."""
    if call.usage is None:
        return Cell("–")
    use = call.usage
    read = use.input + use.cached + use.cache_write + use.audio_in + use.image_in
    wrote = use.output + use.reasoning + use.audio_out
    return Cell(view.t.short(read + wrote), sub=f"{view.t.short(read)} → {view.t.short(wrote)}")


async def _live(view: View) -> None:
    """What comes in, asked for once a second while somebody looks."""
    wanted = wanted_of(view)
    _head(view)
    _filters(view, await facets(view.database))
    seen: set[str] = set()
    with card(classes="flush"):
        with tag("div.card__head"):
            rate = tag("span.card__sub", "…", role="status")
        table = Table(view.t("title"), columns(view), [])

    async def beat() -> None:
        recent = await search(view.database, wanted, limit=_LIVE, within_s=1.0)
        async with view.database.reading() as connection:
            found = await (await connection.execute(_RATE)).fetchone()
        per_s = (found[0] if found is not None else 0) / 5
        rate.say(view.t("per_second", rate=view.t.number(per_s, 1), n=len(recent.found)))
        if {one.call.id for one in recent.found} != seen or not seen:
            table.show([_fresh(row(view, one), seen) for one in recent.found])
            seen.clear()
            seen.update(one.call.id for one in recent.found)

    await beat()
    Pulse(1.0, beat)


def _fresh(made: Row, seen: set[str]) -> Row:
    return Row(made.cells, made.href, "fresh" if seen and made.id not in seen else "", made.id)


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    yield _HEAD
    wanted, after, sent = wanted_of(view), None, 0
    while sent < _CSV_ROWS:
        page = await search(view.database, wanted, after=after, limit=call_search.MAX_LIMIT)
        for one in page.found:
            yield _line(one.call)
        sent += len(page.found)
        after = page.next
        if after is None:
            return


def _line(call: CallRow) -> Sequence[object]:
    use = call.usage
    return (
        call.started_at.isoformat(), call.id, call.trace_id, call.outcome, call.status, call.asked, call.route,
        call.variant, call.provider, call.model, call.prompt_id, call.prompt_version, call.key_name, call.team,
        call.environment, call.feature, call.user, call.session, call.duration_us / 1e3,
        None if call.first_us is None else call.first_us / 1e3,
        None if use is None else use.input + use.cached + use.cache_write + use.audio_in + use.image_in,
        None if use is None else use.output + use.reasoning + use.audio_out,
        None if call.cost_microusd is None else call.cost_microusd / 1e6, call.cache, call.retries, call.error_message,
    )  # fmt: skip


PAGE = Page(
    "/calls", "title", build, TEXTS, group="watch", letter="c", icon="calls",
    files=(File("/calls.csv", "calls.csv", _rows),), teams=True,
)  # fmt: skip
