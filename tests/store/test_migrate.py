"""Migrations: once each, in order, from many places at once, and never rewritten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from comporta.errors import ConfigError, Unavailable
from comporta.store import migrate as subject
from comporta.store.migrate import Migration, migrate, shipped
from comporta.testing.servers import Postgres

ONE = Migration(1, "one", "create table one (n int);\ninsert into one values (1);")
TWO = Migration(2, "two", "create table two (n int);")
LATER = Migration(100, "later", "create table later (n int);")


@pytest.fixture
def bare_dsn(postgres: Postgres) -> Iterator[str]:
    """A database without any tables."""
    dsn = postgres.create_database(migrated=False)
    yield dsn
    postgres.drop_database(dsn)


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement.encode()).fetchall()


async def test_files_are_applied_in_order_and_only_once(bare_dsn: str) -> None:
    assert await migrate(bare_dsn, [ONE, TWO]) == ["0001_one.sql", "0002_two.sql"]
    assert await migrate(bare_dsn, [ONE, TWO]) == []
    assert ask(bare_dsn, "select number, name from comporta_migration order by number") == [(1, "one"), (2, "two")]
    assert ask(bare_dsn, "select n from one") == [(1,)]


async def test_a_lower_number_that_came_later_is_applied_too(bare_dsn: str) -> None:
    await migrate(bare_dsn, [ONE, LATER])
    assert await migrate(bare_dsn, [ONE, TWO, LATER]) == ["0002_two.sql"]


async def test_many_starts_at_once_apply_each_file_once(bare_dsn: str) -> None:
    slow = Migration(3, "slow", "select pg_sleep(0.1); create table slow (n int);")
    done = await asyncio.gather(*(migrate(bare_dsn, [ONE, TWO, slow]) for _ in range(6)))
    assert sorted(file for files in done for file in files) == ["0001_one.sql", "0002_two.sql", "0003_slow.sql"]


async def test_a_file_that_fails_leaves_nothing_behind_and_is_named(bare_dsn: str) -> None:
    broken = Migration(2, "broken", "create table half (n int); select 1 / 0;")
    with pytest.raises(ConfigError, match=r"0002_broken\.sql.*division by zero"):
        await migrate(bare_dsn, [ONE, broken])
    assert ask(bare_dsn, "select to_regclass('half'), to_regclass('one')") == [(None, "one")]
    assert await migrate(bare_dsn, [ONE, TWO]) == ["0002_two.sql"]


async def test_a_changed_file_is_refused_but_not_for_its_line_ends(bare_dsn: str) -> None:
    await migrate(bare_dsn, [ONE])
    assert await migrate(bare_dsn, [Migration(1, "one", ONE.sql.replace("\n", "\r\n"))]) == []
    with pytest.raises(ConfigError, match=r"0001_one\.sql was applied") as caught:
        await migrate(bare_dsn, [Migration(1, "one", ONE.sql + "-- and more")])
    assert caught.value.code == "migration_changed"


async def test_a_database_of_a_newer_version_is_refused(bare_dsn: str) -> None:
    await migrate(bare_dsn, [ONE, TWO])
    with pytest.raises(ConfigError, match=r"newer Comporta.*0002_two\.sql") as caught:
        await migrate(bare_dsn, [ONE])
    assert caught.value.code == "database_too_new"


async def test_an_old_server_is_refused(bare_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "OLDEST_SERVER", 99)
    with pytest.raises(ConfigError, match="PostgreSQL 99 or later is needed") as caught:
        await migrate(bare_dsn, [ONE])
    assert caught.value.code == "database_too_old"


async def test_no_server_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"database\.url"):
        await migrate(f"host={tmp_path} dbname=nowhere", [ONE])


async def test_a_user_who_may_not_make_tables_hears_which_right_is_missing(postgres: Postgres, bare_dsn: str) -> None:
    with psycopg.connect(bare_dsn, autocommit=True) as connection:
        connection.execute("drop role if exists visitor")
        connection.execute("create role visitor login password 'visitor'")
        try:
            with pytest.raises(ConfigError, match="grant create on schema public"):
                await migrate(make_conninfo(bare_dsn, user="visitor", password="visitor"), [ONE])
        finally:
            connection.execute("drop role visitor")


async def test_an_ordinary_owner_without_more_rights_can_set_up_everything(postgres: Postgres) -> None:
    dsn = postgres.create_database(migrated=False)
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("drop role if exists owner")
        connection.execute("create role owner login password 'owner'")
        connection.execute(sql.SQL("alter database {} owner to owner").format(sql.Identifier(str(name))))
        try:
            assert await migrate(make_conninfo(dsn, user="owner", password="owner")) == [m.file for m in shipped()]
        finally:
            postgres.drop_database(dsn)
            connection.execute("drop role owner")


def test_the_shipped_files_are_numbered_once_and_in_order() -> None:
    numbers = [migration.number for migration in shipped()]
    assert numbers[:4] == [1, 2, 3, 4]
    assert numbers == sorted(set(numbers))
