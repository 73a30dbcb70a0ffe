"""Which event loops the gate's tests run on: workers have uvloop, Python programs may have either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

#: What stands on the event loop's transports directly; the rest can't tell one loop from the other.
_ON_BOTH = ("test_transport", "test_attempt")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.stem not in _ON_BOTH:
        return {"asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
