"""Endpoints as rows of data."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from comporta.providers.base import Endpoint, Local, Query, Wire
from comporta.providers.rows import OPTIONS, ROWS, Row, detect, wrong_options
from comporta.providers.wires import Speakers
from comporta.types import Input, Message, Text

ASK = Query("chat", Input(messages=(Message("user", (Text("hi"),)),)), "a-model", True)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Speakers:
    return Speakers(tmp_path_factory.mktemp("models"))


def test_there_are_more_than_a_dozen_openai_compatible_rows_and_one_of_each_other_wire() -> None:
    wires = [row.wire for row in ROWS.values()]
    assert wires.count("openai") >= 12
    assert {"anthropic", "gemini", "ollama", "offline", "scripted"} <= set(wires)


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_row_is_whole(row: Row, speakers: Speakers) -> None:
    assert isinstance(speakers.of(row.name, row), Local if row.local else Wire)
    assert row.title
    assert row.local or row.base_url or row.url_env, "somebody must say where it is"
    assert not row.needs_key or row.env
    assert wrong_options(row.options) == []


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.wire == "openai"], ids=lambda row: row.name)
def test_every_openai_compatible_row_gives_a_request(row: Row, speakers: Speakers) -> None:
    wire = speakers.of(row.name, row)
    assert isinstance(wire, Wire)
    base_url = row.base_url or "https://mine.example.com"
    request = wire.encode(ASK, Endpoint(row.name, base_url, "key-1", options=row.options))
    parts = urlsplit(request.url)
    assert parts.scheme in ("http", "https") and parts.path.endswith("/chat/completions")
    assert "key-1" in "".join(request.headers.values())
    assert parts.scheme == "https" or parts.hostname == "127.0.0.1", "a key never goes unencrypted over the net"


def test_azure_has_the_deployment_in_its_path_and_the_key_in_its_own_header(speakers: Speakers) -> None:
    row = ROWS["azure"]
    wire = speakers.of(row.name, row)
    assert isinstance(wire, Wire)
    request = wire.encode(ASK, Endpoint("azure", "https://x.openai.azure.com", "k", options=row.options))
    path, _, query = request.url.partition("?")
    assert path == "https://x.openai.azure.com/openai/deployments/a-model/chat/completions"
    assert query.startswith("api-version=20")
    assert request.headers["api-key"] == "k" and "authorization" not in request.headers


def test_keys_in_the_environment_are_found() -> None:
    assert detect({}) == ()
    assert detect({"OPENAI_API_KEY": "  "}) == ()
    found = detect({"GOOGLE_API_KEY": "a", "HUGGINGFACE_API_TOKEN": "b", "OPENAI_API_KEY": "c"})
    assert {row.name for row in found} == {"openai", "gemini", "huggingface"}
    assert [row.name for row in detect({"HF_TOKEN": "x"})] == ["huggingface"]
    assert [row.name for row in detect({"ANTHROPIC_API_KEY": "x"})] == ["anthropic"]
    assert [row.name for row in detect({"GEMINI_API_KEY": "x"})] == ["gemini"]


def test_a_wrong_option_is_told_with_the_nearest_right_one() -> None:
    assert wrong_options({"top_k": True, "drop": ["user"], "script": {"text": "x"}}) == []
    (unknown,) = wrong_options({"stream_usages": False})
    assert "stream_usages" in unknown and "'stream_usage'" in unknown
    (kind,) = wrong_options({"stream_usage": "no"})
    assert "stream_usage" in kind and "true or false" in kind
    assert len(wrong_options({"drop": "user", "params": [], "auth": 1})) == 3


def test_every_option_is_described() -> None:
    import comporta.providers.rows as module

    assert all(f"`{name}`" in (module.__doc__ or "") for name in OPTIONS)


def test_no_code_of_a_wire_names_an_endpoint_of_another() -> None:
    """An OpenAI-like endpoint is one row: the wire must not know it."""
    folder = Path(__file__).parents[2] / "src/comporta/providers"
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("openai*.py"))
    for row in ROWS.values():
        if row.wire == "openai" and row.name not in ("openai", "groq", "vllm"):
            assert f'"{row.name}"' not in code
