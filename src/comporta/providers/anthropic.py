"""The wire of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from comporta.errors import Unsupported, UpstreamError, UpstreamFault
from comporta.providers import anthropic_decode
from comporta.providers.anthropic_encode import VERSION, body_of
from comporta.providers.base import Decoder, Endpoint, Query, Request
from comporta.providers.carry import address, to_json
from comporta.providers.prompt_caching import in_anthropic
from comporta.providers.statuses import UNREADABLE
from comporta.types import Event


class _Model(Struct, frozen=True):
    id: str = ""


class _Models(Struct, frozen=True):
    data: tuple[_Model, ...] = ()


class Anthropic:
    """Chat and token counts; there are no embeddings."""

    name = "anthropic"

    def encode(self, query: Query, endpoint: Endpoint) -> Request:
        if query.kind == "embed":
            raise Unsupported("Anthropic has no embeddings: choose a model of another provider.", param="model")
        body, dropped = body_of(query)
        if query.caching is not None:
            body = in_anthropic(body, query.caching)
        path = "/messages/count_tokens" if query.kind == "count" else "/messages"
        return Request(
            url=address(endpoint.base_url, "v1", path),
            body=to_json(body),
            headers=headers_of(endpoint, query.headers),
            dropped=dropped,
        )

    def decoder(self, query: Query) -> Decoder:
        return anthropic_decode.Decoder(query)

    def reply(self, query: Query, body: bytes) -> Event:
        return anthropic_decode.reply(query, body)

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        return anthropic_decode.fault(status, headers, body)

    def listing(self, endpoint: Endpoint) -> Request | None:
        return Request(
            url=address(endpoint.base_url, "v1", "/models?limit=1000"),
            body=b"",
            headers=headers_of(endpoint, {}),
            method="GET",
        )

    def models(self, body: bytes) -> tuple[str, ...]:
        try:
            listed = msgspec.json.decode(body, type=_Models)
        except UNREADABLE:
            raise UpstreamFault("Anthropic answered with something other than a list of models.") from None
        return tuple(model.id for model in listed.data if model.id)


def headers_of(endpoint: Endpoint, client: Mapping[str, str]) -> dict[str, str]:
    """The client's own version and beta words go along (WIRE 26); the secret stands last, so nothing replaces it."""
    headers = {"content-type": "application/json", "anthropic-version": VERSION}
    headers |= {name.lower(): value for name, value in endpoint.headers.items()}
    if version := client.get("anthropic-version"):
        headers["anthropic-version"] = version
    betas = [value for value in (headers.get("anthropic-beta"), client.get("anthropic-beta")) if value]
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    if endpoint.secret is not None:
        headers["x-api-key"] = endpoint.secret
    return headers
