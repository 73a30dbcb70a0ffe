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
    user: str | None = typer.Option(None, help="Only what this user spends."),
    tag: str | None = typer.Option(None, help="Only what calls with this tag spend: name=value."),
    per_user: bool = typer.Option(False, "--per-user", help="Each user has this much of its own."),
    alert: str = typer.Option("", help="Percents at which people are told: 50,75,90."),
    at: list[str] = typer.Option([], help="What happens at a percent: 90=notify_finance, 100=throttle. Repeatable."),
    cheaper_model: str | None = typer.Option(None, help="Where switch_to_cheaper_model leads."),
    throttle: int | None = typer.Option(None, min=1, help="Requests a minute that throttle lets pass."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Make a budget for all calls, or for those that everything given is true of."""
    scopes = {"key": key, "team": team, "environment": environment, "feature": feature, "user": user, "tag": tag}
    given = {scope: value for scope, value in scopes.items() if value is not None}
    limit_microusd = money_microusd(limit, "--limit")
    actions = _actions(at)
    thresholds = _percents(alert)
    gate = find(data)
    if key is not None:
        given["key"] = id_of(gate, key)
    scope, value = next(iter(given.items()), ("all", None))
    given.pop(scope, None)
    body = {
        "name": name, "scope": scope, "value": value, "also": given, "per": "user" if per_user else None,
        "period": period, "limit_microusd": limit_microusd, "alert_thresholds": thresholds, "actions": actions,
        "cheaper_model": cheaper_model,
        "throttle": None if throttle is None else {"requests_per_minute": throttle},
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
         _percent(one), _used_up(one), _now(one), one["id"])
        for one in found
    )  # fmt: skip
    columns = ("name", "whose", "period", "limit", "spent", "%", "used up", "now", "id")
    table(columns, rows, "There are no budgets.")


def _show(budget: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show one budget: what was spent, what it does, when it will be used up at this pace."""
    gate = find(data)
    found = [gate.ask("GET", f"/admin/budgets/{id}") for id in _ids(gate, budget)]
    if as_json:
        say_json(found[0] if len(found) == 1 else found)
        return
    for number, row in enumerate(found):
        if number:
            say("")
        facts(_facts(row))


def _facts(row: Any) -> list[tuple[str, Any]]:
    passed = [f"{one['threshold']} % on {day(one['at'])}" for one in row["passed"]]
    return [
        ("name", row["name"]), ("whose", _whose(row)), ("period", f"{row['period']} until {day(row['ends_at'])} UTC"),
        ("limit", usd(row["limit_microusd"])), ("spent", f"{usd(row['spent_microusd'])} ({_percent(row)})"),
        ("forecast", _forecast(row["forecast"])), ("used up", _used_up(row)),
        ("tells at", ", ".join(f"{one} %" for one in row["alert_thresholds"])),
        ("actions", "; ".join(f"{at}: {', '.join(words)}" for at, words in row["actions"].items())),
        ("cheaper model", row["cheaper_model"]), ("throttle", row["throttle"]), ("told", passed),
        ("now", _now(row)), ("enforced", row["enforced"]),
        ("made", " by ".join(part for part in (day(row["created_at"]), row["created_by"]) if part)), ("id", row["id"]),
    ]  # fmt: skip


def _delete(budget: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Delete a budget; the calls it counted stay."""
    gate = find(data)
    answer = gate.ask("DELETE", f"/admin/budgets/{_ids(gate, budget)[0]}")
    if as_json:
        say_json(answer)
    else:
        say(f"The budget {budget} is deleted.")


def _whose(row: Any) -> str:
    parts = [f"{scope} {value}" for scope, value in ((row["scope"], row["value"]), *row["also"].items()) if value]
    if row["per"]:
        parts.append(f"each {row['per']}")
    return ", ".join(parts) or "all calls"


def _percent(row: Any) -> str:
    return f"{row['spent_microusd'] * 100 // row['limit_microusd']} %"


def _now(row: Any) -> str:
    return str(row["now"] or "calls pass")


def _used_up(row: Any) -> str | None:
    """When, with the bounds in which that is to be expected."""
    said = row["forecast"]
    if row["spent_microusd"] >= row["limit_microusd"]:
        return "already"
    if said["reason"]:
        return None
    if said["used_up_at"] is None and said["used_up_earliest"] is None:
        return "not in this period"
    latest = day(said["used_up_latest"]) or "not at all"
    return f"{day(said['used_up_at']) or 'not expected'} ({day(said['used_up_earliest'])} … {latest})"


def _forecast(said: Any) -> str:
    if said["reason"]:
        return f"none yet: {said['reason']}"
    bounds = f"{_whole_usd(said['low_microusd'])} … {_whole_usd(said['high_microusd'])}"
    pace = {"weekdays": "by weekday", "days": "by day", "hours": "by hour"}[said["basis"]]
    return f"{_whole_usd(said['expected_microusd'])} ({bounds}), {pace}, from {said['history_days']:.1f} days"


def _whole_usd(microusd: int) -> str:
    return f"${microusd / 1_000_000:,.2f}"


def _percents(text: str) -> list[int]:
    try:
        return [int(part.strip().removesuffix("%")) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter("write percents with commas between: 50,75,90", param_hint="--alert") from None


def _actions(written: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in written:
        percent, equals, word = one.partition("=")
        if not equals or not percent.strip().removesuffix("%").isdecimal() or not word.strip():
            raise typer.BadParameter(f"{one!r} is not like 90=notify_finance", param_hint="--at")
        found.setdefault(f"at_{int(percent.strip().removesuffix('%'))}", []).append(word.strip())
    return found


def _ids(gate: Gate, budget: str) -> list[str]:
    """One, or several where a budget of the configuration has several periods."""
    found = [str(one["id"]) for one in gate.ask("GET", "/admin/budgets")["data"] if budget in (one["name"], one["id"])]
    if not found:
        raise ComportaError(f"There is no budget named {budget}; `comporta budget list` shows them.", code="not_found")
    return found
