"""What to do after a failed attempt, and how long to wait before the next (WIRE 16, 17)."""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct

from comporta.errors import (
    ComportaError,
    UpstreamCredential,
    UpstreamError,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamTimeout,
)

#: `again` the same variant, another `key` of the provider, the `next` variant, or `stop`: asking again is no help.
Then = Literal["again", "key", "next", "stop"]

#: The code of a limit of ours towards a provider: it says nothing of the provider's health.
OWN_LIMIT = "provider_limit"
#: The time limits that silence runs into.
_SILENT = frozenset({"first_token_timeout", "idle_timeout", "total_timeout", "timeout"})


class Retry(Struct, frozen=True):
    """How often and with which pauses: exponential with full jitter (the pause is drawn between 0 and its bound)."""

    attempts: int = 3
    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 10.0

    def pause_s(self, failed: int, wait_s: float | None) -> float:
        """The pause after so many failed attempts. What the upstream asked for is waited for whole."""
        bound_s = min(self.first_s * self.factor ** max(0, failed - 1), self.longest_s)
        return max(random.uniform(0, bound_s), wait_s or 0.0)


def then(error: ComportaError) -> Then:
    """What a failure calls for, by its kind and never by its text."""
    if not isinstance(error, UpstreamError) or isinstance(error, UpstreamRejected):
        return "stop"
    if isinstance(error, UpstreamCredential | UpstreamLimited):
        return "key"
    if isinstance(error, UpstreamTimeout) and error.code in _SILENT:
        # A variant that stayed silent is not asked again in the same call. One that says 408 did speak.
        return "next"
    return "again"


def blames_upstream(error: ComportaError) -> bool:
    """Whether a failure counts against the place it came from: a refused request or key says nothing of its health."""
    return (
        isinstance(error, UpstreamError)
        and not isinstance(error, UpstreamRejected | UpstreamCredential)
        and error.code != OWN_LIMIT
    )
