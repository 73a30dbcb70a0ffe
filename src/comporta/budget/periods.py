"""The periods budgets count in, in UTC: where the one that holds a point in time begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

Period = Literal["hour", "day", "week", "month"]
PERIODS: tuple[Period, ...] = ("hour", "day", "week", "month")


def period_of(period: Period, now_s: float) -> tuple[float, float]:
    """Begin (included) and end (excluded), in seconds since 1970. Weeks begin on Monday."""
    hour = datetime.fromtimestamp(now_s, UTC).replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    if period == "hour":
        begin, end = hour, hour + timedelta(hours=1)
    elif period == "day":
        begin, end = day, day + timedelta(days=1)
    elif period == "week":
        begin = day - timedelta(days=day.weekday())
        end = begin + timedelta(days=7)
    else:
        begin = day.replace(day=1)
        end = (begin + timedelta(days=31)).replace(day=1)
    return begin.timestamp(), end.timestamp()
