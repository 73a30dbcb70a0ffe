"""The job worker: a process of its own for what must not slow a call (partitions, retention, stalled jobs)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import procrastinate
import psycopg
import structlog
from msgspec import Struct
from psycopg import sql

from comporta.app.folder import Folder
from comporta.app.loaded import Places, load_settings
from comporta.app.process import die_with_parent
from comporta.store.database import Database
from comporta.telemetry import logs
from comporta.telemetry.partitions import ensure_partitions, retain

log = structlog.get_logger("comporta.jobs")

#: procrastinate's tables live in a schema of their own.
SCHEMA = "comporta_jobs"
_QUEUE_EXISTS = "SELECT to_regclass('comporta_jobs.procrastinate_jobs') IS NOT NULL"
_LOCK = "SELECT pg_advisory_lock(hashtext('comporta_jobs_schema'))"
_DAY_S = 86_400.0


class Keep(Struct, frozen=True):
    """How long records are kept, in days: calls and spans, sums by the minute, sums by the hour."""

    days: float
    minute_days: float
    hour_days: float

    async def out_of(self, database: Database) -> None:
        """Drop what is older."""
        dropped = await retain(database, self.days, minute_days=self.minute_days, hour_days=self.hour_days)
        if dropped:
            log.info("retention.dropped", partitions=dropped)


def make_app(dsn: str, database: Database, keep: Keep) -> procrastinate.App:
    """The queue and its periodic tasks."""
    connector = procrastinate.PsycopgConnector(conninfo=dsn, kwargs={"options": f"-c search_path={SCHEMA},public"})
    app = procrastinate.App(connector=connector)

    @app.periodic(cron="7 * * * *")
    @app.task(name="partitions", queueing_lock="partitions", retry=3)
    async def partitions(timestamp: int) -> None:
        await ensure_partitions(database)

    @app.periodic(cron="23 3 * * *")
    @app.task(name="retention", queueing_lock="retention", retry=3)
    async def retention(timestamp: int) -> None:
        await keep.out_of(database)

    @app.periodic(cron="*/5 * * * *")
    @app.task(name="stalled", queueing_lock="stalled", pass_context=True)
    async def stalled(context: procrastinate.JobContext, timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs():
            await app.job_manager.retry_job(job)

    return app


async def prepare_queue(dsn: str) -> None:
    """Create the queue's tables, once, however many start at the same time."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(_LOCK)
        found = await (await connection.execute(_QUEUE_EXISTS)).fetchone()
        if found is not None and found[0]:
            return
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=dsn, kwargs={"options": f"-c search_path={SCHEMA},public"}
            )
        )
        async with app.open_async():
            await app.schema_manager.apply_schema_async()


async def run(dsn: str, keep: Keep) -> None:
    """Work until SIGTERM; a database that is away is waited for."""
    database = Database(dsn)
    await database.open()
    try:
        await ensure_partitions(database)
        await keep.out_of(database)
        await prepare_queue(dsn)
        app = make_app(dsn, database, keep)
        async with app.open_async():
            await app.run_worker_async(
                fetch_job_polling_interval=60, abort_job_polling_interval=60, delete_jobs="successful",
                shutdown_graceful_timeout=8,
            )  # fmt: skip
    finally:
        await database.close()


def main() -> None:
    """The process; reads what `serve` put into the environment."""
    die_with_parent()
    environment = os.environ
    folder = Folder(Path(environment["COMPORTA_DATA"]))
    places = Places(Path(config) if (config := environment["COMPORTA_CONFIG"]) else None, folder)
    settings = load_settings(places, environment).value
    logs.configure(settings.logging.level, settings.logging.format)
    records = settings.records
    keep = Keep(records.keep / _DAY_S, records.keep_minutes / _DAY_S, records.keep_hours / _DAY_S)
    asyncio.run(run(environment["COMPORTA_DATABASE_DSN"], keep))


if __name__ == "__main__":
    main()
