"""Every way a call can end over HTTP: its endings run once, nothing stays in flight, and the record says how it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from comporta.errors import ComportaError, InvalidKey, RateLimited, Unavailable, UpstreamCut, UpstreamFault
from comporta.gateway.answering import Answering, refuse_when
from comporta.gateway.asking import Streamed, ask
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.pipeline import Call, Next, Stage, compose
from comporta.types import Caller, Delta, Event, Input, Usage

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
Source = Callable[[Call], Awaitable[AsyncIterator[Event]]]


def says(text: str, finish: Any = None) -> Event:
    return Event(deltas=(Delta(text=text, finish=finish),), id="c", model="m")


class Proto:
    """granian's side of one request. `leave()` is the client's going; then nothing can be sent any more."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._gone = asyncio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent: list[bytes] = []
        self.arrived = asyncio.Event()

    def leave(self) -> None:
        self._gone.set()

    async def __call__(self) -> bytes:
        return self._body

    async def client_disconnect(self) -> None:
        await self._gone.wait()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers = status, dict(headers)
        self.sent.append(body)
        self.arrived.set()

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Proto:
        self.status, self.headers = status, dict(headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self._gone.is_set():
            raise ConnectionError
        self.sent.append(data)
        self.arrived.set()

    @property
    def text(self) -> str:
        return b"".join(self.sent).decode()


class Watched:
    """A pipeline of two stages around `source` that notes what ends how often, and in which order."""

    def __init__(self, source: Source) -> None:
        self.ended: list[str] = []
        self.errors: list[str | None] = []
        self.closed: list[str] = []
        self.calls: list[Call] = []
        self.pipeline: Next = compose([("outer", self._stage("outer")), ("inner", self._stage("inner"))], source)
        self.answering = Answering(
            pipeline=self.pipeline, authenticate=lambda secret: Caller("k"), admit=lambda: None, max_body=10_000
        )

    def _stage(self, name: str) -> Stage:
        async def stage(call: Call, next: Next) -> AsyncIterator[Event]:
            if name == "outer":
                self.calls.append(call)
            call.at_end(lambda call: self._end(name, call))
            return self._around(name, await next(call))

        return stage

    def _end(self, name: str, call: Call) -> None:
        self.ended.append(name)
        self.errors.append(call.error.code if call.error else None)

    async def _around(self, name: str, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        try:
            async for event in events:
                yield event
        finally:
            self.closed.append(name)

    def begin(self, *, stream: bool, body: bytes | None = None) -> tuple[Proto, asyncio.Task[None]]:
        data = json.dumps(BODY | {"stream": stream}).encode() if body is None else body
        proto = Proto(data)
        scope = SimpleNamespace(headers={"authorization": "Bearer k", "content-length": str(len(data))})
        return proto, asyncio.create_task(self.answering(OpenAIChat(), scope, proto))

    def assert_over(self, error: str | None) -> None:
        assert self.ended == ["inner", "outer"]
        assert self.errors == [error, error]
        assert self.answering.in_flight == 0
        [call] = self.calls
        assert call.end_ns


def source(*events: Event | Exception | float) -> Source:
    """What comes from below: events, pauses in seconds, failures."""

    async def stream() -> AsyncIterator[Event]:
        for item in events:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                yield item

    async def begin(call: Call) -> AsyncIterator[Event]:
        return stream()

    return begin


def refusing(error: Exception) -> Source:
    async def begin(call: Call) -> AsyncIterator[Event]:
        raise error

    return begin


WHOLE = source(says("one"), says("two", "stop"), Event(usage=Usage(input=1, output=2)))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_success_ends_once(stream: bool) -> None:
    watched = Watched(WHOLE)
    proto, task = watched.begin(stream=stream)
    await task
    assert proto.status == 200 and "two" in proto.text
    watched.assert_over(None)
    assert watched.closed == ["inner", "outer"] or watched.closed == ["outer", "inner"]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_endings_ran_before_the_last_byte_went_out(stream: bool) -> None:
    """An answered call is a recorded call: the record is an ending."""
    watched = Watched(source(says("one"), 0.01, says("two", "stop"), Event(usage=Usage(input=1, output=2))))
    ended_at: list[int] = []

    class Noting(Proto):
        def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            ended_at.append(len(watched.ended))
            super().response_bytes(status, headers, body)

        async def send_bytes(self, data: bytes) -> None:
            ended_at.append(len(watched.ended))
            await super().send_bytes(data)

    body = json.dumps(BODY | {"stream": stream}).encode()
    scope = SimpleNamespace(headers={"authorization": "Bearer k", "content-length": str(len(body))})
    await watched.answering(OpenAIChat(), scope, Noting(body))
    assert ended_at[-1] == 2
    if stream:
        assert ended_at[0] == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (RateLimited("Too many.", retry_after_s=2.2), 429, "rate_limit_exceeded"),
        (UpstreamFault("It failed."), 502, "upstream_fault"),
        (Unavailable("Away."), 503, "unavailable"),
        (KeyError("a fault of ours with a secret"), 500, "internal_error"),
    ],
)
async def test_a_refusal_or_failure_before_the_answer_ends_once_with_its_status(
    failure: Exception, status: int, code: str, stream: bool
) -> None:
    watched = Watched(refusing(failure))
    proto, task = watched.begin(stream=stream)
    await task
    assert proto.status == status
    error = json.loads(proto.text)["error"]
    assert error["code"] == code and "secret" not in error["message"]
    assert proto.headers.get("retry-after") == ("3" if status == 429 else None)
    watched.assert_over(code)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_after_the_role_alone_is_still_a_status(stream: bool) -> None:
    watched = Watched(source(Event(deltas=(Delta(),), id="c"), UpstreamFault("It failed.")))
    proto, task = watched.begin(stream=stream)
    await task
    assert proto.status == 502
    watched.assert_over("upstream_fault")


@pytest.mark.parametrize(
    ("failure", "code"), [(UpstreamCut("Cut."), "upstream_cut"), (ZeroDivisionError("x"), "internal_error")]
)
async def test_a_failure_in_mid_stream_is_told_in_the_stream_and_ends_once(failure: Exception, code: str) -> None:
    watched = Watched(source(says("one"), failure))
    proto, task = watched.begin(stream=True)
    await task
    assert proto.status == 200 and proto.text.endswith("data: [DONE]\n\n")
    assert json.loads(proto.text.split("\n\n")[-3].removeprefix("data: "))["error"]["code"] == code
    watched.assert_over(code)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (False, (30.0, says("late", "stop"))),
        (True, (30.0, says("late", "stop"))),
        (False, (says("one"), 30.0)),
        (True, (says("one"), 30.0)),
    ],
    ids=["plain, before", "stream, before", "plain, half", "stream, half"],
)
async def test_a_client_that_leaves_ends_its_call_once_and_at_once(
    stream: bool, events: tuple[Event | float, ...]
) -> None:
    """WIRE 8"""
    watched = Watched(source(*events))
    proto, task = watched.begin(stream=stream)
    await asyncio.sleep(0.05)
    proto.leave()
    await asyncio.wait_for(task, 25)
    watched.assert_over("client_closed")
    assert watched.calls[0].error is not None and watched.calls[0].error.status == 499


async def test_a_client_whose_connection_breaks_while_we_write_is_gone_too() -> None:
    watched = Watched(source(says("one"), 0.05, says("two", "stop")))
    proto, task = watched.begin(stream=True)
    await asyncio.wait_for(proto.arrived.wait(), 25)
    # Writing fails before the notice of the closed connection comes.
    proto.client_disconnect = asyncio.Event().wait  # type: ignore[method-assign,assignment]
    proto._gone.set()
    await asyncio.wait_for(task, 25)
    watched.assert_over("client_closed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancellation_from_outside_ends_the_call_once_and_passes_on(stream: bool) -> None:
    watched = Watched(source(says("one"), 30.0))
    _, task = watched.begin(stream=stream)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watched.assert_over("stopped")


async def test_a_second_cancellation_while_closing_leaves_no_ending_out() -> None:
    """The client leaves, and while its call is closed the server goes down."""
    closing = asyncio.Event()

    class SlowToClose:
        def __init__(self) -> None:
            self._begun = False

        def __aiter__(self) -> SlowToClose:
            return self

        async def __anext__(self) -> Event:
            if self._begun:
                await asyncio.sleep(30)
            self._begun = True
            return says("one")

        async def aclose(self) -> None:
            closing.set()
            await asyncio.sleep(30)

    async def begin(call: Call) -> AsyncIterator[Event]:
        events = SlowToClose()
        call.hold(events)
        return events

    watched = Watched(begin)
    proto, task = watched.begin(stream=True)
    await asyncio.wait_for(proto.arrived.wait(), 25)
    proto.leave()
    await asyncio.wait_for(closing.wait(), 25)
    task.cancel()
    await asyncio.wait([task], timeout=25)
    watched.assert_over("client_closed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_layer_that_fails_to_close_takes_no_ending_with_it(stream: bool) -> None:
    class Stubborn:
        def __init__(self) -> None:
            self._events = [says("one"), says("two", "stop")]

        def __aiter__(self) -> Stubborn:
            return self

        async def __anext__(self) -> Event:
            if not self._events:
                raise StopAsyncIteration
            return self._events.pop(0)

        async def aclose(self) -> None:
            raise RuntimeError("can't close")

    async def begin(call: Call) -> AsyncIterator[Event]:
        events = Stubborn()
        call.hold(events)
        return events

    watched = Watched(begin)
    _, task = watched.begin(stream=stream)
    await task
    assert watched.ended == ["inner", "outer"]
    assert watched.answering.in_flight == 0


async def test_what_never_became_a_call_leaves_nothing_in_flight() -> None:
    def nobody(secret: str) -> Caller:
        raise InvalidKey("No such key.")

    for answering, status in (
        (Answering(pipeline=WHOLE, authenticate=nobody, admit=lambda: None, max_body=1000), 401),
        (
            Answering(
                pipeline=WHOLE, authenticate=lambda s: Caller("k"), admit=refuse_when(lambda: True, lambda: False),
                max_body=1000,
            ),
            503,
        ),
        (
            Answering(
                pipeline=WHOLE, authenticate=lambda s: Caller("k"), admit=refuse_when(lambda: False, lambda: True),
                max_body=1000,
            ),
            503,
        ),
        (Answering(pipeline=WHOLE, authenticate=lambda s: Caller("k"), admit=lambda: None, max_body=5), 413),
        (Answering(pipeline=WHOLE, authenticate=lambda s: Caller("k"), admit=lambda: None, max_body=1000), 400),
    ):  # fmt: skip
        proto = Proto(b"{ not JSON")
        scope = SimpleNamespace(headers={"authorization": "Bearer k", "content-length": "10"})
        await answering(OpenAIChat(), scope, _Iterable(proto) if status == 413 else proto)
        assert proto.status == status, proto.text
        assert answering.in_flight == 0


class _Iterable:
    """The same request, read piece by piece."""

    def __init__(self, proto: Proto) -> None:
        self._proto = proto
        self.response_bytes = proto.response_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{ not "
        yield b"JSON"


# ---- the same without HTTP ----


def call_for(stream: bool) -> Call:
    return Call(kind="chat", input=Input(), model="m", caller=Caller("k"), stream=stream)


@pytest.mark.parametrize(
    ("below", "code"),
    [
        (WHOLE, None),
        (refusing(RateLimited("Too many.")), "rate_limit_exceeded"),
        (source(says("one"), UpstreamCut("Cut.")), "upstream_cut"),
        (source(says("one"), ZeroDivisionError("x")), "internal_error"),
    ],
    ids=["success", "refusal", "cut", "fault of ours"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_in_process_calls_end_once_too(below: Source, code: str | None, stream: bool) -> None:
    watched = Watched(below)
    try:
        if stream:
            async for _ in Streamed(watched.pipeline, call_for(True)):
                pass
        else:
            await ask(watched.pipeline, call_for(False))
    except (ComportaError, ZeroDivisionError):
        assert code is not None
    watched.assert_over(code)


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_an_in_process_call_ends_it_once(stream: bool) -> None:
    watched = Watched(source(says("one"), 30.0))

    async def consume() -> None:
        if stream:
            async for _ in Streamed(watched.pipeline, call_for(True)):
                pass
        else:
            await ask(watched.pipeline, call_for(False))

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watched.assert_over("client_closed")


async def test_events_that_came_together_leave_together_and_a_wait_sends_what_is_there() -> None:
    """A write costs more than an event; no event waits for one that is not there yet."""
    watched = Watched(source(says("one"), says("two"), 0.2, says("three"), says("four", "stop")))
    proto, task = watched.begin(stream=True)
    await task
    assert [part.count(b'"content"') for part in proto.sent] == [2, 2, 0]
    assert proto.sent[-1] == b"data: [DONE]\n\n"


async def test_a_layer_that_fails_to_close_leaves_none_below_it_open() -> None:
    closed: list[str] = []

    class Layer:
        def __init__(self, name: str, error: Exception | None = None) -> None:
            self._name, self._error = name, error

        def __aiter__(self) -> Layer:
            return self

        async def __anext__(self) -> Event:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            closed.append(self._name)
            if self._error is not None:
                raise self._error

    call = Call(kind="chat", input=Input(), model="m", caller=Caller("k"))
    for layer in (Layer("upstream"), Layer("broken", ValueError("can't")), Layer("outer")):
        call.hold(layer)
    with pytest.raises(ValueError, match="can't"):
        await call.close_events()
    assert closed == ["outer", "broken", "upstream"]


async def test_wire_8_a_client_that_left_before_the_last_event_went_out_is_in_the_record() -> None:
    """What is written between two events finds the connection closed, and nothing more comes."""
    reached = asyncio.Event()

    async def begin(call: Call) -> AsyncIterator[Event]:
        async def events() -> AsyncIterator[Event]:
            yield says("one")
            await asyncio.sleep(0)
            yield says("two", "stop")
            reached.set()
            await asyncio.sleep(0.01)

        return events()

    watched = Watched(begin)
    proto, task = watched.begin(stream=True)
    await proto.arrived.wait()
    proto.leave()
    await reached.wait()
    await task
    watched.assert_over("client_closed")
