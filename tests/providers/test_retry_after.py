"""How long a provider asks us to wait."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from comporta.providers.retry_after import retry_after_s

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "86400"}, 60.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": formatdate(NOW_S + 12, usegmt=True)}, 12.0),
        ({"retry-after": formatdate(NOW_S - 12, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(NOW_S + 9e6, usegmt=True)}, 60.0),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_seconds_milliseconds_and_dates_are_read_and_capped(headers: dict[str, str], wait_s: float | None) -> None:
    """WIRE 15"""
    assert retry_after_s(headers, NOW_S) == wait_s
