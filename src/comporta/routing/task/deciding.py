"""The decision itself, a pure function: which of a row's models are fit for a call, in which order, and why."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.routing.task.balance import ordered, unknown_last
from comporta.routing.task.estimate import cost_of, tokens_out
from comporta.routing.task.live import Speed
from comporta.routing.task.needs import lacks
from comporta.routing.task.rows import Member, Row
from comporta.routing.task.settings import Balance
from comporta.types import JSON, Input, Target

#: Why a model is left out. What `cannot` answer is never asked; what is too dear only where nothing else is left.
Left = Literal["cannot", "cost", "latency", "quality", "resting"]


class Quality(Struct, frozen=True):
    """A score's live mean (0 to 1) over `n` values: of the row's own calls, or of all calls of the model."""

    score: str
    mean: float
    n: int
    of: Literal["row", "model"] = "row"


class Seen(Struct, frozen=True):
    """What is known of a call when it is decided on."""

    given: Input
    stream: bool
    needs: frozenset[str]
    #: Tokens of the input, by estimate.
    read: int
    task: str | None = None


class Facts(Struct, frozen=True):
    """What is known of models at the moment; all of it from memory."""

    speed: Callable[[Member], Speed]
    quality: Callable[[Row, Member], Quality | None]
    rests: Callable[[Member], bool]


class Candidate(Struct, frozen=True):
    """One model, judged for one call."""

    member: Member
    role: Literal["primary", "fallback", "superior"]
    cost_microusd: int | None
    speed: Speed
    quality: Quality | None
    left: Left | None = None
    reason: str = ""

    def told(self, stream: bool) -> JSON:
        """As it stands on the record."""
        latency = self.speed.slowest(stream)
        told: JSON = {
            "model": self.member.name, "role": self.role, "cost_microusd": self.cost_microusd,
            "latency_ms": None if latency is None else round(latency, 1), "in_flight": self.speed.in_flight,
        }  # fmt: skip
        if self.quality is not None:
            quality = self.quality
            told["quality"] = {"score": quality.score, "mean": round(quality.mean, 4), "n": quality.n, "of": quality.of}
        if self.left is not None:
            told["left_out"] = self.reason
        return told


class Decided(Struct, frozen=True):
    """The models to ask, in order, with why the first one is first. `kept` looks for an old answer before them."""

    order: tuple[Member, ...]
    superior: tuple[Member, ...]
    candidates: tuple[Candidate, ...]
    why: str
    kept: bool = False


def decide(row: Row, seen: Seen, facts: Facts, rng: random.Random) -> Decided:
    """Raises BadRequest where no model of the row can answer such a call at all."""
    primary = [_judged(row, member, "primary", seen, facts) for member in row.primary]
    fallback = [_judged(row, member, "fallback", seen, facts) for member in row.fallback]
    superior = [_judged(row, member, "superior", seen, facts) for member in row.superior]
    everyone = (*primary, *fallback, *superior)
    ready = [*_in_order(row, [one for one in primary if one.left is None], seen, rng),
             *(one for one in fallback if one.left is None)]  # fmt: skip
    above = tuple(one for one in superior if one.left in (None, "cost", "latency"))
    dropped = next((one for one in primary if one.left == "quality"), None)
    first_dropped = dropped is not None and (not ready or ready[0].role != "primary")
    action = row.policies.on_quality_drop if first_dropped else None
    if action == "escalate_to_superior_model" and above:
        ready = [*above, *ready]
    behind = _behind(primary, fallback, ready, seen)
    if not ready and not behind:
        raise BadRequest(_none(row, everyone), code="no_capable_model", param="model")
    order = [*ready, *behind]
    return Decided(
        tuple(one.member for one in order), tuple(one.member for one in above if one.left is None), everyone,
        _why(row, order[0], ready, dropped), action == "return_cached_or_default",
    )  # fmt: skip


def _judged(
    row: Row, member: Member, role: Literal["primary", "fallback", "superior"], seen: Seen, facts: Facts
) -> Candidate:
    written = tokens_out(seen.given, seen.task, seen.read)
    cost = cost_of(member.facts, seen.read, written)
    speed, quality = facts.speed(member), facts.quality(row, member)
    left, reason = _left_out(row, member, seen, cost, speed, quality, facts)
    return Candidate(member, role, cost, speed, quality, left, reason)


def _left_out(
    row: Row, member: Member, seen: Seen, cost: int | None, speed: Speed, quality: Quality | None, facts: Facts
) -> tuple[Left | None, str]:
    missing = lacks(member.facts, row.required | seen.needs, row.vouched)
    if missing:
        return "cannot", f"lacks {', '.join(missing)}"
    context = member.facts.context
    if context is not None and seen.read > context:
        return "cannot", f"takes {context:,} tokens, and these are about {seen.read:,}"
    if facts.rests(member):
        return "resting", "rests after failures"
    limit = row.cost_threshold_microusd
    if limit is not None and cost is not None and cost > limit:
        return "cost", f"about {_usd(cost)}, over {_usd(limit)}"
    if limit is not None and cost is None:
        return "cost", f"no price is known to hold against {_usd(limit)}"
    slowest = speed.slowest(seen.stream)
    if row.max_latency_ms is not None and slowest is not None and slowest > row.max_latency_ms:
        return "latency", f"took {slowest:.0f} ms of late, over {row.max_latency_ms:g}"
    if row.quality_threshold is not None and quality is not None and quality.mean < row.quality_threshold:
        return "quality", f"{quality.score} is {quality.mean:.3f} of {quality.n}, under {row.quality_threshold:g}"
    return None, ""


def _in_order(row: Row, found: Sequence[Candidate], seen: Seen, rng: random.Random) -> list[Candidate]:
    """Several primaries: by the row's balance, else by what the strategy aims at, else as they are written."""
    balance: Balance | None = row.balance
    if balance is None and row.aim == "quality":
        return sorted(found, key=lambda one: 0.0 if one.quality is None else -one.quality.mean)
    if balance is None and row.aim is not None:
        balance = "cheapest" if row.aim == "cost" else "least_latency"
    if balance is None:
        return [*found]
    return ordered(
        found, lambda one: one.member, balance, lambda one: one.speed.of(seen.stream), lambda one: one.speed.in_flight,
        lambda one: one.cost_microusd, rng,
    )  # fmt: skip


def _behind(
    primary: Sequence[Candidate], fallback: Sequence[Candidate], ready: Sequence[Candidate], seen: Seen
) -> list[Candidate]:
    """Who answers when those that are fit can't: the slow and the resting; and where nobody is fit, the least unfit."""
    mine = [one for one in (*primary, *fallback) if one not in ready]
    resting = [one for one in mine if one.left == "resting"]
    slow = sorted((o for o in mine if o.left == "latency"), key=lambda o: unknown_last(o.speed.slowest(seen.stream)))
    low = sorted((o for o in mine if o.left == "quality"), key=lambda o: -(o.quality.mean if o.quality else 0.0))
    if ready or slow or low:
        return [*slow, *low, *resting]
    dear = sorted((one for one in mine if one.left == "cost"), key=lambda one: unknown_last(one.cost_microusd))
    return [*resting, *dear] if not dear else [*dear, *resting]


def _why(row: Row, first: Candidate, ready: Sequence[Candidate], dropped: Candidate | None) -> str:
    if first not in ready:
        return f"nobody is wholly fit; the least unfit: {first.reason}"
    if first.role == "superior" and dropped is not None:
        return f"escalated: {dropped.member.name} is left out, {dropped.reason}"
    if first.role == "fallback":
        return "the primary is left out"
    if len(row.primary) > 1:
        return f"first of the primaries by {row.balance or row.aim or 'their order'}"
    return "the row's primary"


def _none(row: Row, everyone: Sequence[Candidate]) -> str:
    told = "; ".join(f"{one.member.name} {one.reason}" for one in everyone if one.left == "cannot")
    return f"No model that the strategy '{row.strategy}' has for '{row.task}' can answer this call: {told}."


def _usd(microusd: int) -> str:
    return f"${microusd / 1_000_000:.6f}".rstrip("0").rstrip(".")


def targets(order: Sequence[Member]) -> tuple[Target, ...]:
    """Where they lead; a model that stands in several places is asked once."""
    found: dict[tuple[str, str], Target] = {}
    for member in order:
        found.setdefault(member.place, member.target)
    return tuple(found.values())
