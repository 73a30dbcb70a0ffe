"""Breakers as a gate has them: in this process, or in Redis where several workers share one."""

from __future__ import annotations

import time

from comporta.app.settings import Settings
from comporta.counters.breakers import BreakerLimits
from comporta.counters.shared_breakers import SharedBreakers
from comporta.errors import ConfigError
from comporta.routing.health import Health


def health_of(settings: Settings) -> Health:
    """Raises ConfigError for an address that is none."""
    limits, url = breaker_limits(settings), settings.redis.url
    if url is None:
        return Health(time.monotonic, limits)
    try:
        return Health(breakers=SharedBreakers(url.get_secret_value(), limits))
    except ValueError:
        raise ConfigError(
            "redis.url is not a Redis address; it looks like redis://host:6379/0 or unix:///path"
        ) from None


def breaker_limits(settings: Settings) -> BreakerLimits:
    b = settings.breaker
    return BreakerLimits(b.failures, b.share, b.of, b.window, b.rest, b.longest_rest)
