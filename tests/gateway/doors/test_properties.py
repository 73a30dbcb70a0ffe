"""What holds for every door: no body breaks it, and any stream of events says the same in its words."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import msgspec
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.errors import BadRequest
from comporta.gateway.doors.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.openai_completions import OpenAICompletions
from comporta.gateway.doors.openai_embeddings import OpenAIEmbeddings
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.pipeline import Call, Gathered
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Query, Wire
from comporta.providers.openai import OpenAI
from comporta.types import Caller, Choice, Delta, Event, Finish, Input, ToolDelta, Usage

DOORS: tuple[Door, ...] = (
    OpenAIChat(), OpenAICompletions(), OpenAIResponses(), OpenAIEmbeddings(), AnthropicMessages(),
    AnthropicCountTokens(),
)  # fmt: skip

# ---- bodies ---------------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.sampled_from(["user", "text", "function", "data:x", "data:image/png;base64,AAAA"]),
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CACHE = {"type": "ephemeral"}
CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "name": "ana", "content": [
            {"type": "text", "text": "t", "cache_control": CACHE},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        ]},
        {"role": "assistant", "content": None, "refusal": "no", "reasoning_content": "hm",
         "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "b"}],
         "function_call": {"name": "f", "arguments": "{}"},
         "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "42"}]},
        {"role": "function", "name": "f", "content": "42"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}, {"type": "custom", "custom": {"name": "x"}}],
    "functions": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}},
    "function_call": {"name": "f"}, "parallel_tool_calls": True, "max_tokens": 5, "max_completion_tokens": 6,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
    "temperature": 1, "top_p": 0.5, "top_k": 3, "stop": ["a"], "seed": 1, "n": 1, "logprobs": True, "top_logprobs": 2,
    "logit_bias": {"1": 2}, "presence_penalty": 0, "frequency_penalty": 0, "reasoning_effort": "low",
    "modalities": ["text"], "user": "u", "metadata": {"session_id": "s"}, "stream": True,
    "stream_options": {"include_usage": True}, "safety_identifier": "x",
}  # fmt: skip
MESSAGES = {
    "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s", "cache_control": CACHE}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "t"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A"}, "title": "n"},
            {"type": "tool_result", "tool_use_id": "c", "is_error": True, "content": [{"type": "text", "text": "4"}]},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "a", "signature": "b"}, {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        ]},
    ],
    "tools": [{"name": "f", "input_schema": {}, "strict": True}, {"type": "web_search_20250305", "name": "w"}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000}, "temperature": 1, "top_p": 1, "top_k": 1,
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}}, "stop_sequences": ["a"],
    "metadata": {"user_id": "u"}, "stream": True,
}  # fmt: skip
RESPONSES = {
    "model": "m", "instructions": "i",
    "input": [
        {"role": "user", "content": [
            {"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "https://x.test"},
            {"type": "input_file", "file_id": "f"}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "a"}],
         "content": [{"type": "reasoning_text", "text": "a"}], "encrypted_content": "signature:x"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "4"}]},
        {"type": "item_reference", "id": "x"},
    ],
    "tools": [{"type": "function", **FUNCTION}, {"type": "mcp"}], "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"}, "include": ["message.output_text.logprobs"],
    "max_output_tokens": 5, "temperature": 1, "top_p": 1, "top_logprobs": 1, "user": "u", "metadata": {},
    "safety_identifier": "x", "stream": True,
}  # fmt: skip
COMPLETIONS = {
    "model": "m", "prompt": ["a", "b"], "max_tokens": 5, "logprobs": 2, "stop": "x", "echo": True, "stream": True,
    "stream_options": {"include_usage": True}, "user": "u",
}  # fmt: skip
EMBEDDINGS = {"model": "m", "input": [[1, 2], "a"], "dimensions": 3, "encoding_format": "base64", "user": "u"}
RICH: dict[str, dict[str, Any]] = {
    "openai.chat": CHAT, "openai.completions": COMPLETIONS, "openai.responses": RESPONSES,
    "openai.embeddings": EMBEDDINGS, "anthropic.messages": MESSAGES, "anthropic.count_tokens": MESSAGES,
}  # fmt: skip
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in inside:
        found += [(*path, key), *places(item, (*path, key))]
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    if new is GONE:
        del value[path[-1]]
    else:
        value[path[-1]] = new


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_the_rich_body_is_read(door: Door) -> None:
    parsed = door.parse(json.dumps(RICH[door.name]).encode(), {})
    assert parsed.user == "u"
    assert parsed.input.raw == RICH[door.name]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_body_changed_anywhere_is_read_or_refused_with_a_reason(door: Door, data: st.DataObject) -> None:
    body = json.loads(json.dumps(RICH[door.name]))
    path = data.draw(st.sampled_from(places(body)))
    changed(body, path, data.draw(st.just(GONE) | JSON))
    try:
        parsed = door.parse(json.dumps(body).encode(), {})
    except BadRequest as refusal:
        assert refusal.message
        assert json.loads(door.error(refusal))["error"]["message"] == refusal.message
        assert refusal.param is None or refusal.param in refusal.message
    else:
        assert parsed.model == body["model"]
        msgspec.json.encode(parsed.input)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
@given(body=st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())))
@settings(max_examples=60, deadline=None)
def test_any_other_bytes_are_refused(door: Door, body: bytes) -> None:
    with pytest.raises(BadRequest):
        door.parse(body, {})


# ---- streams --------------------------------------------------------------------------------------------------------

PIECES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(st.sampled_from("ab"), PIECES, max_size=2).map(lambda value: json.dumps(value))


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Events of one answer: texts, thinking and tool calls, their pieces cut and mixed at will, then the end."""
    lines: list[list[Delta]] = [[Delta(text=piece) for piece in draw(st.lists(PIECES, max_size=4))]]
    lines.append([Delta(reasoning=piece) for piece in draw(st.lists(PIECES, max_size=3))])
    count = draw(st.integers(0, 3))
    for index in range(count):
        arguments = draw(ARGUMENTS)
        cut = draw(st.integers(0, len(arguments)))
        lines.append([
            Delta(tools=(ToolDelta(index, f"c{index}", f"f{index}"),)),
            *[Delta(tools=(ToolDelta(index, arguments=a),)) for a in (arguments[:cut], arguments[cut:]) if a],
        ])  # fmt: skip
    mixed: list[Delta] = []
    while any(lines):
        mixed.append(draw(st.sampled_from([line for line in lines if line])).pop(0))
    finish: Finish = "tool_calls" if count else draw(st.sampled_from(["stop", "content_filter"]))
    mixed = _tools_begin_in_order(mixed)
    ends = [Event((Delta(finish=finish),)), Event(usage=Usage(3, output=2))]
    return [Event((delta,), id="up-1", model="model-x") for delta in mixed] + ends


def _tools_begin_in_order(deltas: list[Delta]) -> list[Delta]:
    """A tool call's index counts tool calls as they begin."""
    places: dict[int, int] = {}
    renamed = []
    for delta in deltas:
        if delta.tools:
            old = delta.tools[0]
            place = places.setdefault(old.index, len(places))
            delta = Delta(tools=(ToolDelta(place, old.id, old.name, old.arguments),))
        renamed.append(delta)
    return renamed


def whole(events: list[Event]) -> Choice:
    gathered = Gathered()
    for event in events:
        gathered.add(event)
    return gathered.reply().choices[0]


def written(door: Door, events: list[Event]) -> bytes:
    call = Call(kind="chat", input=Input(), model="m", caller=Caller("k"), stream=True, include_usage=True)
    stream = door.stream(call)
    return b"".join([stream.event(event) for event in events]) + stream.end()


def client(data: bytes) -> httpx2.Client:
    headers = {"content-type": "text/event-stream"}
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=data, headers=headers)))


quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(events=answers())
@quick
def test_openais_chat_stream_says_the_same(events: list[Event]) -> None:
    """WIRE 10, 11"""
    choice = whole(events)
    with client(written(DOORS[0], events)) as http:
        sdk = openai.OpenAI(api_key="k", base_url="http://x.test", http_client=http)
        with sdk.chat.completions.stream(model="m", messages=[]) as stream:
            seen = list(stream)
            snapshot = stream.current_completion_snapshot
    assert seen
    found = snapshot.choices[0]
    assert (found.message.content or "") == choice.text
    assert found.finish_reason == choice.finish
    calls = [(t.id, t.function.name, t.function.arguments) for t in found.message.tool_calls or ()]
    assert calls == [(t.id, t.name, t.arguments) for t in choice.tools]
    thoughts = (found.message.model_extra or {}).get("reasoning_content", "")
    assert thoughts == "".join(r.text for r in choice.reasoning)
    assert snapshot.usage is not None and snapshot.usage.total_tokens == 5


@given(events=answers())
@quick
def test_openais_responses_stream_says_the_same(events: list[Event]) -> None:
    choice = whole(events)
    with client(written(DOORS[2], events)) as http:
        sdk = openai.OpenAI(api_key="k", base_url="http://x.test", http_client=http)
        with sdk.responses.stream(model="m", input="x") as stream:
            last = list(stream)[-1]
    assert last.type == ("response.incomplete" if choice.finish == "content_filter" else "response.completed")
    final = last.response
    assert final.output_text == choice.text
    calls = [(t.call_id, t.name, t.arguments) for t in final.output if t.type == "function_call"]
    assert calls == [(t.id, t.name, t.arguments) for t in choice.tools]
    thoughts = [s.text for item in final.output if item.type == "reasoning" for s in item.summary]
    assert "".join(thoughts) == "".join(r.text for r in choice.reasoning)
    assert final.usage is not None and final.usage.total_tokens == 5


@given(events=answers())
@quick
def test_anthropics_stream_says_the_same(events: list[Event]) -> None:
    choice = whole(events)
    with client(written(DOORS[4], events)) as http:
        sdk = anthropic.Anthropic(api_key="k", base_url="http://x.test", http_client=http)
        with sdk.messages.stream(model="m", max_tokens=1, messages=[]) as stream:
            final = stream.get_final_message()
    assert "".join(b.text for b in final.content if b.type == "text") == choice.text
    assert "".join(b.thinking for b in final.content if b.type == "thinking") == "".join(
        r.text for r in choice.reasoning
    )
    calls = [(t.id, t.name, t.input) for t in final.content if t.type == "tool_use"]
    assert calls == [(t.id, t.name, json.loads(t.arguments)) for t in choice.tools]
    reasons = {"stop": "end_turn", "tool_calls": "tool_use", "content_filter": "refusal"}
    assert final.stop_reason == reasons[choice.finish or "stop"]
    assert final.usage.output_tokens == 2


@given(events=answers())
@quick
def test_openais_text_stream_says_the_same(events: list[Event]) -> None:
    choice = whole(events)
    with client(written(DOORS[1], events)) as http:
        sdk = openai.OpenAI(api_key="k", base_url="http://x.test", http_client=http)
        seen = list(sdk.completions.create(model="m", prompt="x", stream=True))
    assert "".join(c.text for s in seen for c in s.choices) == choice.text
    assert [c.finish_reason for s in seen for c in s.choices if c.finish_reason] == [
        "stop" if choice.finish == "tool_calls" else choice.finish
    ]


# ---- the same wire in and out, some of it edited on the way ---------------------------------------------------------


def passed(data: bytes, door: Door) -> list[Event]:
    """What the provider's own wire reads from a stream, raw frames and all."""
    query = Query(kind="chat", input=Input(wire=door.name, raw={"model": "m"}), model="m", stream=True)
    wire: Wire = Anthropic() if door.name == "anthropic.messages" else OpenAI(responses=True, completions=True)
    decoder = wire.decoder(query)
    return [*decoder.feed(data), *decoder.end()]


def accepted(door: Door, data: bytes) -> None:
    """The SDKs that keep account of what is open find no fault."""
    with client(data) as http:
        if door.name == "anthropic.messages":
            sdk = anthropic.Anthropic(api_key="k", base_url="http://x.test", http_client=http)
            with sdk.messages.stream(model="m", max_tokens=1, messages=[]) as stream:
                assert stream.get_final_message().stop_reason
        elif door.name == "openai.responses":
            other = openai.OpenAI(api_key="k", base_url="http://x.test", http_client=http)
            with other.responses.stream(model="m", input="x") as events:
                assert "response." in list(events)[-1].type


@pytest.mark.parametrize("door", [DOORS[0], DOORS[1], DOORS[2], DOORS[4]], ids=lambda door: door.name)
@given(data=st.data())
@quick
def test_a_stream_of_the_same_wire_says_the_same_whatever_is_edited(door: Door, data: st.DataObject) -> None:
    first = written(door, data.draw(answers()))
    events = passed(first, door)
    start = data.draw(st.integers(0, len(events)))
    edited = [e.edit() if n >= start and data.draw(st.booleans()) else e for n, e in enumerate(events)]
    sent = written(door, edited)
    accepted(door, sent)
    again = whole(passed(sent, door))
    once = whole(events)
    assert (again.text, again.tools, again.finish) == (once.text, once.tools, once.finish)
    assert "".join(r.text for r in again.reasoning) == "".join(r.text for r in once.reasoning)


@pytest.mark.parametrize("door", [DOORS[0], DOORS[1], DOORS[2], DOORS[4]], ids=lambda door: door.name)
@given(events=answers())
@quick
def test_a_stream_of_the_same_wire_passes_unchanged(door: Door, events: list[Event]) -> None:
    """WIRE 12: what no stage changes reaches the client with the same JSON values."""
    first = written(door, events)
    assert written(door, passed(first, door)) == first
