"""The wire of Google's Gemini API."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from msgspec import Struct

from comporta.errors import UpstreamError, UpstreamFault
from comporta.providers import gemini_decode
from comporta.providers.base import Decoder, Endpoint, Query, Request
from comporta.providers.carry import address, to_json
from comporta.providers.gemini_encode import chat_body, count_body, embed_body, model_path
from comporta.providers.prompt_caching import in_gemini
from comporta.providers.statuses import UNREADABLE
from comporta.types import JSON, Event


class _Model(Struct, frozen=True):
    name: str = ""


class _Models(Struct, frozen=True):
    models: tuple[_Model, ...] = ()


class Gemini:
    """Chat, embeddings and token counts. The key travels in a header, never in the URL, which ends up in logs."""

    name = "gemini"

    def encode(self, query: Query, endpoint: Endpoint) -> Request:
        dropped: tuple[str, ...] = ()
        body: JSON
        if query.kind == "count":
            method, body = "countTokens", count_body(query)
        elif query.kind == "embed":
            body, dropped = embed_body(query)
            method = "batchEmbedContents"
        else:
            body, dropped = chat_body(query)
            if query.caching is not None:
                body = in_gemini(body)
            method = "streamGenerateContent?alt=sse" if query.stream else "generateContent"
        path = f"/{quote(model_path(query.model))}:{method}"
        return Request(
            url=address(endpoint.base_url, "v1beta", path),
            body=to_json(body),
            headers=_headers(endpoint),
            dropped=dropped,
        )

    def decoder(self, query: Query) -> Decoder:
        return gemini_decode.Decoder(query)

    def reply(self, query: Query, body: bytes) -> Event:
        return gemini_decode.reply(query, body)

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return gemini_decode.fault(status, headers, body)

    def listing(self, endpoint: Endpoint) -> Request | None:
        url = address(endpoint.base_url, "v1beta", "/models?pageSize=1000")
        return Request(url=url, body=b"", headers=_headers(endpoint), method="GET")

    def models(self, body: bytes) -> tuple[str, ...]:
        try:
            listed = msgspec.json.decode(body, type=_Models)
        except UNREADABLE:
            raise UpstreamFault("Gemini answered with something other than a list of models.") from None
        return tuple(model.name.removeprefix("models/") for model in listed.models if model.name)


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in endpoint.headers.items()}
    if endpoint.secret is not None:
        headers["x-goog-api-key"] = endpoint.secret
    return headers
