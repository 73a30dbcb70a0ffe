"""`comporta metrics`: every figure by its name, of all calls or by group, with its course and its target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, say_json, table
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.observability.bounds import shown
from comporta.telemetry.observability.names import METRICS, known
from comporta.telemetry.summary import parse_window

_BARS = "▁▂▃▄▅▆▇█"
#: Steps of a course.
_STEPS = 24
#: What is shown where nobody says which: the names of llm_observability, and how much there was.
_USUAL = tuple(name for name in METRICS if not name.startswith("first_token_p9"))
#: A line for each group has room for a few.
_USUAL_BY = (
    "calls", "error_rate", "latency_p50", "latency_p95", "first_token_p50", "tokens", "cost", "cache_hit_rate",
    "user_satisfaction", "guardrail_blocks",
)  # fmt: skip


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_metrics)


def _metrics(
    names: list[str] | None = typer.Argument(
        None, help="Figures: error_rate, p95, cost …; all of them unless named, with --by the usual ones."
    ),
    window: str = typer.Option("1h", help="How far back: 15m, 1h, 24h, 7d …"),
    by: str | None = typer.Option(None, help=f"A line for each: {', '.join(COLUMNS)}, user, session."),
    where: list[str] | None = typer.Option(None, help="Only calls with it, as route=support; also several times."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Show figures of a window up to now, with their course, targets and the window before."""
    gate = find(data)
    filters = dict(_pair(one) for one in where or ())
    if by in ("user", "session"):
        _leaders(gate, by, (names or ["cost"])[0], window, as_json=as_json)
        return
    usual = _USUAL if by is None else _USUAL_BY
    query = {"window": window, "names": ",".join(names or usual), **filters}
    found = gate.ask("GET", "/admin/metrics", query={**query, "step": _step(window), "group_by": by})
    targets = gate.ask("GET", "/admin/metrics/targets", query=filters)["data"]
    if as_json:
        say_json({**found, "targets": targets})
    elif by is not None:
        _groups(found, by)
    else:
        _all(found, gate.ask("GET", "/admin/metrics/compare", query=query), targets)


def _all(found: Any, compared: Any, targets: Any) -> None:
    line = found["lines"][0]
    by_name = {one["name"]: one for one in targets}
    rows = []
    for name, value in line["total"].items():
        target = by_name.get((known(name) or METRICS["calls"]).name)
        rows.append(
            (
                name,
                _cell(name, value),
                _change(compared[name]["change"]),
                course(line["points"][name]),
                *_stands(target),
            )
        )
    table(("figure", "value", "change", "course", "target", "met", "error budget left"), rows, "There is no figure.")


def _groups(found: Any, by: str) -> None:
    names = list(found["lines"][0]["total"]) if found["lines"] else []
    rows = []
    for line in found["lines"]:
        cells = [_cell(name, line["total"][name]) for name in names]
        rows.append((line["group"] or "–", *cells, course(line["points"][names[0]])))
    table((by, *names, f"course of {names[0] if names else ''}"), rows, "There were no calls.")


def _leaders(gate: Any, by: str, name: str, window: str, *, as_json: bool) -> None:
    found = gate.ask("GET", "/admin/metrics/top", query={"by": by, "metric": name, "window": window})["data"]
    if as_json:
        say_json(found)
        return
    columns = dict.fromkeys((name, "calls", "cost", "error_rate"))
    rows = []
    for one in found:
        told = {"calls": one["calls"], "cost": one["cost_usd"], "error_rate": one["error_rate"], name: one["value"]}
        rows.append((one["name"], *(_cell(column, told[column]) for column in columns)))
    table((by, *columns), rows, f"No {by} is known in this window; lists are made every minute.")


def course(values: Sequence[float | None]) -> str:
    """A line of bars, the highest value highest; a blank where nothing can be told."""
    known_values = [value for value in values if value is not None]
    if not known_values:
        return ""
    low, high = min(0.0, *known_values), max(known_values)
    span = high - low or 1.0
    return "".join(" " if value is None else _BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)


def _cell(name: str, value: float | None) -> str:
    metric = known(name)
    return shown(value, metric.unit if metric is not None else "number")


def _change(change: float | None) -> str:
    return "–" if change is None else f"{change * 100:+.0f}%"


def _stands(target: Any) -> tuple[str, str, str]:
    if target is None:
        return "", "", ""
    met = "–" if target["met"] is None else "yes" if target["met"] else "NO"
    left = target["budget_left"]
    return target["target"], met, "–" if left is None else f"{left * 100:.0f}%"


def _step(window: str) -> str:
    """A twenty-fourth of the window in whole minutes, or hours where it has days."""
    minutes = int(parse_window(window).total_seconds() // 60)
    if minutes >= _STEPS * 60:
        return f"{max(1, minutes // 60 // _STEPS)}h"
    return f"{max(1, minutes // _STEPS)}m"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in COLUMNS:
        raise typer.BadParameter(f"write --where NAME=VALUE with one of {', '.join(COLUMNS)}")
    return name, value
