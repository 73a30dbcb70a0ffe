"""What scores hold of a user: those of the user's calls, and those that the user gave in person.

An erased score keeps its figure, so that every share and mean stays what it was. The person goes, and so do words: a
comment, a correction, a reason.
"""

from __future__ import annotations

import datetime

import msgspec
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.store.people import Page, Person, Removed
from comporta.telemetry.score_reads import score_row

_BATCH = 500

PAGE = """
select * from score
where (user_id = %(user)s or who = %(user)s) and (at, owner, id, name) > (%(at)s, %(owner)s, %(id)s, %(name)s)
order by at, owner, id, name limit %(limit)s
"""
ERASE = """
with theirs as (
    select owner, id, name, kind from score where user_id = %(user)s or who = %(user)s
    limit %(limit)s for update
), words as (
    delete from score using theirs
    where (score.owner, score.id, score.name) = (theirs.owner, theirs.id, theirs.name) and theirs.kind = 'text'
), figures as (
    update score set user_id = null, session = null, reason = null,
        who = case when score.who = %(user)s then '' else score.who end, reply_id = null
    from theirs
    where (score.owner, score.id, score.name) = (theirs.owner, theirs.id, theirs.name) and theirs.kind <> 'text'
)
select count(*) from theirs
"""
_FIRST = (datetime.datetime(1, 1, 1, tzinfo=datetime.UTC), "", "", "")


class ScoresOf:
    """The table `score`. It is erased after the calls: what is joined meanwhile then finds no person any more."""

    kind = "scores"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        at, owner, id, name = _FIRST if after is None else _read(after)
        values = {"user": person.name, "at": at, "owner": owner, "id": id, "name": name, "limit": limit}
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            found = await (await cursor.execute(PAGE, values)).fetchall()
        last = None
        if len(found) == limit:
            end = found[-1]
            last = msgspec.json.encode((end["at"], end["owner"], end["id"], end["name"])).decode()
        return Page([{"score": msgspec.to_builtins(score_row(row))} for row in found], last)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            row = await (await connection.execute(ERASE, {"user": person.name, "limit": _BATCH})).fetchone()
        count = int(row[0]) if row is not None else 0
        return Removed(count, "more" if count == _BATCH else None)


def _read(after: str) -> tuple[datetime.datetime, str, str, str]:
    try:
        return msgspec.json.decode(after, type=tuple[datetime.datetime, str, str, str])
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of the answer before.", param="after") from None
