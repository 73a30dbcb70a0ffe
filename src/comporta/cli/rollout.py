"""`comporta rollout`: from side A to side B in steps, and back by itself when B does harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from comporta.cli import sides
from comporta.cli.gate import find, part
from comporta.cli.shown import AS_JSON, DATA, say, say_json
from comporta.cli.sides import WHICH
from comporta.cli.written import duration_s, money_microusd

STAGES = typer.Option(None, help="Shares of callers for side B, one after another; default: 1%,10%,50%,100%.")
MIN_CALLS = typer.Option(None, min=0, help="Calls of B that each stage waits for; default: 100.")
MIN_TIME = typer.Option(None, help="How long each stage lasts at least; default: 10m.")
ALPHA = typer.Option(None, help="The chance that a harmless B is ever brought back; default: 0.05.")
SHADOW = typer.Option(None, help="Begin with copies of so many of A's calls, shown to nobody: 5%.")
SHADOW_LIMIT = typer.Option(None, help="What the copies may cost in a day: $10.")
WHOLE = typer.Option(False, "--whole", help="All calls at once, and not the next stage.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    for word, command in (
        ("start", _start), ("status", _status), ("list", _list), ("log", _log), ("pause", _pause),
        ("resume", _resume), ("promote", _promote), ("abort", _abort),
    ):  # fmt: skip
        below.command(word)(command)
    app.add_typer(below, name=name, help=summary)


def _start(
    route: str | None = sides.ROUTE,
    to_variant: str | None = sides.TO_VARIANT,
    to_model: str | None = sides.TO_MODEL,
    to_prompt: str | None = sides.TO_PROMPT,
    param: list[str] = sides.PARAM,
    from_: str | None = sides.FROM,
    prompt: str | None = sides.PROMPT,
    env: str | None = sides.ENV,
    stages: str | None = STAGES,
    min_calls: int | None = MIN_CALLS,
    min_time: str | None = MIN_TIME,
    guard: list[str] = sides.GUARD,
    alpha: float | None = ALPHA,
    shadow: str | None = SHADOW,
    shadow_limit: str | None = SHADOW_LIMIT,
    tag: list[str] = sides.TAG,
    commit_sha: str | None = sides.SHA,
    author: str | None = sides.AUTHOR,
    model_version: str | None = sides.MODEL,
    name: str | None = sides.NAME,
    why: str = sides.WHY,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Start a rollout of a route, or of the environment of a prompt."""
    body = sides.about(route, prompt, env, from_, to_variant, to_model, to_prompt, param)
    pushed = prompt is not None or to_prompt is not None
    body |= {
        "stages": _stages(stages, min_calls, min_time), "guards": sides.guards_of(guard), "alpha": alpha,
        "shadow": _shadow(shadow, shadow_limit), "name": name, "why": why,
        "tags": sides.tags_of(tag, commit_sha, author, model_version, by_push=pushed),
    }  # fmt: skip
    row = find(data).ask("POST", "/admin/rollouts", body)
    if as_json:
        say_json(row)
        return
    begins = "with copies alone" if row["state"] == "shadow" else f"at {sides.share(row['share'])}"
    say(f"The rollout {row['name']} to {sides.side_b(row)} has started {begins}.")
    say(f"How it goes: comporta rollout status {row['name']}")


def _stages(text: str | None, min_calls: int | None, min_time: str | None) -> list[dict[str, Any]] | None:
    if text is None and min_calls is None and min_time is None:
        return None
    shares = [sides.share_of(one.strip(), "--stages") for one in (text or "1%,10%,50%,100%").split(",")]
    least_s = duration_s(min_time, "--min-time")
    return [{"share": share, "min_calls": min_calls, "min_time_s": least_s} for share in shares]


def _shadow(share: str | None, limit: str | None) -> dict[str, Any] | None:
    if share is None:
        if limit is not None:
            raise typer.BadParameter("give --shadow too, the share of calls to copy", param_hint="--shadow-limit")
        return None
    if limit is None:
        raise typer.BadParameter("say what the copies may cost in a day: --shadow-limit $10", param_hint="--shadow")
    return {
        "share": sides.share_of(share, "--shadow"), "daily_limit_microusd": money_microusd(limit, "--shadow-limit")
    }  # fmt: skip


def _status(which: str = WHICH, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show how one stands: its sides, what was decided last and why, and what it still takes."""
    row = find(data).ask("GET", f"/admin/rollouts/{part(which)}")
    if as_json:
        say_json(row)
        return
    sides.show_row(row)
    stages = row["plan"]["stages"]
    if row["state"] in ("running", "paused"):
        shares = " → ".join(
            f"[{sides.share(one['share'])}]" if at == row["stage"] else sides.share(one["share"])
            for at, one in enumerate(stages)
        )
        say(f"{'stages':<10}  {shares}")
    say("")
    sides.show_sides(row)
    sides.tell_decision(row)
    if row["hint"]:
        say(f"\n{row['hint']}")


def _list(live: bool = sides.LIVE, limit: int = sides.LIMIT, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List rollouts, the live ones first."""
    sides.list_all("rollout", live, limit, data, as_json, empty="Nothing has been rolled out.")


def _log(which: str = WHICH, limit: int = sides.LIMIT, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show everything that was done and decided; --json has the numbers that decided it."""
    sides.log("rollout", which, limit, data, as_json)


def _pause(which: str = WHICH, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Keep the shares as they are; harm still brings B back."""
    sides.act("rollout", "pause", which, {"why": why}, data, as_json)


def _resume(which: str = WHICH, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Go on after a pause."""
    sides.act("rollout", "resume", which, {"why": why}, data, as_json)


def _promote(
    which: str = WHICH, whole: bool = WHOLE, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """Go to the next stage now, without waiting for evidence; from the last one, hold it for good."""
    sides.act("rollout", "promote", which, {"why": why, "whole": whole}, data, as_json)


def _abort(which: str = WHICH, why: str = sides.WHY, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Send all calls to side A again, for good."""
    sides.act("rollout", "abort", which, {"why": why}, data, as_json)
