"""Notices between workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from comporta.store.changes import Changes, notify
from comporta.store.database import Database
from comporta.testing.servers import Postgres


class Reloads:
    """A subscriber that counts."""

    def __init__(self) -> None:
        self.count = 0
        self.fail = False

    async def __call__(self) -> None:
        self.count += 1
        if self.fail:
            raise RuntimeError("cannot load")


@asynccontextmanager
async def running(changes: Changes) -> AsyncIterator[None]:
    task = asyncio.create_task(changes.run())
    try:
        await until(lambda: changes.connected)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not changes.connected


async def until(what: Callable[[], object], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not what():  # noqa: ASYNC110  what others do has no event to wait for
            await asyncio.sleep(0.005)


async def tell(database: Database, topic: str) -> None:
    async with database.connection() as connection:
        await notify(connection, topic)


async def test_a_subscriber_hears_its_topic_and_no_other(database: Database) -> None:
    changes, keys, models = Changes(database.dsn), Reloads(), Reloads()
    changes.subscribe("keys", keys)
    changes.subscribe("models", models)
    async with running(changes):
        await until(lambda: keys.count == models.count == 1)
        await tell(database, "keys")
        await until(lambda: keys.count == 2, 25)
        await tell(database, "nobody listens to this")
        await tell(database, "models")
        await until(lambda: models.count == 2, 25)
        assert keys.count == 2


async def test_what_is_rolled_back_is_not_announced(database: Database) -> None:
    changes, keys = Changes(database.dsn), Reloads()
    changes.subscribe("keys", keys)
    async with running(changes):
        await until(lambda: keys.count == 1)
        with pytest.raises(RuntimeError):
            async with database.connection() as connection:
                await notify(connection, "keys")
                raise RuntimeError
        await tell(database, "other")
        await asyncio.sleep(0.1)
        assert keys.count == 1


async def test_a_notice_during_a_reload_is_not_lost(database: Database) -> None:
    changes = Changes(database.dsn)
    seen: list[int] = []

    async def slow() -> None:
        seen.append(len(seen))
        if len(seen) == 2:
            await tell(database, "keys")
            await asyncio.sleep(0.1)

    changes.subscribe("keys", slow)
    async with running(changes):
        await until(lambda: len(seen) == 1)
        await tell(database, "keys")
        await until(lambda: len(seen) == 3)


async def test_a_subscriber_that_fails_is_called_again_and_holds_up_no_other(database: Database) -> None:
    changes, bad, good = Changes(database.dsn), Reloads(), Reloads()
    bad.fail = True
    changes.subscribe("keys", bad)
    changes.subscribe("keys", good)
    async with running(changes):
        await until(lambda: bad.count == good.count == 1)
        await tell(database, "keys")
        await until(lambda: bad.count == good.count == 2)


async def test_everything_is_reloaded_after_a_lost_connection(postgres: Postgres, database: Database) -> None:
    changes, keys = Changes(database.dsn), Reloads()
    changes.subscribe("keys", keys)
    async with running(changes):
        await until(lambda: keys.count == 1)
        with psycopg.connect(postgres.dsn, autocommit=True) as admin:
            name = conninfo_to_dict(database.dsn)["dbname"]
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        await until(lambda: keys.count == 2)
        await tell(database, "keys")
        await until(lambda: keys.count == 3)


async def test_everything_is_reloaded_now_and_then_without_any_notice(database: Database) -> None:
    changes, keys = Changes(database.dsn, reload_every_s=0.05), Reloads()
    changes.subscribe("keys", keys)
    async with running(changes):
        await until(lambda: keys.count >= 4)
