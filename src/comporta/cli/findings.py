"""`comporta findings`: what changed by itself, how much, since when, and what was done about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, day, facts, say, say_json, table

FINDING = typer.Argument(help="The finding's id.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("list")(_list)
    below.command("show")(_show)
    below.command("close")(_close)
    below.command("tests")(_tests)
    below.command("complaints")(_complaints)
    below.command("trends")(_trends)
    app.add_typer(below, name=name, help=summary)


def _list(
    state: str = typer.Option("open", help="open, acknowledged, closed, or `all`."),
    kind: str | None = typer.Option(None, help="Only of this kind: input_drift, anomaly …"),
    route: str | None = typer.Option(None, help="Only of this route."),
    limit: int = typer.Option(50, min=1, max=200, help="How many."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """List what was found, the newest first."""
    query = {"state": None if state == "all" else state, "kind": kind, "route": route, "limit": limit}
    page = find(data).ask("GET", "/admin/findings", query=query)
    if as_json:
        say_json(page)
        return
    rows = ((day(one["since"]), one["kind"], one["title"], one["id"]) for one in page["data"])
    table(("since", "kind", "finding", "id"), rows, "Nothing was found to have changed.")


def _show(finding: str = FINDING, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show a finding with its examples and what was done."""
    one = find(data).ask("GET", _path(finding))
    if as_json:
        say_json(one)
        return
    names = ("id", "kind", "measure", "title", "route", "prompt_id", "prompt_version", "since", "before", "after",
             "size", "low", "high", "n_before", "n_after", "state", "by", "note")  # fmt: skip
    told = [(name, one[name]) for name in names]
    # A number says nothing without what it counts.
    facts([*told, *((name.replace("_", " "), value) for name, value in one["facts"].items())])
    rows = ((act["action"], act["state"], act["told"]) for act in one["acts"])
    table(("action", "state", "what came of it"), rows, "Nothing is to be done about it.")
    examples = ((example["call_id"], _shortened(example["input"])) for example in one["examples"])
    table(("call", "input"), examples, "No call shows it.")


def _close(
    finding: str = FINDING,
    note: str | None = typer.Option(None, help="Why."),
    acknowledge: bool = typer.Option(False, "--acknowledge", help="Only say that it was seen."),
    reopen: bool = typer.Option(False, "--reopen", help="Open it again."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Say that it is over, was seen, or is open again."""
    if acknowledge and reopen:
        raise typer.BadParameter("give one of --acknowledge and --reopen")
    state = "open" if reopen else "acknowledged" if acknowledge else "closed"
    body = {"state": state} | ({"note": note} if note else {})
    one = find(data).ask("POST", f"{_path(finding)}/state", body)
    say_json(one) if as_json else say(f"{one['id']}: {one['state']}")


def _tests(finding: str = FINDING, data: Path = DATA) -> None:
    """Write its failing cases as a file of tests to the standard output."""
    say(find(data).ask("GET", f"{_path(finding)}/tests")["text"])


def _complaints(
    route: str | None = typer.Option(None, help="Only of this route."), data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """List what users complain of, of the last 30 days."""
    found = find(data).ask("GET", "/admin/findings/complaints", query={"route": route})["data"]
    if as_json:
        say_json(found)
        return
    rows = (
        (
            one["complaints"],
            f"{one['share']:.0%}",
            one["title"],
            _shortened(next((e["text"] for e in one["examples"]), "")),
        )
        for one in found
    )
    table(("complaints", "share", "about", "for example"), rows, "No complaints are alike.")


def _trends(
    name: str | None = typer.Option(None, help="One score, or `mood`."),
    route: str | None = typer.Option(None, help="Only of this route."),
    weeks: int = typer.Option(12, min=1, max=53, help="How many weeks."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Show scores by week, and whether they rise or fall."""
    query = {"name": name, "route": route, "weeks": weeks}
    found = find(data).ask("GET", "/admin/findings/trends", query=query)["data"]
    if as_json:
        say_json(found)
        return
    rows = ((one["name"], one["direction"], week["at"], week["n"], f"{week['mean']:.3g}", _interval(week))
            for one in found for week in one["weeks"])  # fmt: skip
    table(("score", "direction", "week of", "n", "mean", "interval"), rows, "There are no scores yet.")


def _interval(week: Any) -> str:
    return "" if week["low"] is None else f"{week['low']:.3g} to {week['high']:.3g}"


def _path(finding: str) -> str:
    return f"/admin/findings/{quote(finding, safe='')}"


def _shortened(text: str | None) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= 80 else text[:79] + "…"
