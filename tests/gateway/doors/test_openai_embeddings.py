"""The embeddings door reads batches and writes vectors in the form asked for (WIRE 24)."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from openai.types import CreateEmbeddingResponse

from comporta.errors import BadRequest, Unsupported, UpstreamFault
from comporta.gateway.doors.base import Door, Parsed
from comporta.gateway.doors.openai_embeddings import OpenAIEmbeddings
from comporta.pipeline import Call
from comporta.types import Reply, Usage

DOOR: Door = OpenAIEmbeddings()
MakeCall = Callable[..., Call]
MakeClient = Callable[..., Any]
NUMBERS = (0.5, -1.0, 2.25)
PACKED = b64encode(struct.pack("<3f", *NUMBERS)).decode()


def parse(**body: Any) -> Parsed:
    return DOOR.parse(msgspec.json.encode({"model": "m", "input": "hi"} | body), {})


@pytest.mark.parametrize(
    ("given", "read"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3)))],
)
def test_inputs_of_every_shape(given: Any, read: Any) -> None:
    """WIRE 24"""
    parsed = parse(input=given, dimensions=3, user="u", encoding_format="base64")
    assert (parsed.input.texts, parsed.input.dimensions, parsed.user, parsed.kind) == (read, 3, "u", "embed")
    assert parsed.input.extra == {"encoding_format": "base64"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [1, -1]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [[1], [1.5]]}, "input[1][0]"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_a_mistake_is_told_with_its_field(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**change)
    assert caught.value.param == param


@pytest.mark.parametrize("vector", [NUMBERS, PACKED])
@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_vectors_are_written_in_the_form_asked_for(make_call: MakeCall, vector: Any, form: str | None) -> None:
    """WIRE 24: whatever form the provider gave them in, in their order."""
    call = make_call(kind="embed", input=parse(**({} if form is None else {"encoding_format": form})).input)
    reply = Reply(model="e", vectors=(vector, vector[:0] if vector is NUMBERS else ""), usage=Usage(7))
    body = json.loads(DOOR.reply(call, reply))
    expected = PACKED if form == "base64" else list(NUMBERS)
    assert [d["embedding"] for d in body["data"]] == [expected, "" if form == "base64" else []]
    assert [d["index"] for d in body["data"]] == [0, 1]
    assert (body["model"], body["usage"]) == ("e", {"prompt_tokens": 7, "total_tokens": 7})
    if form != "base64":
        CreateEmbeddingResponse.model_validate(body)


def test_the_sdk_decodes_what_it_asks_for(make_call: MakeCall, openai_client: MakeClient) -> None:
    """WIRE 24: base64 is the SDK's default."""
    call = make_call(kind="embed", input=parse(encoding_format="base64").input)
    body = DOOR.reply(call, Reply(vectors=(NUMBERS,)))
    answer = openai_client(body, stream=False).embeddings.create(model="m", input="hi")
    assert answer.data[0].embedding == list(NUMBERS)


def test_the_same_wire_passes_only_in_the_right_form(make_call: MakeCall) -> None:
    raw = b'{"odd": 1.50}'
    reply = Reply(wire="openai.embeddings", raw=raw, vectors=(NUMBERS,))
    assert DOOR.reply(make_call(kind="embed"), reply) == raw
    call = make_call(kind="embed", input=parse(encoding_format="base64").input)
    assert json.loads(DOOR.reply(call, reply))["data"][0]["embedding"] == PACKED


def test_garbage_from_the_provider_is_its_fault(make_call: MakeCall) -> None:
    for garbage in ("?", "AAA=", "AAAAAAA="):
        with pytest.raises(UpstreamFault):
            DOOR.reply(make_call(kind="embed"), Reply(vectors=(garbage,)))


def test_embeddings_are_not_streamed(make_call: MakeCall) -> None:
    assert parse(stream=True).stream is False
    with pytest.raises(Unsupported):
        DOOR.stream(make_call(kind="embed"))
