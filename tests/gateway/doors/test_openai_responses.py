"""The responses door reads and writes OpenAI's Responses API, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import openai
import pytest
from openai.types.responses import Response

from comporta.errors import BadRequest, UpstreamCut
from comporta.gateway.doors.base import Door, Parsed
from comporta.gateway.doors.openai_responses import OpenAIResponses
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

DOOR: Door = OpenAIResponses()
MakeCall = Callable[..., Call]
MakeClient = Callable[..., Any]
SCHEMA = {"type": "object"}


def parse(**body: Any) -> Parsed:
    return DOOR.parse(msgspec.json.encode({"model": "gpt", "input": "hi"} | body), {})


def items(*given: Any) -> tuple[Message, ...]:
    return parse(input=list(given)).input.messages


def frames(data: bytes) -> list[dict[str, Any]]:
    """The frames of a stream, their names and numbers checked."""
    read = []
    for place, frame in enumerate(data.decode().removesuffix("\n\n").split("\n\n")):
        name, body = frame.split("\n")
        read.append(json.loads(body.removeprefix("data: ")))
        assert name == "event: " + read[-1]["type"]
        assert read[-1]["sequence_number"] == place
    return read


def written(call: Call, *events: Event) -> bytes:
    stream = DOOR.stream(call)
    return b"".join([stream.event(event) for event in events]) + stream.end()


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_body_with_every_known_field() -> None:
    native = {"type": "web_search"}
    parsed = parse(
        instructions="be kind", max_output_tokens=99, temperature=1, top_p=0.5, top_logprobs=2, user="u",
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
        tools=[{"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}, native],
        tool_choice={"type": "function", "name": "f"}, parallel_tool_calls=False, reasoning={"effort": "low"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"], store=False,
        previous_response_id="resp_1", metadata={"session_id": "s"}, stream=True,
    )  # fmt: skip
    given = parsed.input
    assert given.messages == (Message("system", (Text("be kind"),)), Message("user", (Text("hi"),)))
    assert (given.max_tokens, given.temperature, given.top_p, given.top_logprobs, given.user) == (99, 1, 0.5, 2, "u")
    assert given.response_format == ResponseFormat("json_schema", name="n", schema=SCHEMA, strict=True)
    assert given.tools == (
        Tool("f", parameters=SCHEMA, strict=True),
        Tool("web_search", wire="openai.responses", native=native),
    )
    assert (given.tool_choice, given.parallel_tool_calls) == (ToolChoice("tool", "f"), False)
    assert (given.reasoning_effort, given.logprobs) == ("low", True)
    assert given.extra == {
        "verbosity": "low", "include": ["reasoning.encrypted_content"], "store": False,
        "previous_response_id": "resp_1",
    }  # fmt: skip
    assert (parsed.session, parsed.stream) == ("s", True)


def test_items_of_every_kind() -> None:
    reference = {"type": "item_reference", "id": "msg_1"}
    assert items(
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "t"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
         "encrypted_content": "xyz"},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        reference,
    ) == (
        Message("system", (Text("d"),)),
        Message("user", (
            Text("t"), Image(data="AAAA", media_type="image/png", detail="low"),
            File(data="BBBB", media_type="application/pdf", name="a.pdf"),
        )),
        Message("assistant", (
            Reasoning("hm", encrypted="xyz", id="rs_1"), Text("a"), Refusal("no"), ToolCall("c1", "f", "{}"),
        )),
        Message("tool", (ToolResult("c1", (Text("42"),)),)),
        Message("assistant", (Other("openai.responses", reference),)),
    )  # fmt: skip


def test_a_follow_up_may_say_nothing_itself() -> None:
    body = {"model": "gpt", "previous_response_id": "resp_1"}
    assert DOOR.parse(msgspec.json.encode(body), {}).input.messages == ()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "input[0].summary[0]"),
        ({"instructions": 1}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"text": "x"}, "text"),
        ({"reasoning": {"effort": 1}}, "reasoning.effort"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"stream": "x"}, "stream"),
    ],
)
def test_a_mistake_is_told_with_its_field(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DOOR.parse(json.dumps({"model": "m", "input": "hi"} | change).encode(), {})
    assert caught.value.param == param
    assert param in caught.value.message


# ---- plain answers --------------------------------------------------------------------------------------------------


def test_a_reply_of_the_same_wire_passes_as_it_is(make_call: MakeCall) -> None:
    raw = b'{"id": "resp_1", "odd": 1.50}'
    assert DOOR.reply(make_call(), Reply(wire="openai.responses", raw=raw)) == raw


def test_a_foreign_reply_becomes_a_response(make_call: MakeCall) -> None:
    call = make_call(input=parse(instructions="be kind", metadata={"a": "b"}, temperature=0.5).input)
    citation = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "u"}}
    choice = Choice(
        0, text="hello", reasoning=(Reasoning("hm", "sig"), Reasoning(encrypted="xyz")), refusal="no",
        tools=(ToolCall("c1", "f", "{}"),), finish="tool_calls", extra={"annotations": [citation]},
    )  # fmt: skip
    reply = Reply(id="msg_1", model="claude", choices=(choice,), usage=Usage(5, 3, 2, output=4, reasoning=6))
    body = Response.model_validate(json.loads(DOOR.reply(call, reply)))
    assert (body.id, body.model, body.status) == ("resp_" + call.id.replace("-", ""), "claude", "completed")
    assert (body.instructions, body.metadata, body.temperature) == ("be kind", {"a": "b"}, 0.5)
    assert body.output_text == "hello"
    assert [item.type for item in body.output] == ["reasoning", "reasoning", "message", "function_call"]
    assert len({item.id for item in body.output}) == 4
    assert body.model_dump()["output"][2]["content"][0]["annotations"][0]["url"] == "u"
    assert body.usage is not None
    assert (body.usage.input_tokens, body.usage.output_tokens, body.usage.total_tokens) == (10, 10, 20)
    assert body.usage.input_tokens_details.cached_tokens == 3


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_short_is_incomplete(make_call: MakeCall, finish: Any, reason: str) -> None:
    """WIRE 27: `incomplete` is not `stop`."""
    body = json.loads(DOOR.reply(make_call(), Reply(choices=(Choice(0, text="a", finish=finish),))))
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert body["output"][0]["status"] == "incomplete"
    last = frames(written(make_call(), Event((Delta(text="a"),)), Event((Delta(finish=finish),))))[-1]
    assert (last["type"], last["response"]["incomplete_details"]) == ("response.incomplete", {"reason": reason})
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_signed_thinking_comes_back_as_it_went_out(make_call: MakeCall) -> None:
    thoughts = (Reasoning("hm", "sig"), Reasoning(encrypted="xyz"))
    reply = Reply(id="msg_1", choices=(Choice(0, text="a", reasoning=thoughts, finish="stop"),))
    output = json.loads(DOOR.reply(make_call(), reply))["output"]
    assert items({"role": "user", "content": "q"}, *output)[1].parts == (*thoughts, Text("a"))


# ---- streams --------------------------------------------------------------------------------------------------------


def raw_event(place: int, kind: str, *deltas: Delta, **fields: Any) -> Event:
    usage, identity = fields.pop("usage", None), fields.pop("id", None)
    raw = json.dumps({"type": kind, "sequence_number": place, **fields}).encode()
    return Event(deltas, usage, identity, "gpt", wire="openai.responses", raw=raw, name=kind)


def body_of(status: str, **fields: Any) -> dict[str, Any]:
    return {"id": "resp_9", "object": "response", "status": status, "model": "gpt", "output": [], **fields}


AT = {"item_id": "msg_9", "output_index": 0, "content_index": 0}
OPENING = (
    raw_event(0, "response.created", id="resp_9", response=body_of("in_progress", odd=1)),
    raw_event(1, "response.output_item.added", output_index=0, item={
        "type": "message", "id": "msg_9", "role": "assistant", "status": "in_progress", "content": []}),
    raw_event(2, "response.content_part.added", **AT, part={"type": "output_text", "text": "", "annotations": []}),
    raw_event(3, "response.output_text.delta", Delta(text="a"), **AT, delta="a", logprobs=[]),
)  # fmt: skip


def completed(place: int) -> Event:
    body = body_of("completed", usage={"input_tokens": 1, "odd": 2})
    return raw_event(
        place, "response.completed", Delta(finish="stop"), id="resp_9", usage=Usage(1), response=body
    )  # fmt: skip


def test_frames_of_the_same_wire_pass_byte_for_byte(make_call: MakeCall) -> None:
    events = [*OPENING, completed(4)]
    expected = b"".join(b"event: %b\ndata: %b\n\n" % ((e.name or "").encode(), e.raw or b"") for e in events)
    assert written(make_call(), *events) == expected


def test_the_cost_stands_in_the_last_usage(make_call: MakeCall) -> None:
    last = frames(written(make_call(cost_microusd=1_500_000), *OPENING, completed(4)))[-1]
    assert last["response"]["usage"] == {"input_tokens": 1, "odd": 2, "cost": 1.5}
    last = frames(written(make_call(cost_microusd=1_500_000), Event((Delta(text="a"),)), Event(usage=Usage(1))))[-1]
    assert last["response"]["usage"]["cost"] == 1.5


def test_an_edited_event_in_mid_stream_goes_on_in_the_open_item(make_call: MakeCall) -> None:
    edited = raw_event(4, "response.output_text.delta", **AT).edit(deltas=(Delta(text="[EMAIL]"),))
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    sent = frames(written(
        make_call(), *OPENING, edited,
        raw_event(5, "response.output_item.added", output_index=1, item=search),
        raw_event(6, "response.output_item.done", output_index=1, item=search),
        completed(7),
    ))  # fmt: skip
    deltas = [f for f in sent if f["type"] == "response.output_text.delta"]
    assert [(d["item_id"], d["delta"]) for d in deltas] == [("msg_9", "a"), ("msg_9", "[EMAIL]")]
    final = sent[-1]["response"]
    assert (sent[-1]["type"], final["id"], final["status"], final["odd"]) == (
        "response.completed", "resp_9", "completed", 1,
    )  # fmt: skip
    assert final["output"][0]["content"][0]["text"] == "a[EMAIL]"
    assert final["output"][1] == search


def test_a_foreign_stream_is_written_in_responses_words(make_call: MakeCall, openai_client: MakeClient) -> None:
    data = written(
        make_call(),
        Event(id="msg_1", model="claude", wire="anthropic.messages"),
        Event((Delta(reasoning="hm"),)),
        Event((Delta(signature="sig"),)),
        Event((Delta(text="Olá "),)),
        Event((Delta(text="mundo"),)),
        Event((Delta(tools=(ToolDelta(0, "c1", "f", '{"a":'), ToolDelta(1, "c2", "g"))),)),
        Event((Delta(tools=(ToolDelta(0, arguments="1}"), ToolDelta(1, arguments="{}"))),)),
        Event((Delta(finish="tool_calls"),), usage=Usage(5, output=4)),
    )
    sent = frames(data)
    assert [f["type"] for f in sent[:2]] == ["response.created", "response.in_progress"]
    assert sent[-1]["type"] == "response.completed"
    with openai_client(data).responses.stream(model="m", input="x") as stream:
        list(stream)
        final = stream.get_final_response()
    assert final.output_text == "Olá mundo"
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert (final.output[0].summary[0].text, final.output[0].encrypted_content) == ("hm", "signature:sig")
    assert [(t.call_id, t.name, t.arguments) for t in final.output[2:]] == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]
    assert final.usage.total_tokens == 9
    Response.model_validate(sent[-1]["response"])


def test_a_failure_in_mid_stream_is_seen_by_the_sdk(make_call: MakeCall, openai_client: MakeClient) -> None:
    """WIRE 1, 4, 27: `response.failed` is an error, and there is no [DONE]."""
    stream = DOOR.stream(make_call())
    data = stream.event(Event((Delta(text="a"),))) + stream.error(UpstreamCut("the answer broke off"))
    assert b"[DONE]" not in data
    seen = []
    with pytest.raises(openai.APIError, match="broke off"):
        for event in openai_client(data).responses.create(model="m", input="x", stream=True):
            seen.append(event.type)
    assert seen[-1] == "response.failed"


def test_a_failure_after_frames_that_passed_goes_on_counting(make_call: MakeCall) -> None:
    stream = DOOR.stream(make_call())
    data = b"".join([stream.event(e) for e in OPENING]) + stream.error(UpstreamCut("no"))
    failed = frames(data)[-2]
    assert (failed["type"], failed["response"]["id"], failed["response"]["status"]) == (
        "response.failed", "resp_9", "failed",
    )  # fmt: skip
