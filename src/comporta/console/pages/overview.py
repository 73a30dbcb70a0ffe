"""The overview: what went through the gate, how well, what it cost, and what changed meanwhile."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from comporta.console.happenings import Happening, happenings
from comporta.console.page import Page
from comporta.console.parts.choosing import Range, range_links, range_of
from comporta.console.parts.components import Cell, Chart, Column, Line, Mark, Row, Table, When
from comporta.console.parts.pieces import Change, badge, card, empty, figure, head
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.telemetry.observability.names import metric
from comporta.telemetry.series import Series, series

TEXTS: Texts = {
    "title": ("Overview", "Visão geral"),
    "calls": ("Calls", "Chamadas"),
    "cost": ("Cost", "Custo"),
    "latency_p95": ("Latency, p95", "Latência, p95"),
    "error_rate": ("Errors", "Erros"),
    "cache_hit_rate": ("Cache hits", "Acertos do cache"),
    "user_satisfaction": ("Satisfaction", "Satisfação"),
    "guardrail_blocks": ("Blocked by guards", "Barradas por guardas"),
    "first_token_p95": ("First token, p95", "Primeiro token, p95"),
    "before": ("before", "antes"),
    "against": ("against the {range} before", "contra o período anterior ({range})"),
    "traffic": ("Calls", "Chamadas"),
    "latency": ("Latency", "Latência"),
    "cost_by_model": ("Cost by model", "Custo por modelo"),
    "errors": ("Errors", "Erros"),
    "cache": ("Cache", "Cache"),
    "safety": ("Safety", "Segurança"),
    "satisfaction": ("Satisfaction", "Satisfação"),
    "pii_detected": ("personal data", "dados pessoais"),
    "jailbreak_attempts": ("jailbreaks", "jailbreaks"),
    "toxicity_flagged": ("toxic words", "palavras tóxicas"),
    "blocks": ("blocked", "barradas"),
    "routes": ("Routes", "Rotas"),
    "route": ("Route", "Rota"),
    "changed": ("What changed", "O que mudou"),
    "nothing_changed": ("No deployment, rollout or alert.", "Nenhum deploy, rollout ou alerta."),
    "deploy": ("deploy", "deploy"),
    "rollout": ("rollout", "rollout"),
    "alert": ("alert", "alerta"),
    "calm": ("recovered", "normalizado"),
    "none_title": ("No calls yet", "Nenhuma chamada ainda"),
    "none_text": (
        "Ask a model through the gate, and its calls, cost and latency appear here about a second later.",
        "Pergunte a um modelo pela comporta, e as chamadas, o custo e a latência aparecem aqui um segundo depois.",
    ),
    "quiet_title": ("No calls in this time", "Nenhuma chamada neste período"),
    "quiet_text": (
        "There are calls from before: choose a longer time.",
        "Há chamadas de antes: escolha um período maior.",
    ),
}  # fmt: skip

_FIGURES = ("calls", "cost", "latency_p95", "error_rate", "cache_hit_rate", "user_satisfaction", "guardrail_blocks")
_NAMES = (*_FIGURES, "latency_p50", "pii_detected", "jailbreak_attempts", "toxicity_flagged")
_ROUTES = ("calls", "cost", "latency_p95", "error_rate", "user_satisfaction")
_ANY = "select exists (select from rollup_hour)"


class _Seen(Struct, frozen=True):
    """All that the page shows, read at once."""

    now: Series
    before: Series
    models: Series
    routes: Series
    changes: list[Happening]


async def build(view: View) -> None:
    """Everything is read from the sums by the minute and the hour."""
    chosen = range_of(view)
    seen = await _read(view, chosen)
    with head(view.t("title"), view.t("against", range=view.t(f"range_{chosen.name}"))):
        range_links(view, chosen)
    if not seen.now.lines[0].calls and not seen.before.lines[0].calls:
        await _nothing(view)
        return
    _figures(view, seen)
    _charts(view, seen)
    with tag("div.halves"):
        _routes(view, chosen, seen.routes)
        # Releases and alerts are of nobody's team.
        if not view.bound:
            _changes(view, seen.changes)


async def _read(view: View, chosen: Range) -> _Seen:
    base, step = view.database, chosen.step_s
    earlier = chosen.since - chosen.length
    found = await asyncio.gather(
        series(base, _NAMES, since=chosen.since, until=chosen.until, step_s=step),
        series(base, _NAMES, since=earlier, until=chosen.since, step_s=step),
        series(base, ("cost",), since=chosen.since, until=chosen.until, step_s=step, group_by="model"),
        series(base, _ROUTES, since=chosen.since, until=chosen.until, group_by="route"),
        happenings(base, chosen.since, chosen.until),
    )
    return _Seen(*found)


async def _nothing(view: View) -> None:
    async with view.database.reading() as connection:
        row = await (await connection.execute(_ANY)).fetchone()
    with card():
        if row is not None and row[0]:
            longer = view.link(range="30d")
            empty(view, view.t("quiet_title"), view.t("quiet_text"), href=longer, link=view.t("range_30d"))
        else:
            empty(view, view.t("none_title"), view.t("none_text"), command='comporta call "What is a sluice gate?"')


def _figures(view: View, seen: _Seen) -> None:
    now, before = seen.now.lines[0], seen.before.lines[0]
    with tag("div.figures"):
        for name in _FIGURES:
            change = _change(name, now.total[name], before.total[name])
            tone = {"error_rate": "bad", "guardrail_blocks": "amber"}.get(name, "accent")
            figure(
                view, view.t(name), _written(view, name, now.total[name]), change=change, values=now.points[name],
                tone=tone, href=_leads_to(view, name),
            )  # fmt: skip


def _leads_to(view: View, name: str) -> str:
    range_ = view.query.get("range")
    if name == "error_rate":
        return view.link("/calls", outcome="failed", range=range_)
    if name == "cost":
        return view.link("/costs", range=range_)
    return view.link("/calls", range=range_) if name == "calls" else ""


def _change(name: str, value: float | None, before: float | None) -> Change | None:
    if value is None or not before:
        return None
    worse = metric(name).worse
    share = (value - before) / abs(before)
    return Change(share, None if worse is None else (share < 0) == (worse == "up"))


def _written(view: View, name: str, value: float | None) -> str:
    unit = metric(name).unit
    if unit == "$":
        return view.t.money(None if value is None else value * 1e6)
    if unit == "share":
        return view.t.share(value)
    if unit == "s":
        return view.t.seconds(value)
    return view.t.short(value)


def _charts(view: View, seen: _Seen) -> None:
    draw = _Draw(view, seen)
    judged = any(value is not None for value in seen.now.lines[0].points["user_satisfaction"])
    with tag("div.cards"):
        # Of seven the first takes a row by itself.
        draw.one("traffic", "calls", [("calls", "area")], "number", before="calls", classes="wide" if judged else "")
        draw.one(
            "latency", "latency", [("latency_p95", "line"), ("latency_p50", "line")], "seconds", before="latency_p95"
        )
        draw.cost()
        draw.one("errors", "errors", [("error_rate", "area")], "share", before="error_rate", tone="bad")
        draw.one("cache", "cache", [("cache_hit_rate", "area")], "share", before="cache_hit_rate", tone="sky")
        draw.safety()
        if judged:
            draw.one("satisfaction", "satisfaction", [("user_satisfaction", "area")], "share",
                     before="user_satisfaction", tone="olive")  # fmt: skip


class _Draw:
    """The charts of one page, with the same times and marks."""

    def __init__(self, view: View, seen: _Seen) -> None:
        self._view = view
        self._seen = seen
        self._times = [at.timestamp() for at in seen.now.times]
        self._marks = [_mark(view, one) for one in seen.changes]

    def one(
        self, title: str, label: str, lines: Sequence[tuple[str, str]], unit: str, *, before: str, tone: str = "",
        classes: str = "",
    ) -> None:  # fmt: skip
        """Figures over time, and the first of them in the period before."""
        view, now = self._view, self._seen.now.lines[0]
        drawn = [Line(_short(view, name), _in(unit, now.points[name]), kind, tone) for name, kind in lines]
        earlier = self._seen.before.lines[0].points[before]
        drawn.append(Line(view.t("before"), _in(unit, earlier[: len(self._times)]), "before", "dim"))
        self._draw(title, label, drawn, unit, classes=classes)

    def cost(self) -> None:
        """What each model cost, piled up."""
        models = [line for line in self._seen.models.lines if line.total["cost"]]
        models.sort(key=lambda line: -(line.total["cost"] or 0.0))
        drawn = [Line(line.group or "–", _in("money", line.points["cost"]), "bar") for line in models[:7]]
        total = self._seen.now.lines[0].total["cost"]
        sub = self._view.t.money(None if total is None else total * 1e6)
        self._draw("cost_by_model", "cost_by_model", drawn, "money", stack=True, sub=sub)

    def safety(self) -> None:
        """What guards found."""
        now = self._seen.now.lines[0]
        names = {"guardrail_blocks": "blocks", "pii_detected": "", "jailbreak_attempts": "", "toxicity_flagged": ""}
        drawn = [
            Line(self._view.t(text or name), now.points[name], "bar")
            for name, text in names.items()
            if any(now.points[name]) or name == "guardrail_blocks"
        ]
        self._draw("safety", "safety", drawn, "number", stack=True)

    def _draw(
        self, title: str, label: str, lines: Sequence[Line], unit: str, *, stack: bool = False, sub: str = "",
        classes: str = "",
    ) -> None:  # fmt: skip
        with card(self._view.t(title), sub=sub, classes=classes):
            Chart(self._view.t(label), self._times, lines, unit=unit, marks=self._marks, stack=stack,
                  locale=self._view.t.locale, height_px=200)  # fmt: skip


def _short(view: View, name: str) -> str:
    return {"latency_p95": "p95", "latency_p50": "p50"}.get(name) or view.t(name)


def _in(unit: str, values: Sequence[float | None]) -> list[float | None]:
    """Charts draw money in micro-dollars; figures are in dollars."""
    return [None if v is None else v * 1e6 for v in values] if unit == "money" else list(values)


def _mark(view: View, one: Happening) -> Mark:
    return Mark(one.at.timestamp(), f"{view.t(one.kind)}: {one.subject} {one.act}", one.tone)


def _routes(view: View, chosen: Range, found: Series) -> None:
    columns = [
        Column("route", view.t("route")), Column("calls", view.t("calls"), "number"),
        Column("errors", view.t("error_rate"), "number"), Column("latency", view.t("latency_p95"), "number", wide=True),
        Column("cost", view.t("cost"), "number"),
    ]  # fmt: skip
    most = max((line.calls for line in found.lines), default=1) or 1
    rows = [_route(view, line.group or "", line, line.calls / most, chosen) for line in found.lines[:12]]
    with card(view.t("routes"), classes="flush"):
        Table(view.t("routes"), columns, rows)


def _route(view: View, name: str, line: Any, share: float, chosen: Range) -> Row:
    errors = line.total["error_rate"]
    cells: dict[str, str | Cell] = {
        "route": Cell(name or "–", share=share),
        "calls": view.t.number(line.calls),
        "errors": Cell(view.t.share(errors), tone="bad" if errors and errors > 0.1 else ""),
        "latency": _written(view, "latency_p95", line.total["latency_p95"]),
        "cost": _written(view, "cost", line.total["cost"]),
    }
    return Row(cells, href=view.link("/calls", route=name, range=chosen.name) if name else "")


def _changes(view: View, found: Sequence[Happening]) -> None:
    with card(view.t("changed")):
        if not found:
            tag("p.muted", view.t("nothing_changed"))
            return
        with tag("ol.events"):
            for one in found[:12]:
                _event(view, one)


def _event(view: View, one: Happening) -> None:
    with tag("li.events__one"):
        badge(view.t(one.kind), one.tone)
        with tag("span.events__text"):
            tag("strong", one.subject)
            tag("span", f" {one.act}" + (f" · {one.by}" if one.by else ""))
        When(_seconds(one.at))


def _seconds(at: datetime.datetime) -> float:
    return at.timestamp()


PAGE = Page("/", "title", build, TEXTS, group="watch", letter="o", icon="overview", teams=True)
