"""`comporta reviews`: what waits for a person to look at it, and what they found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, day, facts, say, say_json, table

REVIEW = typer.Argument(help="The review's id.")
_LONGEST_REASON = 80


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("list")(_list)
    below.command("counts")(_counts)
    below.command("show")(_show)
    below.command("claim")(_claim)
    below.command("release")(_release)
    below.command("decide")(_decide)
    app.add_typer(below, name=name, help=summary)


def _list(
    state: str = typer.Option("waiting", help="open, claimed, done, `waiting` for all that is not done, or `all`."),
    kind: str | None = typer.Option(None, help="Only of this kind: consensus, guard, feedback …"),
    route: str | None = typer.Option(None, help="Only of this route."),
    by: str | None = typer.Option(None, help="Only what this person claimed or decided."),
    newest: bool = typer.Option(False, "--newest", help="The newest first; else what has waited longest."),
    limit: int = typer.Option(50, min=1, max=200, help="How many."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """List what waits for a person."""
    query = {
        "state": None if state == "all" else state, "kind": kind, "route": route, "by": by,
        "order": "newest" if newest else "oldest", "limit": limit,
    }  # fmt: skip
    page = find(data).ask("GET", "/admin/reviews", query=query)
    if as_json:
        say_json(page)
        return
    rows = (
        (day(one["at"]), one["kind"], one["route"], _state(one), _shortened(one["reason"]), one["id"])
        for one in page["data"]
    )
    table(("at", "kind", "route", "state", "reason", "id"), rows, "Nothing waits for a review.")


def _counts(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Count what is open, claimed and done, by kind."""
    found = find(data).ask("GET", "/admin/reviews/counts")["data"]
    if as_json:
        say_json(found)
        return
    rows = ((kind, one["open"], one["claimed"], one["done"]) for kind, one in found.items())
    table(("kind", "open", "claimed", "done"), rows, "There are no reviews.")


def _show(review: str = REVIEW, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show a review with all there is to see."""
    _told(find(data).ask("GET", _path(review)), as_json, whole=True)


def _claim(review: str = REVIEW, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Take a review on yourself: for half an hour nobody else can."""
    _told(find(data).ask("POST", _path(review, "claim")), as_json, whole=True)


def _release(review: str = REVIEW, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Give a review back."""
    _told(find(data).ask("POST", _path(review, "release")), as_json)


def _decide(
    review: str = REVIEW,
    verdict: str = typer.Argument(help="accept, reject, or correct (then with --correction)."),
    choice: str | None = typer.Option(None, help="Which of several answers is right."),
    correction: str | None = typer.Option(None, help="What would have been right."),
    note: str | None = typer.Option(None, help="Why."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Say what you found; it counts as a score of the call."""
    given = {"verdict": verdict, "choice": choice, "correction": correction, "note": note}
    body = {name: value for name, value in given.items() if value is not None}
    _told(find(data).ask("POST", _path(review, "decide"), body), as_json)


def _path(review: str, then: str = "") -> str:
    return f"/admin/reviews/{quote(review, safe='')}{'/' if then else ''}{then}"


def _told(one: Any, as_json: bool, whole: bool = False) -> None:
    if as_json:
        say_json(one)
        return
    if not whole:
        say(f"{one['id']}: {_state(one)}")
        return
    names = ("id", "at", "kind", "reason", "route", "call_id", "trace_id", "user", "choice", "correction", "note")
    facts([("state", _state(one)), *((name.removesuffix("_id"), one[name]) for name in names)])
    if one["payload"]:
        say(json.dumps(one["payload"], indent=2, ensure_ascii=False))


def _state(one: Any) -> str:
    if one["state"] == "open":
        return "open"
    at = day(one["decided_at"] or one["claimed_at"])
    return f"{one['verdict'] or one['state']} by {one['by']}, {at}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
