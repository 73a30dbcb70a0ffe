"""The costs: by whatever they can be told apart, day by day, against the budgets, and as a file to hand on."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any

from comporta.budget.costs import CostRow, Costs, costs
from comporta.console.page import File, Page
from comporta.console.parts.choosing import Range, links, range_links, range_of
from comporta.console.parts.components import Cell, Chart, Column, Line, Row, Table
from comporta.console.parts.pieces import badge, card, command_line, empty, figure, head, notice
from comporta.console.parts.tags import tag
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import ComportaError
from comporta.telemetry.series import Series, Top, series, top

TEXTS: Texts = {
    "title": ("Costs", "Custos"),
    "by": ("By", "Por"),
    "by_team": ("Team", "Equipe"),
    "by_feature": ("Feature", "Recurso"),
    "by_model": ("Model", "Modelo"),
    "by_route": ("Route", "Rota"),
    "by_key": ("Key", "Chave"),
    "by_environment": ("Environment", "Ambiente"),
    "by_user": ("User", "Usuário"),
    "by_session": ("Session", "Sessão"),
    "total": ("Spent", "Gasto"),
    "per_call": ("By call", "Por chamada"),
    "per_1k": ("By 1,000 tokens", "Por 1.000 tokens"),
    "saved": ("Saved by the cache", "Economizado pelo cache"),
    "over_time": ("Over time", "Ao longo do tempo"),
    "share": ("Share", "Parte"),
    "cost": ("Cost", "Custo"),
    "calls": ("Calls", "Chamadas"),
    "tokens": ("Tokens", "Tokens"),
    "unpriced": ("Without a price", "Sem preço"),
    "estimated": ("Estimated", "Estimadas"),
    "errors": ("Errors", "Erros"),
    "none_named": ("(none)", "(nenhum)"),
    "not_kept": ("calls no longer kept", "chamadas já não guardadas"),
    "budgets": ("Budgets", "Orçamentos"),
    "spent_of": ("{spent} of {limit}", "{spent} de {limit}"),
    "expected": ("expected {expected} ({low} to {high})", "esperado {expected} ({low} a {high})"),
    "used_up": ("used up {when}", "esgotado em {when}"),
    "lasts": ("lasts to the period's end", "dura até o fim do período"),
    "no_budgets": ("No budget yet.", "Nenhum orçamento ainda."),
    "budgets_away": ("The gate did not answer: {reason}", "A comporta não respondeu: {reason}"),
    "none_title": ("Nothing was spent in this time", "Nada foi gasto neste período"),
    "none_text": (
        "What calls cost stands here by team, feature, model, user and more, as soon as calls with a price are made.",
        "O custo aparece aqui por equipe, recurso, modelo, usuário e mais, quando houver chamadas com preço.",
    ),
}  # fmt: skip
_LISTED = ("team", "feature", "model", "route", "key", "environment")
_TOPS = ("user", "session")
_FIGURES = ("cost", "cost_per_request", "cost_per_1k_tokens", "cache_saving")
_LINES = 7
_ROWS = 100


async def build(view: View) -> None:
    """By `?by=`, over `?range=`."""
    by = view.query.get("by", "team")
    # Lists of users and sessions are made of everybody's calls.
    choices = _LISTED if view.bound else (*_LISTED, *_TOPS)
    by = by if by in choices else "team"
    chosen = range_of(view, "30d")
    budgets = asyncio.create_task(_budgets_of(view))
    total = await series(view.database, _FIGURES, since=chosen.since, until=chosen.until, step_s=_step_s(chosen))
    with head(view.t("title")):
        range_links(view, chosen)
    _figures(view, total)
    links(view.t("by"), [(view.t(f"by_{n}"), view.link(by=n), n == by) for n in choices])
    if not total.lines[0].calls:
        with card():
            empty(view, view.t("none_title"), view.t("none_text"), command='comporta call "What is a sluice gate?"')
    elif by in _TOPS:
        _leaders(view, by, await top(view.database, by, "cost", since=chosen.since, until=chosen.until, n=_ROWS))
    else:
        await _told_apart(view, by, chosen)
    _budgets(view, await budgets)


def _step_s(chosen: Range) -> int:
    return 86_400 if chosen.length >= datetime.timedelta(days=7) else chosen.step_s


def _figures(view: View, total: Series) -> None:
    line, t = total.lines[0], view.t
    named = {"cost": "total", "cost_per_request": "per_call", "cost_per_1k_tokens": "per_1k", "cache_saving": "saved"}
    with tag("div.figures"):
        for name, text in named.items():
            value = line.total[name]
            figure(view, t(text), t.money(None if value is None else value * 1e6), values=line.points[name])


async def _told_apart(view: View, by: str, chosen: Range) -> None:
    begin, end = _hours(chosen)
    over_time, found = await asyncio.gather(
        series(view.database, ("cost",), since=chosen.since, until=chosen.until, step_s=_step_s(chosen), group_by=by),
        costs(view.database, (by,), begin, end, limit=_ROWS),
    )
    with card(view.t("over_time")):
        lines = [one for one in over_time.lines if one.total["cost"]]
        lines.sort(key=lambda one: -(one.total["cost"] or 0.0))
        drawn = [
            Line(_named(view, by, one.group or "", found.keys), _microusd(one.points["cost"]), "bar")
            for one in lines[:_LINES]
        ]
        Chart(view.t("over_time"), [at.timestamp() for at in over_time.times], drawn, unit="money", stack=True,
              locale=view.t.locale, height_px=240)  # fmt: skip
    for note in found.notes:
        notice(note, "info")
    with card(classes="flush"):
        Table(view.t("title"), _columns(view, by), [_row(view, by, one, found) for one in found.rows])
    with tag("nav.pages", aria_label=view.t("csv")):
        tag("a.button", view.t("csv"), href=view.link("/costs.csv", by=by, range=chosen.name), download=True)


def _microusd(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else value * 1e6 for value in values]


def _hours(chosen: Range) -> tuple[datetime.datetime, datetime.datetime]:
    """The ledger is kept by the hour."""
    hour = datetime.timedelta(hours=1)
    return chosen.since.replace(minute=0, second=0), chosen.until.replace(minute=0, second=0) + hour


def _columns(view: View, by: str) -> list[Column]:
    t = view.t
    return [
        Column("name", t(f"by_{by}")), Column("cost", t("cost"), "number"), Column("share", t("share"), "number"),
        Column("calls", t("calls"), "number"), Column("tokens", t("tokens"), "number", wide=True),
        Column("unpriced", t("unpriced"), "number", wide=True),
        Column("estimated", t("estimated"), "number", wide=True),
    ]  # fmt: skip


def _row(view: View, by: str, one: CostRow, found: Costs) -> Row:
    t, value = view.t, one.by.get(by, "")
    share = one.cost_microusd / found.total.cost_microusd if found.total.cost_microusd else 0.0
    cells: dict[str, str | Cell] = {
        "name": Cell(_named(view, by, value, found.keys) if one.kept else t("not_kept"), share=share,
                     tone="" if one.kept else "dim"),
        "cost": t.money(one.cost_microusd), "share": t.share(share), "calls": t.number(one.calls),
        "tokens": t.short(one.tokens),
        "unpriced": Cell(t.number(one.unpriced_calls), tone="warn" if one.unpriced_calls else "dim"),
        "estimated": Cell(t.number(one.estimated_calls), tone="" if one.estimated_calls else "dim"),
    }  # fmt: skip
    leads = view.link("/calls", **{by: value}, range=view.query.get("range", "30d")) if value and one.kept else ""
    return Row(cells, href=leads)


def _named(view: View, by: str, value: str, keys: dict[str, str]) -> str:
    return (keys.get(value, value) if by == "key" else value) or view.t("none_named")


def _leaders(view: View, by: str, found: Sequence[Top]) -> None:
    t = view.t
    columns = [
        Column("name", t(f"by_{by}")), Column("cost", t("cost"), "number"),
        Column("calls", t("calls"), "number"), Column("errors", t("errors"), "number"),
    ]  # fmt: skip
    most = max((one.cost_usd for one in found), default=0.0) or 1.0
    rows = []
    for one in found:
        leads = view.link("/session", id=one.name) if by == "session" else view.link("/calls", user=one.name)
        cells: dict[str, str | Cell] = {
            "name": Cell(one.name, share=one.cost_usd / most), "cost": t.money(one.cost_usd * 1e6),
            "calls": t.number(one.calls), "errors": t.share(one.error_rate),
        }  # fmt: skip
        rows.append(Row(cells, href=leads))
    with card(classes="flush"):
        Table(view.t("title"), columns, rows)


async def _budgets_of(view: View) -> list[dict[str, Any]] | ComportaError:
    """From the gate, whose counters know best; what it says is shown, and no page fails for it."""
    try:
        found = await view.ask("GET", "/admin/budgets")
    except ComportaError as error:
        return error
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, list) else []


def _budgets(view: View, found: list[dict[str, Any]] | ComportaError) -> None:
    with card(view.t("budgets")):
        if isinstance(found, ComportaError):
            notice(view.t("budgets_away", reason=found.message), "warn")
            return
        if not found:
            tag("p.muted", view.t("no_budgets"))
        if not found and view.admin:
            command_line(view, "comporta budget create care --limit 100 --team care")
        for one in found:
            _budget(view, one)


def _budget(view: View, one: dict[str, Any]) -> None:
    t, spent, limit = view.t, int(one["spent_microusd"]), int(one["limit_microusd"])
    share = spent / limit if limit else 1.0
    tone = "bad" if share >= 1 else "warn" if share >= 0.75 else "accent"
    with tag("div.budget"):
        with tag("div.row.spread"):
            with tag("div.chips"):
                tag("strong", one["name"])
                badge(" ".join(filter(None, (one["scope"], one.get("value") or "", one["period"]))), "dim")
                if one.get("now"):
                    badge(str(one["now"]), "warn")
            tag("span.when", f"{t('spent_of', spent=t.money(spent), limit=t.money(limit))} · {t.share(share, 0)}")
        with tag("div.buckets", role="img", aria_label=f"{one['name']}: {t.share(share, 0)}"):
            tag(f"span.buckets__one.tone-{tone}").style["width"] = f"{min(share, 1) * 100:.1f}%"
        _forecast(view, one.get("forecast") or {})


def _forecast(view: View, told: dict[str, Any]) -> None:
    t = view.t
    if told.get("expected_microusd") is None:
        if told.get("reason"):
            tag("span.field__hint", told["reason"])
        return
    low, high = told.get("low_microusd"), told.get("high_microusd")
    text = t("expected", expected=t.money(told["expected_microusd"]), low=t.money(low), high=t.money(high))
    at = str(told.get("used_up_at") or "")
    end = t("used_up", when=at[:16].replace("T", " ")) if at else t("lasts")
    tag("span.field__hint", f"{text} · {end}")


async def _rows(view: View) -> AsyncIterator[Sequence[object]]:
    by = view.query.get("by", "team")
    by = by if by in _LISTED else "team"
    begin, end = _hours(range_of(view, "30d"))
    found = await costs(view.database, (by, "day"), begin, end)
    yield (by, "day", "cost_usd", "calls", "tokens", "unpriced_calls", "estimated_calls", "cache_hits")
    for one in found.rows:
        name = found.keys.get(one.by.get(by, ""), one.by.get(by, ""))
        yield (name if one.kept else "(no longer kept)", one.by.get("day"), one.cost_microusd / 1e6, one.calls,
               one.tokens, one.unpriced_calls, one.estimated_calls, one.cache_hits)  # fmt: skip


PAGE = Page(
    "/costs",
    "title",
    build,
    TEXTS,
    group="watch",
    letter="m",
    icon="costs",
    files=(File("/costs.csv", "costs.csv", _rows),),
    teams=True,
)
