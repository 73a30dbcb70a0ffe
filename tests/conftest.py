"""Fixtures for every test: a real PostgreSQL (a fresh migrated database a test) and a real Redis (emptied a test)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from comporta.store.database import Database
from comporta.testing.servers import Postgres, ask_redis, postgres_server, redis_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL server."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database_dsn(postgres: Postgres) -> Iterator[str]:
    """The DSN of a fresh, migrated database of this test's own."""
    dsn = postgres.create_database()
    yield dsn
    postgres.drop_database(dsn)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """An open pool on that database."""
    async with Database(database_dsn) as opened:
        yield opened


@pytest.fixture(scope="session")
def redis_session_url() -> Iterator[str]:
    """The session's Redis server; tests take `redis_url`."""
    with redis_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_session_url: str) -> str:
    """The URL of a Redis server (on a Unix socket) that holds nothing yet."""
    ask_redis(Path(urlsplit(redis_session_url).path), "FLUSHALL")
    return redis_session_url
