"""How far works beside the calls have looked: one moment for each, moved on when a look is done."""

from __future__ import annotations

import datetime

from comporta.store.database import Connection

READ = "select at from feedback_mark where work = %s"
MOVE = "insert into feedback_mark (work, at) values (%s, %s) on conflict (work) do update set at = excluded.at"
NOW = "select now()"
_FIRST_LOOK = datetime.timedelta(hours=1)


async def mark_of(connection: Connection, work: str) -> tuple[datetime.datetime, datetime.datetime]:
    """From when on to look, and the database's now. A first look goes an hour back."""
    now = await (await connection.execute(NOW)).fetchone()
    assert now is not None
    row = await (await connection.execute(READ, [work])).fetchone()
    return (row[0] if row is not None else now[0] - _FIRST_LOOK), now[0]


async def move(connection: Connection, work: str, at: datetime.datetime) -> None:
    """Go on from there the next time."""
    await connection.execute(MOVE, [work, at])
