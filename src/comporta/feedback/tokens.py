"""Public tokens: each lets a browser judge one answer until it expires, and nothing else.

A token is `cfb.KEY.CLAIMS.MARK`: the id of a key, what may be judged and until when, and an HMAC-SHA256 over both. The
keys lie in the database, are held in memory by every gate, and are made anew from time to time; old ones are believed
for as long as tokens of theirs may live.
"""

from __future__ import annotations

import base64
import hmac
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from comporta.errors import InvalidKey, Unavailable
from comporta.store.changes import notify
from comporta.store.database import Database
from comporta.store.rows import Rows

log = structlog.get_logger("comporta.feedback")

PREFIX = "cfb."
TOPIC = "feedback_keys"
_MAX_CHARS = 600
_MARK_BYTES = 16
#: By then every gate has read a new key, also one whose notices are lost.
_KNOWN_EVERYWHERE_S = 60.0
#: Longer than a token may live.
_BELIEVED_S = 32 * 86_400.0
#: An unknown key's id makes a gate look no oftener than this.
_LOOK_EVERY_S = 5.0

SELECT = "select id, secret, extract(epoch from made_at)::float8 from feedback_key order by made_at, id"
LOCK = "select pg_advisory_xact_lock(7301954021)"
MAKE = """
insert into feedback_key (id, secret) select %(id)s, %(secret)s
where not exists (select from feedback_key where made_at > now() - make_interval(secs => %(rotate_s)s))
returning id
"""
DROP = "delete from feedback_key where made_at < now() - make_interval(secs => %(older_s)s) returning id"


class Claims(Struct, frozen=True, array_like=True):
    """What may be judged (a call, else a trace), until when, in seconds since 1970."""

    until_s: int
    call_id: str = ""
    trace_id: str = ""


class _Key(Struct, frozen=True):
    id: str
    secret: bytes
    made_s: float


class Tokens:
    """Makes and reads tokens. `load` it before, and `rotate` it now and then.

    `rotate_s` is how old a key may grow before a new one takes its place.
    """

    def __init__(
        self, database: Database, rotate_s: Callable[[], float], clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._rotate_s = rotate_s
        self._clock = clock
        self._looked_s = 0.0
        self._rows: Rows[_Key] = Rows(database, topic=TOPIC, select=SELECT, read=_key, key=lambda row: row.id)
        self.load = self._rows.load

    async def rotate(self) -> None:
        """Make a key where there is none, or none that is young enough; drop those that nothing may rest on any more.

        Raises Unavailable.
        """
        made = {"id": os.urandom(4).hex(), "secret": os.urandom(32), "rotate_s": self._rotate_s()}
        async with self._database.connection() as connection:
            await connection.execute(LOCK)
            new = await (await connection.execute(MAKE, made)).fetchone()
            older_s = self._rotate_s() + _BELIEVED_S
            old = await (await connection.execute(DROP, {"older_s": older_s})).fetchall()
            if new is not None or old:
                await notify(connection, TOPIC)
        await self.load()

    @property
    def ready(self) -> bool:
        """Whether tokens can be made."""
        return bool(self._rows.held)

    def make(self, call_id: str, trace_id: str, lifetime_s: float) -> str:
        """A token for a call, or for a trace where there is no call. Raises Unavailable where no key is known yet."""
        key = self._signing()
        if key is None:
            raise Unavailable(
                "No key for feedback tokens is known yet: the database was away when this gate started.",
                code="feedback_tokens_unavailable", retry_after_s=5,
            )  # fmt: skip
        claims = Claims(int(self._clock() + lifetime_s), call_id, "" if call_id else trace_id)
        body = f"{PREFIX}{key.id}.{_text(msgspec.json.encode(claims))}"
        return f"{body}.{_mark(key.secret, body)}"

    async def read(self, token: str) -> Claims:
        """What a token allows. Raises InvalidKey: forged, expired, or signed with a key that is gone."""
        body, _, mark = token.rpartition(".")
        id = body[len(PREFIX) :].partition(".")[0]
        key = self._rows.held.get(id) or await self._sought(id)
        if len(token) > _MAX_CHARS or not token.isascii() or key is None:
            raise _invalid()
        if not hmac.compare_digest(_mark(key.secret, body), mark):
            raise _invalid()
        claims = msgspec.json.decode(_bytes(body.rpartition(".")[2]), type=Claims)
        if claims.until_s < self._clock():
            raise InvalidKey("This feedback token has expired; ask for a new one.", code="feedback_token_expired")
        return claims

    def _signing(self) -> _Key | None:
        """The newest key that every gate knows; the oldest where all are newer."""
        keys = sorted(self._rows.held.values(), key=lambda one: one.made_s)
        known = [one for one in keys if one.made_s <= self._clock() - _KNOWN_EVERYWHERE_S]
        return (known[-1] if known else keys[0]) if keys else None

    async def _sought(self, id: str) -> _Key | None:
        """A key that another gate made a moment ago."""
        now_s = self._clock()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return None
        self._looked_s = now_s
        await self.load()
        return self._rows.held.get(id)


def _key(row: Sequence[Any]) -> _Key:
    return _Key(row[0], bytes(row[1]), row[2])


def _invalid() -> InvalidKey:
    return InvalidKey("This is no feedback token of this gate.", code="invalid_feedback_token")


def _mark(secret: bytes, body: str) -> str:
    return _text(hmac.digest(secret, body.encode(), "sha256")[:_MARK_BYTES])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
