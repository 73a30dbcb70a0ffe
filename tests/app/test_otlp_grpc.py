"""OTLP by gRPC, out and in, with gRPC's own client and server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from comporta.app.otlp_grpc import TracesOverGrpc, sends_over_grpc, until_stopped
from comporta.errors import InvalidKey, Unavailable
from comporta.telemetry.otlp.exporting import METRICS, TRACES, Send, Unsent
from comporta.telemetry.otlp.inbox import Inbox
from comporta.types import Caller

BODY = ExportTraceServiceRequest().SerializeToString() or b""


@asynccontextmanager
async def sending(port: int, headers: Mapping[str, str], timeout_s: float = 60.0) -> AsyncIterator[Send]:
    send, close = sends_over_grpc(f"http://127.0.0.1:{port}", headers, timeout_s)
    try:
        yield send
    finally:
        await close()


def known(secret: str, now_s: float) -> Caller:
    if secret != "good":
        raise InvalidKey("no")
    return Caller("k", "backend")


async def test_spans_sent_by_grpc_lie_in_the_inbox(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "traces", 1_000_000)
    server = TracesOverGrpc(known, inbox, 1_000_000)
    port = await server.start("127.0.0.1", 0)
    try:
        async with sending(port, {"authorization": "Bearer good"}) as send:
            assert (await send(TRACES, BODY)).status == 200
        async with sending(port, {"authorization": "Bearer bad"}) as refused:
            assert (await refused(TRACES, BODY)).status == 401
    finally:
        await server.stop()
    (path,) = inbox.waiting()
    envelope = inbox.read(path)
    assert envelope is not None and envelope.caller.name == "backend"


async def test_a_port_that_another_has_is_said_once_and_taken_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    listens = asyncio.Event()
    monkeypatch.setattr("comporta.app.otlp_grpc.log.error", lambda event, **told: said.append(told["reason"]))
    monkeypatch.setattr("comporta.app.otlp_grpc.log.info", lambda event, **told: listens.set())
    first, second = (TracesOverGrpc(known, Inbox(tmp_path / name, 1_000_000), 1_000_000) for name in ("a", "b"))
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
        await second.start("127.0.0.1", port)
    task = asyncio.create_task(until_stopped(second, "127.0.0.1", port, again_s=0.05))
    while not said:  # noqa: ASYNC110 (a list that fills tells nobody)
        await asyncio.sleep(0.01)
    await first.stop()
    await asyncio.wait_for(listens.wait(), 60)
    async with sending(port, {"x-api-key": "good"}) as send:
        assert (await send(TRACES, BODY)).status == 200
    assert len(said) == 1 and f"127.0.0.1:{port}" in said[0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_full_inbox_asks_to_come_again(tmp_path: Path) -> None:
    server = TracesOverGrpc(known, Inbox(tmp_path / "traces", 1), 1_000_000)
    port = await server.start("127.0.0.1", 0)
    try:
        async with sending(port, {"x-api-key": "good"}) as send:
            with pytest.raises(Unsent, match="unavailable"):
                await send(TRACES, BODY)
    finally:
        await server.stop()


async def test_a_backend_that_is_away_is_asked_again_later() -> None:
    async with sending(9, {}, 1.0) as send:
        with pytest.raises(Unsent):
            await send(TRACES, BODY)


async def test_a_request_beyond_what_a_backend_takes_is_too_large_and_not_sent_for_ever(tmp_path: Path) -> None:
    server = TracesOverGrpc(known, Inbox(tmp_path / "traces", 1_000_000), max_body=1000)
    port = await server.start("127.0.0.1", 0)
    try:
        async with sending(port, {"x-api-key": "good"}) as send:
            assert (await send(TRACES, b"\x0a" * 2000)).status == 413
            assert (await send(METRICS, BODY)).status == 501
    finally:
        await server.stop()


async def test_a_backend_that_asks_for_a_pause_is_asked_again_later() -> None:
    async def busy(body: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x12.type.googleapis.com/google.rpc.RetryInfo"),))
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
        return b""

    server = grpc.aio.server()
    traces = "opentelemetry.proto.collector.trace.v1.TraceService"
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(busy)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(traces, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with sending(port, {}) as send:
            with pytest.raises(Unsent, match="resource_exhausted"):
                await send(TRACES, BODY)
    finally:
        await server.stop(None)
