"""The messages door reads and writes Anthropic's wire, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic.types import Message as AnthropicMessage

from comporta.errors import BadRequest, BudgetExceeded, ComportaError, RateLimited, UpstreamCut, UpstreamTimeout
from comporta.gateway.doors.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from comporta.gateway.doors.base import Door, Parsed
from comporta.pipeline import Call
from comporta.types import (
    Choice,
    Delta,
    Event,
    File,
    Image,
    Message,
    Other,
    Reasoning,
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

DOOR: Door = AnthropicMessages()
COUNT: Door = AnthropicCountTokens()
MakeCall = Callable[..., Call]
MakeClient = Callable[..., Any]
DEFAULTS = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CACHE = {"type": "ephemeral"}


def parse(**body: Any) -> Parsed:
    return DOOR.parse(msgspec.json.encode(DEFAULTS | body), {})


def messages(*given: Any) -> tuple[Message, ...]:
    return parse(messages=list(given)).input.messages


def frames(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    read = []
    for frame in data.decode().removesuffix("\n\n").split("\n\n"):
        name, body = frame.split("\n")
        read.append((name.removeprefix("event: "), json.loads(body.removeprefix("data: "))))
        assert read[-1][0] == read[-1][1]["type"]
    return read


def written(call: Call, *events: Event) -> bytes:
    stream = DOOR.stream(call)
    return b"".join([stream.event(event) for event in events]) + stream.end()


def check_grammar(sent: list[tuple[str, dict[str, Any]]]) -> None:
    """One message around blocks with rising indexes, one open at a time."""
    assert sent[0][0] == "message_start"
    assert [name for name, _ in sent[-2:]] == ["message_delta", "message_stop"]
    open_index, following = None, 0
    for name, body in sent[1:-2]:
        if name == "content_block_start":
            assert open_index is None
            assert body["index"] == following
            open_index, following = following, following + 1
        elif name in ("content_block_delta", "content_block_stop"):
            assert body["index"] == open_index
            open_index = None if name == "content_block_stop" else open_index
    assert open_index is None


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_body_with_every_known_field() -> None:
    parsed = parse(
        system=[{"type": "text", "text": "s", "cache_control": CACHE}], temperature=0.5, top_p=0.9, top_k=5,
        stop_sequences=["END"], metadata={"user_id": "u"}, stream=True, service_tier="auto",
        thinking={"type": "enabled", "budget_tokens": 2000},
        tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": CACHE}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )  # fmt: skip
    given = parsed.input
    assert given.messages == (Message("system", (Text("s", CACHE),)), Message("user", (Text("hi"),)))
    assert (given.max_tokens, given.temperature, given.top_p, given.top_k, given.stop) == (9, 0.5, 0.9, 5, ("END",))
    assert given.tools == (Tool("f", "d", {"type": "object"}, cache_control=CACHE),)
    assert (given.tool_choice, given.parallel_tool_calls) == (ToolChoice("required"), False)
    assert (given.reasoning_budget, given.extra) == (2000, {"service_tier": "auto"})
    assert (parsed.user, given.user, given.metadata, parsed.stream) == ("u", "u", None, True)
    assert given.wire == "anthropic.messages" and given.raw is not None


def test_blocks_of_every_kind() -> None:
    """WIRE 26: `cache_control` is kept."""
    search = {"type": "search_result", "title": "x"}
    cited = {"type": "document", "source": {"type": "url", "url": "https://x.test"}, "citations": {"enabled": True}}
    (message,) = messages({"role": "user", "content": [
        {"type": "text", "text": "t", "cache_control": CACHE},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "B"}, "title": "n"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
        {"type": "document", "source": {"type": "file", "file_id": "f1"}},
        cited,
        search,
    ]})  # fmt: skip
    assert message.parts == (
        Text("t", CACHE),
        Image(data="AAAA", media_type="image/png"),
        Image(url="https://x.test/a.png"),
        File(data="B", media_type="application/pdf", name="n"),
        File(data="aGVsbG8=", media_type="text/plain"),
        File(id="f1"),
        Other("anthropic.messages", cited),
        Other("anthropic.messages", search),
    )


def test_a_tool_turn_becomes_separate_messages() -> None:
    assert messages(
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xyz"},
            {"type": "text", "text": "let me see"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
            {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
            {"type": "text", "text": "go on"},
        ]},
    )[1:] == (
        Message("assistant", (
            Reasoning("hm", "sig"), Reasoning(encrypted="xyz"), Text("let me see"), ToolCall("t1", "f", '{"a":1}'),
        )),
        Message("tool", (ToolResult("t1", (Text("42"),)),)),
        Message("tool", (ToolResult("t2", (), is_error=True),)),
        Message("user", (Text("go on"),)),
    )  # fmt: skip


def test_server_tools_stay_native() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert parse(tools=[search]).input.tools == (Tool("web_search", wire="anthropic.messages", native=search),)


def test_thinking_and_output_settings() -> None:
    schema = {"type": "object"}
    given = parse(
        thinking={"type": "adaptive"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": schema}},
    ).input
    assert given.reasoning_effort == "high"
    assert given.response_format == ResponseFormat("json_schema", name="answer", schema=schema, strict=True)
    assert given.extra == {"thinking": {"type": "adaptive"}}
    assert parse(thinking={"type": "disabled"}).input.reasoning_budget == 0
    assert parse(output_config={"effort": "low"}).input.extra == {"output_config": {"effort": "low"}}


def test_a_count_needs_no_limit_and_shares_the_messages_wire() -> None:
    body = {k: v for k, v in DEFAULTS.items() if k != "max_tokens"}
    parsed = COUNT.parse(msgspec.json.encode(body), {})
    assert (parsed.kind, parsed.input.wire, parsed.input.raw) == ("count", "anthropic.messages", body)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "a"}}]}]},
         "messages[0].content[0].source.media_type"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": "x"}]}]},
         "messages[0].content[0].input"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        ({"system": 3}, "system"),
        ({"system": [{"type": "text", "text": 1}]}, "system[0].text"),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"stream": 1}, "stream"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_field(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DOOR.parse(json.dumps(DEFAULTS | change).encode(), {})
    assert caught.value.param == param
    assert param in caught.value.message


# ---- plain answers --------------------------------------------------------------------------------------------------


def test_a_reply_of_the_same_wire_passes_as_it_is(make_call: MakeCall) -> None:
    raw = b'{"id": "msg_1", "odd": 1.50}'
    assert DOOR.reply(make_call(), Reply(wire="anthropic.messages", raw=raw)) == raw
    assert COUNT.reply(make_call(), Reply(wire="anthropic.messages", raw=raw)) == raw


def test_a_foreign_reply_becomes_a_message(make_call: MakeCall) -> None:
    """WIRE 26, 28: `tool_use.input` is an object; input tokens exclude what was cached."""
    choice = Choice(
        0, text="hello", reasoning=(Reasoning("hm", "sig"), Reasoning(encrypted="x")),
        tools=(ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g", ""), ToolCall("c3", "h", "[broken")), finish="stop",
    )  # fmt: skip
    reply = Reply(id="chatcmpl-1", model="gpt", choices=(choice,), usage=Usage(5, 3, 2, output=4, reasoning=6))
    call = make_call()
    body = AnthropicMessage.model_validate(json.loads(DOOR.reply(call, reply)))
    assert (body.id, body.model, body.stop_reason) == ("msg_" + call.id.replace("-", ""), "gpt", "tool_use")
    assert [b.type for b in body.content] == ["thinking", "redacted_thinking", "text", *["tool_use"] * 3]
    assert [b.input for b in body.content if b.type == "tool_use"] == [{"a": 1}, {}, {"arguments": "[broken"}]
    usage = body.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 3, 2)
    assert usage.output_tokens == 10
    assert usage.output_tokens_details is not None and usage.output_tokens_details.thinking_tokens == 6


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (Choice(0, finish="stop"), "end_turn"),
        (Choice(0, finish="stop", stop_sequence="END"), "stop_sequence"),
        (Choice(0, finish="length"), "max_tokens"),
        (Choice(0, finish="content_filter"), "refusal"),
        (Choice(0, refusal="no", finish="stop"), "refusal"),
    ],
)
def test_stop_reasons(make_call: MakeCall, choice: Choice, reason: str) -> None:
    body = json.loads(DOOR.reply(make_call(), Reply(choices=(choice,))))
    assert (body["stop_reason"], body["stop_sequence"]) == (reason, choice.stop_sequence)


def test_a_count_from_another_provider(make_call: MakeCall) -> None:
    assert json.loads(COUNT.reply(make_call(kind="count"), Reply(usage=Usage(7, 2)))) == {"input_tokens": 9}


@pytest.mark.parametrize(
    ("error", "kind", "raised"),
    [
        (BadRequest("no"), "invalid_request_error", anthropic.BadRequestError),
        (BudgetExceeded("no"), "billing_error", anthropic.APIStatusError),
        (RateLimited("no"), "rate_limit_error", anthropic.RateLimitError),
        (UpstreamTimeout("no"), "timeout_error", anthropic.InternalServerError),
        (ComportaError("no"), "api_error", anthropic.InternalServerError),
    ],
)
def test_errors_come_in_anthropics_envelope_and_the_sdk_raises_its_own(
    error: ComportaError, kind: str, raised: type[Exception], anthropic_client: MakeClient
) -> None:
    """WIRE 13"""
    body = DOOR.error(error)
    assert json.loads(body) == {"type": "error", "error": {"type": kind, "message": "no"}}
    client = anthropic_client(body, status=error.status, stream=False)
    with pytest.raises(raised):
        client.messages.create(model="m", max_tokens=1, messages=[])


# ---- streams --------------------------------------------------------------------------------------------------------


def raw_event(body: dict[str, Any], *deltas: Delta, usage: Usage | None = None) -> Event:
    return Event(deltas, usage, wire="anthropic.messages", raw=json.dumps(body).encode(), name=body["type"])


START = raw_event(
    {"type": "message_start", "message": {
        "id": "msg_9", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 1}}},
    usage=Usage(5, output=1),
)  # fmt: skip
OPEN_TEXT = raw_event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
STOP = raw_event({"type": "content_block_stop", "index": 0})
FINISH = raw_event(
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
     "usage": {"output_tokens": 8, "odd": 1}},
    Delta(finish="stop"), usage=Usage(5, output=8),
)  # fmt: skip
END = raw_event({"type": "message_stop"})


def said(text: str, index: int = 0) -> Event:
    body = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
    return raw_event(body, Delta(text=text))


def test_frames_of_the_same_wire_pass_byte_for_byte(make_call: MakeCall) -> None:
    ping = Event(wire="anthropic.messages", raw=b'{"type": "ping"}', name="ping")
    events = [START, ping, OPEN_TEXT, said("a"), STOP, FINISH, END]
    expected = b"".join(b"event: %b\ndata: %b\n\n" % ((e.name or "").encode(), e.raw or b"") for e in events)
    assert written(make_call(), *events) == expected


def test_the_cost_stands_in_the_last_usage(make_call: MakeCall) -> None:
    sent = frames(written(make_call(cost_microusd=2_500_000), START, OPEN_TEXT, said("a"), STOP, FINISH, END))
    assert sent[-2][1]["usage"] == {"output_tokens": 8, "odd": 1, "cost": 2.5}
    sent = frames(written(make_call(cost_microusd=2_500_000), Event((Delta(text="a", finish="stop"),))))
    assert sent[-2][1]["usage"]["cost"] == 2.5


def test_an_edited_event_in_mid_stream_goes_on_in_the_open_block(make_call: MakeCall) -> None:
    edited = said("secret").edit(deltas=(Delta(text="[EMAIL]"),))
    sent = frames(written(make_call(), START, OPEN_TEXT, said("a"), edited, said("b"), STOP, FINISH, END))
    check_grammar(sent)
    assert "".join(b["delta"]["text"] for n, b in sent if n == "content_block_delta") == "a[EMAIL]b"
    assert [b["index"] for n, b in sent if n == "content_block_start"] == [0]
    assert sent[-2][1]["delta"]["stop_reason"] == "end_turn"
    assert sent[-2][1]["usage"]["output_tokens"] == 8


def test_foreign_blocks_survive_an_edit_before_them(make_call: MakeCall) -> None:
    edited = said("x").edit()
    server = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    part = {"type": "input_json_delta", "partial_json": "{}"}
    cite = {"type": "citations_delta", "citation": {"type": "char_location"}}
    sent = frames(written(
        make_call(), START, OPEN_TEXT, edited,
        raw_event({"type": "content_block_delta", "index": 0, "delta": cite}), STOP,
        raw_event({"type": "content_block_start", "index": 1, "content_block": server}),
        raw_event({"type": "content_block_delta", "index": 1, "delta": part}),
        raw_event({"type": "content_block_stop", "index": 1}), said("y", 2), FINISH, END,
    ))  # fmt: skip
    check_grammar(sent)
    assert [b["content_block"]["type"] for n, b in sent if n == "content_block_start"] == [
        "text", "server_tool_use", "text",
    ]  # fmt: skip
    assert [b["delta"]["type"] for n, b in sent if n == "content_block_delta"] == [
        "text_delta", "citations_delta", "input_json_delta", "text_delta",
    ]  # fmt: skip


def test_a_foreign_stream_is_written_in_messages_words(make_call: MakeCall, anthropic_client: MakeClient) -> None:
    """WIRE 26: `message_start` … `message_delta` with usage; thinking, text and tools each in blocks of their own."""
    data = written(
        make_call(),
        Event((Delta(),), id="chatcmpl-1", model="gpt", wire="openai.chat", raw=b"{}"),
        Event((Delta(reasoning="hm"),)),
        Event((Delta(signature="sig"),)),
        Event((Delta(reasoning="again"),)),
        Event((Delta(encrypted="xyz"),)),
        Event((Delta(text="Olá"),)),
        Event((Delta(tools=(ToolDelta(0, "c1", "f", '{"a":'),)),)),
        Event((Delta(tools=(ToolDelta(0, arguments="1}"),)),)),
        Event((Delta(tools=(ToolDelta(1, "c2", "g"),)),)),
        Event((Delta(finish="tool_calls"),)),
        Event(usage=Usage(5, 3, output=4)),
    )
    check_grammar(frames(data))
    with anthropic_client(data).messages.stream(model="m", max_tokens=1, messages=[]) as stream:
        final = stream.get_final_message()
    assert [b.type for b in final.content] == [
        "thinking", "thinking", "redacted_thinking", "text", "tool_use", "tool_use",
    ]  # fmt: skip
    assert (final.content[0].thinking, final.content[0].signature) == ("hm", "sig")
    assert [b.input for b in final.content if b.type == "tool_use"] == [{"a": 1}, {}]
    assert (final.model, final.stop_reason) == ("gpt", "tool_use")
    assert (final.usage.input_tokens, final.usage.output_tokens, final.usage.cache_read_input_tokens) == (5, 4, 3)


def test_interleaved_tools_are_put_in_order(make_call: MakeCall) -> None:
    """The wire can't interleave blocks: the later tool waits until the earlier one's arguments are whole."""
    stream = DOOR.stream(make_call())
    stream.event(Event((Delta(tools=(ToolDelta(0, "c1", "f", '{"a":'), ToolDelta(1, "c2", "g", '{"b"'))),)))
    assert b"c2" not in (waiting := stream.event(Event((Delta(tools=(ToolDelta(1, arguments=":2"),)),))))
    assert waiting == b""
    flushed = frames(stream.event(Event((Delta(tools=(ToolDelta(0, arguments="1}"),)),))))
    assert [name for name, _ in flushed] == [
        "content_block_delta", "content_block_stop", "content_block_start", "content_block_delta",
        "content_block_delta",
    ]  # fmt: skip
    more = frames(stream.event(Event((Delta(tools=(ToolDelta(1, arguments="}"),)),))))
    assert more[0][1] == {
        "type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "}"},
    }  # fmt: skip


def test_a_failure_in_mid_stream_is_seen_by_the_sdk(make_call: MakeCall, anthropic_client: MakeClient) -> None:
    """WIRE 1, 4: a named error event, and no [DONE]."""
    stream = DOOR.stream(make_call())
    data = stream.event(Event((Delta(text="a"),))) + stream.error(UpstreamCut("the answer broke off"))
    assert b"[DONE]" not in data
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off"),
        anthropic_client(data).messages.stream(model="m", max_tokens=1, messages=[]) as events,
    ):
        list(events)


def test_a_whole_reply_can_be_streamed(make_call: MakeCall) -> None:
    whole = Event((Delta(text="hello", finish="stop"),), wire="anthropic.messages", raw=b"{}", whole=True)
    sent = frames(written(make_call(), whole))
    check_grammar(sent)
    assert [n for n, _ in sent][1:-2] == ["content_block_start", "content_block_delta", "content_block_stop"]
