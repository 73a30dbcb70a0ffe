"""The upstream step, innermost of the onion: one request to one provider, under its four time limits (WIRE 19)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeGuard, cast

from msgspec import Struct, structs

from comporta.errors import ComportaError, UpstreamFault, UpstreamTimeout
from comporta.gateway.transport import MAX_FAULT_BYTES, MAX_REPLY_BYTES, Response, Transport
from comporta.pipeline import Call, Span
from comporta.providers.base import Decoder, Endpoint, Local, Query, Request, Wire
from comporta.telemetry.otlp.context import headers_of
from comporta.telemetry.scrubbing import MIN_SECRET_LENGTH
from comporta.types import Event

#: How long the terminator of a finished answer is waited for, in seconds.
FINISHING_S = 2.0


class TimeLimits(Struct, frozen=True):
    """Seconds. `first_token` and `idle` hold for streams only: a plain reply is silent until it is whole."""

    connect_s: float = 5.0
    first_token_s: float = 10.0
    idle_s: float = 20.0
    total_s: float = 600.0


def is_local(model: Wire | Local) -> TypeGuard[Local]:
    """Whether a model runs in this process. Asking a runtime protocol by `isinstance` costs 14 µs on every call."""
    return not hasattr(model, "encode")


class Reached(Struct, frozen=True):
    """Everything the step needs to know of where a call goes: looked up by what stands in `call.target`."""

    model: Wire | Local
    endpoint: Endpoint
    query: Query
    credential: str | None
    limits: TimeLimits


class Attempt:
    """`Next` of the last stage. `reach` turns a chosen call into wire, endpoint and query; it does no I/O."""

    def __init__(self, reach: Callable[[Call], Reached], transport: Transport) -> None:
        self._reach = reach
        self._transport = transport

    async def __call__(self, call: Call) -> AsyncIterator[Event]:
        reached = self._reach(call)
        target = call.target
        if target is not None and target.credential != reached.credential:
            call.target = structs.replace(target, credential=reached.credential)
        span = call.open_span("request")
        span.attributes = {"provider": reached.endpoint.provider, "credential": reached.credential}
        try:
            events = await self._ask(call, reached, span)
        except BaseException as error:
            _conceal(error, reached.endpoint)
            call.close_span(span, error)
            raise
        call.span_depth = span.depth
        call.hold(events)
        return events

    async def _ask(self, call: Call, reached: Reached, span: Span) -> AsyncIterator[Event]:
        if is_local(reached.model):
            return LocalEvents(reached.model.answer(reached.query, reached.endpoint), reached.limits, call, span)
        wire = cast(Wire, reached.model)
        request = wire.encode(reached.query, reached.endpoint)
        if call.traced is not None:
            request = structs.replace(request, headers={**request.headers, **headers_of(call)})
        call.dropped = request.dropped
        return await self._send(call, reached, wire, request, span)

    async def _send(
        self, call: Call, reached: Reached, wire: Wire, request: Request, span: Span
    ) -> AsyncIterator[Event]:
        query, limits = reached.query, reached.limits
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        headers_s = min(limits.first_token_s, limits.total_s) if query.stream else limits.total_s
        try:
            response = await self._transport.send(request, limits.connect_s, headers_s)
        except UpstreamTimeout as error:
            raise _which(error, limits, headers_s) from None
        if response.status >= 300:
            raise await _fault(wire, response)
        if query.stream and not _is_json(response):
            decoder = wire.decoder(query)
            return UpstreamEvents(response, decoder, limits, started_s, call, span, reached.endpoint)
        body = await _whole(response, limits.total_s - (loop.time() - started_s), loop)
        return One(wire.reply(query, body), call, span)


def _which(error: UpstreamTimeout, limits: TimeLimits, headers_s: float) -> UpstreamTimeout:
    """Headers that did not come: by which limit, only the asker knows."""
    if error.code == "connect_timeout" or headers_s < limits.total_s:
        return error
    return UpstreamTimeout(f"Not complete within {limits.total_s:.3g} s.", code="total_timeout")


def _is_json(response: Response) -> bool:
    """A stream was asked for and a plain JSON body came: an error inside a 200, or a server that can't stream."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _whole(response: Response, left_s: float, loop: asyncio.AbstractEventLoop) -> bytes:
    timer = loop.call_later(max(left_s, 0.0), _not_whole, response)
    try:
        return await response.read(MAX_REPLY_BYTES)
    finally:
        timer.cancel()
        response.abort()


def _not_whole(response: Response) -> None:
    response.fail(UpstreamTimeout("The answer was not whole within the total time limit.", code="total_timeout"))


async def _fault(wire: Wire, response: Response) -> ComportaError:
    """A non-2xx answer as an error; its body is read briefly, since only its codes count."""
    try:
        body = await _whole_fault(response)
    except (ComportaError, TimeoutError):
        body = b""
    finally:
        response.abort()
    if response.status < 400:
        return UpstreamFault(f"The provider answered with a redirect ({response.status}): check its base_url.")
    return wire.fault(response.status, {k.lower(): v for k, v in response.headers.items()}, body)


def _conceal(error: BaseException, endpoint: Endpoint) -> None:
    """Take what we sent out of an error's message: some providers quote key and headers back, inside a 200 too."""
    if isinstance(error, ComportaError):
        for secret in (endpoint.secret, *endpoint.headers.values()):
            if secret and len(secret) >= MIN_SECRET_LENGTH and secret in error.message:
                error.message = error.message.replace(secret, "***")
        error.args = (error.message,)


async def _whole_fault(response: Response) -> bytes:
    async with asyncio.timeout(5):
        return await response.read(MAX_FAULT_BYTES)


class _Events:
    """What the endings of the kinds of answers share: the span is closed once, with the error if there was one."""

    __slots__ = ("_call", "_span")

    def __init__(self, call: Call, span: Span) -> None:
        self._call = call
        self._span = span

    def _done(self, error: BaseException | None = None) -> None:
        if not self._span.end_ns:
            depth = self._call.span_depth
            self._call.close_span(self._span, error)
            self._call.span_depth = depth


class One(_Events):
    """A plain reply: a single whole event."""

    __slots__ = ("_event",)

    def __init__(self, event: Event, call: Call, span: Span) -> None:
        super().__init__(call, span)
        self._event: Event | None = event
        self._done()

    def __aiter__(self) -> One:
        return self

    async def __anext__(self) -> Event:
        event, self._event = self._event, None
        if event is None:
            raise StopAsyncIteration
        return event

    def unread(self, events: list[Event]) -> None:
        """Take back what was read to see whether the answer has begun."""
        self._event = events[0]


class Limit:
    """Watches the time limits of one stream with a single lazy timer, so that an event costs no timer of its own.

    `waiting()` marks the start of a wait for bytes, `content()` that the answer has begun. When a limit has passed,
    `fail` is called with the error that says which.
    """

    __slots__ = ("_begun", "_deadline_s", "_fail", "_idle_s", "_limits", "_loop", "_since_s", "_timer")

    def __init__(self, limits: TimeLimits, started_s: float, fail: Callable[[UpstreamTimeout], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._fail = fail
        self._idle_s = limits.idle_s
        self._deadline_s = started_s + limits.total_s
        self._since_s = 0.0
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._arm(min(started_s + limits.first_token_s, self._deadline_s))

    def waiting(self) -> None:
        self._since_s = self._loop.time()

    def busy(self) -> None:
        self._since_s = 0.0

    def content(self) -> None:
        if not self._begun:
            self._begun = True
            self.stop()
            self._arm(min(self._loop.time() + self._idle_s, self._deadline_s))

    def finishing(self) -> None:
        """The answer is complete but for its terminator: that is waited for briefly (WIRE 4)."""
        self.stop()
        self._idle_s = min(self._idle_s, FINISHING_S)
        self._since_s = 0.0
        self._arm(self._loop.time() + self._idle_s)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when_s: float) -> None:
        self._timer = self._loop.call_at(when_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.time()
        limits = self._limits
        if now_s >= self._deadline_s:
            self._fail(UpstreamTimeout(f"Not complete within {limits.total_s:.3g} s.", code="total_timeout"))
        elif not self._begun:
            self._fail(UpstreamTimeout(f"No content within {limits.first_token_s:g} s.", code="first_token_timeout"))
        elif self._since_s and now_s - self._since_s >= self._idle_s:
            self._fail(UpstreamTimeout(f"Silent for {self._idle_s:g} s.", code="idle_timeout"))
        else:
            self._arm(min((self._since_s or now_s) + self._idle_s, self._deadline_s))


class UpstreamEvents(_Events):
    """A streamed answer: bytes in, events out; closing it aborts the upstream request unless it was read to its end."""

    __slots__ = (
        "_begun", "_decoder", "_ended", "_endpoint", "_finished", "_last", "_limit", "_open", "_ready", "_response",
        "_unread",
    )  # fmt: skip

    def __init__(
        self, response: Response, decoder: Decoder, limits: TimeLimits, started_s: float, call: Call, span: Span,
        endpoint: Endpoint,
    ) -> None:  # fmt: skip
        super().__init__(call, span)
        self._endpoint = endpoint
        self._response = response
        self._decoder = decoder
        self._limit = Limit(limits, started_s, response.fail)
        #: Events decoded and not yet asked for, the next one last.
        self._ready: list[Event] = []
        #: How many of them were given out before and taken back.
        self._unread = 0
        self._begun = False
        self._ended = False
        #: Choices that have not come to their finish.
        self._open = call.input.n
        self._finished = False
        self._last = False

    def __aiter__(self) -> UpstreamEvents:
        return self

    async def __anext__(self) -> Event:
        ready = self._ready
        if not ready:
            try:
                await self._more()
            except BaseException as error:
                if not isinstance(error, StopAsyncIteration):
                    _conceal(error, self._endpoint)
                    self._close(error)
                raise
        event = ready.pop()
        if self._unread:
            self._unread -= 1
            return event
        if not self._begun and event.meaningful:
            self._begun = True
            self._limit.content()
        deltas = event.deltas
        if deltas and deltas[-1].finish is not None and not self._finished:
            self._open -= sum(delta.finish is not None for delta in deltas)
            if self._open <= 0:
                self._finished = True
                self._limit.finishing()
        if event.last:
            self._last = True
        return event

    def unread(self, events: list[Event]) -> None:
        """Take back what was read to see whether the answer has begun."""
        self._ready.extend(reversed(events))
        self._unread = len(events)

    async def _more(self) -> None:
        while not self._ready:
            if self._ended or self._last:
                self._close(None)
                raise StopAsyncIteration
            # A decoder gives out what came before an error first; the error itself must not wait for more bytes.
            self._decoder.feed(b"")
            data = await self._chunk()
            if data:
                events = self._decoder.feed(data)
            else:
                self._ended = True
                events = self._decoder.end()
            events.reverse()
            self._ready.extend(events)

    async def _chunk(self) -> bytes:
        """The next bytes; the silence of an upstream that forgot its terminator counts as the end (WIRE 4)."""
        self._limit.waiting()
        try:
            return await self._response.chunk()
        except UpstreamTimeout as error:
            if self._finished and error.code == "idle_timeout":
                return b""
            raise
        finally:
            self._limit.busy()

    def _close(self, error: BaseException | None) -> None:
        self._limit.stop()
        self._note_malformed()
        self._done(error)
        if self._last and error is None:
            self._response.finish()
        else:
            self._response.abort()

    def _note_malformed(self) -> None:
        if self._decoder.malformed:
            self._call.facts["malformed_frames"] = self._decoder.malformed

    async def aclose(self) -> None:
        self._close(None)


class LocalEvents(_Events):
    """The answer of a model in this process, under the same time limits as one over HTTP."""

    __slots__ = ("_begun", "_deadline_s", "_events", "_limits", "_loop", "_started_s", "_stream")

    def __init__(self, events: AsyncIterator[Event], limits: TimeLimits, call: Call, span: Span) -> None:
        super().__init__(call, span)
        self._events = events
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._deadline_s = self._started_s + limits.total_s
        self._begun = False
        self._stream = call.stream

    def __aiter__(self) -> LocalEvents:
        return self

    async def __anext__(self) -> Event:
        now_s = self._loop.time()
        until_s, code = self._next_limit(now_s)
        try:
            async with asyncio.timeout(until_s - now_s):
                event = await self._events.__anext__()
        except TimeoutError:
            error = UpstreamTimeout(f"The model was silent for {until_s - now_s:.1f} s.", code=code)
            self._done(error)
            raise error from None
        except StopAsyncIteration:
            self._done()
            raise
        except BaseException as error:
            self._done(error)
            raise
        self._begun = self._begun or event.meaningful
        return event

    def _next_limit(self, now_s: float) -> tuple[float, str]:
        if not self._stream:
            return self._deadline_s, "total_timeout"
        if self._begun:
            until_s, code = now_s + self._limits.idle_s, "idle_timeout"
        else:
            until_s, code = self._started_s + self._limits.first_token_s, "first_token_timeout"
        return (until_s, code) if until_s < self._deadline_s else (self._deadline_s, "total_timeout")

    async def aclose(self) -> None:
        self._done()
        aclose: Any = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()
