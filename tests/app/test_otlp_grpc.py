"""OTLP by gRPC, out and in, with gRPC's own client and server."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from comporta.app.otlp_grpc import TracesOverGrpc, sends_over_grpc
from comporta.errors import InvalidKey
from comporta.telemetry.otlp.exporting import TRACES, Unsent
from comporta.telemetry.otlp.inbox import Inbox
from comporta.types import Caller

BODY = ExportTraceServiceRequest().SerializeToString() or b""


def known(secret: str, now_s: float) -> Caller:
    if secret != "good":
        raise InvalidKey("no")
    return Caller("k", "backend")


async def test_spans_sent_by_grpc_lie_in_the_inbox(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "traces", 1_000_000)
    server = TracesOverGrpc(known, inbox, 1_000_000)
    port = await server.start("127.0.0.1", 0)
    try:
        send = sends_over_grpc(f"http://127.0.0.1:{port}", {"authorization": "Bearer good"}, 5.0)
        assert (await send(TRACES, BODY)).status == 200
        refused = sends_over_grpc(f"http://127.0.0.1:{port}", {"authorization": "Bearer bad"}, 5.0)
        assert (await refused(TRACES, BODY)).status == 401
    finally:
        await server.stop()
    (path,) = inbox.waiting()
    envelope = inbox.read(path)
    assert envelope is not None and envelope.caller.name == "backend"


async def test_a_full_inbox_asks_to_come_again(tmp_path: Path) -> None:
    server = TracesOverGrpc(known, Inbox(tmp_path / "traces", 1), 1_000_000)
    port = await server.start("127.0.0.1", 0)
    try:
        send = sends_over_grpc(f"http://127.0.0.1:{port}", {"x-api-key": "good"}, 5.0)
        with pytest.raises(Unsent, match="unavailable"):
            await send(TRACES, BODY)
    finally:
        await server.stop()


async def test_a_backend_that_is_away_is_asked_again_later() -> None:
    send = sends_over_grpc("http://127.0.0.1:9", {}, 1.0)
    with pytest.raises(Unsent):
        await send(TRACES, BODY)
    assert grpc.__version__
