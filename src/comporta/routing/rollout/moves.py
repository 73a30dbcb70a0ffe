"""What can be done with a rollout or an experiment, and what it is afterwards: pure functions of row and clock."""

from __future__ import annotations

import msgspec
from msgspec import structs

from comporta.errors import Conflict
from comporta.routing.rollout.experiment import Experiment
from comporta.routing.rollout.plan import Rollout
from comporta.routing.rollout.rows import RolloutRow, State


def plan_of(row: RolloutRow) -> Rollout:
    """The plan of a rollout."""
    return msgspec.convert(row.plan, Rollout)


def experiment_of(row: RolloutRow) -> Experiment:
    """The plan of an experiment."""
    return msgspec.convert(row.plan, Experiment)


def pause(row: RolloutRow, now_s: float) -> RolloutRow:
    """Shares stay as they are; only harm still brings B back. Raises Conflict."""
    _demand(row, "pause", ("running", "shadow"))
    return structs.replace(row, state="paused", paused_from=row.state, paused_at_s=now_s)


def resume(row: RolloutRow, now_s: float) -> RolloutRow:
    """Go on where it was paused; the pause does not count as time of the stage. Raises Conflict."""
    _demand(row, "resume", ("paused",))
    away_s = now_s - (row.paused_at_s or now_s)
    return structs.replace(
        row, state=row.paused_from or "running", paused_from=None, paused_at_s=None, stage_at_s=row.stage_at_s + away_s
    )


def promote(row: RolloutRow, now_s: float, *, whole: bool = False) -> RolloutRow:
    """The next stage, or all calls at once; from shadow mode the first stage, from the last one the end.

    Raises Conflict.
    """
    _demand(row, "promote", ("running", "paused", "shadow"))
    if row.kind == "experiment":
        raise Conflict(
            f"The experiment '{row.name}' moves nothing by itself: stop it, and start a rollout to the side that won.",
            code="rollout_state",
        )
    last = len(plan_of(row).stages) - 1
    in_shadow = "shadow" in (row.state, row.paused_from)
    if row.stage == last and not in_shadow:
        return held(row, now_s)
    return at_stage(row, last if whole else 0 if in_shadow else row.stage + 1, now_s)


def at_stage(row: RolloutRow, stage: int, now_s: float) -> RolloutRow:
    """Running at that stage."""
    share = plan_of(row).stages[stage].share
    return structs.replace(
        row, state="running", paused_from=None, paused_at_s=None, stage=stage, share=share, stage_at_s=now_s,
        problem=None,
    )  # fmt: skip


def held(row: RolloutRow, now_s: float) -> RolloutRow:
    """All calls go to B for good: it stands until configuration or label say so too."""
    return structs.replace(
        row, state="standing", paused_from=None, paused_at_s=None, share=1.0, stage_at_s=now_s, problem=None
    )


def abort(row: RolloutRow, now_s: float) -> RolloutRow:
    """All calls go to A again, for good. Raises Conflict."""
    _demand(row, "abort", ("running", "paused", "shadow", "standing"))
    return _over(row, "stopped" if row.kind == "experiment" else "aborted", now_s)


def roll_back(row: RolloutRow, now_s: float) -> RolloutRow:
    """The same, since B does harm."""
    _demand(row, "roll back", ("running", "paused", "standing"))
    return _over(row, "rolled_back", now_s)


def finish(row: RolloutRow, now_s: float) -> RolloutRow:
    """Configuration or label say what the rollout said: it is no longer needed."""
    _demand(row, "finish", ("running", "paused", "standing"))
    return structs.replace(row, state="done", paused_from=None, ended_at_s=now_s, problem=None)


def troubled(row: RolloutRow, problem: str) -> RolloutRow:
    """With what keeps it from going on. Raises Conflict where it has ended, and where that is known already."""
    if not row.live or row.problem == problem:
        raise Conflict(f"The {row.kind} '{row.name}' has ended, or its problem is known.", code="rollout_state")
    return structs.replace(row, problem=problem)


def _over(row: RolloutRow, state: State, now_s: float) -> RolloutRow:
    return structs.replace(row, state=state, paused_from=None, share=0.0, ended_at_s=now_s, problem=None)


def _demand(row: RolloutRow, act: str, states: tuple[State, ...]) -> None:
    if row.state not in states:
        raise Conflict(
            f"The {row.kind} '{row.name}' is {row.state.replace('_', ' ')}: it can't {act}.", code="rollout_state"
        )
