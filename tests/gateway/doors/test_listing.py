"""The list of models is written in the words of the client's SDK (WIRE 25)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from comporta.errors import Forbidden, NotFound
from comporta.gateway.doors.listing import Listed, error, listing, one

MakeClient = Callable[..., Any]
MODELS = (Listed("support"), Listed("gpt-4o", owned_by="openai", created_s=1_700_000_000, context=128_000))
ANTHROPIC = {"anthropic-version": "2023-06-01"}


def test_openais_sdk_lists_the_models(openai_client: MakeClient) -> None:
    """WIRE 25"""
    page = openai_client(listing(MODELS, {}), stream=False).models.list()
    assert [(m.id, m.owned_by, m.created) for m in page] == [
        ("support", "comporta", 0), ("gpt-4o", "openai", 1_700_000_000),
    ]  # fmt: skip


def test_anthropics_sdk_lists_the_models(anthropic_client: MakeClient) -> None:
    """WIRE 25"""
    page = anthropic_client(listing(MODELS, ANTHROPIC), stream=False).models.list()
    assert [(m.id, m.created_at.year, m.max_input_tokens) for m in page] == [
        ("support", 1970, None), ("gpt-4o", 2023, 128_000),
    ]  # fmt: skip
    assert (page.first_id, page.last_id, page.has_more) == ("support", "gpt-4o", False)


def test_an_empty_list_is_a_list() -> None:
    assert json.loads(listing((), {})) == {"object": "list", "data": []}
    assert json.loads(listing((), ANTHROPIC)) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_one_model_by_name() -> None:
    assert json.loads(one(MODELS, "gpt-4o", {}))["object"] == "model"
    assert json.loads(one(MODELS, "gpt-4o", ANTHROPIC))["type"] == "model"
    with pytest.raises(NotFound, match="'gpt-5'"):
        one(MODELS, "gpt-5", {})


def test_failures_come_in_the_clients_envelope() -> None:
    """WIRE 13"""
    assert json.loads(error(Forbidden("no"), {}))["error"]["code"] == "forbidden"
    assert json.loads(error(Forbidden("no"), ANTHROPIC))["error"]["type"] == "permission_error"
