"""The wire of OpenAI and of everything compatible with it: chat, and natively what else a row says it has.

Which of the API's parts a call goes to is decided here; each part is a file of its own. What an endpoint does otherwise
than OpenAI stands in its row's options (`providers/rows.py`), so that no name of a provider appears in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from comporta.errors import Unsupported, UpstreamError
from comporta.providers import (
    openai_completions,
    openai_decode,
    openai_embeddings,
    openai_encode,
    openai_fault,
    openai_responses,
)
from comporta.providers.base import Decoder, Endpoint, Query, Request
from comporta.providers.carry import to_json
from comporta.providers.prompt_caching import in_openai
from comporta.providers.statuses import decoded
from comporta.types import JSON

_MOST_PLACES = 1024


class OpenAI:
    """OpenAI's protocol. `responses` and `completions` say that the endpoint has those natively."""

    name = "openai"

    def __init__(
        self, title: str = "The provider", *, responses: bool = False, completions: bool = False
    ) -> None:  # fmt: skip
        self._title = title
        #: Address and headers by what they follow from; the endpoint is kept, so that its identity stays its own.
        self._places: dict[tuple[int, str, str], tuple[Endpoint, str, dict[str, str]]] = {}
        self._responses = responses
        self._completions = completions

    def encode(self, query: Query, endpoint: Endpoint) -> Request:
        options = endpoint.options
        dropped: tuple[str, ...] = ()
        part = self.part(query)
        raw = query.input.raw or {}
        if part == "chat/completions":
            body, dropped = openai_encode.body_of(query, options)
        elif part == "embeddings":
            body, dropped = openai_embeddings.body_of(query, options)
        elif part == "responses":
            body = openai_responses.body_of(query, raw)
        else:
            body = openai_completions.body_of(query, raw, options)
        if query.caching is not None and part != "completions":
            body = in_openai(body, query.caching, options)
        _, url, headers = self._places.get((id(endpoint), part, query.model)) or self._place(
            endpoint, part, query.model
        )
        return Request(url, to_json(body), headers, dropped=dropped)

    def _place(self, endpoint: Endpoint, part: str, model: str) -> tuple[Endpoint, str, dict[str, str]]:
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        place = endpoint, address(endpoint, part, model), headers_of(endpoint)
        self._places[id(endpoint), part, model] = place
        return place

    def decoder(self, query: Query) -> Decoder:
        part = self.part(query)
        if part == "responses":
            return openai_responses.ResponsesDecoder(self._title)
        if part == "completions":
            return openai_completions.CompletionsDecoder(query, self._title)
        return openai_decode.ChatDecoder(query, self._title)

    def reply(self, query: Query, body: bytes) -> Any:
        part = self.part(query)
        if part == "chat/completions":
            return openai_decode.reply_of(query, body, self._title)
        if part == "embeddings":
            return openai_embeddings.reply_of(query, body, self._title)
        if part == "responses":
            return openai_responses.reply_of(body, self._title)
        return openai_completions.reply_of(body, self._title)

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return openai_fault.fault(self._title, status, headers, body)

    def listing(self, endpoint: Endpoint) -> Request | None:
        if not endpoint.options.get("listing", True):
            return None
        return Request(address(endpoint, "models", ""), b"", headers_of(endpoint), method="GET")

    def models(self, body: bytes) -> tuple[str, ...]:
        value = decoded(body)
        rows = value.get("data", value.get("models")) if isinstance(value, dict) else value
        if not isinstance(rows, list):
            raise openai_fault.unreadable(self._title, "a list of models that can't be read")
        names = [row.get("id") or row.get("name") for row in rows if isinstance(row, dict)]
        return tuple(name for name in names if isinstance(name, str))

    def part(self, query: Query) -> str:
        """Which part of the API, as its path, answers a call. The client's own wire only while nobody changed it."""
        if query.kind == "embed":
            return "embeddings"
        if query.kind == "count":
            raise Unsupported(f"{self._title} can't count tokens ahead of a call.", code="unsupported_operation")
        given = query.input
        if given.raw is not None:
            if self._responses and given.wire == openai_responses.NAME:
                return "responses"
            if self._completions and given.wire == openai_completions.NAME:
                return "completions"
        return "chat/completions"


def address(endpoint: Endpoint, part: str, model: str) -> str:
    """The URL of a part of the API. A base without any path gets the usual `/v1`."""
    base, options = endpoint.base_url.rstrip("/"), endpoint.options
    prefix = options.get("prefix", "/v1")
    if prefix and not urlsplit(base).path:
        base += prefix
    place = options.get("path")
    if place:
        base += place.replace("{model}", quote(model, safe=""))
    params = options.get("params")
    return f"{base}/{part}?{urlencode(params)}" if params else f"{base}/{part}"


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    headers: JSON = {"content-type": "application/json"}
    name = endpoint.options.get("auth", "bearer")
    if endpoint.secret and name != "none":
        if name == "bearer":
            headers["authorization"] = f"Bearer {endpoint.secret}"
        else:
            headers[name] = endpoint.secret
    headers.update({field.lower(): value for field, value in endpoint.headers.items()})
    return headers
