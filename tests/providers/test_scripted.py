"""The scripted model does what its script says, always the same, and can be stopped anywhere."""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import Any

import pytest

from comporta.errors import (
    ConfigError,
    UpstreamCredential,
    UpstreamCut,
    UpstreamError,
    UpstreamFault,
    UpstreamFiltered,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamUnreachable,
)
from comporta.pipeline import collect
from comporta.providers.base import Endpoint, Local, Query
from comporta.providers.script import read_script
from comporta.providers.scripted import Scripted, hashed, sample
from comporta.types import (
    Event,
    Input,
    Kind,
    Message,
    Reply,
    ResponseFormat,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    Usage,
)

WEATHER = Tool(name="weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})


def said(text: str, **more: Any) -> Input:
    return Input(messages=(Message("user", (Text(text),)),), **more)


def endpoint(script: object = None) -> Endpoint:
    return Endpoint(provider="scripted", base_url="", options={} if script is None else {"script": script})


def query(text: str = "one two  three\nfour", *, model: str = "echo", stream: bool = True, **more: Any) -> Query:
    return Query(kind="chat", input=said(text, **more), model=model, stream=stream)


async def events(script: object = None, asked: Query | None = None, model: Scripted | None = None) -> list[Event]:
    return [e async for e in (model or Scripted()).answer(asked or query(), endpoint(script))]


async def reply(script: object = None, asked: Query | None = None, model: Scripted | None = None) -> Reply:
    return await collect((model or Scripted()).answer(asked or query(), endpoint(script)))


def test_it_is_a_local_model() -> None:
    assert isinstance(Scripted(), Local)


async def test_it_echoes_the_last_user_text_word_by_word() -> None:
    came = await events()
    assert [e.deltas[0].text for e in came if e.deltas] == ["", "one", " two", "  three", "\nfour", ""]
    assert came[-1].usage == Usage(input=4, output=4)
    assert [e.last for e in came] == [False] * 6 + [True]
    assert not came[0].meaningful


async def test_a_plain_answer_is_one_whole_event_with_the_same_text() -> None:
    (only,) = await events(None, query(stream=False))
    assert only.whole
    assert only.deltas[0].text == "one two  three\nfour"
    assert only.deltas[0].finish == "stop"
    assert only.usage == Usage(input=4, output=4)


async def test_a_list_of_steps_is_taken_in_turn_and_then_again() -> None:
    model, script = Scripted(), [{"error": {"status": 500}}, {"text": "good"}]
    for _ in range(2):
        with pytest.raises(UpstreamFault):
            await reply(script, model=model)
        assert (await reply(script, model=model)).text == "good"


async def test_steps_belong_to_models_and_star_stands_for_the_rest() -> None:
    script = {"a": {"text": "from a"}, "*": {"text": "from star"}}
    assert (await reply(script, query(model="a"))).text == "from a"
    assert (await reply(script, query(model="b"))).text == "from star"


async def test_a_model_that_the_script_does_not_name_is_unknown() -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await reply({"a": {"text": "x"}}, query(model="b"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0, UpstreamUnreachable), (400, UpstreamRejected), (401, UpstreamCredential), (403, UpstreamCredential),
        (404, UpstreamRejected), (408, UpstreamFault), (429, UpstreamLimited), (500, UpstreamFault),
        (503, UpstreamFault),
    ],
)  # fmt: skip
async def test_a_status_becomes_the_error_that_a_wire_would_raise(status: int, error: type[UpstreamError]) -> None:
    with pytest.raises(error) as caught:
        await reply({"error": {"status": status, "retry_after": 3}})
    assert type(caught.value) is error
    if status == 429:
        assert caught.value.retry_after_s == 3


async def test_a_filter_refusal_has_its_own_class() -> None:
    with pytest.raises(UpstreamFiltered):
        await reply({"error": {"status": 400, "code": "content_filter"}})


async def test_an_error_can_come_between_events() -> None:
    came = []
    with pytest.raises(UpstreamFault):
        async for event in Scripted().answer(query(), endpoint({"error": {"after": 2}})):
            came.append(event)
    assert "".join(d.text for e in came for d in e.deltas) == "one two"


async def test_an_error_rate_is_the_same_for_the_same_seed_and_about_as_high_as_said() -> None:
    async def outcomes(seed: int) -> list[bool]:
        model, kept = Scripted(), []
        for _ in range(200):
            try:
                await reply({"error_rate": 0.3, "seed": seed}, model=model)
                kept.append(True)
            except UpstreamFault:
                kept.append(False)
        return kept

    first = await outcomes(1)
    assert first == await outcomes(1)
    assert first != await outcomes(2)
    assert 30 < first.count(False) < 90


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_answer_is_never_a_success(stream: bool) -> None:
    came = []
    with pytest.raises(UpstreamCut):
        async for event in Scripted().answer(query(stream=stream), endpoint({"cut_after": 3})):
            came.append(event)
    assert "".join(d.text for e in came for d in e.deltas) == ("one two  three" if stream else "")


async def test_a_stalled_answer_stays_silent_until_it_is_cancelled() -> None:
    answer = Scripted().answer(query(), endpoint({"stall_after": 1}))
    assert [await anext(answer) for _ in range(2)][1].deltas[0].text == "one"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(answer), 0.02)


@pytest.mark.parametrize("stream", [True, False])
async def test_it_can_be_cancelled_while_it_waits(stream: bool) -> None:
    task = asyncio.create_task(reply({"first_delay": 60}, query(stream=stream)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_long_answer_without_delays_leaves_the_loop_to_others() -> None:
    task = asyncio.create_task(reply({"tokens": 200_000}))
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_delays_are_kept_plain_and_streamed() -> None:
    for stream in (True, False):
        began = time.perf_counter()
        await reply({"first_delay": 0.03, "token_delay": 0.01}, query("a b c d", stream=stream))
        assert 0.058 <= time.perf_counter() - began < 20


async def test_made_up_text_has_the_words_asked_for_and_follows_the_seed() -> None:
    one = await reply({"tokens": 12, "seed": 5})
    assert len(one.text.split()) == 12
    assert one == await reply({"tokens": 12, "seed": 5})
    assert one.text != (await reply({"tokens": 12, "seed": 6})).text
    assert one.text != (await reply({"tokens": 12}, query(seed=6))).text


async def test_max_tokens_and_stop_end_the_text() -> None:
    short = (await reply(None, query(max_tokens=2))).choices[0]
    assert (short.text, short.finish) == ("one two", "length")
    stopped = (await reply(None, query(stop=("zzz", " three")))).choices[0]
    assert (stopped.text, stopped.finish, stopped.stop_sequence) == ("one two ", "stop", " three")


async def test_every_choice_asked_for_is_answered() -> None:
    for stream in (True, False):
        got = await reply({"tokens": 3, "seed": 1}, query(n=3, stream=stream))
        assert [c.index for c in got.choices] == [0, 1, 2]
        assert len({c.text for c in got.choices}) == 3
        assert got.usage is not None
        assert got.usage.output == 9


async def test_scripted_tools_are_called_with_id_and_name_once_and_arguments_in_pieces() -> None:
    script = {"tools": [{"name": "weather", "arguments": {"city": "Évora"}}, {"name": "weather", "arguments": "{"}]}
    came = await events(script, query(tools=(WEATHER,)))
    pieces = [t for e in came for d in e.deltas for t in d.tools]
    assert [t.index for t in pieces if t.id] == [0, 1]
    assert all(bool(t.id) == bool(t.name) for t in pieces)
    choice = (await reply(script, query(tools=(WEATHER,)))).choices[0]
    assert json.loads(choice.tools[0].arguments) == {"city": "Évora"}
    assert (choice.tools[1].arguments, choice.finish, choice.text) == ("{", "tool_calls", "")


async def test_tools_are_called_only_where_offered_allowed_and_not_just_answered() -> None:
    script = {"tools": [{"name": "weather"}, {"name": "weather"}]}
    assert not (await reply(script)).choices[0].tools
    none = query(tools=(WEATHER,), tool_choice=ToolChoice("none"))
    assert not (await reply(script, none)).choices[0].tools
    one = query(tools=(WEATHER,), parallel_tool_calls=False)
    assert len((await reply(script, one)).choices[0].tools) == 1
    turns = (Message("user", (Text("q"),)), Message("tool", (ToolResult("c", (Text("sunny"),)),)))
    answered = Query(kind="chat", input=Input(messages=turns, tools=(WEATHER,)), model="echo", stream=True)
    got = (await reply(script, answered)).choices[0]
    assert (got.text, got.finish) == ("sunny", "stop")


async def test_a_required_tool_is_called_with_arguments_its_schema_allows() -> None:
    asked = query(tools=(WEATHER,), tool_choice=ToolChoice("required"))
    (tool,) = (await reply(None, asked)).choices[0].tools
    assert (tool.name, json.loads(tool.arguments)) == ("weather", {"city": "sample"})


async def test_a_json_schema_is_answered_with_a_value_it_allows() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = {
        "type": "object", "required": ["name", "tags", "next"], "$defs": {"Tag": {"enum": ["x", "y"]}},
        "properties": {
            "name": {"type": "string", "minLength": 9}, "count": {"type": "integer", "minimum": 3},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "minItems": 2},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "ok": {"type": ["boolean", "null"]},
        },
    }  # fmt: skip
    form = ResponseFormat("json_schema", name="s", schema=schema)
    value = json.loads((await reply(None, query(response_format=form))).text)
    jsonschema.validate(value, schema)
    form = ResponseFormat("json_object")
    assert json.loads((await reply(None, query("hi", response_format=form))).text) == {"echo": "hi"}


def test_a_schema_without_end_gives_a_value_with_one() -> None:
    value = sample({"type": "object", "properties": {"child": {"$ref": "#"}}})
    assert json.dumps(value).count("child") < 20


async def test_reasoning_comes_before_the_text_and_is_counted_apart() -> None:
    came = await events({"reasoning": "let me see", "text": "well"})
    assert [d.reasoning or d.text for e in came for d in e.deltas][1:-1] == ["let", " me", " see", "well"]
    assert came[-1].usage == Usage(input=4, output=1, reasoning=3)


async def test_usage_and_finish_can_be_said_and_usage_left_out() -> None:
    got = await reply({"usage": {"input": 100, "cached": 7}, "finish": "length"})
    assert got.usage == Usage(input=100, cached=7, output=4)
    assert got.choices[0].finish == "length"
    assert (await reply({"usage": False})).usage is None


async def test_the_name_of_the_model_and_the_body_can_say_what_to_do() -> None:
    assert len((await reply(None, query(model="echo?tokens=5&seed=1"))).text.split()) == 5
    got = await reply({"text": "no"}, query(extra={"script": {"text": "from the body"}}))
    assert (got.text, got.model) == ("from the body", "echo")


@pytest.mark.parametrize(
    ("model", "body", "word"),
    [("echo?tokens=many", None, "tokens"), ("echo?speed=1", None, "speed"), ("echo", 7, "object"),
     ("echo", {"tokens": "9"}, "tokens"), ("echo", {"cut_after": -1}, "cut_after")],
)  # fmt: skip
async def test_what_a_call_asks_wrongly_is_refused_with_the_word_at_fault(model: str, body: object, word: str) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await reply(None, query(model=model, extra={} if body is None else {"script": body}))
    assert (caught.value.status, caught.value.param) == (400, "script")
    assert word in caught.value.message


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ({"a": {"txt": "x"}}, "script.a: "), ([{"text": "x"}, {"error": {"status": "high"}}], "script[1]: "),
        ([], "script: "), (7, "script: "), ({"a": {"error_rate": 2}}, "script.a: "),
    ],
)  # fmt: skip
def test_a_bad_script_is_told_with_its_path(script: object, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_script(script)
    assert caught.value.message.startswith(where)


async def test_a_changed_script_is_read_anew() -> None:
    model = Scripted()
    assert (await reply({"text": "old"}, model=model)).text == "old"
    assert (await reply({"text": "new"}, model=model)).text == "new"


def other(kind: Kind, asked: Input) -> Query:
    return Query(kind=kind, input=asked, model="echo")


async def test_embeddings_are_the_same_for_the_same_text_and_as_long_as_asked() -> None:
    (one,) = await events(None, other("embed", Input(texts=("a cat", "a cat", (1, 2)), dimensions=8)))
    assert one.vectors[0] == one.vectors[1] != one.vectors[2]
    assert [len(v) for v in one.vectors] == [8, 8, 8]
    assert one.usage == Usage(input=6)
    with pytest.raises(UpstreamFault):
        await events({"error": {}}, other("embed", Input(texts=("x",))))


def test_vectors_have_length_one_and_lie_near_where_words_are_shared() -> None:
    cat, cats, ship = (hashed(t, 256) for t in ("the black cat sat", "the black cat ran", "ships of iron"))
    assert math.isclose(sum(x * x for x in cat), 1.0)

    def near(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(cat, cats) > 0.5 > near(cat, ship)
    assert hashed("", 4) == hashed("", 4)


async def test_counting_tokens_counts_the_words_of_all_turns() -> None:
    turns = (Message("system", (Text("be kind"),)), Message("user", (Text("hello there you"),)))
    (one,) = await events(None, other("count", Input(messages=turns)))
    assert one.usage == Usage(input=5)
