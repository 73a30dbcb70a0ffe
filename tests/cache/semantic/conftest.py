"""A worker with a semantic cache on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from comporta.store.database import Database
from support.recalling import Worker


@pytest.fixture
async def worker(database: Database) -> AsyncIterator[Worker]:
    made = await Worker(database).open()
    yield made
    made.close()
