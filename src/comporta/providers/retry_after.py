"""Reads how long a provider asks us to wait: in seconds, in milliseconds, or until a date (WIRE 15)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

#: No caller waits longer for a single provider; another variant is asked instead.
MAX_RETRY_AFTER_S = 60.0


def retry_after_s(headers: Mapping[str, str], now_s: float | None = None) -> float | None:
    """The wait in seconds, capped, or None where the headers (lower case) name none that can be read."""
    wait_s = _number(headers.get("retry-after-ms"))
    if wait_s is not None:
        wait_s /= 1000
    else:
        text = headers.get("retry-after")
        wait_s = _number(text)
        if wait_s is None:
            wait_s = _until(text, time.time() if now_s is None else now_s)
    return None if wait_s is None else min(wait_s, MAX_RETRY_AFTER_S)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value >= 0 and math.isfinite(value) else None


def _until(text: str | None, now_s: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(text or "").timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
