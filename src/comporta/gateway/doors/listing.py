"""The list of models as clients read it: `GET /v1/models` and `GET /v1/models/{id}` (WIRE 25)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from comporta.errors import ComportaError, NotFound
from comporta.gateway.doors.anthropic_writing import envelope
from comporta.gateway.doors.writing import encode, openai_error
from comporta.types import JSON


class Listed(Struct, frozen=True, omit_defaults=True):
    """One name that a caller may put into `model`: a route or a model."""

    id: str
    owned_by: str = "comporta"
    #: Seconds since 1970; 0 where unknown.
    created_s: int = 0
    context: int | None = None
    max_output: int | None = None


def listing(models: Sequence[Listed], headers: Mapping[str, str]) -> bytes:
    """The whole list, in the words of the client's SDK."""
    if not speaks_anthropic(headers):
        return encode({"object": "list", "data": [_openai(model) for model in models]})
    return encode(
        {
            "data": [_anthropic(model) for model in models],
            "has_more": False,
            "first_id": models[0].id if models else None,
            "last_id": models[-1].id if models else None,
        }
    )


def one(models: Sequence[Listed], name: str, headers: Mapping[str, str]) -> bytes:
    """One of the list. Raises NotFound for a name that is not on it."""
    for model in models:
        if model.id == name:
            return encode(_anthropic(model) if speaks_anthropic(headers) else _openai(model))
    raise NotFound(f"there is no model or route {name!r} for this key", code="model_not_found", param="model")


def error(error: ComportaError, headers: Mapping[str, str]) -> bytes:
    """A failure in the client's own envelope."""
    return envelope(error) if speaks_anthropic(headers) else openai_error(error)


def speaks_anthropic(headers: Mapping[str, str]) -> bool:
    return headers.get("anthropic-version") is not None


def _openai(model: Listed) -> JSON:
    return {"id": model.id, "object": "model", "created": model.created_s, "owned_by": model.owned_by}


def _anthropic(model: Listed) -> JSON:
    created = datetime.fromtimestamp(model.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    written: dict[str, Any] = {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": created,
        "lifecycle": "active",
    }
    if model.context is not None:
        written["max_input_tokens"] = model.context
    if model.max_output is not None:
        written["max_tokens"] = model.max_output
    return written
