"""Kept responses of one user: exported and erased with the conversations that the user began."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import comporta
from comporta.app.gate import Gate
from comporta.errors import NotFound
from comporta.gateway.answering import call_of
from comporta.gateway.asking import ask
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_openai import FakeOpenAI
from comporta.types import JSON, Caller

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: {openai}/v1, api_key: sk-people-0000000000000000}}
  anthropic: {{base_url: {anthropic}, api_key: sk-ant-people-000000000000}}
"""
DOOR = OpenAIResponses()
WHO = Caller("key-1", name="app", team="water")


@pytest.fixture
async def gate(tmp_path: Path, database_dsn: str) -> AsyncIterator[Gate]:
    async with FakeOpenAI() as openai, FakeAnthropic() as anthropic:
        config = tmp_path / "comporta.yaml"
        config.write_text(CONFIG.format(dsn=database_dsn, openai=openai.url, anthropic=anthropic.url))
        async with comporta.open(config, data=tmp_path / "data") as opened:
            yield opened


async def respond(gate: Gate, text: str, model: str = "anthropic/claude-people", **body: Any) -> JSON:
    parsed = DOOR.parse(msgspec.json.encode({"model": model, "input": text, **body}), {})
    call = call_of(DOOR.name, parsed, WHO, {})
    whole: JSON = msgspec.json.decode(DOOR.reply(call, await ask(gate.pipeline, call)))
    return whole


async def exported(gate: Gate, user: str) -> list[JSON]:
    rows, after = [], None
    while True:
        page = await gate.people.export(user, after)
        rows += [row for row in page.rows if row["kind"] == "responses"]
        if page.next is None:
            return rows
        after = page.next


async def test_a_conversation_goes_whole_with_the_user_who_began_it(gate: Gate) -> None:
    first = await respond(gate, "I am Ana.", user="ana")
    second = await respond(gate, "Who am I?", previous_response_id=first["id"])
    others = await respond(gate, "I am Rui.", user="rui")
    rows = await exported(gate, "ana")
    assert {row["id"] for row in rows} == {first["id"], second["id"]}, "a follow-up may leave the user out"
    assert {row["input"][0]["content"][0]["text"] for row in rows} == {"I am Ana.", "Who am I?"}
    assert (await gate.people.erase("ana", "admin")).removed["responses"] == 2
    with pytest.raises(NotFound):
        await respond(gate, "And now?", previous_response_id=second["id"])
    assert await exported(gate, "ana") == [] and len(await exported(gate, "rui")) == 1
    assert (await respond(gate, "Still there?", previous_response_id=others["id"]))["id"]


async def test_responses_from_before_they_bore_a_user_are_found_by_their_calls(gate: Gate) -> None:
    given = await respond(gate, "I am Ana.", user="ana")
    async with gate.database.connection() as connection:
        await connection.execute("update kept_response set user_id = null")
    await gate.people.export("ana")
    assert [row["id"] for row in await exported(gate, "ana")] == [given["id"]]
    assert (await gate.people.erase("ana", "admin")).removed["responses"] == 1


async def test_what_a_provider_keeps_is_named_and_left_to_it(gate: Gate) -> None:
    await respond(gate, "I am Ana.", "openai/gpt-people", user="ana")
    await respond(gate, "Again.", "openai/gpt-people", user="ana")
    assert (await gate.people.erase("ana", "admin")).left == [
        "2 responses are kept by the provider openai: delete them there."
    ]
    assert (await gate.people.erase("ana", "admin")).left == []


async def test_a_response_under_way_when_its_user_is_erased_is_not_kept(gate: Gate) -> None:
    parsed = DOOR.parse(
        msgspec.json.encode({"model": "anthropic/claude-people", "input": "I am Ana.", "user": "ana"}), {}
    )
    call = call_of(DOOR.name, parsed, WHO, {})
    await gate.people.erase("ana", "admin")
    answer = msgspec.json.decode(DOOR.reply(call, await ask(gate.pipeline, call)))
    assert answer["store"] is False and await exported(gate, "ana") == []
