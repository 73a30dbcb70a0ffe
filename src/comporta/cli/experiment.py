"""`comporta experiment`: two sides with fixed shares, one metric that decides, and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from comporta.cli import sides
from comporta.cli.gate import find, part
from comporta.cli.shown import AS_JSON, DATA, say, say_json
from comporta.cli.sides import WHICH
from comporta.cli.written import duration_s

METRIC = typer.Option(
    ...,
    help="What decides, and the difference worth having: score:helpful:0.05, errors:1pp, latency_p95:20%, cost:10%.",
)
SHARE = typer.Option(None, help="B's share of callers; default: 50%.")
MIN_CALLS = typer.Option(None, min=1, help="Calls of each side before there is a verdict; default: 100.")
MIN_TIME = typer.Option(None, help="How long before there is a verdict.")
ALPHA = typer.Option(None, help="The chance of a wrong winner; default: 0.05.")
ADAPTIVE = typer.Option(False, "--adaptive", help="Let shares follow what is known (Thompson sampling).")
FLOOR = typer.Option(None, help="The least that a side gets when shares are adaptive; default: 10%.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for word, command in (
        ("start", _start), ("status", _status), ("list", _list), ("log", _log), ("pause", _pause),
        ("resume", _resume), ("stop", _stop),
    ):  # fmt: skip
        below.command(word)(command)
    app.add_typer(below, name=name, help=summary)


def _start(
    route: str | None = sides.ROUTE,
    metric: str = METRIC,
    to_variant: str | None = sides.TO_VARIANT,
    to_model: str | None = sides.TO_MODEL,
    to_prompt: str | None = sides.TO_PROMPT,
    param: list[str] = sides.PARAM,
    from_: str | None = sides.FROM,
    prompt: str | None = sides.PROMPT,
    env: str | None = sides.ENV,
    share: str | None = SHARE,
    guard: list[str] = sides.GUARD,
    min_calls: int | None = MIN_CALLS,
    min_time: str | None = MIN_TIME,
    alpha: float | None = ALPHA,
    adaptive: bool = ADAPTIVE,
    floor: str | None = FLOOR,
    tag: list[str] = sides.TAG,
    commit_sha: str | None = sides.SHA,
    author: str | None = sides.AUTHOR,
    model_version: str | None = sides.MODEL,
    name: str | None = sides.NAME,
    why: str = sides.WHY,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Start an experiment on a route, or on the environment of a prompt."""
    body = sides.about(route, prompt, env, from_, to_variant, to_model, to_prompt, param)
    pushed = prompt is not None or to_prompt is not None
    body |= {
        "metric": sides.metric_of(metric, "--metric"), "guards": sides.guards_of(guard), "alpha": alpha,
        "share": None if share is None else sides.share_of(share, "--share"), "min_calls": min_calls,
        "min_time_s": duration_s(min_time, "--min-time"), "adaptive": _adaptive(adaptive, floor), "name": name,
        "why": why, "tags": sides.tags_of(tag, commit_sha, author, model_version, by_push=pushed),
    }  # fmt: skip
    row = find(data).ask("POST", "/admin/experiments", body)
    if as_json:
        say_json(row)
        return
    say(f"The experiment {row['name']} with {sides.side_b(row)} has started: {sides.share(row['share'])} on B.")
    say(f"How it goes: comporta experiment status {row['name']}")


def _adaptive(adaptive: bool, floor: str | None) -> dict[str, Any] | None:
    if not adaptive:
        if floor is not None:
            raise typer.BadParameter("a floor is for adaptive shares: give --adaptive too", param_hint="--floor")
        return None
    return {"floor": None if floor is None else sides.share_of(floor, "--floor")}


def _status(which: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show how one stands: its sides, and the verdict with its interval."""
    row = find(data).ask("GET", f"/admin/experiments/{part(which)}")
    if as_json:
        say_json(row)
        return
    sides.show_row(row)
    say("")
    sides.show_sides(row)
    sides.tell_decision(row)


def _list(live: bool = sides.LIVE, limit: int = sides.LIMIT, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List experiments, the live ones first."""
    sides.list_all("experiment", live, limit, data, as_json, empty="There has been no experiment.")


def _log(which: str = WHICH, limit: int = sides.LIMIT, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show everything that was done and found; --json has the numbers behind it."""
    sides.log("experiment", which, limit, data, as_json)


def _pause(which: str = WHICH, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Keep the shares as they are."""
    sides.act("experiment", "pause", which, {"why": why}, data, as_json)


def _resume(which: str = WHICH, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Go on after a pause."""
    sides.act("experiment", "resume", which, {"why": why}, data, as_json)


def _stop(which: str = WHICH, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """End it: all calls go to side A again. What it found stays."""
    sides.act("experiment", "stop", which, {"why": why}, data, as_json)
