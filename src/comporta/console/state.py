"""How the database and the queue of jobs stand, read from the database itself."""

from __future__ import annotations

import datetime

from msgspec import Struct
from psycopg import sql

from comporta.store.database import Database

SIZES = """
select pg_database_size(current_database()),
    (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent in ('call'::regclass, 'span'::regclass)),
    (select min(started_at) from call), current_setting('server_version'),
    (select count(*) from pg_stat_activity where datname = current_database())
"""
_QUEUE = "select to_regclass('comporta_jobs.procrastinate_jobs') is not null"
JOBS = "select status::text, count(*) from comporta_jobs.procrastinate_jobs group by 1 order by 1"
FAILED = """
select task_name, max(event.at), count(*) from comporta_jobs.procrastinate_jobs as job
join comporta_jobs.procrastinate_events as event on event.job_id = job.id and event.type = 'failed'
where job.status = 'failed' group by 1 order by 2 desc limit 10
"""
#: Of big tables an estimate is enough, and costs nothing.
ROWS = "select coalesce(sum(greatest(reltuples, 0)), 0)::bigint from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = {}::regclass"  # noqa: E501


class State(Struct, frozen=True):
    """Sizes in bytes; `calls` and `spans` are the planner's estimates. `jobs` counts them by their state."""

    database_bytes: int
    records_bytes: int
    oldest_call: datetime.datetime | None
    server: str
    connections: int
    calls: int
    spans: int
    jobs: dict[str, int]
    #: Tasks whose jobs failed: when last, and how many.
    failed: list[tuple[str, datetime.datetime, int]]


async def read_state(database: Database) -> State:
    """Raises Unavailable."""
    async with database.reading() as connection:
        sizes = await (await connection.execute(SIZES)).fetchone()
        assert sizes is not None
        counts = []
        for table in ("call", "span"):
            row = await (await connection.execute(sql.SQL(ROWS).format(sql.Literal(table)))).fetchone()
            counts.append(int(row[0]) if row is not None else 0)
        jobs: dict[str, int] = {}
        failed: list[tuple[str, datetime.datetime, int]] = []
        queue = await (await connection.execute(_QUEUE)).fetchone()
        if queue is not None and queue[0]:
            jobs = {row[0]: row[1] for row in await (await connection.execute(JOBS)).fetchall()}
            failed = [(row[0], row[1], row[2]) for row in await (await connection.execute(FAILED)).fetchall()]
    return State(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], counts[0], counts[1], jobs, failed)
