"""Which of several models goes first: by weight, or by live figures with the power of two choices."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from comporta.routing.task.rows import Member
from comporta.routing.task.settings import Balance

T = TypeVar("T")

#: A number by which the lower of two goes first; what is not known yet is below all others, so that it gets known.
Rank = Callable[[T], tuple[float, float]]


def drawn(items: Sequence[T], weights: Sequence[float], rng: random.Random) -> T:
    """One of them, each by its weight; weights of zero only where there are no others."""
    if not any(weights):
        return items[rng.randrange(len(items))]
    return rng.choices(items, weights)[0]


def better_of_two(items: Sequence[T], weights: Sequence[float], rank: Rank[T], rng: random.Random) -> T:
    """Two are drawn by weight, and the lower ranked of them is taken.

    Always taking the best of all would send every call there until its figures change, from every worker at once.
    """
    first = drawn(items, weights, rng)
    rest = [(item, weight) for item, weight in zip(items, weights, strict=True) if item is not first]
    if not any(weight for _, weight in rest):
        return first
    second = drawn([item for item, _ in rest], [weight for _, weight in rest], rng)
    return first if rank(first) <= rank(second) else second


def unknown_last(value: float | None) -> float:
    return math.inf if value is None else value


def unknown_first(value: float | None) -> float:
    return -1.0 if value is None else value


def ordered(
    items: Sequence[T], member: Callable[[T], Member], balance: Balance, latency: Callable[[T], float | None],
    busy: Callable[[T], int], cost: Callable[[T], int | None], rng: random.Random,
) -> list[T]:  # fmt: skip
    """All of them, the one to ask first at the head, those that take over behind it."""
    if len(items) < 2:
        return [*items]
    weights = [member(one).weight for one in items]
    if balance == "cheapest":
        return sorted(items, key=lambda one: unknown_last(cost(one)))
    if balance == "weighted":
        first, rest = drawn(items, weights, rng), [*items]
        return [first, *(one for one in rest if one is not first)]

    def rank(one: T) -> tuple[float, float]:
        took, calls = unknown_first(latency(one)), float(busy(one))
        return (took, calls) if balance == "least_latency" else (calls, took)

    first = better_of_two(items, weights, rank, rng)
    return [first, *sorted((one for one in items if one is not first), key=rank)]
