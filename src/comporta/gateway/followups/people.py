"""What is held of a user as kept responses: their conversations, whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from comporta.store.database import Database
from comporta.store.people import Page, Person, Removed
from comporta.types import JSON

_BATCH = 200
#: A follow-up may leave the user out: what a user began is theirs. Responses that were kept before they bore a user
#: are found by their calls.
_THEIRS = """
with named as (
    select id, conversation from kept_response where user_id = %(user)s
    union
    select kept.id, kept.conversation
    from call
    join span on span.started_at = call.started_at and span.call_id = call.id
    join kept_response as kept on span.attributes -> 'followups' ? kept.id
    where call.user_id = %(user)s and span.attributes ? 'followups' and kept.user_id is null
), theirs as (
    select id from named
    union
    select kept.id from kept_response as kept join named on named.conversation = kept.conversation
    where kept.user_id is null
)
"""
PAGE = f"""
{_THEIRS}
select id, conversation, previous, asked, model, created_at, input, response
from kept_response where id in (select id from theirs) and id > %(after)s order by id limit %(limit)s
"""
#: First all of it gets the user's name, so that it can go piece by piece.
CLAIM = f"""
{_THEIRS}
update kept_response set user_id = %(user)s where user_id is null and id in (select id from theirs)
"""
ERASE = """
delete from kept_response where id in (select id from kept_response where user_id = %(user)s limit %(limit)s)
"""
#: Answers that their providers keep, which only these can delete.
ELSEWHERE = """
select call.provider, count(*)
from call join span on span.started_at = call.started_at and span.call_id = call.id
where call.user_id = %(user)s and span.attributes ->> 'state' = 'provider'
    and span.attributes -> 'followups' ->> 0 like 'resp%%'
group by 1 order by 1
"""


class Responses:
    """The table `kept_response`. It is to be erased before the calls, by which old rows are found."""

    kind = "responses"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        values = {"user": person.name, "after": after or "", "limit": limit}
        async with self._database.reading() as connection:
            rows = await (await connection.execute(PAGE, values)).fetchall()
        return Page([_told(row) for row in rows], rows[-1][0] if len(rows) == limit else None)

    async def erase(self, person: Person, after: str | None) -> Removed:
        values = {"user": person.name, "limit": _BATCH}
        async with self._database.connection() as connection:
            elsewhere: Sequence[Any] = ()
            if after is None:
                elsewhere = await (await connection.execute(ELSEWHERE, values)).fetchall()
                await connection.execute(CLAIM, values)
            count = (await connection.execute(ERASE, values)).rowcount
        left = tuple(
            [f"{number} responses are kept by the provider {name}: delete them there." for name, number in elsewhere]
        )
        return Removed(count, "more" if count == _BATCH else None, left)


def _told(row: Sequence[Any]) -> JSON:
    id, conversation, previous, asked, model, created_at, input, response = row
    return {
        "id": id, "conversation": conversation, "previous_response_id": previous, "asked": asked, "model": model,
        "created_at": created_at.isoformat(), "input": msgspec.json.decode(input),
        "response": msgspec.json.decode(response),
    }  # fmt: skip
