"""Bodies that no reader of JSON survives: nested too deep for the stack, or not text at all."""

from __future__ import annotations

import pytest

from comporta.errors import BadRequest, UpstreamError
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Query, Wire
from comporta.providers.carry import arguments_of
from comporta.providers.gemini import Gemini
from comporta.providers.ollama import Ollama
from comporta.providers.openai import OpenAI
from comporta.types import Input, ToolCall

DEEP = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
NO_TEXT = b'{"id": "\xff\xfe", "model": "\xff", "message": {"content": "\xff"}, "error": "\xff"}'
WIRES = [OpenAI(), Anthropic(), Gemini(), Ollama()]


@pytest.mark.parametrize("body", [DEEP, NO_TEXT], ids=["deep", "no text"])
@pytest.mark.parametrize("kind", ["chat", "embed"])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_plain_body_that_cannot_be_read_is_the_providers_fault(wire: Wire, kind: str, body: bytes) -> None:
    """WIRE 3"""
    if kind == "embed" and wire.name == "anthropic":
        return
    query = Query("embed" if kind == "embed" else "chat", Input(texts=("x",)), "m", False)
    with pytest.raises(UpstreamError) as raised:
        wire.reply(query, body)
    assert raised.value.status == 502


@pytest.mark.parametrize("body", [DEEP, NO_TEXT], ids=["deep", "no text"])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_an_error_that_cannot_be_read_is_told_by_its_status(wire: Wire, body: bytes) -> None:
    assert wire.fault(429, {}, body).status == 429
    assert wire.fault(500, {}, body).status == 502


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_frame_nested_too_deep_is_skipped_and_counted(wire: Wire) -> None:
    """WIRE 5"""
    decoder = wire.decoder(Query("chat", Input(), "m", True))
    frame = DEEP + b"\n" if wire.name == "ollama" else b"data: " + DEEP + b"\n\n"
    assert decoder.feed(frame) == []
    assert decoder.malformed == 1


def test_arguments_of_a_tool_call_nested_too_deep_are_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="'t1'"):
        arguments_of(ToolCall("t1", "f", DEEP.decode()))
