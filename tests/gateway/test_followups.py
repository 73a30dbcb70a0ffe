"""Follow-ups of the Responses door: back to the same variant and credential, or on from what the gate keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

import comporta
from comporta.app.gate import Gate
from comporta.errors import BadRequest, ComportaError, NotFound, Unavailable
from comporta.gateway.answering import call_of
from comporta.gateway.asking import Streamed, ask
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.gateway.followups import stage
from comporta.gateway.followups.kept import prune
from comporta.gateway.followups.pages import ResponsePages
from comporta.gateway.server import Asked
from comporta.pipeline import Call
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Answer, Route, Seen, Step, ToolAsk
from comporta.types import JSON, Caller

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai:
    base_url: {openai}/v1
    credentials:
      - {{name: one, key: sk-followup-one-000000000000}}
      - {{name: two, key: sk-followup-two-000000000000}}
      - {{name: three, key: sk-followup-three-0000000000}}
  anthropic:
    base_url: {anthropic}
    credentials:
      - {{name: left, key: sk-ant-left-0000000000000000}}
      - {{name: right, key: sk-ant-right-000000000000000}}
routes:
  mixed:
    sticky: false
    variants:
      - {{name: a, model: openai/gpt-a}}
      - {{name: b, model: openai/gpt-b}}
      - {{name: c, model: anthropic/claude-c}}
  hashed: {{model: anthropic/claude-h, content: hashed}}
{more}
"""
DOOR = OpenAIResponses()
ANA = Caller("key-ana", name="ana", team="water")
BEA = Caller("key-bea", name="bea", team="water")
EVE = Caller("key-eve", name="eve", team="fire")
LEO = Caller("key-leo", name="leo")
HEADERS = {"authorization": "Bearer whoever"}

Open = Callable[..., AbstractAsyncContextManager[Gate]]


class KeepingOpenAI(FakeOpenAI):
    """The fake with the two routes that show and delete a response; it says who asked."""

    def routes(self) -> Mapping[tuple[str, str], Route]:
        place = "/v1/responses/{id}"
        return {
            **super().routes(),
            ("GET", place): self._shown,
            ("GET", place + "/input_items"): self._shown,
            ("DELETE", place): self._shown,
        }

    def _shown(self, seen: Seen, step: Step) -> Answer:
        body = {"id": seen.match["id"], "object": "response", "method": seen.method, "query": seen.query}
        return Answer(body=msgspec.json.encode(body))


@pytest.fixture
async def openai() -> AsyncIterator[KeepingOpenAI]:
    async with KeepingOpenAI() as fake:
        yield fake


@pytest.fixture
async def anthropic() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as fake:
        yield fake


@pytest.fixture
def opened(tmp_path: Path, database_dsn: str, openai: FakeOpenAI, anthropic: FakeAnthropic) -> Open:
    """A gate on this test's database; `name` tells gates apart, as workers or replicas are."""

    def make(name: str = "one", more: str = "", without: str = "") -> AbstractAsyncContextManager[Gate]:
        text = CONFIG.format(dsn=database_dsn, openai=openai.url, anthropic=anthropic.url, more=more)
        config = tmp_path / f"{name}.yaml"
        config.write_text("\n".join(line for line in text.splitlines() if not without or without not in line))
        return comporta.open(config, data=tmp_path / name)

    return make


def asked(body: JSON, caller: Caller) -> Call:
    return call_of(DOOR.name, DOOR.parse(msgspec.json.encode(body), {}), caller, {})


async def respond(gate: Gate, caller: Caller = ANA, **body: Any) -> JSON:
    """The response as a client gets it; a stream's is in its last frame."""
    call = asked(body, caller)
    if not call.stream:
        whole: JSON = msgspec.json.decode(DOOR.reply(call, await ask(gate.pipeline, call)))
        return whole
    writer = DOOR.stream(call)
    frames = b"".join([writer.event(event) async for event in Streamed(gate.pipeline, call)]) + writer.end()
    last: JSON = msgspec.json.decode(frames.rpartition(b"data: ")[2].strip())["response"]
    return last


def pages_of(gate: Gate, caller: Caller) -> ResponsePages:
    return gate.followups.pages(lambda _: caller)


async def shown(gate: Gate, path: str, caller: Caller = ANA, **query: str) -> JSON:
    page = await pages_of(gate, caller).show(Asked(path, query, HEADERS))
    body: JSON = msgspec.json.decode(page.body)
    return body


async def deleted(gate: Gate, id: str, caller: Caller = ANA) -> JSON:
    page = await pages_of(gate, caller).remove(Asked(id, {}, HEADERS))
    body: JSON = msgspec.json.decode(page.body)
    return body


def text_of(response: JSON) -> str:
    return "".join(p["text"] for i in response["output"] if i["type"] == "message" for p in i["content"])


def said(seen: Seen) -> list[tuple[str, str]]:
    """Who said what in a request to the fake Anthropic."""
    return [
        (m["role"], m["content"] if isinstance(m["content"], str) else "".join(p.get("text", "") for p in m["content"]))
        for m in seen.json["messages"]
    ]


# ---- what the provider keeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_followup_goes_back_to_the_same_variant_and_credential(
    opened: Open, openai: KeepingOpenAI, stream: bool
) -> None:
    """WIRE 27."""
    async with opened() as gate:
        for number in range(6):
            first = await respond(gate, model="mixed", input=f"Hello {number}.", stream=stream)
            if not openai.seen or openai.seen[-1].json["input"] != f"Hello {number}.":
                continue
            begun = openai.seen[-1]
            again = await respond(
                gate, model="mixed", input="And now?", previous_response_id=first["id"], stream=stream
            )
            follow = openai.seen[-1]
            assert follow is not begun
            assert follow.headers["authorization"] == begun.headers["authorization"]
            assert follow.json["model"] == begun.json["model"]
            assert follow.json["previous_response_id"] == first["id"] == again["previous_response_id"]
    assert openai.seen, "six draws of three variants all went to the same one"


async def test_a_followup_in_another_gate_waits_for_the_record_to_arrive(
    opened: Open, openai: KeepingOpenAI, database_dsn: str
) -> None:
    """WIRE 27: with several workers, the one that is asked next has seen nothing of the first answer."""
    async with opened("one") as one, opened("two") as two:
        for _ in range(4):
            first = await respond(one, model="openai/gpt-x", input=f"Hello {time.monotonic_ns()}.")
            begun = openai.seen[-1]
            await respond(two, model="openai/gpt-x", input="On.", previous_response_id=first["id"])
            assert openai.seen[-1].headers["authorization"] == begun.headers["authorization"]


async def test_a_followup_is_led_back_after_a_restart(opened: Open, openai: KeepingOpenAI) -> None:
    """WIRE 27."""
    async with opened() as gate:
        firsts = [await respond(gate, model="openai/gpt-x", input=f"Hello {n}.", stream=bool(n % 2)) for n in range(3)]
    begun = [seen.headers["authorization"] for seen in openai.seen]
    assert len(set(begun)) == 3, "the credentials are used in turn"
    async with opened() as gate:
        for first in reversed(firsts):
            await respond(gate, model="openai/gpt-x", input="On.", previous_response_id=first["id"])
    assert [seen.headers["authorization"] for seen in openai.seen[3:]] == begun[::-1]


@pytest.mark.parametrize("by", ["id", "seal"])
async def test_encrypted_reasoning_goes_back_to_where_it_was_sealed(
    opened: Open, openai: KeepingOpenAI, by: str
) -> None:
    """WIRE 27: clients without stored responses send the sealed thinking back, some of them without its id."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-sealed"}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    answer = {
        "id": "resp_sealed", "object": "response", "status": "completed", "model": "gpt-x",
        "output": [thought, {**message, "content": [{"type": "output_text", "text": "Yes.", "annotations": []}]}],
    }  # fmt: skip
    openai.script(Step(body=msgspec.json.encode(answer)))
    sent = {name: value for name, value in thought.items() if by == "id" or name != "id"}
    if by == "id":
        del sent["encrypted_content"]
    items = [{"role": "user", "content": "Hm?"}, sent, {"role": "user", "content": "Go on."}]
    async with opened("one") as one, opened("two") as two:
        await respond(one, model="openai/gpt-x", input="Hm?", store=False)
        begun = openai.seen[-1].headers["authorization"]
        for gate in (one, one, two, two):
            await respond(gate, model="openai/gpt-x", input=items, store=False)
            assert openai.seen[-1].headers["authorization"] == begun
        # To somebody else it says nothing: the call goes wherever it would have gone.
        elsewhere = {await _credential_for(one, openai, items, EVE) for _ in range(3)}
    assert len(elsewhere) == 3


async def _credential_for(gate: Gate, openai: FakeOpenAI, items: list[Any], caller: Caller) -> str:
    await respond(gate, caller, model="openai/gpt-x", input=items, store=False)
    return openai.seen[-1].headers["authorization"]


async def test_unknown_reasoning_is_passed_on_and_not_looked_for_again(
    opened: Open, openai: KeepingOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_PAUSES_S", (0.01,))
    items = [
        {"role": "user", "content": "Hm?"},
        {"type": "reasoning", "summary": [], "encrypted_content": "from elsewhere"},
        {"role": "user", "content": "Go on."},
    ]
    async with opened() as gate:
        await respond(gate, model="openai/gpt-x", input=items)
        monkeypatch.setattr(stage, "_PAUSES_S", (60.0,))
        started_s = time.monotonic()
        await respond(gate, model="openai/gpt-x", input=items)
    assert time.monotonic() - started_s < 60
    assert openai.seen[-1].json["input"] == items


async def test_a_followup_of_another_key_is_refused_like_an_unknown_id(opened: Open, openai: KeepingOpenAI) -> None:
    async with opened() as gate:
        first = await respond(gate, model="openai/gpt-x", input="Hello.")
        told = []
        for caller, previous in ((EVE, first["id"]), (LEO, first["id"]), (ANA, "resp_unknown")):
            with pytest.raises(NotFound) as failure:
                await respond(gate, caller, model="openai/gpt-x", input="On.", previous_response_id=previous)
            told.append(failure.value.message.replace(previous, "…"))
            assert failure.value.code == "previous_response_not_found"
        assert len(set(told)) == 1 and len(openai.seen) == 1
        # A key of the same team may go on.
        await respond(gate, BEA, model="openai/gpt-x", input="On.", previous_response_id=first["id"])
        assert openai.seen[-1].headers["authorization"] == openai.seen[0].headers["authorization"]


async def test_a_credential_or_provider_that_has_gone_is_named(opened: Open, openai: KeepingOpenAI) -> None:
    async with opened() as gate:
        firsts = [await respond(gate, model="openai/gpt-x", input=f"Hello {n}.") for n in range(3)]
    gone = next(n for n, seen in enumerate(openai.seen) if "two" in seen.headers["authorization"])
    async with opened(without="sk-followup-two") as gate:
        with pytest.raises(NotFound, match=r"credential 'two' of the provider 'openai'.*not configured") as failure:
            await respond(gate, model="openai/gpt-x", input="On.", previous_response_id=firsts[gone]["id"])
        assert failure.value.code == "response_unreachable"
        await respond(gate, model="openai/gpt-x", input="On.", previous_response_id=firsts[gone - 1]["id"])
    asked_before = len(openai.seen)
    async with opened(more="  other: {model: anthropic/claude-x}") as gate:
        gate.known.providers = {n: p for n, p in gate.known.providers.items() if n != "openai"}
        with pytest.raises(NotFound, match="the provider 'openai'"):
            await respond(gate, model="other", input="On.", previous_response_id=firsts[0]["id"])
    assert len(openai.seen) == asked_before


async def test_a_response_cannot_be_continued_at_another_provider(
    opened: Open, openai: KeepingOpenAI, anthropic: FakeAnthropic
) -> None:
    async with opened() as gate:
        first = await respond(gate, model="openai/gpt-x", input="Hello.")
        with pytest.raises(BadRequest, match="kept by the provider 'openai'") as failure:
            await respond(gate, model="anthropic/claude-x", input="On.", previous_response_id=first["id"])
        assert failure.value.code == "response_held_elsewhere" and not anthropic.seen
        # Another model of the same provider can: it finds the conversation by the same credential.
        await respond(gate, model="openai/gpt-y", input="On.", previous_response_id=first["id"])
    assert openai.seen[1].json["model"] == "gpt-y"
    assert openai.seen[1].headers["authorization"] == openai.seen[0].headers["authorization"]


async def test_a_running_conversation_outlives_its_variant_in_the_route(opened: Open, openai: KeepingOpenAI) -> None:
    """WIRE 27: a rollout that ends takes a variant out of the route, not out of the conversations on it."""
    before, after = "  roll: {model: openai/gpt-old}", "  roll: {model: openai/gpt-new}"
    async with opened(more=before) as gate:
        first = await respond(gate, model="roll", input="Hello.")
    async with opened(more=after) as gate:
        await respond(gate, model="roll", input="On.", previous_response_id=first["id"])
        await respond(gate, model="roll", input="Afresh.")
    assert [seen.json["model"] for seen in openai.seen] == ["gpt-old", "gpt-old", "gpt-new"]


async def test_a_failing_provider_is_not_replaced_for_a_conversation_that_it_keeps(
    opened: Open, openai: KeepingOpenAI, anthropic: FakeAnthropic
) -> None:
    async with opened(more="retry: {attempts: 1}") as gate:
        first = await respond(gate, model="openai/gpt-a", input="Hello.")
        openai.default = Step(status=500)
        with pytest.raises(ComportaError) as failure:
            await respond(gate, model="mixed", input="On.", previous_response_id=first["id"])
    assert failure.value.status == 502
    assert not anthropic.seen


async def test_a_provider_s_own_responses_are_shown_and_deleted_there(opened: Open, openai: KeepingOpenAI) -> None:
    async with opened() as gate:
        first = await respond(gate, model="openai/gpt-x", input="Hello.")
        begun = openai.seen[0].headers["authorization"]
        got = await shown(gate, first["id"], include="reasoning.encrypted_content")
        assert (got["id"], got["query"]) == (first["id"], {"include": "reasoning.encrypted_content"})
        await shown(gate, f"{first['id']}/input_items")
        assert (await deleted(gate, first["id"]))["method"] == "DELETE"
        assert {seen.headers["authorization"] for seen in openai.seen} == {begun}
        with pytest.raises(NotFound):
            await shown(gate, first["id"], EVE)
        with pytest.raises(NotFound):
            await deleted(gate, first["id"], EVE)
    assert len(openai.seen) == 4


# ---- what the gate keeps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_followup_at_a_provider_without_responses_is_asked_with_the_whole_conversation(
    opened: Open, anthropic: FakeAnthropic, stream: bool
) -> None:
    """WIRE 27."""
    anthropic.script(Step(text="I am Claude."), Step(text="You are Ana."), Step(text="Goodbye."))
    async with opened() as gate:
        first = await respond(
            gate, model="anthropic/claude-x", input="I am Ana.", instructions="Be brief.", stream=stream, store=True
        )
        second = await respond(
            gate, model="anthropic/claude-x", input=[{"role": "user", "content": "Who am I?"}], stream=stream,
            previous_response_id=first["id"],
        )  # fmt: skip
        await respond(
            gate, model="anthropic/claude-x", input="Bye.", previous_response_id=second["id"], instructions="Be kind."
        )
    assert (first["store"], second["store"]) == (True, True)
    assert second["previous_response_id"] == first["id"]
    assert said(anthropic.seen[2]) == [
        ("user", "I am Ana."), ("assistant", "I am Claude."), ("user", "Who am I?"), ("assistant", "You are Ana."),
        ("user", "Bye."),
    ]  # fmt: skip
    systems = [msgspec.json.encode(seen.json.get("system")).decode() for seen in anthropic.seen]
    assert ["Be brief." in s for s in systems] == [True, False, False], "instructions hold for one call"
    assert "Be kind." in systems[2]


async def test_a_kept_conversation_goes_on_in_another_gate_and_after_a_restart(
    opened: Open, anthropic: FakeAnthropic
) -> None:
    """WIRE 27: kept before the answer ends, so no time has to pass."""
    async with opened("one") as one, opened("two") as two:
        first = await respond(one, model="mixed", input="One.")
        while "claude" not in first["model"]:
            first = await respond(one, model="mixed", input="One.")
        begun = anthropic.seen[-1]
        second = await respond(two, model="mixed", input="Two.", previous_response_id=first["id"])
    async with opened("three") as gate:
        for _ in range(3):
            await respond(gate, BEA, model="mixed", input="Three.", previous_response_id=second["id"])
            assert [text for role, text in said(anthropic.seen[-1]) if role == "user"] == ["One.", "Two.", "Three."]
    follow = anthropic.seen[anthropic.seen.index(begun) + 1 :]
    assert len(follow) == 4, "the same variant every time"
    assert {seen.headers["x-api-key"] for seen in follow} == {begun.headers["x-api-key"]}


async def test_a_kept_conversation_falls_over_to_whoever_can_answer(
    opened: Open, openai: KeepingOpenAI, anthropic: FakeAnthropic
) -> None:
    route = "  other:\n    variants: [{model: anthropic/claude-o}, {model: openai/gpt-o, weight: 0}]\n"
    async with opened(more=route + "retry: {attempts: 1}") as gate:
        first = await respond(gate, model="other", input="One.")
        anthropic.default = Step(status=500)
        await respond(gate, model="other", input="Two.", previous_response_id=first["id"])
    sent = openai.seen[0].json
    assert sent["model"] == "gpt-o" and "previous_response_id" not in sent
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_and_their_results_are_part_of_what_is_kept(
    opened: Open, anthropic: FakeAnthropic, stream: bool
) -> None:
    anthropic.script(Step(text=(), tools=(ToolAsk("weather", '{"city":"Faro"}'),)), Step(text="Sunny."))
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
    async with opened() as gate:
        first = await respond(gate, model="anthropic/claude-x", input="Weather?", tools=[tool], stream=stream)
        call = next(item for item in first["output"] if item["type"] == "function_call")
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "21 °C"}
        second = await respond(
            gate, model="anthropic/claude-x", input=[result], tools=[tool], previous_response_id=first["id"]
        )
    assert text_of(second) == "Sunny."
    kinds = [[part["type"] for part in m["content"]] for m in anthropic.seen[1].json["messages"] if m["role"] != "user"]
    assert kinds == [["tool_use"]]
    assert anthropic.seen[1].json["messages"][-1]["content"][0]["type"] == "tool_result"


async def test_a_kept_response_is_shown_as_it_was_given_with_its_input_items(
    opened: Open, anthropic: FakeAnthropic
) -> None:
    anthropic.script(Step(text="Well, hello.", reasoning="Greet back."))
    async with opened() as gate:
        for stream in (False, True):
            given = await respond(
                gate, model="anthropic/claude-x", stream=stream, metadata={"a": "b"},
                input=[{"role": "user", "content": "Hello."}, {"role": "user", "content": "Anybody?"}],
            )  # fmt: skip
            kept = await shown(gate, given["id"], BEA)
            for response in (given, kept):
                (response.get("usage") or {}).pop("cost", None)
            assert kept == given and kept["metadata"] == {"a": "b"}
        items = await shown(gate, f"{given['id']}/input_items")
        assert [item["content"][0]["text"] for item in items["data"]] == ["Anybody?", "Hello."]
        page = await shown(gate, f"{given['id']}/input_items", order="asc", limit="1")
        assert (page["has_more"], page["data"][0]["content"][0]["text"]) == (True, "Hello.")
        rest = await shown(gate, f"{given['id']}/input_items", order="asc", after=page["last_id"])
        assert (rest["has_more"], rest["data"][0]["content"][0]["text"]) == (False, "Anybody?")
        with pytest.raises(BadRequest, match="not streamed again"):
            await shown(gate, given["id"], stream="true")
        for wrong in ({"limit": "many"}, {"limit": "0"}, {"order": "random"}, {"after": "nothing"}):
            with pytest.raises(BadRequest):
                await pages_of(gate, ANA).show(Asked(f"{given['id']}/input_items", wrong, HEADERS))


async def test_another_key_neither_continues_nor_sees_nor_deletes_a_kept_response(
    opened: Open, anthropic: FakeAnthropic
) -> None:
    async with opened() as gate:
        first = await respond(gate, model="anthropic/claude-x", input="Secret.")
        for stranger in (EVE, LEO):
            with pytest.raises(NotFound):
                await respond(gate, stranger, model="anthropic/claude-x", input="?", previous_response_id=first["id"])
            with pytest.raises(NotFound):
                await shown(gate, first["id"], stranger)
            with pytest.raises(NotFound):
                await deleted(gate, first["id"], stranger)
        assert (await shown(gate, first["id"]))["id"] == first["id"]
    assert len(anthropic.seen) == 1


async def test_a_deleted_response_is_gone_and_so_is_what_came_after_it(opened: Open, anthropic: FakeAnthropic) -> None:
    async with opened() as gate:
        first = await respond(gate, model="anthropic/claude-x", input="One.")
        second = await respond(gate, model="anthropic/claude-x", input="Two.", previous_response_id=first["id"])
        assert await deleted(gate, first["id"]) == {"id": first["id"], "object": "response", "deleted": True}
        with pytest.raises(NotFound):
            await shown(gate, first["id"])
        with pytest.raises(NotFound, match="An earlier response"):
            await respond(gate, model="anthropic/claude-x", input="Three.", previous_response_id=second["id"])
        with pytest.raises(NotFound, match="deleted"):
            await respond(gate, model="anthropic/claude-x", input="Three.", previous_response_id=first["id"])
    assert len(anthropic.seen) == 2


async def test_an_expired_response_is_refused_and_its_conversation_dropped(
    opened: Open, database_dsn: str, anthropic: FakeAnthropic
) -> None:
    async with opened(more="responses: {keep: 1h}") as gate:
        old = await respond(gate, model="anthropic/claude-x", input="Old.")
        first = await respond(gate, model="anthropic/claude-x", input="One.")
        second = await respond(gate, model="anthropic/claude-x", input="Two.", previous_response_id=first["id"])
        with psycopg.connect(database_dsn) as connection:
            age = "update kept_response set created_at = created_at - interval '2 hours' where id = any(%s)"
            connection.execute(age, [[old["id"], first["id"]]])
        for expired in (old, first):
            with pytest.raises(NotFound, match="expired"):
                await respond(gate, model="anthropic/claude-x", input="On.", previous_response_id=expired["id"])
            with pytest.raises(NotFound):
                await shown(gate, expired["id"])
        assert await prune(gate.database, 3600) == 1
        # The rest of a conversation stays as long as its latest response does.
        await respond(gate, model="anthropic/claude-x", input="Three.", previous_response_id=second["id"])
        assert [text for role, text in said(anthropic.seen[-1]) if role == "user"] == ["One.", "Two.", "Three."]
        assert await prune(gate.database, 0) == 3


@pytest.mark.parametrize(
    ("body", "more", "why"),
    [
        ({"model": "hashed"}, "", "content: off"),
        ({"model": "anthropic/claude-x", "store": False}, "", "store: false"),
        ({"model": "anthropic/claude-x"}, "responses: {keep: 0s}", "responses.keep"),
        ({"model": "anthropic/claude-x"}, "records: {content: off}", "content: off"),
    ],
)
async def test_a_followup_of_what_was_not_kept_says_why(
    opened: Open, database_dsn: str, anthropic: FakeAnthropic, body: JSON, more: str, why: str
) -> None:
    async with opened("one", more) as one, opened("two", more) as two:
        first = await respond(one, input="Planted words.", **body)
        assert first["store"] is False
        for gate in (one, two):
            with pytest.raises(BadRequest, match=why) as failure:
                await respond(gate, input="On.", previous_response_id=first["id"], **body)
            assert failure.value.code == "response_not_kept"
    assert len(anthropic.seen) == 1
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("select count(*) from kept_response").fetchone() == (0,)


async def test_an_answer_goes_out_with_store_false_while_the_database_is_away(
    opened: Open, database_dsn: str, anthropic: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "SAVE_LIMIT_S", 60.0)
    async with opened() as gate:
        kept = await respond(gate, model="anthropic/claude-x", input="One.")
        with psycopg.connect(database_dsn) as connection:
            connection.execute("lock table kept_response in access exclusive mode")
            # The lock is held until these have given up.
            monkeypatch.setattr(stage, "SAVE_LIMIT_S", 0.2)
            monkeypatch.setattr(stage, "LOOK_LIMIT_S", 0.2)
            for stream in (False, True):
                lost = await respond(gate, model="anthropic/claude-x", input="Two.", stream=stream)
                assert lost["status"] == "completed" and lost["store"] is False
            with pytest.raises(Unavailable) as failure:
                await respond(gate, model="anthropic/claude-x", input="On.", previous_response_id=kept["id"])
            assert failure.value.status == 503 and failure.value.retry_after_s
        monkeypatch.setattr(stage, "LOOK_LIMIT_S", 60.0)
        with pytest.raises(BadRequest, match="database was away"):
            await respond(gate, model="anthropic/claude-x", input="On.", previous_response_id=lost["id"])
        await respond(gate, model="anthropic/claude-x", input="On.", previous_response_id=kept["id"])


async def test_secrets_are_taken_out_of_what_is_kept(opened: Open, database_dsn: str) -> None:
    async with opened() as gate:
        await respond(gate, model="anthropic/claude-x", input="My key is sk-ant-left-0000000000000000, keep it.")
    with psycopg.connect(database_dsn) as connection:
        [(input,)] = connection.execute("select input from kept_response").fetchall()
    assert b"sk-ant-left" not in input and b"My key is [SECRET], keep it." in input


async def test_thinking_that_was_signed_goes_back_to_its_variant(opened: Open, anthropic: FakeAnthropic) -> None:
    """WIRE 27: on any provider; what Anthropic signed is of no use to OpenAI."""
    anthropic.default = Step(text="Yes.", reasoning="Is it so? It is.")
    async with opened() as gate:
        first = await respond(gate, model="anthropic/claude-c", input="So?", store=False)
        thought = next(item for item in first["output"] if item["type"] == "reasoning")
        assert thought["encrypted_content"].startswith("signature:")
        # Asked by another name than before, and drawn anew each time but for the thinking.
        items = [{"role": "user", "content": "So?"}, *first["output"], {"role": "user", "content": "Sure?"}]
        for _ in range(6):
            call = asked({"model": "mixed", "input": items, "store": False}, ANA)
            await ask(gate.pipeline, call)
            assert call.target is not None and call.target.provider == "anthropic"


async def test_an_answer_that_was_cut_short_by_its_client_is_not_kept(
    opened: Open, database_dsn: str, anthropic: FakeAnthropic
) -> None:
    anthropic.script(Step(text="one two three four"))
    async with (
        opened() as gate,
        Streamed(gate.pipeline, asked({"model": "anthropic/x", "input": "?", "stream": True}, ANA)) as events,
    ):
        await events.__anext__()
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("select count(*) from kept_response").fetchone() == (0,)


async def test_calls_that_follow_up_on_nothing_ask_the_database_nothing(
    opened: Open, openai: KeepingOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as gate:
        follow = gate.followups.follow

        async def never(*_: object) -> None:
            raise AssertionError("looked up")

        monkeypatch.setattr(follow.kept, "conversation", never)
        monkeypatch.setattr(follow.places, "find", never)
        first = await respond(gate, model="mixed", input="Hello.")
        await respond(gate, model="openai/gpt-x", input="Hello.", stream=True)
        await gate.chat("Hello.", "openai/gpt-x")
        if first["id"].startswith("resp_fake"):
            await respond(gate, model="mixed", input="On.", previous_response_id=first["id"])
        await asyncio.sleep(0)


@pytest.mark.parametrize("previous", ["", "resp_\0", "x" * 300, "resp with space"])
async def test_an_id_that_can_be_none_is_not_found(opened: Open, previous: str) -> None:
    async with opened() as gate:
        with pytest.raises(NotFound):
            await respond(gate, model="openai/gpt-x", input="On.", previous_response_id=previous)
        with pytest.raises(BadRequest):
            await respond(gate, model="openai/gpt-x", input="On.", previous_response_id=7)
