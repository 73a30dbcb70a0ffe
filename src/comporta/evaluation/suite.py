"""The tests of one prompt: cases, how often each is tried, what makes the gate open."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from comporta.evaluation.acting import Acting
from comporta.evaluation.base import Case, JudgeModel

#: The kind of assertion that may compare with the baseline's answer.
PAIRWISE = "better_than"


class Trying(Struct, frozen=True, omit_defaults=True):
    """A case with how it is tried. `digest` names all that the file says of it, so that old answers can be told."""

    case: Case
    repeats: int = 1
    #: It must pass in every repeat, whatever the share that the gate asks for.
    required: bool = False
    #: An action's name, or a sentence for a judge.
    expected_behavior: str | None = None
    #: The names of those assertions that compare with the baseline's answer.
    against_baseline: tuple[str, ...] = ()
    digest: str = ""


class Metric(Struct, frozen=True, omit_defaults=True):
    """A measured quantity that the gate looks at: `cost`, `latency`, or an assertion's name.

    `margin` is how much worse is still no worse, in the metric's own unit (dollars, seconds), or, where `relative`, as
    a share of the baseline.
    """

    name: str
    margin: float
    relative: bool = False
    lower_is_better: bool = False


class Rules(Struct, frozen=True, omit_defaults=True):
    """What the gate asks for. Shares run from 0 to 1."""

    #: So much of the cases must pass. With a baseline this is asked only where the file says it.
    pass_rate: float | None = None
    #: So much lower a share of passes is still no worse.
    margin: float = 0.05
    #: How often a verdict may be wrong.
    alpha: float = 0.05
    metrics: tuple[Metric, ...] = ()


class Suite(Struct, frozen=True):
    """The tests of one prompt, or of a route."""

    prompt: str
    cases: tuple[Trying, ...]
    #: Which model answers; without it the prompt's own, else the route `default`.
    model: str | None = None
    judge: JudgeModel | None = None
    acting: Acting = Acting()
    rules: Rules = Rules()
    #: The variable that a case's `input` fills; without it the one that is left.
    input_variable: str | None = None
    path: Path | None = None

    @property
    def tries(self) -> int:
        """How many answers one version gives."""
        return sum(one.repeats for one in self.cases)
