"""`comporta budget`: budgets and what has been spent of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import Gate, find
from comporta.cli.keys import id_of
from comporta.cli.shown import AS_JSON, DATA, day, facts, say, say_json, table, usd
from comporta.cli.written import money_microusd
from comporta.errors import ComportaError

WHICH = typer.Argument(help="The budget's name or id.", metavar="BUDGET")
PERIOD = typer.Option("month", help="hour, day, week or month, in UTC.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("create")(_create)
    below.command("list")(_list)
    below.command("show")(_show)
    below.command("delete")(_delete)
    app.add_typer(below, name=name, help=summary)


def _create(
    name: str = typer.Argument(help="What to call it."),
    limit: str = typer.Option(..., help="Dollars in each period: 100, $12.50 …"),
    period: str = PERIOD,
    key: str | None = typer.Option(None, help="Only what this key spends: its name or id."),
    team: str | None = typer.Option(None, help="Only what this team spends."),
    environment: str | None = typer.Option(None, help="Only what this environment spends."),
    feature: str | None = typer.Option(None, help="Only what this feature spends."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Make a budget for all calls, or for those of one key, team, environment or feature."""
    scopes = {"key": key, "team": team, "environment": environment, "feature": feature}
    given = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter("give one of --key, --team, --environment and --feature")
    limit_microusd = money_microusd(limit, "--limit")
    gate = find(data)
    scope, value = given[0] if given else ("all", None)
    body = {
        "name": name, "scope": scope, "value": id_of(gate, value) if scope == "key" and value else value,
        "period": period,
        "limit_microusd": limit_microusd,
    }  # fmt: skip
    row = gate.ask("POST", "/admin/budgets", body)
    if as_json:
        say_json(row)
        return
    say(f"The budget {row['name']} is made: {usd(row['limit_microusd'])} a {row['period']} for {_whose(row)}.")


def _list(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List budgets with what was spent in the running period."""
    found = find(data).ask("GET", "/admin/budgets")["data"]
    if as_json:
        say_json(found)
        return
    rows = (
        (one["name"], _whose(one), one["period"], usd(one["limit_microusd"]), usd(one["spent_microusd"]),
         one["enforced"], one["id"])
        for one in found
    )  # fmt: skip
    table(("name", "whose", "period", "limit", "spent", "enforced", "id"), rows, "There are no budgets.")


def _show(budget: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show one budget."""
    gate = find(data)
    row = gate.ask("GET", f"/admin/budgets/{_id(gate, budget)}")
    if as_json:
        say_json(row)
        return
    facts(
        [("name", row["name"]), ("whose", _whose(row)), ("period", row["period"]),
         ("limit", usd(row["limit_microusd"])), ("spent", usd(row["spent_microusd"])), ("enforced", row["enforced"]),
         ("made", " by ".join(part for part in (day(row["created_at"]), row["created_by"]) if part)), ("id", row["id"])]
    )  # fmt: skip


def _delete(budget: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Delete a budget; the calls it counted stay."""
    gate = find(data)
    answer = gate.ask("DELETE", f"/admin/budgets/{_id(gate, budget)}")
    if as_json:
        say_json(answer)
    else:
        say(f"The budget {budget} is deleted.")


def _whose(row: Any) -> str:
    return "all calls" if row["scope"] == "all" else f"{row['scope']} {row['value']}"


def _id(gate: Gate, budget: str) -> str:
    for one in gate.ask("GET", "/admin/budgets")["data"]:
        if budget in (one["name"], one["id"]):
            return str(one["id"])
    raise ComportaError(f"There is no budget named {budget}; `comporta budget list` shows them.", code="not_found")
