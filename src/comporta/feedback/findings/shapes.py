"""What a finding is, and what is told of complaints and trends."""

from __future__ import annotations

import datetime
from typing import Literal, get_args

from msgspec import Struct

from comporta.types import JSON

Kind = Literal[
    "input_drift", "answer_drift", "cost_drift", "score_drift", "concept_drift", "serving_skew", "anomaly", "complaints"
]
State = Literal["open", "acknowledged", "closed"]
Action = Literal["alert_team", "open_review", "update_prompt", "add_to_dataset", "start_tuning"]
ActState = Literal["waiting", "done", "failed"]
Direction = Literal["rising", "falling", "steady", "unknown"]

KINDS: tuple[Kind, ...] = get_args(Kind)
STATES: tuple[State, ...] = get_args(State)
ACTIONS: tuple[Action, ...] = get_args(Action)
#: Of these scores less is better: a rise is what is worse, and no fall.
ILL = ("follow_up", "abandoned", "hallucination", "toxicity")


class ExampleCall(Struct, frozen=True):
    """A call that shows it. `input` and `output` are its last question and its answer as far as they were kept."""

    call_id: str
    at: datetime.datetime
    trace_id: str | None = None
    user: str | None = None
    input: str | None = None
    output: str | None = None


class Act(Struct, frozen=True):
    """What was done about a finding, once; `told` says in words what came of it."""

    action: str
    state: ActState
    attempts: int
    told: str
    at: datetime.datetime


class Finding(Struct, frozen=True):
    """Something that changed.

    `measure` names what (`topics`, `words`, `refusals`, `cost`, a score's name …); `size` is how much, from `low` to
    `high` (95 %), in the unit that `facts["unit"]` names; `before` and `after` are the figures themselves, None where
    there is none. `since` is about when it began.
    """

    id: str
    kind: Kind
    measure: str
    title: str
    route: str | None
    prompt_id: str | None
    prompt_version: str | None
    since: datetime.datetime
    found_at: datetime.datetime
    before: float | None
    after: float | None
    size: float
    low: float | None
    high: float | None
    n_before: int
    n_after: int
    facts: JSON
    state: State
    by: str | None
    note: str | None
    state_at: datetime.datetime | None
    acts: tuple[Act, ...] = ()
    #: Of `get_finding` alone: a list goes without.
    examples: tuple[ExampleCall, ...] = ()


class FindingPage(Struct, frozen=True):
    """Findings, the newest first; `next` is what to ask for as `after` to see older ones, None at the end."""

    findings: list[Finding]
    next: str | None


class Complaint(Struct, frozen=True):
    """One comment of a cluster, as it was said; `mood` runs from -1 to 1."""

    text: str
    at: datetime.datetime
    mood: float
    route: str | None
    prompt_id: str | None
    prompt_version: str | None
    call_id: str | None
    trace_id: str | None


class Cluster(Struct, frozen=True):
    """Complaints that are alike, the latest of them as examples. `share` is of all complaints in the time asked for."""

    id: str
    title: str
    language: str
    complaints: int
    share: float
    first_at: datetime.datetime
    last_at: datetime.datetime
    routes: tuple[str, ...]
    examples: tuple[Complaint, ...]


class Week(Struct, frozen=True):
    """A score's mean (booleans: the share of true) in the week from Monday `at` (UTC), with its 95 % interval."""

    at: datetime.date
    n: int
    mean: float
    low: float
    high: float


class Trend(Struct, frozen=True):
    """A score by week, the oldest first. `slope` is its change a week, from `low` to `high` (95 %).

    `name` is the score's, or `mood`: how comments sound, from -1 to 1. `direction` is `steady` where the interval of
    the slope holds 0, and `unknown` with fewer than three weeks.
    """

    name: str
    weeks: tuple[Week, ...]
    slope: float | None
    low: float | None
    high: float | None
    direction: Direction
