"""Where answers came from, by what a follow-up names them by: first in this process, then in the records of calls.

The record is the truth: the span of the stage `follow` names, under `followups`, the response's id, its items' ids and
the digests of its sealed thinking. Records wait out a database that is away and survive a crash, so this does too, and
an answer costs no query.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct, structs

from comporta.pipeline import Call
from comporta.routing.pinned import Pinned
from comporta.store.database import Database
from comporta.types import JSON, Caller, Input, Other, Reasoning, Target

#: What became of an answer: its provider holds it, it is kept here, or it is not, for one of the reasons below.
PROVIDER, KEPT = "provider", "kept"
NOT_KEPT: Final[Mapping[str, str]] = {
    "store": "it was asked for with `store: false`",
    "content": "its route keeps no content (`content: off` or `hashed`)",
    "never": "this gate keeps no responses (`responses.keep: 0s`)",
    "away": "the database was away when it was given",
    "split": "it continued a conversation that another provider keeps",
}
#: The name under which a span's attributes list what the answer can be referred to by.
FOLLOWUPS = "followups"

_MOST = 20_000
_MOST_KEYS = 64
_MOST_KEY_CHARS = 200
#: How long thinking that no record knows is not looked for again.
_UNKNOWN_S = 60.0
#: Of a long conversation, so many of the latest thoughts are looked for.
_MOST_THOUGHTS = 16

FIND = """
select c.key_id, c.team, c.asked, c.route, c.variant, c.provider, c.model, c.credential, s.attributes ->> 'state',
    s.attributes -> 'followups'
from span s join call c on c.started_at = s.started_at and c.id = s.call_id
where s.attributes ? 'followups' and s.attributes -> 'followups' ?| %(keys)s
    and (c.key_id = %(key_id)s or c.team = %(team)s)
order by s.started_at desc
limit 1
"""


class Place(Struct, frozen=True):
    """Where an answer came from, whose it is, and what became of it."""

    key_id: str
    team: str | None
    asked: str
    target: Target
    state: str

    def belongs_to(self, caller: Caller) -> bool:
        """Whether a caller may go on from it: the same key, or one of the same team."""
        return self.key_id == caller.key_id or (self.team is not None and self.team == caller.team)

    def pinned(self, what: str, *, must: bool) -> Pinned:
        held = self.state == PROVIDER
        return Pinned(what, self.asked, self.target, held=held, must=must and held)


def place_of(call: Call, state: str) -> Place:
    """The place of a call that was answered."""
    target = call.target or Target(call.model, call.model, "", "")
    lean = structs.replace(target, params={})
    return Place(call.caller.key_id, call.caller.team, call.model, lean, state)


class Places:
    """Answers and where they came from; the latest ones in memory, all others in the records."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._near: OrderedDict[str, Place] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()

    def note(self, keys: Iterable[str], place: Place) -> None:
        """Remember an answer in this process."""
        for key in keys:
            self._near[key] = place
            self._near.move_to_end(key)
            self._unknown.pop(key, None)
        while len(self._near) > _MOST:
            self._near.popitem(last=False)

    def forget(self, key: str) -> None:
        self._near.pop(key, None)

    def near(self, keys: Iterable[str], caller: Caller) -> Place | None:
        """The first that this process knows."""
        for key in keys:
            place = self._near.get(key)
            if place is not None and place.belongs_to(caller):
                return place
        return None

    async def find(self, keys: Sequence[str], caller: Caller) -> Place | None:
        """The latest that the records know. Raises Unavailable where the database is away."""
        given = {"keys": list(keys), "key_id": caller.key_id, "team": caller.team}
        async with self._database.connection() as connection:
            row = await (await connection.execute(FIND, given)).fetchone()
        if row is None:
            return None
        place = _read(row)
        self.note(row[-1], place)
        return place

    def unknown(self, keys: Iterable[str]) -> bool:
        """Whether all of them were looked for in vain a short while ago."""
        now_s = self._clock()
        return all(self._unknown.get(key, 0.0) > now_s for key in keys)

    def miss(self, keys: Iterable[str]) -> None:
        """They were looked for in vain."""
        until_s = self._clock() + _UNKNOWN_S
        for key in keys:
            self._unknown[key] = until_s
        while len(self._unknown) > _MOST:
            self._unknown.popitem(last=False)


def _read(row: Sequence[Any]) -> Place:
    key_id, team, asked, route, variant, provider, model, credential, state, _ = row
    target = Target(route or asked, variant or "", provider or "", model or "", credential=credential)
    return Place(key_id, team, asked, target, state or PROVIDER)


def sealed_key(value: str) -> str:
    """What stands for sealed or signed thinking, which is long: clients may send it back without its id."""
    return "sealed:" + blake2b(value.encode("utf-8", "replace"), digest_size=16).hexdigest()


def attributes(keys: Sequence[str], state: str) -> JSON:
    """What a span says of an answer, for `FIND`."""
    lean = [key for key in keys if len(key) <= _MOST_KEY_CHARS][:_MOST_KEYS]
    return {FOLLOWUPS: lean, "state": state}


def thoughts_of(asked: Input) -> list[str]:
    """What refers to earlier answers among the items of an input, the latest first: thinking, and items by their id."""
    keys: list[str] = []
    for message in reversed(asked.messages):
        if message.role == "assistant":
            for part in reversed(message.parts):
                if isinstance(part, Reasoning):
                    seal = part.encrypted or part.signature
                    keys += [sealed_key(seal)] if seal else []
                    keys += [part.id] if part.id else []
                elif isinstance(part, Other) and part.value.get("type") == "item_reference":
                    identity = part.value.get("id")
                    keys += [identity] if isinstance(identity, str) else []
        if len(keys) >= _MOST_THOUGHTS:
            break
    return [key for key in keys if len(key) <= _MOST_KEY_CHARS and key.isprintable()][:_MOST_THOUGHTS]
