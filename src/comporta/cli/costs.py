"""`comporta costs`: what was spent, by whom and on what, as a table with a bar, CSV or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, note, say_json, table, usd

_BAR_CHARS = 20


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_costs)


def _costs(
    by: str = typer.Option("team", help="Up to four of team, feature, environment, model, provider, route, key, day, "
                           "user, tag:<name>, with commas between."),
    month: str | None = typer.Option(None, help="2026-11; this month where nothing is said."),
    begin: str | None = typer.Option(None, "--from", help="From this day or full hour (UTC): 2026-11-03."),
    end: str | None = typer.Option(None, "--to", help="To this day or full hour (UTC), which is not in it."),
    as_csv: bool = typer.Option(False, "--csv", help="Print CSV, money in micro-dollars."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:  # fmt: skip
    """Show what was spent; the rows add up to the ledger's total, to the micro-dollar."""
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    asked = {"by": by, "month": month, "from": begin, "to": end}
    gate = find(data)
    if as_csv:
        with gate.exchange("GET", "/admin/costs", query={**asked, "format": "csv"}) as answer:
            sys.stdout.write(answer.read().decode())
        return
    found = gate.ask("GET", "/admin/costs", query=asked)
    if as_json:
        say_json(found)
        return
    _print(found)


def _print(found: Any) -> None:
    total = found["total"]
    rows = [_row(row, found) for row in found["data"]]
    if rows:
        rows.append(["total", *[""] * (len(found["by"]) - 1), *_figures(total, total["cost_microusd"])])
    columns = (*found["by"], "cost", "", "%", "calls", "from cache", "estimated", "unpriced", "tokens")
    table(columns, rows, f"Nothing was asked from {found['begin'][:16]} to {found['end'][:16]} UTC.")
    if total["unpriced_calls"]:
        note(f"{total['unpriced_calls']} calls went to models without a price: they are not in the cost.")
    for one in found["notes"]:
        note(one)
    if found["dashboard_url"]:
        note(f"More at {found['dashboard_url']}")


def _row(row: Any, found: Any) -> list[Any]:
    if not row["kept"]:
        values = ["(not told apart)", *[""] * (len(found["by"]) - 1)]
    else:
        values = [found["keys"].get(value, value) if name == "key" else value for name, value in row["by"].items()]
    return [*(value or "–" for value in values), *_figures(row, found["total"]["cost_microusd"])]


def _figures(row: Any, total_microusd: int) -> list[Any]:
    share = row["cost_microusd"] / total_microusd if total_microusd else 0.0
    return [
        usd(row["cost_microusd"]), "█" * round(share * _BAR_CHARS), f"{share:.1%}", row["calls"], row["cache_hits"],
        row["estimated_calls"], row["unpriced_calls"], row["tokens"],
    ]  # fmt: skip
