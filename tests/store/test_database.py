"""The pool, and the fixtures that others build on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from comporta.errors import ConfigError, Unavailable
from comporta.store.database import Database, place_of
from comporta.store.embedded import EmbeddedPostgres
from comporta.testing.servers import FAST, Postgres, ask_redis, short_folder


async def test_a_statement_runs_and_is_committed(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("create table thing (n int)")
        await connection.execute("insert into thing values (7)")
    async with database.connection() as connection:
        row = await (await connection.execute("select n from thing")).fetchone()
    assert row == (7,)


async def test_an_error_in_the_block_rolls_back(database: Database) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        async with database.connection() as connection:
            await connection.execute("create table thing (n int)")
            raise RuntimeError("stop")
    async with database.connection() as connection:
        row = await (await connection.execute("select to_regclass('thing')")).fetchone()
    assert row == (None,)


async def test_a_statements_own_failure_stays_what_it_is(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with database.connection() as connection:
            await connection.execute("select * from nowhere")


async def test_a_cancellation_that_the_driver_lost_ends_its_task_all_the_same(database: Database) -> None:
    """Python 3.11's `wait_for` loses one that comes together with the answer: a task that loops would never end."""

    async def loses_it() -> None:
        async with database.connection():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    task = asyncio.create_task(loses_it())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task], timeout=25)
    assert task.cancelled()


async def test_the_pool_opens_at_its_first_use(database_dsn: str) -> None:
    database = Database(database_dsn)
    try:
        async with database.connection() as connection:
            assert await (await connection.execute("select 1")).fetchone() == (1,)
    finally:
        await database.close()


async def test_a_task_that_is_cancelled_in_the_turn_in_which_it_gets_a_connection_ends(database_dsn: str) -> None:
    """And the connection is there for others."""
    async with Database(database_dsn, max_size=1) as database:
        forever = asyncio.Event()

        async def wait() -> None:
            async with database.connection():
                await forever.wait()

        async with database.connection():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.05)
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=60)
        assert done and waiting.cancelled()
        async with asyncio.timeout(60), database.connection() as connection:
            await connection.execute("select 1")


async def test_each_test_has_a_database_of_its_own(postgres: Postgres) -> None:
    one, other = postgres.create_database(), postgres.create_database(migrated=False)
    try:
        with psycopg.connect(one) as connection:
            assert connection.execute("select count(*) from virtual_key").fetchone() == (0,)
        with psycopg.connect(other) as connection:
            assert connection.execute("select to_regclass('virtual_key')").fetchone() == (None,)
    finally:
        postgres.drop_database(one)
        postgres.drop_database(other)


def test_redis_answers_and_is_empty(redis_url: str) -> None:
    path = Path(redis_url.removeprefix("unix://").partition("?")[0])
    assert ask_redis(path, "DBSIZE") == b":0\r\n"
    ask_redis(path, "SET left over")
    assert ask_redis(path, "DBSIZE") == b":1\r\n"


async def test_a_server_that_goes_away_is_unavailable_and_its_return_is_noticed_at_once() -> None:
    with short_folder() as folder:
        server = EmbeddedPostgres(folder / "data", settings=FAST)
        database = Database(await asyncio.to_thread(server.start), checkout_s=1.0)
        try:
            await _fill(database)
            await asyncio.to_thread(server.stop)
            with pytest.raises(Unavailable, match="comporta doctor") as caught:
                await _ask(database)
            assert caught.value.code == "database_unavailable"
            await asyncio.to_thread(server.start)
            for _ in range(8):
                assert await _ask(database) == (1,)
        finally:
            await database.close()
            server.stop()


async def test_connections_that_died_in_the_pool_are_not_handed_out(postgres: Postgres, database: Database) -> None:
    await _fill(database)
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'comporta'"
            " and datname = %s",
            [psycopg.conninfo.conninfo_to_dict(database.dsn)["dbname"]],
        )
    for _ in range(8):
        assert await _ask(database) == (1,)


async def test_a_connection_cut_in_mid_statement_is_unavailable(postgres: Postgres, database: Database) -> None:
    with pytest.raises(Unavailable):
        async with database.connection() as connection:
            with psycopg.connect(postgres.dsn, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
            await connection.execute("select 1")


async def test_a_server_that_stays_silent_is_unavailable_to_who_waits_for_an_answer(database: Database) -> None:
    with pytest.raises(Unavailable) as caught:
        async with database.reading(0.2) as connection:
            await connection.execute("select pg_sleep(30)")
    assert caught.value.code == "database_unavailable"
    async with database.reading() as connection:
        assert await (await connection.execute("select 7")).fetchone() == (7,)


async def test_a_server_that_does_not_even_cancel_is_unavailable_soon_and_the_next_one_is_asked(
    database: Database,
) -> None:
    stopped = 0
    begun = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            async with database.reading(0.2) as connection:
                stopped = connection.info.backend_pid
                os.kill(stopped, signal.SIGSTOP)
                await connection.execute("select 1")
        # The driver alone would wait five seconds for the statement's end.
        assert time.monotonic() - begun < 4.5
        async with database.reading() as connection:
            assert await (await connection.execute("select 7")).fetchone() == (7,)
            assert connection.info.backend_pid != stopped
    finally:
        os.kill(stopped, signal.SIGCONT)


async def test_waiting_for_a_server_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    database = Database(f"host={tmp_path} dbname=nowhere password=hunter2")
    with pytest.raises(Unavailable, match=r"nowhere on .*database\.url") as caught:
        await database.wait_ready(0.3)
    assert "hunter2" not in str(caught.value)


async def test_waiting_ends_when_the_server_comes() -> None:
    with short_folder() as folder:
        server = EmbeddedPostgres(folder / "data", settings=FAST)
        dsn = server.start()
        server.stop()
        waiting = asyncio.create_task(Database(dsn).wait_ready(90.0))
        await asyncio.sleep(0.15)
        assert not waiting.done()
        try:
            await asyncio.to_thread(server.start)
            await waiting
        finally:
            server.stop()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"database\.url"):
        Database("what is this")


def test_a_place_never_holds_the_password() -> None:
    assert place_of("postgresql://me:hunter2@db.example/app") == "app on db.example"


async def _fill(database: Database) -> None:
    """Several open connections in the pool."""

    async def hold() -> None:
        async with database.connection() as connection:
            await connection.execute("select pg_sleep(0.05)")

    await asyncio.gather(*(hold() for _ in range(8)))


async def _ask(database: Database) -> object:
    async with database.connection() as connection:
        return await (await connection.execute("select 1")).fetchone()
