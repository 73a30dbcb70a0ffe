"""The queue of jobs and what runs by the clock: partitions, retention, expired answers, jobs whose worker died."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import procrastinate
import procrastinate.exceptions
import psycopg
import structlog
from msgspec import Struct
from psycopg import sql

from comporta.cache.postgres import prune
from comporta.errors import Unavailable
from comporta.gateway.followups import kept
from comporta.notify import tables as notices
from comporta.store.database import Database
from comporta.telemetry import review_tables, score_tables
from comporta.telemetry.partitions import ensure_partitions, keep_within, retain

log = structlog.get_logger("comporta.jobs")

#: procrastinate's tables live in a schema of their own.
SCHEMA = "comporta_jobs"
_DAY_S = 86_400.0
_QUEUE_EXISTS = "SELECT to_regclass('comporta_jobs.procrastinate_jobs') IS NOT NULL"
_LOCK = "SELECT pg_advisory_lock(hashtext('comporta_jobs_schema'))"


#: How long a database that is away is left alone before it is tried again.
_AWAY_PAUSE_S = 3.0
#: How long jobs that run get to finish when the worker is told to end.
_END_WITHIN_S = 6.0


class Periodic(Struct, frozen=True):
    """Work that comes up by the clock, once however many workers there are; it must bear being done twice.

    `cron` is in UTC (a sixth field in front are seconds); `retry` says how often it is tried again after a failure.
    """

    name: str
    cron: str
    work: Callable[[], Awaitable[None]]
    retry: int = 0


def _unheard(size_bytes: int) -> None:
    return


class Keep(Struct, frozen=True):
    """How long records are kept, in days: calls and spans, sums by the minute, sums by the hour."""

    days: float
    minute_days: float
    hour_days: float
    #: The most that calls and spans may take in the database.
    record_bytes: int = 20_000_000_000
    #: The most that cached answers may take in the database.
    cache_bytes: int = 1 << 30
    #: How long responses are kept for their follow-ups.
    responses_days: float = 30
    #: How long scores (and reviews) are kept, and the most that scores may take.
    score_days: float = 400
    score_bytes: int = 2_000_000_000
    #: How long notices are kept.
    notice_days: float = 90
    #: Hears what calls and spans take now.
    measured: Callable[[int], None] = _unheard

    async def out_of(self, database: Database) -> None:
        """Drop what is older."""
        dropped = await retain(database, self.days, minute_days=self.minute_days, hour_days=self.hour_days)
        if dropped:
            log.info("retention.dropped", partitions=dropped)
        await kept.prune(database, self.responses_days * _DAY_S)
        await score_tables.prune(database, self.score_days)
        await review_tables.prune(database, self.score_days)
        await notices.prune(database, self.notice_days * _DAY_S)

    async def within_size(self, database: Database) -> None:
        """Drop the oldest where records take too much, and let `/metrics` tell what they take."""
        try:
            found = await keep_within(database, self.record_bytes)
            await score_tables.keep_within(database, self.score_bytes)
        except psycopg.errors.LockNotAvailable:
            # Somebody reads them at length, a backup for one; the next look comes in minutes.
            log.info("records_in_use")
        else:
            self.measured(found.size_bytes)


def make_app(dsn: str, database: Database, keep: Keep, works: Sequence[Periodic] = ()) -> procrastinate.App:
    """The queue and its periodic tasks; `works` are the rooms' own."""
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
    @app.task(name="record_size", queueing_lock="record_size")
    async def record_size(timestamp: int) -> None:
        await keep.within_size(database)

    @app.periodic(cron="*/5 * * * *")
    @app.task(name="cache", queueing_lock="cache", retry=3)
    async def cache(timestamp: int) -> None:
        await prune(database, keep.cache_bytes)

    @app.periodic(cron="*/5 * * * *")
    @app.task(name="stalled", queueing_lock="stalled", pass_context=True)
    async def stalled(context: procrastinate.JobContext, timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs():
            await app.job_manager.retry_job(job)

    for one in works:
        _put_in(app, one)
    return app


def _put_in(app: procrastinate.App, one: Periodic) -> None:
    @app.periodic(cron=one.cron)
    @app.task(name=one.name, queueing_lock=one.name, retry=one.retry)
    async def work(timestamp: int) -> None:
        await one.work()


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


async def run(
    dsn: str, keep: Keep, beside: Callable[[], Coroutine[Any, Any, None]] | None = None, works: Sequence[Periodic] = ()
) -> None:
    """Work until SIGTERM or SIGINT; a database that is away is waited for, and keeps nobody from ending.

    `beside` runs with it and is cancelled at the end; where that fails, all of it does. `works` come up by the clock.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    working = [asyncio.create_task(_keep_working(dsn, keep, works))]
    if beside is not None:
        working.append(asyncio.create_task(beside()))
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({*working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for task in working:
        task.cancel()
    # A job that does not hear its cancelling is given to the next worker by the queue.
    await asyncio.wait(working, timeout=_END_WITHIN_S)
    for ended in done:
        ended.result()


async def _keep_working(dsn: str, keep: Keep, works: Sequence[Periodic]) -> None:
    while True:
        try:
            await _work(dsn, keep, works)
            return
        except (Unavailable, psycopg.OperationalError, procrastinate.exceptions.ConnectorException) as error:
            log.warning("jobs.database_away", kind=type(error).__name__, retry_in_s=_AWAY_PAUSE_S)
            await asyncio.sleep(_AWAY_PAUSE_S)


async def _work(dsn: str, keep: Keep, works: Sequence[Periodic]) -> None:
    async with Database(dsn) as database:
        await database.wait_ready()
        await ensure_partitions(database)
        await keep.out_of(database)
        await keep.within_size(database)
        await prepare_queue(dsn)
        app = make_app(dsn, database, keep, works)
        async with app.open_async():
            await app.run_worker_async(
                fetch_job_polling_interval=60, abort_job_polling_interval=60, delete_jobs="successful",
                shutdown_graceful_timeout=_END_WITHIN_S - 1, install_signal_handlers=False,
            )  # fmt: skip
