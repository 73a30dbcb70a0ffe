"""One call over HTTP, with the pipeline and the server's protocol played by the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from comporta.errors import ComportaError, UpstreamCut
from comporta.gateway.answering import Answering
from comporta.gateway.doors.anthropic_messages import AnthropicMessages
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.pipeline import Call
from comporta.types import Caller, Delta, Event

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
SILENCE_S = 1.2
Events = Callable[[], AsyncIterator[Event]]


class Proto:
    """The server's side of one request: its body, and what was sent back."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent: list[bytes] = []

    async def __call__(self) -> bytes:
        return self._body

    async def client_disconnect(self) -> None:
        await asyncio.Event().wait()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers = status, dict(headers)
        self.sent.append(body)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Proto:
        self.status, self.headers = status, dict(headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)


async def asked(events: Events, *, door: Door | None = None, stream: bool = True, **headers: str) -> Proto:
    async def pipeline(call: Call) -> AsyncIterator[Event]:
        return events()

    answering = Answering(
        pipeline=pipeline, authenticate=lambda secret: Caller("k"), admit=lambda: None, max_body=10_000,
        keep_alive_s=SILENCE_S / 4,
    )  # fmt: skip
    body = json.dumps(BODY | {"stream": stream}).encode()
    given = {"authorization": "Bearer k", "content-length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    proto = Proto(body)
    await answering(door or OpenAIChat(), SimpleNamespace(headers=given), proto)
    return proto


def says(text: str, finish: Any = None) -> Event:
    return Event(deltas=(Delta(text=text, finish=finish),), id="c", model="m")


async def test_a_long_silence_after_the_first_content_is_bridged_with_comments() -> None:
    """WIRE 6"""

    async def thinks() -> AsyncIterator[Event]:
        yield says("one")
        await asyncio.sleep(SILENCE_S)
        yield says("two", "stop")

    proto = await asked(thinks)
    first, last = (next(i for i, data in enumerate(proto.sent) if word in data) for word in (b"one", b"two"))
    between = proto.sent[first + 1 : last]
    assert between and set(between) == {b": keep-alive\n\n"}
    assert b"".join(proto.sent).endswith(b"data: [DONE]\n\n")


async def test_nothing_goes_out_in_a_silence_before_the_first_content() -> None:
    """WIRE 2, WIRE 6: a comment would commit the status, and what fails now can still be a real one."""

    async def fails() -> AsyncIterator[Event]:
        yield Event(deltas=(Delta(),), id="c", model="m")
        await asyncio.sleep(SILENCE_S)
        raise UpstreamCut("cut")

    proto = await asked(fails)
    assert proto.status == 502
    assert len(proto.sent) == 1 and json.loads(proto.sent[0])["error"]["code"] == "upstream_cut"


async def test_a_steady_stream_has_no_comments_in_it() -> None:
    """WIRE 6"""

    async def flows() -> AsyncIterator[Event]:
        for _ in range(10):
            yield says("tick ")
            await asyncio.sleep(SILENCE_S / 30)
        yield says("end", "stop")

    assert b": keep-alive" not in b"".join((await asked(flows)).sent)


async def test_a_compressed_body_is_refused_by_name() -> None:
    async def never() -> AsyncIterator[Event]:
        for _ in ("once",):
            raise AssertionError("asked")
        yield says("")

    for encoding in ("gzip", "br", "zstd, identity"):
        proto = await asked(never, content_encoding=encoding)
        assert proto.status == 415
        assert json.loads(proto.sent[0])["error"]["code"] == "unsupported_encoding"


async def test_anthropics_clients_find_the_request_id_under_their_name_for_it() -> None:
    """WIRE 22"""

    async def answers() -> AsyncIterator[Event]:
        yield Event(deltas=(Delta(text="one", finish="stop"),), id="c", model="m", whole=True, last=True)

    async def fails() -> AsyncIterator[Event]:
        for _ in ("once",):
            raise ComportaError("no")
        yield says("")

    for events in (answers, fails):
        proto = await asked(events, door=AnthropicMessages(), stream=False, x_request_id="mine-1")
        assert proto.headers["x-request-id"] == proto.headers["request-id"] == "mine-1"
    assert "request-id" not in (await asked(answers, stream=False)).headers
