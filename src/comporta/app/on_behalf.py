"""What calls take over from the one that they are made on behalf of: its route's guards, and how little may be kept."""

from __future__ import annotations

from collections.abc import Callable

from comporta.app.guarding import FOR_ROUTE
from comporta.pipeline import Call
from comporta.telemetry.capture import KEEP, Mode, least

_UNKEPT = frozenset({"off", "hashed"})


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
