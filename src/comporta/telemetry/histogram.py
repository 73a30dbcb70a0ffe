"""Histograms of durations that merge exactly: log-spaced buckets, kept sparse.

Bucket `b` holds durations in (1.08^(b-1), 1.08^b] microseconds and reads as its geometric middle, so that a quantile is
off by at most 4 %. A histogram in the database is a `bigint[]` of `bucket << 40 | calls`; the SQL functions beside the
tables (`histogram_bucket`, `histogram_merge`) say the same as this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

GROWTH = 1.08
#: The largest relative error of a quantile.
MAX_ERROR = math.sqrt(GROWTH) - 1
_LOG_GROWTH = math.log(GROWTH)
_CALLS_BITS = 40
_CALLS_MASK = (1 << _CALLS_BITS) - 1


def bucket_of(duration_us: int) -> int:
    return 0 if duration_us <= 1 else math.ceil(math.log(duration_us) / _LOG_GROWTH)


def value_of(bucket: int) -> float:
    """The duration, in microseconds, that a bucket stands for."""
    return 1.0 if bucket <= 0 else float(GROWTH ** (bucket - 0.5))


def unpacked(packed: Sequence[int]) -> dict[int, int]:
    """A histogram as the database keeps it, as calls by bucket."""
    return {entry >> _CALLS_BITS: entry & _CALLS_MASK for entry in packed}


def quantile_us(calls: Mapping[int, int], q: float) -> float | None:
    """The q-quantile in microseconds: the bucket that holds the call of rank ⌈q·n⌉. None where there are no calls."""
    total = sum(calls.values())
    if not total:
        return None
    rank = max(1, math.ceil(q * total))
    for bucket in sorted(calls):
        rank -= calls[bucket]
        if rank <= 0:
            return value_of(bucket)
    return None
