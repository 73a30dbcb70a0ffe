"""The completions door reads and writes OpenAI's old text wire, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import openai
import pytest
from openai.types import Completion

from comporta.errors import BadRequest, UpstreamCut
from comporta.gateway.doors.base import Door, Parsed
from comporta.gateway.doors.openai_completions import OpenAICompletions
from comporta.pipeline import Call
from comporta.types import Choice, Delta, Event, Message, Reply, Text, Usage

DOOR: Door = OpenAICompletions()
MakeCall = Callable[..., Call]
MakeClient = Callable[..., Any]


def parse(**body: Any) -> Parsed:
    return DOOR.parse(msgspec.json.encode({"model": "m", "prompt": "hi"} | body), {})


def written(call: Call, *events: Event) -> bytes:
    stream = DOOR.stream(call)
    return b"".join([stream.event(event) for event in events]) + stream.end()


def chunks(data: bytes) -> list[dict[str, Any]]:
    frames = data.decode().split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_a_prompt_is_what_the_user_says() -> None:
    parsed = parse(max_tokens=0, logprobs=3, echo=True, suffix="x", stream=True, stream_options={"include_usage": True})
    assert parsed.input.messages == (Message("user", (Text("hi"),)),)
    assert (parsed.input.max_tokens, parsed.input.logprobs, parsed.input.top_logprobs) == (0, True, 3)
    assert parsed.input.extra == {"echo": True, "suffix": "x"}
    assert (parsed.stream, parsed.include_usage) == (True, True)


def test_several_prompts_and_tokens_are_marked_for_wires_that_cannot_take_them() -> None:
    several = parse(prompt=["a", "b"]).input
    assert [m.text for m in several.messages] == ["a", "b"]
    assert several.extra == {"prompt": ["a", "b"]}
    assert parse(prompt=["a"]).input.extra == {}
    for tokens in ([1, 2], [[1], [2]]):
        given = parse(prompt=tokens).input
        assert (given.messages, given.extra) == ((), {"prompt": tokens})


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [1, "a"]}, "prompt[1]"),
        ({"prompt": [[1], 2]}, "prompt[1]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_a_mistake_is_told_with_its_field(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**change)
    assert caught.value.param == param


def test_a_foreign_reply_becomes_a_text_completion(make_call: MakeCall) -> None:
    top = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -2}]
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": top}, {"token": "c", "logprob": -1}]}
    choices = (Choice(0, text="ac", finish="stop", logprobs=logprobs), Choice(1, text="x", finish="length"))
    reply = Reply(id="chatcmpl-1", model="gpt", choices=choices, usage=Usage(2, output=3))
    body = Completion.model_validate(json.loads(DOOR.reply(make_call(), reply)), strict=True)
    assert (body.id[:5], body.model, [c.text for c in body.choices]) == ("cmpl-", "gpt", ["ac", "x"])
    assert [c.finish_reason for c in body.choices] == ["stop", "length"]
    found = body.choices[0].logprobs
    assert found is not None
    assert (found.tokens, found.text_offset, found.token_logprobs) == (["a", "c"], [0, 1], [-0.5, -1])
    assert found.top_logprobs == [{"a": -0.5, "b": -2}, {}]
    assert body.usage is not None and body.usage.total_tokens == 5


def test_the_same_wire_passes_as_it_is(make_call: MakeCall) -> None:
    raw = b'{"id":"cmpl-9","odd":1.50,"choices":[{"text":"a","index":0}]}'
    assert DOOR.reply(make_call(), Reply(wire="openai.completions", raw=raw)) == raw
    event = Event((Delta(text="a"),), id="cmpl-9", wire="openai.completions", raw=raw)
    assert written(make_call(), event) == b"data: " + raw + b"\n\ndata: [DONE]\n\n"


def test_usage_comes_last_and_only_when_asked(make_call: MakeCall) -> None:
    """WIRE 7"""
    raw = b'{"id":"cmpl-9","choices":[{"text":"a","index":0}],"usage":{"prompt_tokens":2}}'
    event = Event((Delta(text="a"),), Usage(2), "cmpl-9", wire="openai.completions", raw=raw)
    alone = Event((), Usage(2), wire="openai.completions", raw=b'{"choices":[],"usage":{"prompt_tokens":2}}')
    assert ["usage" in c for c in chunks(written(make_call(), event, alone))] == [False]
    first, last = chunks(written(make_call(include_usage=True, cost_microusd=500_000), event))
    assert "usage" not in first
    assert (last["choices"], last["usage"]) == ([], {"prompt_tokens": 2, "cost": 0.5})


def test_a_foreign_stream_is_read_by_the_sdk(make_call: MakeCall, openai_client: MakeClient) -> None:
    data = written(
        make_call(include_usage=True),
        Event((Delta(reasoning="hm"),), id="msg_1", model="claude"),
        Event((Delta(text="a"), Delta(1, text="x"))),
        Event((Delta(text="b", finish="stop"),), usage=Usage(1, output=1)),
    )
    seen = list(openai_client(data).completions.create(model="m", prompt="x", stream=True))
    assert "".join(c.text for s in seen for c in s.choices if c.index == 0) == "ab"
    assert [c.finish_reason for s in seen for c in s.choices if c.finish_reason] == ["stop"]
    assert len({s.id for s in seen}) == 1
    assert seen[-1].usage.total_tokens == 2


def test_a_failure_in_mid_stream_is_seen_by_the_sdk(make_call: MakeCall, openai_client: MakeClient) -> None:
    """WIRE 1"""
    stream = DOOR.stream(make_call())
    data = stream.event(Event((Delta(text="a"),))) + stream.error(UpstreamCut("the answer broke off"))
    with pytest.raises(openai.APIError, match="broke off"):
        list(openai_client(data).completions.create(model="m", prompt="x", stream=True))
