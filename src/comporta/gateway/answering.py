"""One call over HTTP: from the bytes a client sent to the bytes it gets, whatever door and however it ends."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import structlog

from comporta.errors import ClientGone, ComportaError, Unavailable
from comporta.gateway.doors.base import Door, Parsed, Stream
from comporta.gateway.doors.writing import encode, shallow
from comporta.gateway.first import opened
from comporta.gateway.outgoing import Gone, Outgoing
from comporta.gateway.reading import AS_KEY, BATCH, passed_headers, read_body, request_id_of, secret_of
from comporta.pipeline import Call, Next, collect, new_id
from comporta.telemetry.otlp.context import parent_of, state_of
from comporta.types import Caller, Event

log = structlog.get_logger("comporta.gateway")

Headers = list[tuple[str, str]]

_JSON = ("content-type", "application/json")
_SSE = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
)
#: In the call's facts: what stands beside a plain answer, in its body under `comporta`.
EXTENSION = "extension"
#: Codes of errors after which a connection is of no more use.
_LEAVING = ("draining", "stopped")


def _nobody_else(caller: Caller, key_id: str) -> Caller:
    """Where nobody may ask for another key."""
    return caller


def _nothing(call: Call) -> Headers:
    return []


class Answering:
    """Answers calls that come in through any door.

    `pipeline` is the composed onion, `authenticate` turns a secret into a Caller (raises InvalidKey), `admit` may
    refuse before anything is read (draining, spool full). `keep_alive_s` is the silence after which a comment is sent
    in a stream that has begun (WIRE 6). `beside` gives further headers of an answer.
    """

    def __init__(
        self,
        *,
        pipeline: Next,
        authenticate: Callable[[str], Caller],
        admit: Callable[[], None],
        max_body: int,
        acting: Callable[[Caller, str], Caller] = _nobody_else,
        body_timeout_s: float = 60.0,
        keep_alive_s: float = 15.0,
        beside: Callable[[Call], Sequence[tuple[str, str]]] = _nothing,
    ) -> None:
        self._pipeline = pipeline
        self._authenticate = authenticate
        self._acting = acting
        self._admit = admit
        self._max_body = max_body
        self._body_timeout_s = body_timeout_s
        self._keep_alive_s = keep_alive_s
        self._beside = beside
        #: Calls that are being answered now.
        self.in_flight = 0
        self._running: set[asyncio.Task[Any] | None] = set()
        self._cutting = False

    async def __call__(self, door: Door, scope: Any, proto: Any) -> None:
        """Answer one request; never raises but for a cancellation from outside."""
        headers = scope.headers
        request_id = request_id_of(headers)
        self.in_flight += 1
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        self._running.add(task)
        try:
            call = await self._call(door, headers, proto, request_id, loop)
            await self._answer(door, call, proto, Gone(proto, task, loop))
        except asyncio.CancelledError:
            if not self._cutting:
                raise
            _refuse(door, proto, _stopped(), _named(door.name, request_id or new_id()))
        except Exception as failure:
            request_id = request_id or new_id()
            _refuse(door, proto, _told(failure, request_id), _named(door.name, request_id))
        finally:
            self._running.discard(task)
            self.in_flight -= 1

    def cut(self) -> None:
        """End every running call: a stream with an error frame, any other with 503, and each with its record."""
        self._cutting = True
        for task in self._running:
            if task is not None:
                task.cancel()

    async def _call(
        self,
        door: Door,
        headers: Mapping[str, str],
        proto: Any,
        request_id: str | None,
        loop: asyncio.AbstractEventLoop,
    ) -> Call:
        caller = self._authenticate(secret_of(headers))
        acting = headers.get(AS_KEY)
        if acting is not None:
            caller = self._acting(caller, acting)
        self._admit()
        body = await read_body(proto, headers, self._max_body, self._body_timeout_s, loop)
        call = call_of(door.name, door.parse(body, headers), caller, headers, request_id)
        if acting is not None:
            call.note("batch", id=headers.get(BATCH))
        return call

    async def _answer(self, door: Door, call: Call, proto: Any, gone: Gone) -> None:
        error: ComportaError | None = None
        try:
            events = await self._pipeline(call)
            first = await opened(events)
            if call.stream:
                await self._stream(door, call, proto, first, events)
            else:
                await self._plain(door, call, proto, first, events)
        except asyncio.CancelledError:
            # Only our own watcher's cancelling is a client that left; any other is the server going down.
            if not gone.left:
                error = _stopped()
                raise
            error = ClientGone("The client closed the connection.")
        except Exception as failure:
            error = _told(failure, call.request_id)
            await _finish(call, error)
            _refuse(door, proto, error, _head(call))
        finally:
            gone.cancel()
            await _finish(call, error)

    async def _plain(
        self, door: Door, call: Call, proto: Any, first: list[Event], events: AsyncIterator[Event]
    ) -> None:
        reply = await collect(events, first)
        await _finish(call)
        body = door.reply(call, reply)
        if EXTENSION in call.facts:
            body = encode(shallow(body) | {"comporta": call.facts[EXTENSION]})
        proto.response_bytes(200, [_JSON, *_head(call), *_cost(call), *self._beside(call)], body)

    async def _stream(
        self, door: Door, call: Call, proto: Any, first: list[Event], events: AsyncIterator[Event]
    ) -> None:
        """The status goes out now: the answer has begun. What fails from here on is said inside the stream (WIRE 1)."""
        out = Outgoing(proto.response_stream(200, [*_SSE, *_head(call), *self._beside(call)]), self._keep_alive_s)
        writer = door.stream(call)
        try:
            await _forward(first, events, writer, out)
            # Before the record is written: a client that has left by now has not got its answer.
            out.flush()
            await _finish(call)
            out.add(writer.end())
            out.flush()
        except ClientGone as error:
            await _finish(call, error)
        except asyncio.CancelledError:
            if not self._cutting:
                raise
            await self._break_off(_stopped(), call, writer, out)
        except Exception as failure:
            await self._break_off(_told(failure, call.request_id), call, writer, out)
        finally:
            out.close()

    async def _break_off(self, error: ComportaError, call: Call, writer: Stream, out: Outgoing) -> None:
        await _finish(call, error)
        out.last_words(writer.error(error))


async def _finish(call: Call, error: ComportaError | None = None) -> None:
    """Close the layers and run the endings: the record is written before the answer's last byte goes out."""
    if call.ended:
        return
    try:
        await call.close_events()
    finally:
        # A second cancellation, or a layer that fails to close, must not leave a call without its record.
        call.end(error)


async def _forward(first: list[Event], events: AsyncIterator[Event], writer: Stream, out: Outgoing) -> None:
    for event in first:
        out.add(writer.event(event))
    async for event in events:
        out.add(writer.event(event))
        if out.greedy:
            await out.rest()


def call_of(
    door: str, parsed: Parsed, caller: Caller, headers: Mapping[str, str], request_id: str | None = None
) -> Call:
    """The call that a parsed body, its caller and its headers make up."""
    given = headers.get("traceparent")
    parent = None if given is None else parent_of(given)
    return Call(
        kind=parsed.kind,
        input=parsed.input,
        model=parsed.model,
        caller=caller,
        stream=parsed.stream,
        door=door,
        request_id=request_id or "",
        trace_id="" if parent is None else parent.trace_id,
        parent_span=None if parent is None else parent.span_id,
        traced=None if parent is None else (parent.flags, state_of(headers.get("tracestate"))),
        session=_clipped(headers.get("x-comporta-session")) or _clipped(parsed.session),
        user=_clipped(parsed.user) or _clipped(headers.get("x-comporta-user")),
        tags=dict(caller.tags),
        headers=passed_headers(headers),
        include_usage=parsed.include_usage,
    )


def _clipped(text: str | None) -> str | None:
    """Names of users and sessions stand in indexes: longer ones are cut."""
    return text[:256] if text else None


def _named(door: str, request_id: str) -> Headers:
    """The request's id (WIRE 22); Anthropic's clients look for it under a name without the `x-`."""
    head = [("x-request-id", request_id)]
    if door.startswith("anthropic."):
        head.append(("request-id", request_id))
    return head


def _head(call: Call) -> Headers:
    """The headers of an answer: where it came from and what was left out (WIRE 20, 22)."""
    head = [*_named(call.door, call.request_id), ("x-comporta-call", call.id)]
    target = call.target
    if target is not None:
        head.extend(_of_target(target.route, target.variant, target.model, target.provider))
    head.append(("x-comporta-retries", str(call.retries)))
    facts = call.facts
    head.append(("x-comporta-cache", facts.get("cache_told", call.cache)))
    if "last_resort" in facts:
        head.append(("x-comporta-last-resort", "true"))
    head.extend(facts.get("headers", ()))
    if call.dropped:
        head.append(("x-comporta-dropped", ", ".join(call.dropped)))
    return head


@functools.lru_cache(1024)
def _of_target(route: str, variant: str, model: str, provider: str) -> tuple[tuple[str, str], ...]:
    return (
        ("x-comporta-route", _ascii(route)),
        ("x-comporta-variant", _ascii(variant)),
        ("x-comporta-model", _ascii(model)),
        ("x-comporta-provider", provider),
    )


def _cost(call: Call) -> Headers:
    """Known before the first byte on plain replies only; a stream says it in its usage chunk."""
    if call.cost_microusd is None:
        return []
    return [("x-comporta-cost-usd", f"{call.cost_microusd / 1_000_000:.6f}")]


def _ascii(text: str) -> str:
    """A header value: what is not printable ASCII is replaced, so that no name can smuggle in a header."""
    if text.isascii() and text.isprintable() and len(text) <= 256:
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text[:256])


def _refuse(door: Door, proto: Any, error: ComportaError, head: Headers) -> None:
    """An error as the client's own envelope with a real status."""
    proto.response_bytes(error.status, [_JSON, *head, *asking_again(error)], door.error(error))


def asking_again(error: ComportaError) -> Headers:
    """When to ask again; and on a new connection, which leads elsewhere, where this process is leaving."""
    head = []
    if error.retry_after_s is not None:
        head.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    if error.code in _LEAVING:
        head.append(("connection", "close"))
    return head


def _stopped() -> ComportaError:
    return Unavailable("The gate was stopped before this call came to its end.", code="stopped", retry_after_s=1)


def _told(failure: Exception, request_id: str) -> ComportaError:
    """The failure as a caller may hear it; of a fault of ours it hears the request id, and the log hears the rest."""
    if isinstance(failure, ComportaError):
        return failure
    log.error("unexpected_failure", request_id=request_id, kind=type(failure).__name__, exc_info=failure)
    return ComportaError(f"Something failed inside the gate; the log knows more under request id {request_id}.")


def refuse_when(draining: Callable[[], bool], full: Callable[[], bool]) -> Callable[[], None]:
    """The `admit` of a gate that stops taking calls while it drains or while records have no place left."""

    def admit() -> None:
        if draining():
            raise Unavailable("This gate is shutting down.", code="draining", retry_after_s=1)
        if full():
            raise Unavailable(
                "Records have no place left: the spool is full. Is PostgreSQL reachable? See `comporta doctor`.",
                code="spool_full",
                retry_after_s=5,
            )

    return admit
