"""What a look makes of the figures: for a rollout the next stage or the way back, for an experiment its verdict."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import Struct, structs

from comporta.routing.rollout import moves
from comporta.routing.rollout.decide import Decision, Standing, decide
from comporta.routing.rollout.evidence import Evidence, fold
from comporta.routing.rollout.experiment import (
    ExperimentEvidence,
    Verdict,
    fold_experiment,
    shares,
    verdict,
)
from comporta.routing.rollout.figures import Figures, Window
from comporta.routing.rollout.plan import GuardMetric, Rollout
from comporta.routing.rollout.rows import RolloutRow, plain
from comporta.types import JSON

#: Adaptive shares that move by less than this stay: callers would change sides for nothing.
_LEAST_MOVE = 0.01
_ACTS = {"advance": "stage", "finish": "held", "roll_back": "roll_back"}


class Step(Struct, frozen=True):
    """What a look came to: what is to be shown of it, and where something is done, what, why, and the row after it."""

    shown: JSON
    act: str = ""
    why: str = ""
    row: RolloutRow | None = None


class Course(Protocol):
    """The figures of one rollout or experiment, and what follows from them."""

    @property
    def guards(self) -> Sequence[GuardMetric]:
        """All metrics that are looked at."""
        ...

    @property
    def sides(self) -> tuple[Figures, Figures]:
        """All figures so far, of A and of B."""
        ...

    def fold(self, window: Window) -> None: ...
    def text(self) -> str:
        """As it is kept."""
        ...

    def step(self, now_s: float, before: JSON | None) -> Step:
        """What follows now; `before` is what the last look showed."""
        ...


def course_of(row: RolloutRow, figures: str) -> Course:
    """The course of a row whose figures are kept as `figures`."""
    return ExperimentCourse(row, figures) if row.kind == "experiment" else RolloutCourse(row, figures)


class RolloutCourse:
    """A rollout: it moves by itself."""

    def __init__(self, row: RolloutRow, figures: str) -> None:
        self._row = row
        self._plan: Rollout = moves.plan_of(row)
        self._known = msgspec.json.decode(figures, type=Evidence)

    @property
    def guards(self) -> Sequence[GuardMetric]:
        return self._plan.guards

    @property
    def sides(self) -> tuple[Figures, Figures]:
        return self._known.a, self._known.b

    def fold(self, window: Window) -> None:
        if window.stage < len(self._plan.stages):
            self._known = fold(self._plan, self._known, window)

    def text(self) -> str:
        return msgspec.json.encode(self._known).decode()

    def step(self, now_s: float, before: JSON | None) -> Step:
        row = self._row
        since_s = row.stage_at_s + (now_s - row.paused_at_s if row.paused_at_s is not None else 0.0)
        decision = decide(self._plan, self._known, Standing(row.stage, since_s, now_s))
        shown: JSON = plain(decision)
        after = self._after(decision, now_s)
        return Step(shown) if after is None else Step(shown, _ACTS[decision.action], decision.reason, after)

    def _after(self, decision: Decision, now_s: float) -> RolloutRow | None:
        """The row after a decision; None where all stays. In a pause nothing but harm moves anything."""
        row = self._row
        if decision.action == "roll_back":
            return moves.roll_back(row, now_s)
        if row.state == "paused" or decision.action == "wait":
            return None
        return moves.held(row, now_s) if decision.action == "finish" else moves.at_stage(row, row.stage + 1, now_s)


class ExperimentCourse:
    """An experiment: it tells what it found; at most its shares follow that."""

    def __init__(self, row: RolloutRow, figures: str) -> None:
        self._row = row
        self._plan = moves.experiment_of(row)
        self._known = msgspec.json.decode(figures, type=ExperimentEvidence)

    @property
    def guards(self) -> Sequence[GuardMetric]:
        return self._plan.forward.guards

    @property
    def sides(self) -> tuple[Figures, Figures]:
        return self._known.forward.a, self._known.forward.b

    def fold(self, window: Window) -> None:
        self._known = fold_experiment(self._plan, self._known, window)

    def text(self) -> str:
        return msgspec.json.encode(self._known).decode()

    def step(self, now_s: float, before: JSON | None) -> Step:
        row = self._row
        found = verdict(self._plan, self._known, row.started_at_s, now_s)
        shown: JSON = plain(found)
        if _is_news(found, before):
            return Step(shown, "guard" if found.outcome == "harm" else "verdict", found.reason, row)
        share = self._share(now_s)
        if share is None:
            return Step(shown)
        why = f"B's share follows what is known so far: {row.share:.1%} -> {share:.1%}. {found.reason}"
        return Step(shown, "share", why, structs.replace(row, share=share, stage=row.stage + 1, stage_at_s=now_s))

    def _share(self, now_s: float) -> float | None:
        """B's new share, where shares are adaptive and it is time; None where all stays."""
        row, adaptive = self._row, self._plan.adaptive
        if adaptive is None or row.state != "running" or now_s - row.stage_at_s < adaptive.every_s:
            return None
        # Seeded: whoever looks comes to the same shares.
        share = shares(self._plan, self._known, random.Random(f"{row.id}:{row.stage}"))
        return share if abs(share - row.share) >= _LEAST_MOVE else None


def _is_news(found: Verdict, before: JSON | None) -> bool:
    """Whether a verdict is another one than was told last; that there is not enough data is none yet."""
    known = None if before is None else (before.get("outcome"), before.get("winner"))
    return found.outcome != "not_enough_data" and (found.outcome, found.winner) != known
