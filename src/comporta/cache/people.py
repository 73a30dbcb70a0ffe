"""What the cache holds of a user: answers to their calls, in this process's memory and in the store behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from comporta.cache.entry import decoded, mark_of
from comporta.cache.far import Far
from comporta.cache.memory import Memory
from comporta.errors import ComportaError, Unavailable
from comporta.pipeline import Gathered
from comporta.store.people import Page, Person, Removed
from comporta.types import JSON


class Answers:
    """Answers of the exact cache. Other processes drop theirs from memory when they hear of an erasure."""

    kind = "cache"

    def __init__(self, memory: Memory, far: Callable[[], Far | None]) -> None:
        self._memory = memory
        self._far = far

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        far = self._far()
        if far is None:
            bodies, following = self._memory.ending(mark_of(person.digest)), None
        else:
            await far.flush()
            try:
                bodies, following = await far.store.held(person.digest, after, limit)
            except Exception as error:
                raise _away(error) from error
        return Page([row for body in bodies if (row := _told(body)) is not None], following)

    async def erase(self, person: Person, after: str | None) -> Removed:
        here = self._memory.drop_ending(mark_of(person.digest))
        far = self._far()
        if far is None:
            return Removed(here)
        far.withdraw(person.digest)
        try:
            return Removed(*await far.store.erase(person.digest, after))
        except Exception as error:
            raise _away(error) from error


def _told(body: bytes) -> JSON | None:
    entry = decoded(body)
    if entry is None:
        return None
    gathered = Gathered()
    for event in entry.events:
        gathered.add(event)
    reply = gathered.reply()
    told: JSON = {
        "stored_at": datetime.fromtimestamp(entry.stored_s, UTC).isoformat(),
        "reply": msgspec.to_builtins({"model": reply.model, "choices": reply.choices, "usage": entry.usage}),
    }
    return told


def _away(error: Exception) -> ComportaError:
    """A store that can't be asked keeps what it has: whoever asked must hear that it isn't done."""
    if isinstance(error, ComportaError):
        return error
    told = f"The cache's store can't be reached ({type(error).__name__}): ask again when it is back."
    return Unavailable(told, code="cache_unavailable")
