"""The chat door reads and writes OpenAI's wire, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from comporta.errors import BadRequest, RateLimited, UpstreamCut
from comporta.gateway.doors.base import Door, Parsed
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.pipeline import Call
from comporta.types import (
    Audio,
    Choice,
    Delta,
    Event,
    File,
    Image,
    Input,
    Message,
    Other,
    Reasoning,
    Refusal,
    Reply,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolDelta,
    ToolResult,
    Usage,
)  # fmt: skip

DOOR: Door = OpenAIChat()
MakeCall = Callable[..., Call]
MakeClient = Callable[..., Any]


def parse(**body: Any) -> Parsed:
    defaults = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    return DOOR.parse(msgspec.json.encode(defaults | body), {})


def messages(*given: Any) -> tuple[Message, ...]:
    return parse(messages=list(given)).input.messages


def refused(body: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        DOOR.parse(body, {})
    return caught.value


def chunks(data: bytes) -> list[dict[str, Any]]:
    """The frames of a stream as objects, its end checked and left out."""
    frames = data.decode().split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def written(call: Call, *events: Event) -> bytes:
    stream = DOOR.stream(call)
    return b"".join([stream.event(event) for event in events]) + stream.end()


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_simple_body_becomes_an_input_that_keeps_the_raw_body() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "store": True}
    parsed = DOOR.parse(msgspec.json.encode(body), {})
    assert parsed == Parsed(
        input=Input(
            messages=(Message("user", (Text("hi"),)),), temperature=0.5, extra={"store": True}, wire="openai.chat",
            raw=body,
        ),
        model="gpt-4o",
    )  # fmt: skip


def test_every_known_field_finds_its_place() -> None:
    parsed = parse(
        tools=[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}}],
        tool_choice="required", parallel_tool_calls=False, max_completion_tokens=9, max_tokens=5, top_p=0.1, top_k=4,
        stop="END", seed=-3, n=2, presence_penalty=1, frequency_penalty=-1.5, logprobs=True, top_logprobs=3,
        logit_bias={"5": -100}, reasoning_effort="low", modalities=["text"], user="u-1",
        metadata={"session_id": "s-1"}, stream=True, stream_options={"include_usage": True},
    )  # fmt: skip
    given = parsed.input
    assert given.tools == (Tool("f", "d", {}, True),)
    assert given.tool_choice == ToolChoice("required")
    assert (given.max_tokens, given.top_p, given.top_k, given.stop, given.seed, given.n) == (9, 0.1, 4, ("END",), -3, 2)
    assert (given.presence_penalty, given.frequency_penalty, given.parallel_tool_calls) == (1, -1.5, False)
    assert (given.logprobs, given.top_logprobs, given.logit_bias) == (True, 3, {"5": -100})
    assert (given.reasoning_effort, given.modalities, given.extra) == ("low", ("text",), {})
    assert (parsed.user, parsed.session, parsed.stream, parsed.include_usage) == ("u-1", "s-1", True, True)


def test_null_and_absent_are_the_same() -> None:
    given = parse(temperature=None, stop=None, tools=None, user=None, new_field=None).input
    assert (given.temperature, given.stop, given.tools, given.user, given.extra) == (None, (), (), None, {})


def test_all_kinds_of_messages_are_understood() -> None:
    assert messages(
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": "hi", "name": "ana"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ) == (
        Message("system", (Text("s"),)),
        Message("system", (Text("d"),)),
        Message("user", (Text("hi"),), "ana"),
        Message("assistant", (Refusal("no"),)),
        Message("assistant", (Reasoning("hm"), Text(""), ToolCall("c1", "f", "{}"))),
        Message("tool", (ToolResult("c1", (Text("42"),)),)),
    )  # fmt: skip


def test_legacy_function_calls_are_matched_by_name() -> None:
    _, call, result = messages(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    )
    (made,), (answer,) = call.parts, result.parts
    assert isinstance(made, ToolCall) and isinstance(answer, ToolResult)
    assert made.id == answer.id


def test_content_parts_of_every_kind() -> None:
    native = {"type": "hologram", "hologram": {"a": 1}}
    (message,) = messages({"role": "user", "content": [
        {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        native,
    ]})  # fmt: skip
    assert message.parts == (
        Text("t", {"type": "ephemeral"}),
        Image(data="AAAA", media_type="image/png", detail="low"),
        Image(url="https://x.test/a.png"),
        Audio("BBBB", "wav"),
        File(data="CCCC", media_type="application/pdf", name="a.pdf"),
        File(id="file-1"),
        Other("openai.chat", native),
    )


def test_native_tools_and_choices_stay_native() -> None:
    custom = {"type": "custom", "custom": {"name": "grep"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    given = parse(tools=[custom], tool_choice=choice).input
    assert given.tools == (Tool("grep", wire="openai.chat", native=custom),)
    assert given.tool_choice is None
    assert given.extra == {"tool_choice": choice}


def test_response_formats() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    expected = ResponseFormat("json_schema", name="n", schema={"type": "object"}, strict=True)
    assert parse(response_format=schema).input.response_format == expected
    assert parse(response_format={"type": "json_object"}).input.response_format == ResponseFormat("json_object")


def test_safety_identifier_stands_for_the_user() -> None:
    parsed = parse(safety_identifier="u-9")
    assert parsed.user == "u-9"
    assert parsed.input.extra == {"safety_identifier": "u-9"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"model": "a\0b"}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x,y"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 2**70}, "max_tokens"),
        ({"n": 129}, "n"),
        ({"stop": 3}, "stop"),
        ({"stop": ["a", 3]}, "stop[1]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": 1}}]}, "tools[0].function.name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": ["auto"]}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"metadata": {"session_id": 3}}, "metadata.session_id"),
        ({"user": "a\0b"}, "user"),
    ],
)
def test_a_mistake_is_told_with_its_field(change: dict[str, Any], param: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | change
    error = refused(json.dumps(body).encode())
    assert error.param == param
    assert param in error.message
    assert error.status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"model": "\xed\xa0\x80"}', b'{"model": "\\ud800"}', b'{"n": 1e999}',
     b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_is_no_sane_json_object_is_refused(body: bytes) -> None:
    assert refused(body).code == "invalid_json"


def test_a_hundred_levels_of_schema_are_still_read() -> None:
    schema: dict[str, Any] = {}
    for _ in range(90):
        schema = {"a": schema}
    assert parse(extra_schema=schema).input.extra == {"extra_schema": schema}


# ---- plain answers --------------------------------------------------------------------------------------------------


def test_a_reply_of_the_same_wire_passes_as_it_is(make_call: MakeCall) -> None:
    raw = b'{"id": "x", "odd": 1.50, "choices": []}'
    assert DOOR.reply(make_call(), Reply(wire="openai.chat", raw=raw)) == raw


def test_a_reply_of_the_same_wire_that_stops_on_tools_is_mended(make_call: MakeCall) -> None:
    """WIRE 10: finish_reason is `tool_calls` when tools are called, for every provider."""
    message = b'{"content":"\\"stop\\"","tool_calls":[{"id":"a"}]}'
    raw = b'{"odd":1.50,"choices":[{"message":' + message + b',"finish_reason":"stop"}]}'
    reply = Reply(choices=(Choice(0, tools=(ToolCall("a", "f", ""),)),), wire="openai.chat", raw=raw)
    assert DOOR.reply(make_call(), reply) == raw.replace(b'reason":"stop"', b'reason":"tool_calls"')


def test_a_foreign_reply_becomes_a_chat_completion(make_call: MakeCall) -> None:
    """WIRE 12, 28: several choices, refusals, logprobs and reasoning survive; usage counts are inclusive."""
    reply = Reply(
        id="msg_1", model="claude", usage=Usage(input=10, cached=5, cache_write=2, output=7, reasoning=3),
        choices=(
            Choice(0, text="hello", reasoning=(Reasoning("hm", "sig"),), finish="stop", logprobs={"content": []},
                   extra={"annotations": []}),
            Choice(1, tools=(ToolCall("c1", "f", '{"a":1}'),), finish="stop"),
            Choice(2, refusal="no", finish="content_filter"),
        ),
    )  # fmt: skip
    call = make_call(cost_microusd=5)
    body = ChatCompletion.model_validate(json.loads(DOOR.reply(call, reply)), strict=True)
    assert body.id == "chatcmpl-" + call.id.replace("-", "")
    assert body.model == "claude"
    one, two, three = body.choices
    assert (one.message.content, one.finish_reason, one.message.annotations) == ("hello", "stop", [])
    assert one.message.model_extra == {
        "reasoning_content": "hm",
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}],
    }
    assert one.logprobs is not None
    assert two.message.content is None and two.message.tool_calls is not None
    assert two.finish_reason == "tool_calls"
    assert (three.message.refusal, three.finish_reason) == ("no", "content_filter")
    assert body.usage is not None and body.usage.prompt_tokens_details is not None
    assert (body.usage.prompt_tokens, body.usage.completion_tokens, body.usage.total_tokens) == (17, 10, 27)
    assert body.usage.prompt_tokens_details.cached_tokens == 5
    assert "cost" not in (body.usage.model_extra or {})


def test_thinking_blocks_come_back_as_they_went_out(make_call: MakeCall) -> None:
    thoughts = (Reasoning("hm", "sig"), Reasoning(encrypted="xyz"))
    reply = Reply(choices=(Choice(0, text="a", reasoning=thoughts, finish="stop"),))
    message = json.loads(DOOR.reply(make_call(), reply))["choices"][0]["message"]
    assert messages({"role": "user", "content": "q"}, message)[1].parts == (*thoughts, Text("a"))


def test_the_error_envelope_has_null_for_what_is_absent() -> None:
    """WIRE 13"""
    error = {"message": "no", "type": "invalid_request_error", "param": "n", "code": "invalid_request"}
    assert json.loads(DOOR.error(BadRequest("no", param="n"))) == {"error": error}
    assert json.loads(DOOR.error(RateLimited("slow")))["error"]["param"] is None


# ---- streams --------------------------------------------------------------------------------------------------------


def raw_event(text: str = "", *, delta: str | None = None, tail: str = "", **given: Any) -> Event:
    inner = delta if delta is not None else json.dumps({"content": text})
    finish = json.dumps(given.pop("wire_finish", None))
    raw = (
        '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":7,"model":"gpt","odd":1.50,'
        f'"choices":[{{"index":0,"delta":{inner},"finish_reason":{finish}}}]{tail}}}'
    )
    deltas = given.pop("deltas", (Delta(text=text, finish=given.pop("finish", None)),))
    return Event(deltas=deltas, id="chatcmpl-9", model="gpt", wire="openai.chat", raw=raw.encode(), **given)


ROLE = raw_event(delta='{"role":"assistant","content":""}', deltas=(Delta(),))


def test_frames_of_the_same_wire_pass_byte_for_byte(make_call: MakeCall) -> None:
    """WIRE 4: and [DONE] always goes out."""
    events = [ROLE, raw_event("a"), raw_event("b"), raw_event(delta="{}", finish="stop", wire_finish="stop")]
    expected = b"".join(b"data: " + e.raw + b"\n\n" for e in events if e.raw) + b"data: [DONE]\n\n"
    assert written(make_call(), *events) == expected


def test_a_raw_frame_with_line_breaks_stays_one_frame(make_call: MakeCall) -> None:
    """WIRE 5"""
    event = Event(wire="openai.chat", raw=b'{"id":"a",\r\n"choices":\n[]}')
    assert chunks(written(make_call(), event)) == [{"id": "a", "choices": []}]


@pytest.mark.parametrize("tail", [',"usage":null', ', "usage" : null', ',"usage":null,"obfuscation":"x"'])
def test_usage_is_hidden_from_clients_that_did_not_ask(make_call: MakeCall, tail: str) -> None:
    """WIRE 7"""
    usage = Event(usage=Usage(input=1), wire="openai.chat", id="chatcmpl-9", raw=b'{"choices":[],"usage":{"a":1}}')
    counted = raw_event("b", tail=',"usage":{"prompt_tokens":1}', usage=Usage(input=1))
    sent = chunks(written(make_call(), ROLE, raw_event("a", tail=tail), counted, usage))
    assert [c["choices"][0]["delta"]["content"] for c in sent] == ["", "a", "b"]
    assert not any("usage" in c for c in sent)
    assert all(c["odd"] == 1.5 for c in sent)


def test_the_text_usage_null_inside_content_is_left_alone(make_call: MakeCall) -> None:
    text = 'x,"usage":null} {'
    event = raw_event(text, tail=',"usage":null')
    assert chunks(written(make_call(), ROLE, event))[1]["choices"][0]["delta"]["content"] == text


def test_usage_comes_once_and_last_for_clients_that_asked(make_call: MakeCall) -> None:
    """WIRE 7, 22: usage on a chunk with choices is moved to its own last chunk, with the cost."""
    counted = raw_event("a", tail=',"usage":{"prompt_tokens":1,"odd":2}', usage=Usage(input=1))
    call = make_call(include_usage=True, cost_microusd=1_500_000)
    *sent, last = chunks(written(call, ROLE, raw_event("z", tail=',"usage":null'), counted))
    assert not any(c.get("usage") for c in sent)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "odd": 2, "cost": 1.5}
    assert {c["id"] for c in [*sent, last]} == {"chatcmpl-9"}
    assert {c["created"] for c in [*sent, last]} == {7}


def test_an_unknown_cost_is_not_written_as_zero(make_call: MakeCall) -> None:
    """WIRE 28"""
    last = chunks(written(make_call(include_usage=True), Event((Delta(text="a"),)), Event(usage=Usage(input=1))))[-1]
    assert "cost" not in last["usage"]
    assert last["usage"]["prompt_tokens"] == 1


def test_a_missing_role_is_said_first(make_call: MakeCall) -> None:
    """WIRE 10"""
    first, second, third = chunks(written(make_call(), raw_event("a"), raw_event("b")))
    assert first["choices"][0]["delta"] == {"role": "assistant"}
    assert (first["id"], first["created"], first["model"]) == (second["id"], second["created"], second["model"])
    assert "role" not in third["choices"][0]["delta"]


def test_a_raw_stream_that_stops_on_tools_ends_with_tool_calls(make_call: MakeCall) -> None:
    """WIRE 10"""
    tool = raw_event(delta='{"role":"assistant","tool_calls":[{"index":0}]}', deltas=(Delta(tools=(ToolDelta(0),)),))
    for finish in ("stop", "tool_calls"):
        end = raw_event(delta="{}", wire_finish="stop", deltas=(Delta(finish=finish),))
        assert chunks(written(make_call(), tool, end))[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_one_identity_runs_through_a_resumed_stream(make_call: MakeCall) -> None:
    other = Event(
        (Delta(text="b"),), id="other", model="m2", wire="openai.chat",
        raw=b'{"id":"other","created":9,"model":"m2","choices":[{"index":0,"delta":{"content":"b"}}]}',
    )  # fmt: skip
    sent = chunks(written(make_call(), ROLE, raw_event("a"), other, Event((Delta(text="c"),))))
    assert {(c["id"], c["created"], c["model"]) for c in sent} == {("chatcmpl-9", 7, "gpt")}


def test_a_foreign_stream_is_written_in_chat_words(make_call: MakeCall) -> None:
    """WIRE 10, 11: role once and first; index on every tool delta, id and name once; finish is tool_calls."""
    call = make_call(include_usage=True)
    data = written(
        call,
        Event(id="msg_1", model="claude", wire="anthropic.messages"),
        Event((Delta(reasoning="hm"),)),
        Event((Delta(signature="sig"),)),
        Event((Delta(text="a"),)),
        Event((Delta(tools=(ToolDelta(0, "c1", "f"),)),)),
        Event((Delta(tools=(ToolDelta(0, "c1", "f", '{"a"'),)),)),
        Event((Delta(tools=(ToolDelta(0, arguments=":1}"), ToolDelta(1, "c2", "g", "{}"))),)),
        Event((Delta(finish="stop"),), usage=Usage(input=3, output=2)),
    )
    sent = chunks(data)
    for chunk in sent:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert {c["id"] for c in sent} == {"chatcmpl-" + call.id.replace("-", "")}
    deltas = [c["choices"][0]["delta"] for c in sent[:-1]]
    assert [d.get("role") for d in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    pieces = [t for d in deltas for t in d.get("tool_calls", [])]
    assert [t["index"] for t in pieces] == [0, 0, 0, 1]
    assert [t.get("id") for t in pieces] == ["c1", None, None, "c2"]
    assert [d["thinking_blocks"][0]["signature"] for d in deltas if "thinking_blocks" in d] == ["sig"]
    assert sent[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert sent[-1]["usage"]["total_tokens"] == 5


def test_clients_of_the_old_functions_get_the_old_function_call(make_call: MakeCall) -> None:
    call = make_call(input=parse(functions=[{"name": "f"}]).input)
    tools = (ToolCall("c1", "f", "{}"),)
    (choice,) = json.loads(DOOR.reply(call, Reply(choices=(Choice(0, tools=tools, finish="tool_calls"),))))["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("function_call", None)
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    pieces = [ToolDelta(0, "c1", "f"), ToolDelta(0, arguments="{}"), ToolDelta(1, "c2", "g", "{}")]
    events = [Event((Delta(tools=(piece,)),)) for piece in pieces]
    sent = [c["choices"][0] for c in chunks(written(call, *events, Event((Delta(finish="tool_calls"),))))]
    assert [c["delta"].get("function_call") for c in sent] == [
        {"name": "f", "arguments": ""}, {"arguments": "{}"}, None,
    ]  # fmt: skip
    assert sent[-1]["finish_reason"] == "function_call"


def test_a_stored_prompt_may_stand_alone() -> None:
    body = {"model": "m", "prompt": {"id": "p"}, "messages": []}
    assert DOOR.parse(msgspec.json.encode(body), {}).input.extra == {"prompt": {"id": "p"}}


def test_odd_frames_of_lenient_upstreams_do_not_break_the_stream(make_call: MakeCall) -> None:
    """WIRE 7: `created` of any type, no index, usage beside the choices or elsewhere."""
    odd = b'{"id":"x","created":"now","choices":[{"index":null,"delta":{"content":"a"}}],"usage":null,"x_groq":{}}'
    event = Event((Delta(text="a"),), Usage(2), "x", wire="openai.chat", raw=odd)
    role, first, last = chunks(written(make_call(include_usage=True, cost_microusd=1_000_000), event))
    assert role["choices"][0]["delta"] == {"role": "assistant"}
    assert (first["created"], "usage" in first) == ("now", False)
    assert (last["usage"]["prompt_tokens"], last["usage"]["cost"]) == (2, 1.0)


def test_a_whole_reply_can_be_streamed(make_call: MakeCall) -> None:
    """WIRE 12: what was plain upstream replays as chunks, never as a plain body in a frame."""
    whole = Event((Delta(text="hello", finish="stop"),), id="x", wire="openai.chat", raw=b"{}", whole=True)
    first, last = chunks(written(make_call(), whole))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "hello"}
    assert last["choices"][0]["finish_reason"] == "stop"


def test_a_failure_in_mid_stream_is_seen_by_the_sdk(make_call: MakeCall, openai_client: MakeClient) -> None:
    """WIRE 1: an error frame, then the terminator."""
    stream = DOOR.stream(make_call())
    data = stream.event(Event((Delta(text="a"),))) + stream.error(UpstreamCut("the answer broke off"))
    assert data.endswith(b'"code":"upstream_cut"}}\n\ndata: [DONE]\n\n')
    seen = []
    with pytest.raises(openai.APIError, match="broke off"):
        for chunk in openai_client(data).chat.completions.create(model="m", messages=[], stream=True):
            seen.append(chunk.choices[0].delta.content)
    assert seen == ["a"]


def test_the_sdks_accumulator_gets_the_same_text_tools_and_finish(
    make_call: MakeCall, openai_client: MakeClient
) -> None:
    data = written(
        make_call(include_usage=True),
        Event((Delta(text="Olá "), Delta(1, text="two"))),
        Event((Delta(text="mundo"), Delta(1, finish="stop"))),
        Event((Delta(tools=(ToolDelta(0, "c1", "f", "{}"),)),)),
        Event((Delta(finish="tool_calls"),), usage=Usage(input=1, output=1)),
    )
    with openai_client(data).chat.completions.stream(model="m", messages=[]) as stream:
        final = stream.get_final_completion() if list(stream) is not None else None
    assert final is not None
    one, two = final.choices
    assert (one.message.content, one.message.role, one.finish_reason) == ("Olá mundo", "assistant", "tool_calls")
    assert one.message.tool_calls[0].function.arguments == "{}"
    assert (two.message.content, two.finish_reason) == ("two", "stop")
    assert final.usage.total_tokens == 2


def test_what_else_the_usage_frame_says_survives(make_call: MakeCall) -> None:
    """WIRE 12"""
    call = make_call(stream=True, include_usage=True)
    frames = [
        b'{"id":"c1","created":1,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant",'
        b'"content":"a"},"finish_reason":"stop"}]}',
        b'{"id":"c1","created":1,"model":"m","system_fingerprint":"fp","service_tier":"flex","choices":[],'
        b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}',
    ]
    events = [
        Event(deltas=(Delta(text="a", finish="stop"),), id="c1", model="m", wire="openai.chat", raw=frames[0]),
        Event(usage=Usage(input=1, output=1), id="c1", model="m", wire="openai.chat", raw=frames[1]),
    ]
    last = chunks(written(call, *events))[-1]
    assert last["choices"] == [] and last["usage"]["total_tokens"] == 2
    assert last["system_fingerprint"] == "fp" and last["service_tier"] == "flex"


@pytest.mark.parametrize("ping", [b'{"id":"c1"}', b'{"id":"c1","choices":null}'])
def test_frames_without_choices_do_not_reach_a_client(make_call: MakeCall, ping: bytes) -> None:
    """WIRE 2"""
    own = b'{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}'
    events = [
        Event(id="c1", wire="openai.chat", raw=ping),
        Event(deltas=(Delta(text="a"),), id="c1", model="m", wire="openai.chat", raw=own),
        Event(id="c1", wire="openai.chat", raw=ping),
    ]
    got = chunks(written(make_call(stream=True), *events))
    assert [c["choices"][0]["delta"]["content"] for c in got] == ["a"]


def test_whole_numbers_may_be_written_with_a_point() -> None:
    read = parse(max_tokens=100.0, n=2.0, seed=7.0, max_completion_tokens=50.0).input
    assert (read.max_tokens, read.n, read.seed) == (50, 2, 7)
    assert all(type(number) is int for number in (read.max_tokens, read.n, read.seed))
    for name, number in (("max_tokens", 0.5), ("n", 2.5), ("seed", 1e-3)):
        assert (
            refused(
                msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "hi"}], name: number})
            ).param
            == name
        )
