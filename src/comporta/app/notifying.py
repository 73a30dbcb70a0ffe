"""Notices as the processes have them: sent by every worker, delivered by the process of the jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping

import structlog

from comporta.app.loaded import Places, load_settings
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.config.watch import Watched, fingerprint, watch
from comporta.errors import UpstreamError
from comporta.gateway.settings import OutgoingSection
from comporta.gateway.transport import HttpTransport, Transport
from comporta.notify.channels import Answered, Channel, Post, Undelivered, channel_of
from comporta.notify.delivering import Deliverer
from comporta.notify.notifier import TOPIC, Notifier
from comporta.notify.settings import ChannelSection
from comporta.providers.base import Request
from comporta.providers.retry_after import retry_after_s
from comporta.store.changes import Changes
from comporta.store.database import Database

log = structlog.get_logger("comporta.notify")

_CONNECT_S = 5.0
_ANSWER_S = 10.0
_MOST_READ_BYTES = 64 * 1024
_POOL = 4


def post_over(transport: Transport) -> Post:
    """One POST by the way that all requests go out: outgoing proxy, authorities of one's own."""

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        try:
            async with asyncio.timeout(_CONNECT_S + _ANSWER_S):
                response = await transport.send(Request(url, body, dict(headers)), _CONNECT_S, _ANSWER_S)
                try:
                    # Read, so that the connection can be kept; what it says is nobody's business.
                    with contextlib.suppress(UpstreamError):
                        await response.read(_MOST_READ_BYTES)
                finally:
                    response.abort()
        except TimeoutError:
            raise Undelivered(f"no answer within {_ANSWER_S:g} s") from None
        except UpstreamError as error:
            raise Undelivered(_reason(error)) from None
        return Answered(response.status, retry_after_s(response.headers))

    return post


def _reason(error: UpstreamError) -> str:
    """Our own words for what went wrong on the way, which hold no address."""
    return error.message.replace("the provider", "the receiver").replace("The provider", "The receiver").rstrip(".")


def transport_of(outgoing: OutgoingSection) -> HttpTransport:
    """The way out that the configuration says."""
    return HttpTransport(
        proxy=outgoing.proxy,
        no_proxy=outgoing.no_proxy,
        ca_file=str(outgoing.ca_file) if outgoing.ca_file else None,
        keep_alive_s=outgoing.keep_alive,
    )


def channels_over(transport: Transport, outgoing: OutgoingSection) -> Callable[[ChannelSection], Channel]:
    """What makes a channel of its section."""
    post = post_over(transport)
    return lambda section: channel_of(section, post, outgoing.ca_file)


def notifier_of(database: Database, settings: Callable[[], Settings], transport: Transport) -> Notifier:
    """What a gate sends notices with."""
    return Notifier(
        database, lambda: settings().notify, lambda section: channels_over(transport, settings().outgoing)(section)
    )


class Delivering:
    """The delivery of notices, as a task beside the jobs; it follows changes of the configuration's channels."""

    def __init__(self, dsn: str, places: Places, loaded: Loaded[Settings]) -> None:
        self._dsn = dsn
        self._places = places
        self._loaded = loaded
        self._seen = fingerprint(loaded.watched)
        self._seen_request = fingerprint([places.folder.reload])
        #: Set once it runs.
        self.deliverer: Deliverer | None = None

    async def run(self) -> None:
        """Deliver until cancelled; a database that is away is waited for."""
        outgoing = self._loaded.value.outgoing
        transport = transport_of(outgoing)
        changes = Changes(self._dsn)
        try:
            async with Database(self._dsn, max_size=_POOL) as database:
                deliverer = Deliverer(database, lambda: self._loaded.value.notify, channels_over(transport, outgoing))
                self.deliverer = deliverer
                changes.subscribe(TOPIC, deliverer.wake)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(deliverer.run())
                    tasks.create_task(changes.run())
                    tasks.create_task(self._follow())
        finally:
            await transport.close()

    def settings(self) -> Settings:
        """Today's configuration."""
        return self._loaded.value

    def figures(self) -> dict[str, float]:
        """Totals for `/metrics`."""
        if self.deliverer is None:
            return {}
        return {"notices_delivered": self.deliverer.delivered, "notice_attempts_failed": self.deliverer.failed}

    async def _follow(self) -> None:
        watched = Watched(self._loaded, lambda: load_settings(self._places, os.environ), log, seen=self._seen)
        watched.subscribe(self._take)
        asked = [self._places.folder.reload]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watched.run())
            tasks.create_task(watch(lambda: asked, watched.reload, log, self._seen_request))

    async def _take(self, loaded: Loaded[Settings]) -> None:
        self._loaded = loaded
        if self.deliverer is not None:
            await self.deliverer.wake()
