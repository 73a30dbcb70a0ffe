"""`GET` and `DELETE /v1/responses/{id}`, and the list of a response's input items.

What the gate keeps it shows itself; what a provider keeps is asked there, with the credential that the response was
given by. Neither is a call of a model: it costs nothing, and is not recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

from comporta.errors import BadRequest, ComportaError, NotFound, UpstreamTimeout
from comporta.gateway.doors.writing import encode
from comporta.gateway.followups.kept import Kept
from comporta.gateway.followups.places import PROVIDER, Place, Places
from comporta.gateway.followups.stage import checked_id, not_found, within
from comporta.gateway.reading import secret_of
from comporta.gateway.server import Asked, Page
from comporta.gateway.transport import MAX_FAULT_BYTES, MAX_REPLY_BYTES, Transport
from comporta.providers.base import Wire
from comporta.providers.directory import Provider
from comporta.providers.openai_stored import stored
from comporta.types import JSON, Caller

_ITEMS = "/input_items"
_CONNECT_S = 5.0
_TOTAL_S = 15.0
_MOST_LISTED = 100


class ResponsePages:
    """The pages. `authenticate` knows the caller, `provider_of` today's providers."""

    def __init__(
        self,
        places: Places,
        kept: Kept,
        authenticate: Callable[[str], Caller],
        provider_of: Callable[[str], Provider | None],
        transport: Transport,
    ) -> None:
        self._places = places
        self._kept = kept
        self._authenticate = authenticate
        self._provider_of = provider_of
        self._transport = transport

    async def show(self, asked: Asked) -> Page:
        """A response, or its input items."""
        caller = self._authenticate(secret_of(asked.headers))
        id, slash, rest = asked.rest.partition("/")
        below = slash + rest
        if below not in ("", _ITEMS):
            raise NotFound(f"A response has nothing at '{below[:60]}'; there is {_ITEMS}.")
        if asked.query.get("stream", "").lower() in ("true", "1"):
            raise BadRequest("A response that was given is not streamed again: leave `stream` out.", param="stream")
        found = await within(self._kept.one(checked_id(id, None), caller))
        if found is not None:
            items, response = found
            return Page(encode(response if not below else _listed(id, items, asked.query)))
        place = await self._place(id, caller)
        return Page(await self._ask(place, "GET", id, below, asked.query))

    async def remove(self, asked: Asked) -> Page:
        """Delete a response. What was asked in between of a conversation can't be followed up any more."""
        caller = self._authenticate(secret_of(asked.headers))
        id = checked_id(asked.rest, None)
        if await within(self._kept.delete(id, caller)):
            self._places.forget(id)
            return Page(encode({"id": id, "object": "response", "deleted": True}))
        place = await self._place(id, caller)
        return Page(await self._ask(place, "DELETE", id, "", {}))

    async def _place(self, id: str, caller: Caller) -> Place:
        """Where a response came from that its provider keeps. Raises NotFound."""
        place = self._places.near([id], caller) or await within(self._places.find([id], caller))
        if place is None or place.state != PROVIDER:
            raise not_found(id)
        return place

    async def _ask(
        self, place: Place, method: Literal["GET", "DELETE"], id: str, below: str, query: Mapping[str, str]
    ) -> bytes:
        provider = self._provider_of(place.target.provider)
        credential = place.target.credential
        missing = provider is None or (credential is not None and provider.credentials.named(credential) is None)
        if provider is None or missing or not isinstance(provider.speaks, Wire):
            raise NotFound(
                f"The response '{id}' is kept by the provider '{place.target.provider}', which this gate has no "
                "access to any more.",
                code="response_unreachable",
            )
        _, endpoint = provider.endpoint(credential)
        request = stored(endpoint, method, id, below, query)
        try:
            async with asyncio.timeout(_TOTAL_S):
                response = await self._transport.send(request, _CONNECT_S, _TOTAL_S)
                try:
                    body = await response.read(MAX_REPLY_BYTES if response.status < 300 else MAX_FAULT_BYTES)
                finally:
                    response.abort()
        except TimeoutError:
            raise UpstreamTimeout(f"The provider did not answer within {_TOTAL_S:g} s.") from None
        if response.status == 404:
            raise not_found(id)
        if response.status >= 300:
            raise _told(provider.speaks, response.status, response.headers, body, endpoint.secret)
        return body


def _told(
    wire: Wire, status: int, headers: Mapping[str, str], body: bytes, secret: str | None
) -> ComportaError:  # fmt: skip
    error = wire.fault(status, {name.lower(): value for name, value in headers.items()}, body)
    if secret and secret in error.message:
        error.message = error.message.replace(secret, "***")
    return error


def _listed(id: str, items: list[Any], query: Mapping[str, str]) -> JSON:
    """One page of a response's own input items, the latest first unless asked otherwise."""
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be 'asc' or 'desc'.", param="order")
    shown = [_shown(id, place, item) for place, item in enumerate(items)]
    shown = shown if order == "asc" else shown[::-1]
    after = query.get("after")
    if after is not None:
        places = [place for place, item in enumerate(shown) if item["id"] == after]
        if not places:
            raise BadRequest(f"There is no item '{after[:100]}' to list after.", param="after")
        shown = shown[places[0] + 1 :]
    limit = _limit(query.get("limit", "20"))
    page = shown[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(shown) > limit,
    }


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_LISTED:
        raise BadRequest(f"limit must be a number from 1 to {_MOST_LISTED}.", param="limit")
    return int(text)


def _shown(id: str, place: int, item: Any) -> JSON:
    """An item as the API shows it: with an id, and a text as a part."""
    shown = {"type": "message", "id": f"{id.replace('resp_', 'in_', 1)}_{place}", **item}
    if isinstance(shown.get("content"), str):
        kind = "output_text" if shown.get("role") == "assistant" else "input_text"
        shown["content"] = [{"type": kind, "text": shown["content"]}]
    return shown
