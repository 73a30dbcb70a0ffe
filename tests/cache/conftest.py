"""A stage with a cache in memory alone."""

from __future__ import annotations

import pytest

from support.caching import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
