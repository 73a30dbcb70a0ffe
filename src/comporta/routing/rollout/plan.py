"""What a rollout intends: its stages, and the metrics that guard them, each with a margin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, structs

from comporta.errors import BadRequest

Kind = Literal["errors", "latency", "cost", "score"]
Better = Literal["higher", "lower"]

#: The margins of metrics for which none is said.
MARGINS: dict[Kind, float] = {"errors": 0.01, "latency": 0.20, "cost": 0.10, "score": 0.05}
#: What becomes of a plan without a list of its own.
SHARES = (0.01, 0.10, 0.50, 1.0)


class GuardMetric(Struct, frozen=True):
    """One figure that side B must not make worse by more than `margin`.

    `errors` (a share) and `score` (in the score's own units): B's mean may be worse than A's by `margin`, a difference.
    `latency` (its quantile `quantile`) and `cost` (per call): by `margin`, a share of A's; 0.2 is 20 %.
    A score's mean is compared; of yes/no scores that is the share of yes, with `label` the share of that label. Its
    values lie between `low` and `high`; beyond them they count as the bound. `better` says which way is good.
    A metric that is not `required` can bring B back but is not asked for before 100 %.
    """

    kind: Kind
    #: The score's name; the other kinds have none.
    score: str = ""
    #: Where none is said, that of MARGINS (of a score: that share of its width).
    margin: float = math.nan
    better: Better = "higher"
    low: float = 0.0
    high: float = 1.0
    label: str | None = None
    quantile: float = 0.95
    required: bool = True

    def __post_init__(self) -> None:
        if math.isnan(self.margin):
            width = self.width if self.kind == "score" else 1.0
            structs.force_setattr(self, "margin", MARGINS[self.kind] * width)

    @property
    def name(self) -> str:
        """How the metric is spoken of: `errors`, `latency_p95`, `cost`, `score:helpful`."""
        if self.kind == "latency":
            return f"latency_p{self.quantile * 100:g}"
        if self.kind == "score":
            return f"score:{self.score}" + (f"={self.label}" if self.label is not None else "")
        return self.kind

    @property
    def width(self) -> float:
        return self.high - self.low


class Stage(Struct, frozen=True):
    """A share of callers for side B, held for at least so many of its calls and so long."""

    share: float
    min_calls: int = 100
    min_time_s: float = 600.0


class Burst(Struct, frozen=True):
    """A hard fault: of at least `calls` of B's latest calls, no older than `window_s`, this share failed.

    It must besides be next to impossible at A's error rate: what fails on both sides is no fault of B.
    """

    calls: int = 10
    share: float = 0.5
    window_s: float = 60.0


class Rollout(Struct, frozen=True):
    """The plan of a rollout from A to B. All of it is fixed before the first call: that is what makes tests valid.

    `alpha` bounds the chance that a harmless B is brought back before 100 %, for all metrics and looks together (the
    watch at 100 % has one metric's part of it to itself); and, for each metric, the chance that a B worse by the margin
    or more is taken to 100 %. Raises BadRequest (`rollout_plan`).
    """

    stages: tuple[Stage, ...] = tuple(Stage(share) for share in SHARES)
    guards: tuple[GuardMetric, ...] = (GuardMetric("errors"),)
    alpha: float = 0.05
    #: Proven harm brings B back when it is estimated at this share of the margin or more; less is let be.
    harm_from: float = 0.5
    burst: Burst = Burst()

    def __post_init__(self) -> None:
        wrong = next(_mistakes(self), None)
        if wrong is not None:
            raise BadRequest(wrong, code="rollout_plan", param="plan")

    @property
    def alpha_each(self) -> float:
        """Each metric's part of `alpha` for harm: one of several may then say so by chance no oftener than one."""
        return self.alpha / len(self.guards)


def _mistakes(plan: Rollout) -> Iterator[str]:
    shares = [stage.share for stage in plan.stages]
    if not shares or shares[-1] != 1.0:
        yield "The last stage of a rollout is 100 %: end the list of stages with 1.0."
    if any(not 0 < share <= 1 for share in shares) or sorted(set(shares)) != shares:
        yield f"The shares of stages lie above 0 and at most at 1, each above the one before; not {shares}."
    if any(stage.min_calls < 0 or stage.min_time_s < 0 for stage in plan.stages):
        yield "A stage's minimum of calls and time can't lie below 0."
    yield from alpha_mistakes(plan.alpha)
    if not 0 <= plan.harm_from <= 1:
        yield f"`harm_from` is a share of the margin between 0 and 1, not {plan.harm_from}."
    if plan.burst.calls < 1 or not 0 < plan.burst.share <= 1 or plan.burst.window_s <= 0:
        yield "A burst wants at least 1 call, a share above 0 and at most 1, and a time above 0."
    yield from guard_mistakes(plan.guards)


def alpha_mistakes(alpha: float) -> Iterator[str]:
    if not 0 < alpha < 0.5:
        yield f"`alpha` is a chance between 0 and 0.5 (0.05 is 1 in 20), not {alpha}."


def guard_mistakes(guards: tuple[GuardMetric, ...]) -> Iterator[str]:
    """What is wrong with a list of metrics, one sentence each."""
    names = [guard.name for guard in guards]
    if not any(guard.kind == "errors" for guard in guards):
        yield "Errors always guard a rollout: add a metric of kind `errors`."
    if len(set(names)) != len(names):
        yield f"A metric stands twice in the list: {', '.join(sorted(n for n in names if names.count(n) > 1))}."
    for guard in guards:
        yield from _wrong_with(guard)


def _wrong_with(guard: GuardMetric) -> Iterator[str]:
    if (guard.kind == "score") != bool(guard.score):
        yield f"The metric '{guard.name}': kind `score` wants the score's name, the other kinds have none."
    if not math.isfinite(guard.width) or guard.width <= 0:
        yield f"The metric '{guard.name}': `high` lies above `low`."
    most = {"errors": 1.0, "score": guard.width}.get(guard.kind, math.inf)
    if not 0 < guard.margin < most:
        yield f"The metric '{guard.name}': its margin lies above 0{f' and below {most:g}' if most < math.inf else ''}."
    if not 0 < guard.quantile < 1:
        yield f"The metric '{guard.name}': a quantile lies between 0 and 1; 0.95 is p95."
