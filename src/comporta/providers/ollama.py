"""The wire of Ollama's own API: chat, embeddings and the list of pulled models."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from comporta.errors import Unsupported, UpstreamError, UpstreamFault
from comporta.providers import ollama_decode
from comporta.providers.base import Decoder, Endpoint, Query, Request
from comporta.providers.carry import address, to_json
from comporta.providers.ollama_encode import chat_body, embed_body
from comporta.providers.statuses import UNREADABLE
from comporta.types import Event


class _Model(Struct, frozen=True):
    model: str = ""
    name: str = ""


class _Models(Struct, frozen=True):
    models: tuple[_Model, ...] | None = None


class Ollama:
    """An Ollama server; a secret is sent only where one is set (a proxy, or the hosted service)."""

    name = "ollama"

    def encode(self, query: Query, endpoint: Endpoint) -> Request:
        if query.kind == "count":
            raise Unsupported("Ollama can't count tokens without answering.", param="model")
        body, dropped = embed_body(query) if query.kind == "embed" else chat_body(query)
        return Request(
            url=_address(endpoint, "/embed" if query.kind == "embed" else "/chat"),
            body=to_json(body),
            headers=_headers(endpoint),
            dropped=dropped,
        )

    def decoder(self, query: Query) -> Decoder:
        return ollama_decode.Decoder(query)

    def reply(self, query: Query, body: bytes) -> Event:
        return ollama_decode.reply(query, body)

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return ollama_decode.fault(status, headers, body)

    def listing(self, endpoint: Endpoint) -> Request | None:
        return Request(url=_address(endpoint, "/tags"), body=b"", headers=_headers(endpoint), method="GET")

    def models(self, body: bytes) -> tuple[str, ...]:
        try:
            listed = msgspec.json.decode(body, type=_Models)
        except UNREADABLE:
            raise UpstreamFault("Ollama answered with something other than a list of models.") from None
        return tuple(name for model in listed.models or () if (name := model.model or model.name))


def _address(endpoint: Endpoint, path: str) -> str:
    """Many configurations name the OpenAI-like path of the same server; its own API stands beside it."""
    return address(endpoint.base_url.rstrip("/").removesuffix("/v1"), "api", path)


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in endpoint.headers.items()}
    if endpoint.secret:
        headers["authorization"] = f"Bearer {endpoint.secret}"
    return headers
