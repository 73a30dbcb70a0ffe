"""What OpenAI-like upstreams send that OpenAI would not, and what is made of it."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.errors import UpstreamCut
from comporta.pipeline import Gathered
from comporta.providers.base import Query
from comporta.providers.openai import OpenAI
from comporta.providers.openai_usage import usage_of
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Seen, Step, ToolAsk
from comporta.types import Event, Input, Reply, Usage

WIRE = OpenAI()
QUERY = Query("chat", Input(wire="openai.chat", raw={}), "m", True)


def chunk(finish: str | None = None, /, **delta: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + msgspec.json.encode({"id": "c", "choices": choices}) + b"\n\n"


def call(arguments: Any = None, /, **fields: Any) -> dict[str, Any]:
    function = {name: fields.pop(name) for name in ("name",) if name in fields}
    if arguments is not None:
        function["arguments"] = arguments
    return {**fields, "function": function}


def fed(*frames: bytes, query: Query = QUERY) -> list[Event]:
    decoder = WIRE.decoder(query)
    return [event for frame in frames for event in decoder.feed(frame)] + decoder.end()


def collected(events: list[Event]) -> Reply:
    gathered = Gathered()
    for event in events:
        gathered.add(event)
    return gathered.reply()


def called(*deltas: list[dict[str, Any]], finish: str = "tool_calls") -> tuple[list[tuple[str, str, str]], list[Event]]:
    events = fed(*(chunk(tool_calls=delta) for delta in deltas), chunk(finish))
    reply = collected(events)
    return [(tool.id, tool.name, tool.arguments) for tool in reply.choices[0].tools], events


# ---- tool calls -----------------------------------------------------------------------------------------------------


def test_conformant_tool_calls_keep_the_upstreams_own_json() -> None:
    """WIRE 11"""
    tools, events = called(
        [call("", index=0, id="a", type="function", name="f")], [call('{"x"', index=0)], [call(":1}", index=0)],
        [call("{}", index=1, id="b", type="function", name="g")],
    )  # fmt: skip
    assert tools == [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    assert all(event.raw is not None for event in events if event.deltas)


@pytest.mark.parametrize(
    "deltas",
    [
        # No index at all: new calls are told by their id.
        [[call("{", id="a", name="f")], [call("}")], [call("{}", id="b", name="g")]],
        # All with index 0.
        [[call("{", index=0, id="a", name="f")], [call("}", index=0)], [call("{}", index=0, id="b", name="g")]],
        # Id and name on every piece.
        [[call("{", index=0, id="a", name="f")], [call("}", index=0, id="a", name="f")],
         [call("{}", index=1, id="b", name="g")]],
        # Indices of the content blocks.
        [[call("{", index=1, id="a", name="f")], [call("}", index=1)], [call("{}", index=3, id="b", name="g")]],
        # Both in one delta, without indices.
        [[call("{}", id="a", name="f"), call("{}", id="b", name="g")]],
        # Nothing, or null, in the place of id and name on later pieces, and null for arguments.
        [[call("{", index=0, id="a", name="f")], [call("}", index=0, id="", name="")],
         [call("{}", index=1, id="b", name="g")]],
        [[call(None, index=0, id="a", type="function", name="f") | {"function": {"name": "f", "arguments": None}}],
         [call("{}", index=0, id=None, type="function", name=None)], [call("{}", index=1, id="b", name="g")]],
        # Arguments as an object.
        [[call({}, index=0, id="a", name="f")], [call({}, index=1, id="b", name="g")]],
    ],
)  # fmt: skip
def test_tool_calls_of_all_dialects_are_put_right_and_not_passed_on_raw(deltas: list[list[dict[str, Any]]]) -> None:
    """WIRE 11"""
    tools, events = called(*deltas)
    assert tools == [("a", "f", "{}"), ("b", "g", "{}")]
    pieces = [piece for event in events for delta in event.deltas for piece in delta.tools]
    assert [(piece.index, piece.id) for piece in pieces if piece.id] == [(0, "a"), (1, "b")]
    assert any(event.raw is None for event in events if event.deltas)
    own = [msgspec.json.decode(event.raw)["choices"][0]["delta"] for event in events if event.raw and event.deltas]
    told = [piece for delta in own for piece in delta.get("tool_calls") or ()]
    assert all(type(piece["function"]["arguments"]) is str for piece in told)
    assert sum("id" in piece for piece in told) == sum(bool(piece.get("id")) for piece in told)


def test_calls_without_ids_get_one_and_the_same_in_any_cut() -> None:
    """WIRE 11"""
    deltas = [[call("{}", name="f")], [call("{}", name="f")]]
    first, _ = called(*deltas)
    second, _ = called(*deltas)
    assert first == second
    assert len({identity for identity, _, _ in first}) == 2 and all(identity for identity, _, _ in first)


def test_stop_after_tool_calls_is_told_as_tool_calls() -> None:
    """WIRE 10"""
    _, events = called([call("{}", index=0, id="a", name="f")], finish="stop")
    assert collected(events).choices[0].finish == "tool_calls"
    body = {"choices": [{"message": {"tool_calls": [call("{}", id="a", name="f")]}, "finish_reason": "stop"}]}
    event = WIRE.reply(QUERY, msgspec.json.encode(body))
    assert event.deltas[0].finish == "tool_calls"


def test_the_old_function_call_becomes_a_tool_call() -> None:
    frames = (
        chunk(function_call={"name": "f", "arguments": ""}),
        chunk(function_call={"arguments": "{}"}),
        chunk("function_call"),
    )
    events = fed(*frames)
    (tool,) = collected(events).choices[0].tools
    assert (tool.name, tool.arguments, collected(events).choices[0].finish) == ("f", "{}", "tool_calls")
    assert events[0].raw is None
    old = Query("chat", Input(wire="openai.chat", raw={"functions": []}), "m", True)
    assert all(event.raw is not None for event in fed(*frames, query=old) if event.deltas)


def test_a_plain_reply_with_objects_for_arguments_is_put_right() -> None:
    """WIRE 11"""
    tools = [call({"a": 1}, id="x", name="f"), call("{}", name="g")]
    body = {"choices": [{"message": {"tool_calls": tools}, "finish_reason": "tool_calls"}]}
    event = WIRE.reply(QUERY, msgspec.json.encode(body))
    assert event.raw is None
    assert [(t.index, t.name, t.arguments) for t in event.deltas[0].tools] == [(0, "f", '{"a":1}'), (1, "g", "{}")]
    assert event.deltas[0].tools[1].id


def test_a_custom_tools_input_stands_as_its_arguments() -> None:
    body = {
        "choices": [{"message": {"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "n", "input": "i"}}]}}]
    }
    event = WIRE.reply(QUERY, msgspec.json.encode(body))
    assert [(t.name, t.arguments) for t in event.deltas[0].tools] == [("n", "i")] and event.raw is not None


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_read_under_either_name(field: str) -> None:
    """WIRE 12"""
    events = fed(chunk(**{field: "Hm"}), chunk("stop", content="Yes"))
    assert events[0].deltas[0].reasoning == "Hm" and events[0].raw is not None


def test_content_in_parts_is_text_and_thinking() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    events = fed(chunk(content=[thought, {"type": "text", "text": "Yes"}]), chunk("stop"))
    assert (events[0].deltas[0].reasoning, events[0].deltas[0].text, events[0].raw) == ("Hm", "Yes", None)


@pytest.mark.parametrize(
    ("word", "finish", "known"),
    [
        ("stop", "stop", True),
        ("length", "length", True),
        ("content_filter", "content_filter", True),
        ("model_length", "length", False),
        ("max_tokens", "length", False),
        ("eos_token", "stop", False),
        ("STOP", "stop", False),
    ],
)
def test_every_finish_becomes_one_of_openais(word: str, finish: str, known: bool) -> None:
    """WIRE 10"""
    (event, _) = fed(chunk(word, content="a"))
    assert event.deltas[0].finish == finish
    assert (event.raw is not None) == known


def test_an_empty_finish_word_is_none() -> None:
    events = fed(chunk("", content="a"), chunk("stop"))
    assert events[0].deltas[0].finish is None


def test_annotations_and_audio_survive_as_further_fields() -> None:
    """WIRE 12"""
    events = fed(chunk(annotations=[{"type": "url_citation"}]), chunk(audio={"data": "QQ=="}), chunk("stop"))
    assert events[0].deltas[0].extra == {"annotations": [{"type": "url_citation"}]}
    assert events[1].meaningful


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (None, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ("many", None),
        ({"prompt_tokens": 10, "completion_tokens": 4}, Usage(input=10, output=4)),
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 2},
            },
            Usage(input=9, cached=8, audio_in=3, output=3, reasoning=4, audio_out=2),
        ),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 6, "completion_tokens": 1}, Usage(4, cached=6, output=1)),
        ({"prompt_tokens": 10, "cached_tokens": 6, "completion_tokens": 1}, Usage(4, cached=6, output=1)),
        # xAI: reasoning comes on top of the completion's tokens.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 2,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input=10, output=2, reasoning=5),
        ),
        # Figures that contradict each other never count a token twice, nor below nought.
        (
            {"prompt_tokens": 5, "completion_tokens": -1, "prompt_tokens_details": {"cached_tokens": 9}},
            Usage(cached=5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None},
            Usage(input=9, output=1),
        ),
    ],
)
def test_usage_falls_into_disjoint_buckets(counts: Any, usage: Usage | None) -> None:
    """WIRE 28"""
    assert usage_of(counts) == usage


@given(st.dictionaries(st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens"]), st.integers(-9, 99)),
       st.integers(0, 99), st.integers(1, 99), st.integers(0, 99))  # fmt: skip
def test_the_buckets_always_add_up_to_what_the_upstream_counted(
    details: dict[str, int], prompt: int, completion: int, reasoning: int
) -> None:
    """WIRE 28"""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": details}
    usage = usage_of({**counts, "completion_tokens_details": {"reasoning_tokens": reasoning}})
    assert usage is not None
    assert (usage.prompt, usage.completion) == (prompt, completion)
    assert min(usage.input, usage.cached, usage.output, usage.reasoning) >= 0


# ---- any cut --------------------------------------------------------------------------------------------------------


def recorded() -> bytes:
    """A stream of the fake with all kinds of frames."""
    fake = FakeOpenAI()
    seen = Seen.__new__(Seen)
    seen.json = {"model": "m", "messages": [{"role": "user", "content": "é"}], "stream": True}
    seen.json["stream_options"] = {"include_usage": True}
    seen.body = b"x" * 40
    step = Step(text=("Ah ", "é☃ "), reasoning="Hm hm", tools=(ToolAsk("f", '{"a": "é"}'),), logprobs=True)
    answer = fake.chat(seen, step)
    frames = [*(answer.frames or ())]
    return b": hello\r\n\r\n" + b"".join(frames[:3]) + answer.garbage + b"".join(frames[3:]) + answer.end


STREAM = recorded()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cut_of_a_streams_bytes_gives_the_same_events(places: list[int]) -> None:
    """WIRE 5"""
    edges = [0, *sorted(places), len(STREAM)]
    whole = fed(STREAM)
    assert fed(*(STREAM[a:b] for a, b in itertools.pairwise(edges))) == whole
    assert collected(whole).text == "Ah é☃ "


@pytest.mark.parametrize("length", range(0, len(STREAM) - 60, 97))
def test_a_stream_that_ends_early_is_never_a_whole_answer(length: int) -> None:
    """WIRE 5"""
    if b'"finish_reason":"' not in STREAM[:length]:
        with pytest.raises(UpstreamCut):
            fed(STREAM[:length])
