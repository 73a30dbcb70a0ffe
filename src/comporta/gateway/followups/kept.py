"""Responses that the gate keeps itself, for providers that have no Responses API: the conversation, link by link.

A row holds what one call added to its conversation: the items that were sent and the response that came. A conversation
is the chain of rows back to its first, and lives until its latest response has expired.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from comporta.errors import NotFound
from comporta.gateway.followups.places import KEPT, Place
from comporta.store.database import Database
from comporta.store.people import digest_of, hold_back, stored_name
from comporta.types import JSON, Caller, Target

INSERT = """
insert into kept_response (id, conversation, previous, key_id, team, asked, route, variant, provider, model, credential,
    input, response, user_id)
select %(id)s, %(conversation)s, %(previous)s, %(key_id)s, %(team)s, %(asked)s, %(route)s, %(variant)s, %(provider)s,
    %(model)s, %(credential)s, %(input)s, %(response)s, %(user)s::text
where not exists (
    select from erasure where user_sha256 = %(digest)s::bytea and at >= to_timestamp(%(started_s)s::float8)
)
on conflict do nothing
returning id
"""
_OWN = "(key_id = %(key_id)s or team = %(team)s) and created_at > %(oldest)s"
CHAIN = f"""
with recursive chain as (
    select kept_response.*, 0 as back from kept_response where id = %(id)s and {_OWN}
    union all
    select earlier.*, back + 1 from chain join kept_response as earlier on earlier.id = chain.previous
)
select id, conversation, previous, key_id, team, asked, route, variant, provider, model, credential, input, response
from chain order by back
"""
ONE = f"select input, response from kept_response where id = %(id)s and {_OWN}"
DELETE = f"delete from kept_response where id = %(id)s and {_OWN} returning id"
PRUNE = """
delete from kept_response as old where created_at <= %(oldest)s and not exists (
    select from kept_response as later
    where later.conversation = old.conversation and later.created_at > %(oldest)s
)
"""

NOT_FOUND = "previous_response_not_found"

_decode = msgspec.json.Decoder().decode


class Conversation(Struct, frozen=True):
    """What was said up to a response, as the wire's own items, the oldest first."""

    #: The ids of its first response and of the latest.
    root: str
    latest: str
    items: list[Any]
    #: Where the latest response came from.
    place: Place


class Answer(Struct, frozen=True):
    """A response to keep, with the items that asked for it."""

    id: str
    place: Place
    previous: str | None
    conversation: str
    input: bytes
    response: bytes
    #: Whose it is, as the client named them, and when they asked: a user who is erased meanwhile has nothing kept.
    user: str | None = None
    started_s: float = 0.0


class Kept:
    """The table. `keep_s` says how long a response lives; a reload reaches the next question."""

    def __init__(self, database: Database, keep_s: Callable[[], float]) -> None:
        self._database = database
        self._keep_s = keep_s

    async def save(self, answer: Answer) -> bool:
        """Keep a response; False where another one has its id, or its user was erased meanwhile.

        Raises Unavailable where the database is away.
        """
        place, target = answer.place, answer.place.target
        values = {
            "id": answer.id, "conversation": answer.conversation, "previous": answer.previous, "key_id": place.key_id,
            "team": place.team, "asked": place.asked, "route": target.route, "variant": target.variant,
            "provider": target.provider, "model": target.model, "credential": target.credential,
            "input": answer.input, "response": answer.response, "started_s": answer.started_s,
            "user": None if answer.user is None else stored_name(answer.user),
            "digest": None if answer.user is None else digest_of(answer.user),
        }  # fmt: skip
        async with self._database.connection() as connection:
            await hold_back(connection)
            return await (await connection.execute(INSERT, values)).fetchone() is not None

    async def conversation(self, id: str, caller: Caller) -> Conversation | None:
        """The conversation up to a response; None where there is no such response of this caller's.

        Raises NotFound where a part of it was deleted: the rest alone would say something else.
        """
        async with self._database.connection() as connection:
            rows = await (await connection.execute(CHAIN, self._own(id, caller))).fetchall()
        if not rows:
            return None
        if rows[-1][2] is not None:
            raise NotFound(
                f"An earlier response of the conversation up to '{id}' was deleted: send what is left as `input`.",
                code=NOT_FOUND,
                param="previous_response_id",
            )
        items: list[Any] = []
        for row in reversed(rows):
            items += _decode(row[-2])
            items += _decode(row[-1])["output"]
        return Conversation(rows[0][1], id, items, _place(rows[0]))

    async def one(self, id: str, caller: Caller) -> tuple[list[Any], JSON] | None:
        """The items that asked for a response, and the response."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(ONE, self._own(id, caller))).fetchone()
        return None if row is None else (_decode(row[0]), _decode(row[1]))

    async def delete(self, id: str, caller: Caller) -> bool:
        """Forget a response; whether there was one."""
        async with self._database.connection() as connection:
            return await (await connection.execute(DELETE, self._own(id, caller))).fetchone() is not None

    def _own(self, id: str, caller: Caller) -> dict[str, Any]:
        return {"id": id, "key_id": caller.key_id, "team": caller.team, "oldest": _oldest(self._keep_s())}


async def prune(database: Database, keep_s: float) -> int:
    """Drop conversations whose latest response has expired; how many responses went."""
    async with database.connection() as connection:
        return (await connection.execute(PRUNE, {"oldest": _oldest(keep_s)})).rowcount


def _oldest(keep_s: float) -> datetime.datetime:
    now = datetime.datetime.now(datetime.UTC)
    try:
        return now - datetime.timedelta(seconds=keep_s)
    except OverflowError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _place(row: Sequence[Any]) -> Place:
    _, _, _, key_id, team, asked, route, variant, provider, model, credential, *_ = row
    return Place(key_id, team, asked, Target(route, variant, provider, model, credential=credential), KEPT)
