"""The audit log: who did what to what and why, added to within the transaction that does it, and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from comporta.store.database import Connection, Database
from comporta.types import JSON

ADD = """
insert into audit (by, act, subject, why, details)
select %(by)s, act, subject, %(why)s, coalesce(details, '{}')
from jsonb_to_recordset(%(acts)s) as one(act text, subject text, details jsonb)
"""
SELECT = """
select number, extract(epoch from at)::float8, by, act, subject, why, details from audit
where (%(subject)s::text is null or subject = %(subject)s) and (%(act)s::text is null or act like %(act)s || '%%')
    and (%(before)s::bigint is null or number < %(before)s)
order by number desc limit %(limit)s
"""
MOST = 1000


class Act(Struct, frozen=True, omit_defaults=True):
    """Something done: its kind (`prompt.push`), what it was done to, and what else there is to say."""

    act: str
    subject: str
    details: JSON = {}


class Entry(Struct, frozen=True):
    """An act as it stands in the log; `number` only grows, `at_s` is in epoch seconds."""

    number: int
    at_s: float
    by: str
    act: str
    subject: str
    why: str
    details: Mapping[str, Any]


async def add(connection: Connection, acts: Sequence[Act], *, by: str, why: str = "") -> None:
    """Write acts into the log; they stand there if the connection's transaction commits, and only then."""
    if acts:
        await connection.execute(ADD, {"acts": Jsonb(msgspec.to_builtins(acts)), "by": by, "why": why})


async def read(
    database: Database, *, subject: str | None = None, act: str | None = None, before: int | None = None,
    limit: int = 100,
) -> list[Entry]:  # fmt: skip
    """Entries, the newest first: of one subject, of acts that begin with `act`, older than the number `before`."""
    values = {"subject": subject, "act": act, "before": before, "limit": min(limit, MOST)}
    async with database.reading() as connection:
        rows = await (await connection.execute(SELECT, values)).fetchall()
    return [Entry(*row) for row in rows]
