"""`comporta feedback`: judge answers, and look at what was judged."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, day, note, say, say_json, table
from comporta.config.values import parse_duration

TRACE = typer.Option(None, help="The trace that is judged.")
CALL = typer.Option(None, help="The call, as `x-comporta-call` told it.")
COMPLETION = typer.Option(None, help="The answer's id.")
SCORE = typer.Option(None, "--score", "-s", metavar="NAME=VALUE", help="A score of your own; again for more.")
SINCE = typer.Option("30d", help="How far back: 24h, 7d …")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?\Z")
_GROUPS = "route, variant, model, provider, prompt, version, source, key, team, environment or feature"


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("add")(_add)
    below.command("list")(_list)
    below.command("figures")(_figures)
    below.command("worst")(_worst)
    below.command("token")(_token)
    app.add_typer(below, name=name, help=summary)


def _add(
    trace: str | None = TRACE,
    call: str | None = CALL,
    completion: str | None = COMPLETION,
    thumbs: str | None = typer.Option(None, help="up or down."),
    rating: float | None = typer.Option(None, help="1 to 5."),
    comment: str | None = typer.Option(None, help="In words."),
    correction: str | None = typer.Option(None, help="What the answer should have been."),
    score: list[str] | None = SCORE,
    reason: str | None = typer.Option(None, help="Why."),
    source: str | None = typer.Option(None, help="Who judged: user, human, judge, code, guard or behaviour."),
    who: str | None = typer.Option(None, help="Who in person."),
    id: str | None = typer.Option(None, "--id", help="Its identity: sent again, it is the same."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Judge an answer: by its trace, its call or its id."""
    if not (trace or call or completion):
        raise typer.BadParameter("say what is judged: --trace, --call or --completion")
    given = {
        "trace_id": trace, "call_id": call, "completion_id": completion, "thumbs": thumbs, "rating": rating,
        "comment": comment, "correction": correction, "reason": reason, "source": source, "who": who, "id": id,
        "scores": [_score(one) for one in score] if score else None,
    }  # fmt: skip
    taken = find(data).ask("POST", "/v1/feedback", {name: one for name, one in given.items() if one is not None})
    if as_json:
        say_json(taken)
        return
    say(f"Kept {', '.join(one['name'] for one in taken['scores'])} for {taken['call_id'] or 'a call to come'}.")
    if taken["state"] == "waiting":
        note("The call is not recorded yet: a score that finds none within a day is dropped.")


def _list(
    trace: str | None = TRACE,
    call: str | None = CALL,
    name: str | None = typer.Option(None, help="Only scores of this name."),
    route: str | None = typer.Option(None, help="Only of this route."),
    source: str | None = typer.Option(None, help="Only of this source."),
    limit: int = typer.Option(50, min=1, max=500, help="How many."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """List scores, the newest first."""
    query = {"trace": trace, "call": call, "name": name, "route": route, "source": source, "limit": limit}
    page = find(data).ask("GET", "/admin/scores", query=query)
    if as_json:
        say_json(page)
        return
    rows = (
        (day(one["at"]), one["name"], one["value"], one["source"], one["who"], one["route"], one["variant"],
         one["call_id"] or "not joined yet", one["reason"])
        for one in page["data"]
    )  # fmt: skip
    table(("at", "name", "value", "source", "who", "route", "variant", "call", "reason"), rows, "There are no scores.")


def _figures(
    by: str | None = typer.Option(None, help=f"Tell apart by {_GROUPS}."),
    name: str | None = typer.Option(None, help="Only scores of this name."),
    route: str | None = typer.Option(None, help="Only of this route."),
    prompt: str | None = typer.Option(None, help="Only of this prompt."),
    since: str = SINCE,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Sum scores up: how many, and their mean; of yes and no the share of yes."""
    query = {"group_by": by, "name": name, "route": route, "prompt": prompt, "since": _moment(since)}
    found = find(data).ask("GET", "/admin/scores/figures", query=query)["data"]
    if as_json:
        say_json(found)
        return
    rows = ((one["group"], one["name"], one["n"], _middle(one)) for one in found)
    table((by or "all", "name", "n", "mean"), rows, "There are no scores of calls that are known.")


def _worst(
    route: str | None = typer.Option(None, help="Only of this route."),
    prompt: str | None = typer.Option(None, help="Only of this prompt."),
    team: str | None = typer.Option(None, help="Only of this team."),
    since: str = typer.Option("7d", help="Used within: 24h, 7d …"),
    limit: int = typer.Option(20, min=1, max=200, help="How many."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """List the conversations in which most went wrong, with the reasons."""
    query = {"route": route, "prompt": prompt, "team": team, "since": _moment(since), "limit": limit}
    page = find(data).ask("GET", "/admin/conversations/problematic", query=query)
    if as_json:
        say_json(page)
        return
    rows = (
        (f"{one['points']:g}", f"{one['kind']} {one['id']}", one["calls"], _reasons(one["reasons"]), one["route"],
         one["call_id"], day(one["last_at"]))
        for one in page["data"]
    )  # fmt: skip
    head = ("points", "conversation", "calls", "reasons", "route", "worst call", "last used")
    table(head, rows, "Nothing went wrong, as far as anybody told.")


def _reasons(reasons: Any) -> str:
    return ", ".join(f"{one['reason'].replace('_', ' ')} ({one['count']})" for one in reasons)


def _token(
    trace: str | None = TRACE,
    call: str | None = CALL,
    completion: str | None = COMPLETION,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Make a token with which a browser may judge one answer, and do nothing else."""
    if not (trace or call or completion):
        raise typer.BadParameter("say what may be judged: --trace, --call or --completion")
    given = {"trace_id": trace, "call_id": call, "completion_id": completion}
    made = find(data).ask("POST", "/v1/feedback/token", {name: one for name, one in given.items() if one is not None})
    say_json(made) if as_json else say(made["token"])


def _middle(one: Any) -> str:
    if one["kind"] == "text":
        return ", ".join(f"{label} ({count})" for label, count in list(one["labels"].items())[:5])
    return f"{one['mean']:.1%}" if one["kind"] == "boolean" else f"{one['mean']:.4g}"


def _score(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise typer.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--score")
    truths = {"true": True, "false": False}
    plain: Any = truths.get(value.lower(), float(value) if _NUMBER.match(value) else value)
    return {"name": name, "value": plain}


def _moment(since: str) -> str:
    try:
        return (datetime.now(UTC) - timedelta(seconds=parse_duration(since))).isoformat()
    except ValueError:
        raise typer.BadParameter(f"'{since}' is no time span; it looks like 24h or 7d", param_hint="--since") from None
