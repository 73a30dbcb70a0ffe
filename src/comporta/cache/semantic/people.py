"""What the semantic cache holds of a user: their questions, and the answers to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from comporta.cache.entry import decoded
from comporta.cache.semantic.recall import Semantic
from comporta.pipeline import Gathered
from comporta.store.database import Database
from comporta.store.people import Page, Person, Removed
from comporta.types import JSON

HELD = """
select id, question, extract(epoch from stored_at)::float8, body from semantic_entry
where user_sha256 = %(owner)s and id > %(after)s order by id limit %(limit)s
"""
ERASE = "delete from semantic_entry where user_sha256 = %(owner)s"


class Recalled:
    """Entries of the semantic cache. Workers read every entry from the database, so an erased one is gone at once."""

    kind = "semantic_cache"

    def __init__(self, database: Database, semantic: Callable[[], Semantic | None]) -> None:
        self._database = database
        self._semantic = semantic

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        semantic = self._semantic()
        if semantic is not None:
            await semantic.writing.flush()
        values = {"owner": person.digest, "after": int(after or 0), "limit": limit}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(HELD, values)).fetchall()
        following = str(rows[-1][0]) if len(rows) == limit else None
        return Page([_told(*row[1:]) for row in rows], following)

    async def erase(self, person: Person, after: str | None) -> Removed:
        semantic = self._semantic()
        if semantic is not None:
            semantic.writing.withdraw(person.digest)
        async with self._database.connection() as connection:
            return Removed((await connection.execute(ERASE, {"owner": person.digest})).rowcount)


def _told(question: str, stored_s: float, body: Any) -> JSON:
    entry = decoded(body)
    gathered = Gathered()
    for event in () if entry is None else entry.events:
        gathered.add(event)
    reply = gathered.reply()
    return {
        "stored_at": datetime.fromtimestamp(stored_s, UTC).isoformat(),
        "question": question,
        "reply": msgspec.to_builtins({"model": reply.model, "choices": reply.choices}),
    }
