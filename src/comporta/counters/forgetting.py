"""Makes Redis forget what was spent, so that it is counted anew from another ledger than before."""

from __future__ import annotations

import redis
import redis.exceptions

from comporta.counters.shared import PREFIX
from comporta.errors import Unavailable

#: What was spent and is held under each budget, and when holds run out.
_MONEY = ("m:*", "x:*")
_LIMIT_S = 5.0
_AT_ONCE = 500


def forget_spent(url: str) -> int:
    """Remove the live sums of all budgets while no gate runs; how many. Raises Unavailable."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=_LIMIT_S, socket_timeout=_LIMIT_S) as client:
            found = [key for part in _MONEY for key in client.scan_iter(match=PREFIX + part, count=_AT_ONCE)]
            for start in range(0, len(found), _AT_ONCE):
                client.delete(*found[start : start + _AT_ONCE])
            return len(found)
    except (redis.exceptions.RedisError, OSError) as error:
        raise Unavailable(f"Redis can't be reached: {type(error).__name__}.", code="redis_unavailable") from None
