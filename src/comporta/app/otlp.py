"""OpenTelemetry as the job worker does it: calls out to a backend, spans that came in into the tables."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

import structlog
from msgspec import Struct

from comporta.app.addresses import servers_of
from comporta.app.around import Around
from comporta.app.notifying import transport_of
from comporta.app.otlp_extra import NO_GRPC, has_grpc
from comporta.app.otlp_taking import Taking
from comporta.app.settings import Settings
from comporta.errors import Unavailable, UpstreamError
from comporta.gateway.transport import Transport
from comporta.keys.keys import Keys
from comporta.providers.base import Request
from comporta.providers.retry_after import retry_after_s
from comporta.store.changes import Changes
from comporta.telemetry.otlp import outbox
from comporta.telemetry.otlp.exporting import Exporter, Send, Sent, Unsent, What, packed
from comporta.telemetry.otlp.inbox import Inbox
from comporta.telemetry.otlp.names import names_for
from comporta.telemetry.otlp.settings import OtlpExportSection
from comporta.telemetry.otlp.spans_out import How

log = structlog.get_logger("comporta.otlp")

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
SERVICE, RESOURCE = "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"
_CONNECT_S = 5.0
_MOST_READ_BYTES = 64 * 1024
#: How often it is looked whether the configuration says something else.
_LOOK_S = 5.0
_TAKE_EVERY_S = 1.0


class Where(Struct, frozen=True):
    """Where to send, as configuration and environment say together."""

    endpoint: str
    headers: Mapping[str, str]
    grpc: bool = False


def where_of(section: OtlpExportSection, environment: Mapping[str, str]) -> Where | None:
    """None where nothing is exported. The configuration wins over the environment."""
    endpoint = section.endpoint or environment.get(ENDPOINT, "").strip()
    if not endpoint:
        return None
    own = {name.lower(): value.get_secret_value() for name, value in section.headers.items()}
    told = {name.lower(): value for name, value in pairs(environment.get(HEADERS, "")).items()}
    grpc = (section.protocol or environment.get(PROTOCOL, "").strip().lower()) == "grpc"
    return Where(endpoint.rstrip("/"), own or told, grpc)


def pairs(text: str) -> dict[str, str]:
    """`name=value,name=value` with percent-encoding, as OpenTelemetry writes headers and resources."""
    found = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in found}


def what_of(settings: Settings, environment: Mapping[str, str], instance: str) -> What:
    """What to send, by which names, under which resource.

    `instance` tells this process apart: its figures are sums of their own, which a backend must not mix with another's.
    """
    section = settings.otlp.export
    named = environment.get(SERVICE) or "comporta"
    resource = {
        "service.instance.id": instance,
        "service.name": named,
        **pairs(environment.get(RESOURCE, "")),
        **section.resource,
    }
    if environment.get(SERVICE) and "service.name" not in section.resource:
        resource["service.name"] = environment[SERVICE]
    how = How(names_for(environment), section.content, section.stages, resource, servers_of(settings, environment))
    return What(how, section.metrics, section.scores)


def sends_over(transport: Transport, where: Where, timeout_s: float) -> Send:
    """OTLP over HTTP with protobuf, packed, by the way that all requests go out."""

    async def send(signal: str, body: bytes) -> Sent:
        packed_body = await asyncio.to_thread(packed, body)
        headers = {**where.headers, "content-type": "application/x-protobuf", "content-encoding": "gzip"}
        request = Request(f"{where.endpoint}/v1/{signal}", packed_body, headers)
        try:
            async with asyncio.timeout(timeout_s):
                response = await transport.send(request, _CONNECT_S, timeout_s)
                try:
                    told = await response.read(_MOST_READ_BYTES)
                finally:
                    response.abort()
        except TimeoutError:
            raise Unsent(f"no answer within {timeout_s:g} s") from None
        except UpstreamError as error:
            raise Unsent(error.code) from None
        return Sent(response.status, told, retry_after_s(response.headers))

    return send


async def export(around: Around) -> None:
    """Export until cancelled, as today's configuration says; another one is taken up within seconds."""
    while True:
        settings = around.settings()
        where = where_of(settings.otlp.export, os.environ)
        if where is not None and where.grpc and not has_grpc():
            log.error("otlp.not_exported", hint=f"{PROTOCOL}=grpc {NO_GRPC}")
            where = None
        await _turned(around, where is not None)
        if where is None:
            await _until_changed(around, settings)
        else:
            await _export_to(where, around, settings)


async def _export_to(where: Where, around: Around, settings: Settings) -> None:
    """Until the configuration says something else."""
    section = settings.otlp.export
    send, close = _way(where, around, section.timeout)
    exporter = Exporter(around.database, send, what_of(settings, os.environ, str(uuid.uuid4())), around.count)
    exporting = asyncio.create_task(exporter.run(section.every))
    try:
        await _until_changed(around, settings)
    finally:
        exporting.cancel()
        await asyncio.gather(exporting, return_exceptions=True)
        await close()


def _way(where: Where, around: Around, timeout_s: float) -> tuple[Send, Callable[[], Awaitable[None]]]:
    """How requests go out, and how that ends."""
    if where.grpc:
        # A heavy extra that most installations don't have.
        from comporta.app.otlp_grpc import sends_over_grpc  # noqa: PLC0415

        return sends_over_grpc(where.endpoint, where.headers, timeout_s)
    transport = transport_of(around.settings().outgoing)
    return sends_over(transport, where, timeout_s), transport.close


async def _turned(around: Around, on: bool) -> None:
    while True:
        try:
            await outbox.turn(around.database, on)
            return
        except Unavailable:
            await asyncio.sleep(_LOOK_S)


async def _until_changed(around: Around, settings: Settings) -> None:
    """Until what is exported, or where the providers are, is something else."""
    while _exported(around.settings()) == _exported(settings):  # noqa: ASYNC110 (a value that is swapped in tells nobody)
        await asyncio.sleep(_LOOK_S)


def _exported(settings: Settings) -> tuple[OtlpExportSection, Mapping[str, str | None]]:
    return settings.otlp.export, {name: section.base_url for name, section in settings.providers.items()}


async def take_in(around: Around) -> None:
    """Read batches of spans until cancelled; those that a database which is away keeps from going in stay."""
    taking = Taking(around)
    while True:
        try:
            read = await taking.once()
        except Unavailable:
            read = 0
        if not read:
            await asyncio.sleep(_TAKE_EVERY_S)


async def take_in_over_grpc(around: Around) -> None:
    """Take spans by gRPC until cancelled, where the configuration names a port at the start."""
    section = around.settings().otlp.take
    if section.grpc_port is None or not section.enabled:
        return
    # A heavy extra that most installations don't have.
    from comporta.app.otlp_grpc import TracesOverGrpc, until_stopped  # noqa: PLC0415

    keys = Keys(around.database)
    changes = Changes(around.database.dsn)
    changes.subscribe(keys.topic, keys.load)
    await _loaded(keys)
    server = TracesOverGrpc(keys.authenticate, Inbox(around.folder.traces, section.max_waiting), section.max_body)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(changes.run())
        tasks.create_task(until_stopped(server, section.grpc_host, section.grpc_port))


async def _loaded(keys: Keys) -> None:
    while True:
        try:
            await keys.load()
            return
        except Unavailable:
            await asyncio.sleep(_LOOK_S)
