"""The door for spans: it looks at little, keeps what it gets, and says what it can't take."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from comporta.errors import BadRequest
from comporta.gateway.server import Asked
from comporta.gateway.traces import TracesPage
from comporta.telemetry.otlp.inbox import Envelope
from comporta.types import Caller


class Door:
    """The page, and what it kept."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []
        self.page = TracesPage(lambda secret: Caller("k", secret), lambda: None, self._keep)

    async def _keep(self, envelope: Envelope) -> None:
        self.kept.append(envelope)

    async def post(self, body: bytes, kind: str = "application/json", **more: str) -> Any:
        headers = {"content-type": kind, "authorization": "Bearer app", **more}
        return await self.page.post(Asked("", {}, headers, body))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"resourceSpans": [1]}', b'{"resourceSpans": {}}', b"\xff", b""])
async def test_a_body_that_is_no_batch_is_refused_before_it_is_kept(body: bytes) -> None:
    door = Door()
    with pytest.raises(BadRequest, match="an object with `resourceSpans`"):
        await door.post(body)
    assert door.kept == []


async def test_a_batch_is_kept_as_it_came_with_who_sent_it() -> None:
    door = Door()
    body = json.dumps({"resourceSpans": [{"scopeSpans": []}]}).encode()
    assert (await door.post(body)).body == b"{}"
    assert (await door.post(b"packed", "application/x-protobuf; x=y", **{"content-encoding": "gzip"})).body == b""
    assert [(one.caller.name, one.content_type, one.encoding, one.body) for one in door.kept] == [
        ("app", "application/json", "identity", body), ("app", "application/x-protobuf", "gzip", b"packed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "encoding"), [("text/plain", "identity"), ("", "identity"), ("application/json", "br")]
)
async def test_what_nobody_reads_is_said_to_be_so(kind: str, encoding: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await Door().post(b"{}", kind, **{"content-encoding": encoding})
    assert refused.value.status == 415


async def test_a_large_batch_holds_nobody_up() -> None:
    door = Door()
    span = {"attributes": [{"key": f"a{n}", "value": {"stringValue": "word " * 10}} for n in range(20)]}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span] * 6000}]}]}).encode()
    began_s = time.thread_time()
    await door.post(body)
    took_s = time.thread_time() - began_s
    began_s = time.thread_time()
    json.loads(body)
    assert took_s < (time.thread_time() - began_s) / 10
    assert door.kept[0].body is body
