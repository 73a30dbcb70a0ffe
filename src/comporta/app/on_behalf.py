"""Calls on behalf of another: bound to its time, with its route's guards, and no more kept of them than of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comporta.app.guarding import FOR_ROUTE
from comporta.gateway.attempt import Reached, TimeLimits
from comporta.pipeline import Call
from comporta.providers.composed import ComposedModel
from comporta.telemetry.capture import KEEP, Mode, least

#: What is made of calls ends itself when its time is over, and says at which; what stands around it waits longer.
_GRACE_S = 1.0
_UNKEPT = frozenset({"off", "hashed"})


def bound(model: ComposedModel[Any], call: Call, reached: Reached) -> Reached:
    """A step upstream that is made of calls: bound to its call, which keeps its time itself."""
    total_s = reached.limits.total_s
    outer_s = total_s + _GRACE_S
    return Reached(
        model.of(call, total_s), reached.endpoint, reached.query, reached.credential,
        TimeLimits(first_token_s=outer_s, idle_s=outer_s, total_s=outer_s),
    )  # fmt: skip


def keep_no_more(parent: Call, child: Call, mode_of: Callable[[str], Mode]) -> None:
    """No more is kept of the child than of its parent; `mode_of` says what a route's records keep."""
    mode = least(mode_of(_route(parent)), parent.facts.get(KEEP, "full"))
    child.facts[KEEP] = mode
    if mode in _UNKEPT:
        # What may not be kept of the whole may not be cached in parts.
        child.headers["cache-control"] = "no-store"


def guard_as(parent: Call, child: Call) -> None:
    """The guards of the parent's route look at the child too."""
    child.facts[FOR_ROUTE] = parent.facts.get(FOR_ROUTE, _route(parent))


def _route(call: Call) -> str:
    return call.model if call.target is None else call.target.route
