"""The stage `follow`: what goes on from an earlier response is led back to where that came from (WIRE 27).

A provider with a Responses API of its own keeps its responses itself: a follow-up goes back to the same variant and
credential. For every other provider the gate keeps the conversation, and a follow-up is asked with all of it. Thinking
that a model sealed leads back as well. Only follow-ups look anything up, and of those that carry thinking only where
there is more than one way to go.

A response is kept before its answer ends, and no longer than `SAVE_LIMIT_S` is waited for that: where the database is
away, the answer goes out all the same and says `store: false`. To look up a response that this process doesn't know,
the database is needed: without it a follow-up is refused with 503.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, TypeVar

import msgspec
import psycopg
import structlog
from msgspec import structs

from comporta.errors import BadRequest, ComportaError, NotFound, Unavailable
from comporta.gateway.doors.responses_reading import messages
from comporta.gateway.doors.responses_writing import ASKED, STORED
from comporta.gateway.followups.answers import WIRE, Native, Translated
from comporta.gateway.followups.kept import NOT_FOUND, Answer, Conversation, Kept
from comporta.gateway.followups.places import KEPT, NOT_KEPT, PROVIDER, Place, Places, attributes, place_of, thoughts_of
from comporta.pipeline import Call, Next, Span
from comporta.routing.pinned import PINNED, Pinned
from comporta.telemetry.record import is_hit
from comporta.types import JSON, Event

log = structlog.get_logger("comporta.gateway")

PREVIOUS = "previous_response_id"
SAVE_LIMIT_S = 1.0
LOOK_LIMIT_S = 3.0
#: After a save that failed, others are not made to wait for the same.
_AWAY_S = 2.0
#: A record lies in the spool for half a second at most while the database is there.
_PAUSES_S = (0.1, 0.2, 0.4, 0.5)

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}\Z")
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class Around(Protocol):
    """What the stage asks the gate around it."""

    def keep_s(self) -> float:
        """How long responses are kept; 0 keeps none."""

    def keeps_content(self, route: str) -> bool:
        """Whether a route's content may be kept."""

    def gone(self, provider: str, credential: str | None) -> str | None:
        """What of these is not configured any more, in words; None where all is there."""

    def only_way(self, name: str) -> bool:
        """Whether a name leads to one variant with at most one credential."""

    def without_secrets(self, data: bytes) -> bytes:
        """JSON with every secret in it taken out."""


class Follow:
    """The stage."""

    def __init__(self, places: Places, kept: Kept, around: Around) -> None:
        self.places = places
        self.kept = kept
        self.around = around
        self._away_until_s = 0.0

    @staticmethod
    def applies(call: Call) -> bool:
        asked = call.input
        return asked.wire == WIRE and asked.raw is not None and call.kind == "chat"

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        raw = call.input.raw
        assert raw is not None, "it applies to calls whose body nobody changed"
        span = call.spans[-1] if call.spans else None
        call.facts[ASKED] = raw
        earlier = await self._led(call, raw)
        return Followed(self, call, await next(call), Going(raw, earlier, span))

    # ---- before: where it goes ----

    async def _led(self, call: Call, raw: JSON) -> Conversation | None:
        previous = call.input.extra.get(PREVIOUS)
        if previous is not None:
            return await self._by_id(call, raw, checked_id(previous))
        keys = thoughts_of(call.input)
        if keys and not self.around.only_way(call.model):
            place = await self._by_thoughts(call, keys)
            if place is not None:
                self._pin(call, place.pinned("The thinking in `input`", must=False))
        return None

    async def _by_id(self, call: Call, raw: JSON, previous: str) -> Conversation | None:
        found = await self.look_up(previous, call)
        what = f"The response '{previous}'"
        if isinstance(found, Place):
            if found.state != PROVIDER:
                raise BadRequest(_not_kept(previous, found.state), code="response_not_kept", param=PREVIOUS)
            self._pin(call, found.pinned(what, must=True))
            return None
        self._pin(call, found.place.pinned(what, must=False))
        _prepend(call, raw, found)
        return found

    async def look_up(self, id: str, call: Call) -> Place | Conversation:
        """Where a response came from, or its conversation where the gate keeps that. Raises NotFound, Unavailable."""
        place = self.places.near([id], call.caller)
        if place is not None and place.state != KEPT:
            return place
        for pause_s in (*_PAUSES_S, None):
            kept = await within(self.kept.conversation(id, call.caller))
            if kept is not None:
                return kept
            place = place or await within(self.places.find([id], call.caller))
            if place is not None and place.state != KEPT:
                return place
            if place is not None or pause_s is None:
                break
            await asyncio.sleep(pause_s)
        raise not_found(id, PREVIOUS)

    async def _by_thoughts(self, call: Call, keys: list[str]) -> Place | None:
        """Where thinking came from. What no record knows came from elsewhere, and is passed on as it is."""
        place = self.places.near(keys, call.caller)
        if place is not None or self.places.unknown(keys):
            return place
        for pause_s in (*_PAUSES_S, None):
            place = await within(self.places.find(keys, call.caller))
            if place is not None or pause_s is None:
                break
            await asyncio.sleep(pause_s)
        if place is None:
            self.places.miss(keys)
        return place

    def _pin(self, call: Call, pinned: Pinned) -> None:
        """Lead the call back. Raises NotFound where what holds the answer is gone."""
        gone = self.around.gone(pinned.target.provider, pinned.target.credential)
        if gone is not None:
            if pinned.held and (pinned.must or call.model == pinned.asked):
                raise NotFound(_gone(pinned, gone), code="response_unreachable", param=_param(pinned))
            pinned = structs.replace(pinned, target=structs.replace(pinned.target, credential=None))
        call.facts[PINNED] = pinned

    # ---- after: what is kept ----

    def may_keep(self, call: Call, raw: JSON) -> str:
        """`KEPT`, or the reason for which a response can't be kept here."""
        pinned: Pinned | None = call.facts.get(PINNED)
        if raw.get("store") is False:
            return "store"
        if pinned is not None and pinned.must:
            return "split"
        if not self.around.keep_s():
            return "never"
        return KEPT if self.around.keeps_content(call.target.route if call.target else call.model) else "content"

    async def save(self, answer: Answer) -> bool:
        """Keep a response, within a short time; whether that succeeded."""
        if time.monotonic() < self._away_until_s:
            return False
        clean = self.around.without_secrets
        answer = structs.replace(answer, input=clean(answer.input), response=clean(answer.response))
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                return await self.kept.save(answer)
        except (Unavailable, TimeoutError, psycopg.Error) as error:
            self._away_until_s = time.monotonic() + _AWAY_S
            log.warning("response_not_kept", response=answer.id, reason=type(error).__name__)
            return False

    def note(self, call: Call, keys: list[str], state: str, span: Span | None) -> None:
        """Remember what an answer can be referred to by: here, and in the record."""
        if not keys or (state == PROVIDER and is_hit(call.cache)):
            # A hit's own call reached no provider: the record of the first one says where it came from.
            return
        self.places.note(keys, place_of(call, state))
        if span is not None:
            span.attributes = {**(span.attributes or {}), **attributes(keys, state)}


class Going(msgspec.Struct, frozen=True):
    """What is known of a call when its answer begins: the client's body, the earlier conversation, the stage's span."""

    raw: JSON
    earlier: Conversation | None
    span: Span | None


class Followed:
    """An answer on its way out, noted and kept at its end."""

    __slots__ = ("_answer", "_call", "_events", "_follow", "_going", "_next", "_over", "_state")

    def __init__(self, follow: Follow, call: Call, events: AsyncIterator[Event], going: Going) -> None:
        self._follow = follow
        self._call = call
        self._events = events
        self._next = events.__anext__
        self._going = going
        self._answer: Native | Translated | None = None
        self._state = PROVIDER
        self._over = False

    def __aiter__(self) -> Followed:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await self._next()
        except StopAsyncIteration:
            await self._end()
            raise
        if self._answer is None:
            self._answer = self._begin(event)
        self._answer.add(event)
        return event

    async def aclose(self) -> None:
        """Nobody asked for the end; an answer that its provider holds may be complete all the same."""
        if isinstance(self._answer, Native) and self._answer.complete:
            self._note()
        aclose = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()

    def _begin(self, event: Event) -> Native | Translated:
        """Who answers is certain with the first event: nobody takes over after that."""
        call, raw = self._call, self._going.raw
        if event.wire == WIRE:
            call.facts[STORED] = raw.get("store") is not False
            return Native()
        self._state = self._follow.may_keep(call, raw)
        keep = call.facts[STORED] = self._state == KEPT
        if keep or self._state == "store":
            # Done as it was asked, though the provider heard nothing of it.
            call.dropped = tuple(name for name in call.dropped if name != "store")
        return Translated(call, keep=keep)

    async def _end(self) -> None:
        if self._over or self._answer is None:
            return
        if isinstance(self._answer, Translated) and self._state == KEPT:
            await self._keep(self._answer)
        self._note()

    async def _keep(self, answer: Translated) -> None:
        response, earlier = answer.response(), self._going.earlier
        row = Answer(
            id=response["id"],
            place=place_of(self._call, KEPT),
            previous=earlier.latest if earlier else None,
            conversation=earlier.root if earlier else response["id"],
            input=_encode(own_items(self._going.raw)),
            response=_encode(response),
            user=self._call.user,
            started_s=self._call.started_s,
        )
        if not await self._follow.save(row):
            self._state = "away"
            self._call.facts[STORED] = False

    def _note(self) -> None:
        if not self._over and self._answer is not None:
            self._over = True
            self._follow.note(self._call, self._answer.keys(), self._state, self._going.span)


def own_items(raw: JSON) -> list[object]:
    """What a body itself says, as items."""
    given = raw.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return list(given or ())


def _prepend(call: Call, raw: JSON, earlier: Conversation) -> None:
    """Ask with the whole conversation. Instructions hold for one call each, as in OpenAI's API."""
    given = call.input
    body = {name: value for name, value in raw.items() if name != PREVIOUS}
    body["input"] = [*earlier.items, *own_items(raw)]
    first = given.messages[:1] if raw.get("instructions") else ()
    extra = {name: value for name, value in given.extra.items() if name != PREVIOUS}
    call.input = structs.replace(given, messages=(*first, *messages(body["input"], "input")), raw=body, extra=extra)


async def within(looking: Awaitable[T]) -> T:
    """What a short query finds. Raises Unavailable where the database does not answer in time."""
    try:
        async with asyncio.timeout(LOOK_LIMIT_S):
            return await looking
    except (TimeoutError, Unavailable) as error:
        raise Unavailable(
            "Earlier responses can't be looked up: the database is away. Ask again, or send the whole conversation as "
            "`input`.",
            code="database_unavailable",
            retry_after_s=2,
        ) from error


def checked_id(value: object, param: str | None = PREVIOUS) -> str:
    """An id as it can be. Raises BadRequest for another kind of value, NotFound for a text that can be none."""
    if not isinstance(value, str):
        raise BadRequest(f"{param} must be a string.", param=param)
    if not _ID.match(value):
        raise not_found("".join(c if c.isprintable() else "?" for c in value[:60]), param)
    return value


def not_found(id: str, param: str | None = None) -> ComportaError:
    """What a caller hears of a response that is not there, has expired, or is somebody else's: always the same."""
    return NotFound(
        f"There is no response '{id}' that this key could go on from: it was never given, was deleted, or has expired.",
        code=NOT_FOUND,
        param=param,
    )


def _not_kept(id: str, state: str) -> str:
    reason = NOT_KEPT.get(state, "it was not kept")
    return f"The response '{id}' can't be followed up by its id: {reason}. Send the whole conversation as `input`."


def _gone(pinned: Pinned, gone: str) -> str:
    return (
        f"{pinned.what} can only be continued by {gone}, which is not configured any more. "
        + ("Send the whole conversation as `input`." if pinned.must else "Leave the reasoning items out of `input`.")
    )  # fmt: skip


def _param(pinned: Pinned) -> str:
    return PREVIOUS if pinned.must else "input"
