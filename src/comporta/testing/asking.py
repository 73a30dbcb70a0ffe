"""Sends one query through a wire to a real server, without the gate: for tests of wires against the fakes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import aiohttp
from msgspec import Struct

from comporta.pipeline import collect, replay
from comporta.providers.base import Endpoint, Query, Request, Wire
from comporta.types import Event, Reply


class Asked(Struct, frozen=True):
    """What was sent and what came back."""

    request: Request
    events: tuple[Event, ...]
    reply: Reply


async def ask(wire: Wire, query: Query, url: str, secret: str = "test-key") -> Asked:  # noqa: S107
    """The whole way of one call. Raises what the wire makes of a failure."""
    request = wire.encode(query, Endpoint(provider=wire.name, base_url=url, secret=secret))
    async with aiohttp.ClientSession() as session:
        events = await _events(session, wire, query, request)
    return Asked(request=request, events=tuple(events), reply=await collect(replay(events)))


async def _events(session: aiohttp.ClientSession, wire: Wire, query: Query, request: Request) -> list[Event]:
    async with session.request(request.method, request.url, data=request.body, headers=request.headers) as response:
        if response.status >= 300:
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise wire.fault(response.status, headers, await response.read())
        if not query.stream:
            return [wire.reply(query, await response.read())]
        return await _streamed(response, wire, query)


async def _streamed(response: aiohttp.ClientResponse, wire: Wire, query: Query) -> list[Event]:
    decoder = wire.decoder(query)
    events: list[Event] = []
    try:
        async for data in response.content.iter_any():
            events += decoder.feed(data)
    except aiohttp.ClientPayloadError:
        # The connection went down in the middle: what the decoder makes of it is the point.
        pass
    return events + decoder.end()


def decode(wire: Wire, query: Query, pieces: Sequence[bytes]) -> list[Event]:
    """The events of a recorded body, fed in these pieces."""
    decoder = wire.decoder(query)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """A body cut at these places; places beyond its end wrap around."""
    if not body:
        return []
    edges = [0, *sorted({place % len(body) for place in places}), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]
