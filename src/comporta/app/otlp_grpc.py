"""OTLP by gRPC, which wants the extra `comporta[grpc]`: the same requests, out and in, over another carrier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import grpc
import structlog

from comporta.errors import ComportaError, InvalidKey, Unavailable
from comporta.telemetry.otlp.exporting import LOGS, METRICS, TOO_LARGE, TRACES, Send, Sent, Unsent
from comporta.telemetry.otlp.inbox import Envelope, Inbox
from comporta.types import Caller

log = structlog.get_logger("comporta.otlp")

_SERVICES = {
    TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
#: gRPC's codes after which the same is to be sent again, as OTLP lists them.
_AGAIN = {
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
}  # fmt: skip
_REFUSED_STATUS = {
    grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403, grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TOO_LARGE,
}  # fmt: skip
_AGAIN_S = 5.0
_DETAILS, _COME_AGAIN = "grpc-status-details-bin", b"google.rpc.RetryInfo"


def sends_over_grpc(
    endpoint: str, headers: Mapping[str, str], timeout_s: float
) -> tuple[Send, Callable[[], Awaitable[None]]]:
    """OTLP over gRPC, packed, and what closes it. An https address is asked with TLS."""
    parts = urlsplit(endpoint)
    place = parts.netloc
    secure = parts.scheme == "https"
    channel = grpc.aio.secure_channel(place, grpc.ssl_channel_credentials()) if secure else _plain(place)
    metadata = tuple(headers.items())

    async def send(signal: str, body: bytes) -> Sent:
        export = channel.unary_unary(f"/{_SERVICES[signal]}/Export")
        try:
            told = await export(body, timeout=timeout_s, metadata=metadata, compression=grpc.Compression.Gzip)
        except grpc.aio.AioRpcError as error:
            if error.code() in _AGAIN or _may_come_again(error):
                raise Unsent(error.code().name.lower()) from None
            return Sent(_REFUSED_STATUS.get(error.code(), 400))
        return Sent(200, told)

    return send, channel.close


def _may_come_again(error: grpc.aio.AioRpcError) -> bool:
    """A used-up resource is a matter of time only where the answer says so; else the request was too large."""
    details = dict(error.trailing_metadata() or ()).get(_DETAILS, b"")
    return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and _COME_AGAIN in bytes(details)


def _plain(place: str) -> Any:
    return grpc.aio.insecure_channel(place)


class TracesOverGrpc:
    """Takes spans by gRPC until `stop`: what the page `/v1/traces` does over HTTP."""

    def __init__(self, authenticate: Callable[[str, float], Caller], inbox: Inbox, max_body: int) -> None:
        self._authenticate = authenticate
        self._inbox = inbox
        # A port that others listen at, too, would hand them some of the spans, and nobody would hear of it.
        options = (("grpc.max_receive_message_length", max_body), ("grpc.so_reuseport", 0))
        self._server = grpc.aio.server(options=options)
        export = grpc.unary_unary_rpc_method_handler(self._export)
        service = grpc.method_handlers_generic_handler(_SERVICES[TRACES], {"Export": export})
        self._server.add_generic_rpc_handlers((service,))

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that it is. Raises Unavailable where nobody may, since another program does."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            found = self._server.add_insecure_port(place)
        except RuntimeError:
            raise Unavailable(f"Spans can't be taken by gRPC: nothing can listen at {place}.") from None
        await self._server.start()
        return int(found)

    async def stop(self) -> None:
        await self._server.stop(grace=1.0)

    async def _export(self, body: bytes, context: Any) -> bytes:
        try:
            caller = self._authenticate(_secret(context), time.time())
            await self._inbox.put(Envelope(caller, "application/x-protobuf", "identity", body))
        except InvalidKey as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message)
        except Unavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)
        except ComportaError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        return b""


def _secret(context: Any) -> str:
    given = dict(context.invocation_metadata() or ())
    scheme, _, secret = str(given.get("authorization", "")).partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else str(given.get("x-api-key", ""))


async def until_stopped(server: TracesOverGrpc, host: str, port: int, again_s: float = _AGAIN_S) -> None:
    """Listen until cancelled; while another program has the port, try again every so often, and say so once."""
    told = False
    try:
        while not await _listens(server, host, port, told=told):
            told = True
            await asyncio.sleep(again_s)
        log.info("otlp.grpc_listens", host=host, port=port)
        await asyncio.Event().wait()
    finally:
        await server.stop()


async def _listens(server: TracesOverGrpc, host: str, port: int, *, told: bool) -> bool:
    try:
        await server.start(host, port)
    except Unavailable as error:
        if not told:
            log.error("otlp.grpc_waits", reason=error.message, hint="Set otlp.take.grpc_port to one that is free.")
        return False
    return True
