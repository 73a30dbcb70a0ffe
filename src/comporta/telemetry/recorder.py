"""The outermost stage: it watches an answer go by, and when the call ends its record is in the spool.

The record is written by an ending of the call, so the door, which runs the endings before it sends the answer's last
byte, can't answer a call that is not recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import structlog

from comporta.errors import ClientGone, ComportaError
from comporta.pipeline import Call, Gathered, Next, reply_of
from comporta.telemetry.capture import (
    ASKED,
    KEEP,
    Capture,
    Kept,
    Mode,
    cleaned,
    least,
    parameters_of,
    size_of,
    without,
)
from comporta.telemetry.record import PROMPTED, CallRecord, encoded, in_safe_text, is_hit, rebuilt, record_of
from comporta.telemetry.spool import Spool
from comporta.types import Event, Reply, Usage

log = structlog.get_logger("comporta.telemetry")

Price = Callable[[Call], int | None]

#: Where the watcher of a call is found when its record is made.
_FACT = "watched"
#: So many events are kept before they are folded together: folding each as it comes would cost more.
_FOLD_EVENTS = 256
_BYTES_PER_TOKEN = 4
#: Endings that the provider is not to blame for: it is paid for what it had to read, even where it wrote nothing.
_LEFT = (ClientGone, asyncio.CancelledError, GeneratorExit)
#: The span of a request to a provider, and what it is closed with where its call was left.
REQUEST = "request"
_STOPPED = frozenset({"CancelledError", "GeneratorExit", ClientGone.code})


def no_price(call: Call) -> int | None:
    """The price of a call where nobody knows prices."""
    return None


def _unseen(record: CallRecord) -> None:
    return


def _as_told(call: Call) -> None:
    return


class Recorder:
    """Records calls. `price` gives a call's cost from its target and usage, None where it is unknown.

    `stage` is the outermost stage and registers `record` itself; a door that ends a call before any stage ran registers
    `record` on it. A call is recorded once. `seen` hears of every record (the metrics count them).
    """

    def __init__(
        self, spool: Spool, capture: Capture, price: Price = no_price, seen: Callable[[CallRecord], None] = _unseen
    ) -> None:
        self.spool = spool
        self.capture = capture
        self.price = price
        #: Calls that are under way.
        self.in_flight = 0
        self._seen = seen
        #: What may be kept of a call, where that is less than its route allows: guards know.
        self.kept: Callable[[Call], Kept | None] = _as_told

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        watched = Watched(call, self)
        call.facts[_FACT] = watched
        self.in_flight += 1
        call.at_end(self.record)
        try:
            events = await next(call)
        except BaseException as error:
            watched.failed(error)
            raise
        watched.over(events)
        return watched

    def forget(self, call: Call) -> None:
        """Write no record of a call: it was stopped on its way, and goes on another time."""
        if isinstance(call.facts.get(_FACT), Watched):
            self.in_flight -= 1
        call.facts[_FACT] = _DONE

    def record(self, call: Call) -> None:
        """Write the call's record. Never raises: whatever is wrong with one record is no reason to fail its call."""
        watched = call.facts.get(_FACT)
        if watched is _DONE:
            return
        call.facts[_FACT] = _DONE
        if watched is not None:
            self.in_flight -= 1
        try:
            self._keep(call, watched)
        except Exception as error:
            log.error("record_failed", call=call.id, kind=type(error).__name__, exc_info=error)

    def _keep(self, call: Call, watched: Watched | None) -> None:
        target = call.target
        mode = self.capture.mode(target.route if target else call.model)
        if KEEP in call.facts:
            mode = least(mode, call.facts[KEEP])
        kept = self.kept(call)
        try:
            record = self._record(call, watched, mode if kept is None else least(mode, kept.mode), kept)
            payload = encoded(record)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            log.warning("record_without_content", call=call.id, kind=type(error).__name__)
            record = in_safe_text(record_of(call, capture="dropped", error=_left(watched)))
            payload = encoded(record)
        scrubber = self.capture.scrubber
        if scrubber.suspects(payload):
            record = rebuilt(record, scrubber.scrub_all)
            payload = encoded(record)
        self.spool.append(record, payload)
        self._seen(record)

    def _record(self, call: Call, watched: Watched | None, mode: Mode, may: Kept | None) -> CallRecord:
        capture, error = self.capture, None if watched is None or watched.complete else _left(watched)
        if mode == "off":
            _note_parameters(call, None)
            return record_of(call, capture=mode, error=error)
        reply = watched.reply() if watched is not None else None
        if reply is not None and may is not None and may.reply is not None:
            reply = without(reply, may.reply)
        kept = capture.reply(reply, mode) if reply is not None else None
        prompted = call.facts.get(PROMPTED)
        given = {} if prompted is None else prompted.variables
        values = capture.variables(given if may is None or may.values is None else cleaned(given, may.values), mode)
        asked = capture.prompt(call.input, mode)
        if mode != "full":
            _note_parameters(call, reply)
        return record_of(call, capture=mode, prompt=asked, reply=kept, variables=values, error=error)


def _note_parameters(call: Call, reply: Reply | None) -> None:
    """What is no content of a call whose content is not kept as it is."""
    found = parameters_of(call.input, reply)
    if found:
        call.note(ASKED, **found)


#: Stands in place of the watcher once the call is recorded.
_DONE = object()


def _left(watched: Watched | None) -> ComportaError | None:
    """An answer that nobody took to its end was left by its client."""
    if watched is None or watched.complete:
        return None
    return ClientGone("The answer was left before its end.")


class Watched:
    """An answer on its way out: passes every event on as it is, and notes what the record needs.

    Usage and cost stand on the call when the answer ends, however it ends: before any ending runs.
    """

    __slots__ = (
        "_call", "_events", "_folded", "_inner", "_keep", "_next", "_noted", "_recorder", "_saw_end", "_text_bytes",
        "complete",
    )  # fmt: skip

    def __init__(self, call: Call, recorder: Recorder) -> None:
        self._call = call
        self._recorder = recorder
        self._inner: Any = None
        self._next: Any = None
        self._events: list[Event] = []
        #: How many of them `_note` has seen.
        self._noted = 0
        self._folded: Gathered | None = None
        self._keep = True
        self._text_bytes = 0
        self._saw_end = False
        #: Whether the answer came to its end, or to a failure that is noted on the call.
        self.complete = False

    def over(self, events: AsyncIterator[Event]) -> None:
        """Begin to watch. The route is known by now, and with it what may be kept."""
        self._inner = events
        self._next = events.__anext__
        target = self._call.target
        self._keep = self._recorder.capture.mode(target.route if target else self._call.model) != "off"

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> Event:
        try:
            event: Event = await self._next()
        except StopAsyncIteration:
            self.complete = True
            self._settle(None)
            raise
        except BaseException as error:
            self.failed(error)
            raise
        call = self._call
        if not call.first_ns and event.meaningful:
            call.first_ns = time.perf_counter_ns()
        if event.usage is not None:
            call.usage = event.usage
        self._events.append(event)
        if len(self._events) >= _FOLD_EVENTS:
            self._fold()
        return event

    async def aclose(self) -> None:
        """Close what is below. An answer of which all content came is complete, though nobody asked for its end."""
        if not self.complete:
            self._settle(GeneratorExit())
            self.complete = self._saw_end
        aclose = getattr(self._inner, "aclose", None)
        if aclose is not None:
            await aclose()

    def failed(self, error: BaseException) -> None:
        """Note how it failed. Who cancelled a call, and why, its door knows better."""
        if isinstance(error, Exception):
            self.complete = True
            if self._call.error is None:
                self._call.error = _told(error)
        self._settle(error)

    def reply(self) -> Reply:
        """What came, put together."""
        events = self._events
        if self._folded is None and len(events) == 1 and len(events[0].deltas) == 1:
            return reply_of(events[0])
        self._fold()
        return self._folded.reply() if self._folded is not None else Reply()

    def _fold(self) -> None:
        if self._keep:
            if self._folded is None:
                self._folded = Gathered()
            for event in self._events:
                self._folded.add(event)
        self._note()
        self._events.clear()
        self._noted = 0

    def _note(self) -> None:
        """Of events that were not noted yet: which reply it is, and how much text they held."""
        call, events = self._call, self._events
        for event in events[self._noted :] if self._noted else events:
            if event.id:
                call.reply_id = call.reply_id or event.id
            if event.model:
                call.reply_model = event.model
            self._saw_end = self._saw_end or event.last or event.whole
            for delta in event.deltas:
                self._saw_end = self._saw_end or delta.finish is not None
                text = delta.text or delta.reasoning or delta.refusal
                self._text_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
                for tool in delta.tools:
                    self._text_bytes += len(tool.arguments)
        self._noted = len(events)

    def _settle(self, error: BaseException | None) -> None:
        """Put usage and cost on the call."""
        call = self._call
        self._note()
        if call.usage is None and self._paid(error):
            call.usage = self._estimate()
        if call.cost_microusd is None:
            call.cost_microusd = self._cost()

    def _paid(self, error: BaseException | None) -> bool:
        """Whether a provider worked for this answer: only then is there anything to estimate."""
        call = self._call
        if call.target is None or call.kind == "count" or is_hit(call.cache):
            return False
        return error is None or self._text_bytes > 0 or (isinstance(error, _LEFT) and _under_way(call))

    def _estimate(self) -> Usage:
        asked = size_of(self._call.input)
        return Usage(
            input=-(-asked // _BYTES_PER_TOKEN), output=-(-self._text_bytes // _BYTES_PER_TOKEN), estimated=True
        )

    def _cost(self) -> int | None:
        if is_hit(self._call.cache):
            return 0
        return self._recorder.price(self._call) if self._call.usage is not None else None


def _under_way(call: Call) -> bool:
    """Whether the last request to a provider was not over yet: of one that failed nothing is billed."""
    last = next((span for span in reversed(call.spans) if span.name == REQUEST), None)
    return last is not None and (last.error is None or last.error in _STOPPED)


def _told(error: Exception) -> ComportaError:
    """A failure that is no refusal and no provider's is ours; its text may hold anything and is not kept."""
    return error if isinstance(error, ComportaError) else ComportaError(f"{type(error).__name__} in the gate.")
