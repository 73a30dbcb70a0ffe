"""Spans of any dialect in our words: kinds, usage, content, and what can't be kept."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from comporta.telemetry.capture import Capture, Mode
from comporta.telemetry.otlp.messages_in import input_of, reply_of
from comporta.telemetry.otlp.normal import Foreign, Reading, foreign_of, problem_of, usage_of
from comporta.telemetry.otlp.parsing import Raw
from comporta.telemetry.scrubbing import Scrubber
from comporta.types import Caller, Text, ToolCall, ToolResult, Usage

NOW_NS = time.time_ns()
CALLER = Caller("key-1", "backend", team="water")


def raw(attributes: dict[str, Any], **changes: Any) -> Raw:
    values: dict[str, Any] = {
        "trace_id": "ab" * 16, "span_id": "cd" * 8, "parent_id": None, "name": "a span", "start_ns": NOW_NS - 10**9,
        "end_ns": NOW_NS, "failed": False, "message": "", "attributes": attributes, "events": (),
        "resource": {"service.name": "app"}, "scope": "somebody",
    }  # fmt: skip
    return Raw(**(values | changes))


def read(attributes: dict[str, Any], mode: Mode = "full", **changes: Any) -> Foreign:
    reading = Reading(Capture(Scrubber(), mode), mode, lambda provider, model, usage: None)
    return foreign_of(raw(attributes, **changes), CALLER, reading)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"openinference.span.kind": "TOOL"}, "tool"),
        ({"openinference.span.kind": "LLM"}, "chat"),
        ({"traceloop.span.kind": "workflow"}, "chain"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"gen_ai.operation.name": "invoke_agent"}, "agent"),
        ({"gen_ai.operation.name": "embeddings"}, "embed"),
        ({"llm.request.type": "chat"}, "chat"),
        ({"llm.model": "claude-x"}, "chat"),
        ({"http.method": "GET"}, "other"),
    ],
)
def test_what_a_span_is_stands_in_the_words_of_its_dialect(attributes: dict[str, Any], kind: str) -> None:
    found = read(attributes)
    assert found.kind == kind
    assert (found.record is not None) == (kind in ("chat", "embed"))


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}, Usage(input=100, output=20)),
        ({"gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 20}, Usage(input=100, output=20)),
        ({"llm.token_count.prompt": 100, "llm.token_count.completion": 20}, Usage(input=100, output=20)),
        ({"llm.prompt.tokens": "100", "llm.total.tokens": "120"}, Usage(input=100, output=20)),
        (
            {
                "gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 60,
                "gen_ai.usage.output_tokens": 50, "gen_ai.usage.reasoning.output_tokens": 30,
            },
            Usage(input=40, cached=60, output=20, reasoning=30),
        ),
        (
            {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read_input_tokens": 900},
            Usage(input=10, cached=900),
        ),
        ({"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -3}, None),
    ],
)  # fmt: skip
def test_tokens_go_into_buckets_of_which_none_holds_anothers(attributes: dict[str, Any], usage: Usage | None) -> None:
    assert usage_of(attributes) == usage


OTEL = {
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be kind."}]),
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "Where?"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "find", "arguments": {"a": 1}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "here"}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Here."}], "finish_reason": "stop"}]
    ),
}
OPENINFERENCE = {
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be kind.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Where?",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.tool_calls.0.tool_call.id": "1",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "find",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.tool_call_id": "1",
    "llm.input_messages.3.message.content": "here",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Here.",
}
OPENLLMETRY = {
    "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be kind.", "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": '[{"type": "text", "text": "Where?"}]', "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "1", "gen_ai.prompt.2.tool_calls.0.name": "find",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"a": 1}', "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.tool_call_id": "1", "gen_ai.prompt.3.content": "here", "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Here.", "gen_ai.completion.0.finish_reason": "stop",
}  # fmt: skip


@pytest.mark.parametrize("attributes", [OTEL, OPENINFERENCE, OPENLLMETRY], ids=["otel", "openinference", "openllmetry"])
def test_a_conversation_reads_the_same_in_every_dialect(attributes: dict[str, Any]) -> None:
    asked, answered = input_of(attributes), reply_of(attributes, ["stop"])
    assert asked is not None and answered is not None
    system, user, assistant, tool = asked.messages
    assert (system.role, system.text, user.text) == ("system", "Be kind.", "Where?")
    assert assistant.parts == (ToolCall("1", "find", '{"a": 1}'),)
    assert tool.parts == (ToolResult("1", (Text("here"),)),)
    assert (answered.text, answered.choices[0].finish) == ("Here.", "stop")


def test_a_preview_stands_in_where_there_are_no_messages() -> None:
    asked = input_of({"llm.prompt.preview": "How far is"})
    assert asked is not None and asked.messages[0].text == "How far is"


@pytest.mark.parametrize("mode", ["preview", "hashed", "off"])
def test_content_is_kept_as_the_configuration_says(mode: Mode) -> None:
    planted = {**OTEL, "gen_ai.operation.name": "chat", "input.value": "planted words", "llm.model": "m"}
    found = read(planted, mode)
    assert found.record is not None
    assert found.attributes == {"gen_ai.operation.name": "chat", "llm.model": "m"}
    assert "planted" not in str(found)


def test_secrets_are_taken_out_of_attributes_and_content() -> None:
    secret = "sk-ant-api03-" + "a1B2" * 12
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"my key is {secret}"}]}])
    found = read({"gen_ai.operation.name": "chat", "gen_ai.input.messages": messages, "note": secret})
    assert found.record is not None and found.record.prompt is not None
    assert secret not in found.record.prompt and secret not in str(found.attributes)


def test_an_exception_event_makes_the_span_a_failed_one() -> None:
    found = read({"llm.model": "m"}, events=(("exception", {"exception.type": "RateLimitError"}),))
    assert found.error == "RateLimitError"
    assert found.record is not None and (found.record.outcome, found.record.outcome_class) == (
        "RateLimitError", "upstream",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"trace_id": "00" * 16}, "trace_id"), ({"trace_id": "ab"}, "trace_id"), ({"span_id": ""}, "span_id"),
        ({"start_ns": 0}, "time"), ({"start_ns": NOW_NS + 3 * 86_400 * 10**9}, "time"), ({}, None),
        ({"end_ns": 2**64 - 1}, "time"),
    ],
)  # fmt: skip
def test_spans_without_sound_ids_or_times_are_told_apart(changes: dict[str, Any], problem: str | None) -> None:
    assert problem_of(raw({}, **changes), NOW_NS) == problem


def test_a_span_has_the_same_call_each_time_it_is_sent() -> None:
    first, again = read({"llm.model": "m"}).record, read({"llm.model": "m"}).record
    assert first is not None and again is not None and first.id == again.id


@pytest.mark.parametrize(
    ("attributes", "seen"),
    [
        ({"gen_ai.response.time_to_first_chunk": "nan"}, (None, None, None)),
        ({"gen_ai.response.time_to_first_chunk": 1e300}, (None, None, None)),
        ({"gen_ai.response.time_to_first_chunk": 0.5}, (500_000, None, None)),
        ({"gen_ai.usage.input_tokens": 2**52, "llm.cost.total": 9e8}, (None, None, None)),
        ({"gen_ai.usage.input_tokens": 7, "llm.cost.total": "inf"}, (None, 7, None)),
        ({"gen_ai.usage.input_tokens": 7, "llm.cost.total": 0.5}, (None, 7, 500_000)),
    ],
)
def test_figures_that_no_call_can_have_are_unknown(attributes: dict[str, Any], seen: tuple[int | None, ...]) -> None:
    record = read({"llm.model": "m", **attributes}).record
    assert record is not None
    tokens = None if record.usage is None else record.usage.prompt
    assert (record.first_us, tokens, record.cost_microusd) == seen


def test_a_call_counts_for_a_day_at_most() -> None:
    found = read({"llm.model": "m"}, start_ns=NOW_NS - 40 * 86_400 * 10**9)
    assert found.record is not None and found.record.duration_us == 86_400 * 10**6
    assert found.duration_us == 40 * 86_400 * 10**6


@pytest.mark.parametrize(("told", "stream"), [("false", False), (False, False), (True, True), ("True", True)])
def test_a_stream_is_what_says_so_in_whatever_word(told: Any, stream: bool) -> None:
    record = read({"llm.model": "m", "llm.is_streaming": told}).record
    assert record is not None and record.stream == stream


def test_half_a_character_in_a_message_costs_that_character_alone() -> None:
    told = '[{"role": "user", "parts": [{"type": "text", "content": "before \\ud800 after"}]}]'
    asked = input_of({"gen_ai.input.messages": told})
    assert asked is not None and asked.messages[0].parts == (Text("before ? after"),)


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.input_messages.0.message.tool_calls.0.tool_call": "no object"},
        {"llm.input_messages.0.message.contents.0.message_content": "no object"},
        {"gen_ai.input.messages": '[{"role": 1, "parts": [5, null, {"type": "tool_call", "function": 3}]}]'},
    ],
)
def test_messages_of_odd_shapes_are_half_understood_and_nothing_worse(attributes: dict[str, Any]) -> None:
    found = read({"llm.model": "m", **attributes})
    assert found.record is not None and found.record.prompt is not None
