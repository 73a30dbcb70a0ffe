"""Puts the data plane's OpenAPI 3.1 document together: operations, schemas, headers, refusals, keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comporta.gateway.doors.base import Door
from comporta.gateway.openapi import said
from comporta.gateway.openapi.chat import ChatChunk
from comporta.gateway.openapi.common import AnthropicError, OpenAIError
from comporta.gateway.openapi.marks import schemas_of
from comporta.gateway.openapi.operations import Envelope, Operation, operations

JSON = dict[str, Any]

_ABOUT = """One gate for every model: the wires of OpenAI and of Anthropic, each as its own SDKs know it.

Every call needs a key: `Authorization: Bearer cmp-…`, `x-api-key` or `api-key`. Failures come in the envelope of the
wire, with a fitting status. The administrators' API has a page of its own at `/admin/docs`."""

_KEYS: JSON = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A Comporta key, as OpenAI's SDKs send it."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "As Anthropic's SDKs send it."},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key", "description": "As Azure's SDKs send it."},
}
#: One event of a stream.
_FRAME: JSON = {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}}
_ENVELOPES: dict[Envelope, Any] = {"OpenAI": OpenAIError, "Anthropic": AnthropicError}
_WANTED: list[JSON] = [{name: []} for name in _KEYS]
_SECURITY: dict[str, list[JSON]] = {"none": [], "any": _WANTED, "maybe": [{}, *_WANTED]}


def document(doors: Iterable[Door], version: str) -> JSON:
    """The document for these doors and the pages around them."""
    rows = list(operations(doors))
    types = [t for row in rows for t in (row.body, *row.answers) if t is not None]
    found, components = schemas_of([*types, *_ENVELOPES.values(), ChatChunk])
    schema = dict(zip([id(t) for t in (*types, *_ENVELOPES.values())], found, strict=False))
    paths: dict[str, JSON] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method] = _operation(row, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Comporta", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "headers": {name: said.told(name) for name in said.TOLD},
            "securitySchemes": _KEYS,
        },
    }


def _operation(row: Operation, schema: dict[int, JSON]) -> JSON:
    made: JSON = {
        "operationId": row.id,
        "tags": [row.tag],
        "summary": row.summary,
        "description": row.about,
        "parameters": [*row.parameters, *(said.sent(name) for name in row.sent)],
        "responses": {
            "200": _answer(row, schema),
            **({"202": _answer(row, schema) | {"description": row.later}} if row.later else {}),
            **(
                {"304": {"description": "Nothing has changed.", "headers": _headers(row.told)}}
                if "etag" in row.told
                else {}
            ),
            **{status: _refusal(row, status, schema) for status in row.refusals},
        },
        "security": _SECURITY[row.key],
    }
    if row.body is not None:
        content = {"schema": schema[id(row.body)]} | ({"example": row.example} if row.example is not None else {})
        made["requestBody"] = {"required": True, "content": {row.sends: content}}
    return made


def _answer(row: Operation, schema: dict[int, JSON]) -> JSON:
    content: JSON = {
        row.content_type: {"schema": _either([schema[id(t)] for t in row.answers] or [{"type": "string"}])}
    }
    if row.frames is not None:
        content["text/event-stream"] = {"schema": _FRAME | {"description": row.frames}}
    return {"description": "The answer.", "headers": _headers(row.told), "content": content}


def _refusal(row: Operation, status: str, schema: dict[int, JSON]) -> JSON:
    form = _either([schema[id(_ENVELOPES[name])] for name in row.envelopes])
    waiting = ("retry-after",) if status in said.WAITING else ()
    rates = said.RATES if status == "429" else ()
    return {
        "description": said.REFUSALS[status],
        "headers": _headers((*said.ID, *waiting, *rates)),
        "content": {"application/json": {"schema": form}},
    }


def _headers(names: Iterable[str]) -> JSON:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _either(forms: list[JSON]) -> JSON:
    return forms[0] if len(forms) == 1 else {"anyOf": forms}
