"""Ended calls and their scores, taken out of the queues that their records went into, and made into figures of sides.

Taking out and adding up are one transaction with the decision that follows: whoever dies in between has done nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from comporta.routing.rollout.figures import Figures, Tally, Window
from comporta.routing.rollout.plan import GuardMetric
from comporta.store.database import Connection

#: So many at a time: the rest waits for the next look.
BATCH = 5000
#: Calls that end within so many seconds of each other are compared with each other.
_TOGETHER_S = 10.0
#: Outcomes that say something of a side: what failed on the provider's part or on ours.
FAULTS = frozenset({"upstream", "timeout", "unavailable", "internal"})
#: Refusals that a side brings about by its model or prompt, and no client by what it asks.
SIDE_FAULTS = frozenset(
    {
        "model_not_found",
        "unsupported_parameter",
        "context_length_exceeded",
        "prompt_not_found",
        "prompt_unusable",
        "invalid_variable",
    }
)
_HITS = ("hit", "exact", "semantic")

TAKE_CALLS = """
delete from rollout_call where number in (
    select number from rollout_call where rollout = %(id)s order by number limit %(limit)s
)
returning number, side, stage, extract(epoch from started_at)::float8 + duration_us / 1e6, duration_us, cost_microusd,
    cache, outcome, outcome_class, failed
"""
TAKE_SCORES = """
delete from rollout_score where number in (
    select number from rollout_score where rollout = %(id)s order by number limit %(limit)s
)
returning number, side, stage, extract(epoch from at)::float8, name, kind, value, label
"""
#: What belongs to no rollout that is live: its calls ended after it did.
DROP_CALLS = "delete from rollout_call where rollout not in (select id::text from rollout where ended_at is null)"
DROP_SCORES = "delete from rollout_score where rollout not in (select id::text from rollout where ended_at is null)"


class EndedCall(NamedTuple):
    """A call of a rollout as it stands in the queue."""

    number: int
    side: str
    stage: str
    ended_s: float
    duration_us: int
    cost_microusd: int | None
    cache: str
    outcome: str
    outcome_class: str
    failed: str | None


class Scored(NamedTuple):
    """A score of such a call."""

    number: int
    side: str
    stage: str
    at_s: float
    name: str
    kind: str
    value: float | None
    label: str | None


class Taken(NamedTuple):
    """What was taken: windows in the order of time, and what the copies of shadow mode came to."""

    windows: list[Window]
    shadow: Figures
    took: int


async def take(connection: Connection, id: str, guards: Sequence[GuardMetric]) -> Taken:
    """Take one batch of a rollout's calls and scores out of the queues, within the running transaction."""
    values = {"id": id, "limit": BATCH}
    calls = [EndedCall(*row) for row in await (await connection.execute(TAKE_CALLS, values)).fetchall()]
    scores = [Scored(*row) for row in await (await connection.execute(TAKE_SCORES, values)).fetchall()]
    return tallied(calls, scores, guards)


def tallied(calls: Iterable[EndedCall], scores: Iterable[Scored], guards: Sequence[GuardMetric]) -> Taken:
    """Figures by side, stage and time."""
    tallies: dict[tuple[int, float], dict[str, Tally]] = {}
    shadow = Tally(guards)
    took = 0

    def of(side: str, stage: str, at_s: float) -> Tally | None:
        if side == "shadow":
            return shadow
        if side not in ("a", "b") or not stage.isdecimal():
            return None
        place = (int(stage), at_s // _TOGETHER_S * _TOGETHER_S + _TOGETHER_S)
        return tallies.setdefault(place, {"a": Tally(guards), "b": Tally(guards)})[side]

    for call in calls:
        took += 1
        tally = of(call.side, call.stage, call.ended_s)
        if tally is not None and says_something(call):
            failed = has_failed(call)
            latency_ms = None if failed or call.failed else call.duration_us / 1000
            tally.call(failed=failed, latency_ms=latency_ms, cost_microusd=call.cost_microusd)
    for score in scores:
        took += 1
        tally = of(score.side, score.stage, score.at_s)
        if tally is not None:
            for value in _values(score):
                tally.score(score.name, value)
    return Taken([*_windows(tallies)], shadow.take(), took)


def _windows(tallies: dict[tuple[int, float], dict[str, Tally]]) -> Iterator[Window]:
    for (stage, at_s), both in sorted(tallies.items(), key=lambda item: (item[0][1], item[0][0])):
        a, b = both["a"].take(), both["b"].take()
        if a != Figures() or b != Figures():
            yield Window(stage, at_s, a, b)


def has_failed(call: EndedCall) -> bool:
    """Whether a call counts against its side: it failed, or another than its side had to answer it."""
    return call.failed is not None or call.outcome_class in FAULTS or call.outcome in SIDE_FAULTS


def says_something(call: EndedCall) -> bool:
    """Whether a call says anything of its side: not what a cache answered, a client left, or asked wrongly."""
    if call.cache.startswith(_HITS):
        return False
    return call.outcome_class == "ok" or has_failed(call)


def _values(score: Scored) -> Iterator[float | bool | str]:
    if score.kind == "text":
        if score.label is not None:
            yield score.label
    elif score.value is not None:
        yield bool(score.value) if score.kind == "boolean" else score.value


async def drop_strays(connection: Connection) -> None:
    """Calls and scores that belong to nothing that is live."""
    await connection.execute(DROP_CALLS)
    await connection.execute(DROP_SCORES)
