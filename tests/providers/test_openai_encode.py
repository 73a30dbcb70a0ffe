"""Canonical input in the words of OpenAI's chat completions, with the peculiarities of rows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from comporta.errors import BadRequest, Unsupported
from comporta.providers.base import Endpoint, Query, Request
from comporta.providers.openai import OpenAI
from comporta.types import (
    JSON,
    Audio,
    File,
    Image,
    Input,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

WIRE = OpenAI()


def request_of(given: Input, *, capabilities: tuple[str, ...] = (), stream: bool = False, **options: Any) -> Request:
    query = Query("chat", given, "m", stream, capabilities=capabilities)
    return WIRE.encode(query, Endpoint("p", "https://api.example.com/v1", "k", options=options))


def body_of(given: Input, **options: Any) -> JSON:
    body: JSON = msgspec.json.decode(request_of(given, **options).body)
    return body


def messages_of(*messages: Message, **options: Any) -> list[JSON]:
    written: list[JSON] = body_of(Input(messages=messages, wire="anthropic.messages"), **options)["messages"]
    return written


def user(*parts: Part) -> Message:
    return Message("user", parts)


ASK = (user(Text("hi")),)


def test_what_was_left_out_is_not_sent() -> None:
    """WIRE 20"""
    assert body_of(Input(messages=ASK)) == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_every_parameter_is_carried() -> None:
    given = Input(
        messages=ASK, tools=(Tool("f", "does", {"type": "object"}, True),), tool_choice=ToolChoice("tool", "f"),
        parallel_tool_calls=False, response_format=ResponseFormat("json_schema", "n", {"a": 1}, True), max_tokens=5,
        temperature=0.0, top_p=0.5, stop=("x",), seed=0, n=2, presence_penalty=0.1, frequency_penalty=0.2,
        logprobs=True, top_logprobs=3, logit_bias={"1": 2}, reasoning_effort="low", modalities=("text",), user="u",
        metadata={"k": "v"}, extra={"store": False}, wire="openai.chat",
    )  # fmt: skip
    body = body_of(given, max_tokens_field="max_completion_tokens")
    assert body == {
        "model": "m", "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {
            "name": "f", "description": "does", "parameters": {"type": "object"}, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}},
        "max_completion_tokens": 5, "temperature": 0.0, "top_p": 0.5, "stop": ["x"], "seed": 0, "n": 2,
        "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": True, "top_logprobs": 3,
        "logit_bias": {"1": 2}, "reasoning_effort": "low", "modalities": ["text"], "user": "u",
        "metadata": {"k": "v"}, "store": False,
    }  # fmt: skip


# ---- messages -------------------------------------------------------------------------------------------------------


def test_tool_calls_and_results_become_messages_of_their_own() -> None:
    written = messages_of(
        Message("system", (Text("Be brief."),)),
        user(Text("Weather?")),
        Message("assistant", (Reasoning("Hm", "sig"), Text("Let me see."), ToolCall("c1", "weather", '{"a": 1}'))),
        user(ToolResult("c1", (Text("rain"),)), Text("And now?")),
    )
    assert written == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]


def test_an_assistants_turn_of_calls_alone_has_no_content() -> None:
    (written,) = messages_of(Message("assistant", (ToolCall("c1", "f", "{}"),)))
    assert "content" not in written


def test_images_of_a_tools_answer_follow_as_the_users() -> None:
    result = ToolResult("c1", (Text("see"), Image(data="AAAA", media_type="image/png")))
    written = messages_of(Message("tool", (result,)), Message("tool", (ToolResult("c2", ()),)))
    assert [m["role"] for m in written] == ["tool", "user", "tool"]
    assert written[1]["content"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"
    assert written[2]["content"] == ""


def test_reasoning_goes_back_only_where_the_row_wants_it() -> None:
    turn = Message("assistant", (Reasoning("Hm"), Text("Yes.")))
    assert messages_of(turn) == [{"role": "assistant", "content": "Yes."}]
    assert messages_of(turn, reasoning_field="reasoning_content")[0]["reasoning_content"] == "Hm"


def test_audio_files_and_refusals_are_carried() -> None:
    (written,) = messages_of(
        user(
            Audio("QUJD", "wav"), File(id="file-1"), File(data="JVBE", media_type="application/pdf", name="a.pdf"),
            File(data="aGk=", media_type="text/plain"), Refusal("no"),
        )
    )  # fmt: skip
    assert written["content"] == [
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "hi"},
        {"type": "refusal", "refusal": "no"},
    ]


def test_several_texts_are_one_where_the_row_takes_no_lists() -> None:
    turn = user(Text("a"), Text("b"))
    assert messages_of(turn)[0]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages_of(turn, flat_text=True)[0]["content"] == "a\n\nb"


def test_cache_marks_go_only_to_those_who_know_them() -> None:
    turn = user(Text("a", {"type": "ephemeral"}))
    assert "cache_control" not in str(messages_of(turn))
    assert messages_of(turn, cache_control=True)[0]["content"][0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    "part", [Other("anthropic.messages", {"type": "search_result"}), File(url="https://x.org/a.pdf")]
)
def test_a_part_that_the_wire_has_no_words_for_is_refused(part: Part) -> None:
    """WIRE 12"""
    with pytest.raises(Unsupported) as caught:
        messages_of(user(part))
    assert caught.value.param == "messages"


def test_a_text_file_that_is_no_text_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        messages_of(user(File(data="/w==", media_type="text/plain")))


def test_parts_of_its_own_wire_pass_as_they_are() -> None:
    own = {"type": "something_new", "x": 1}
    custom = {"id": "c", "type": "custom", "custom": {"name": "n", "input": "i"}}
    spoken = Other("openai.chat", {"type": "audio", "audio": {"id": "a1"}})
    written = messages_of(user(Other("openai.chat", own)), Message("assistant", (Other("openai.chat", custom), spoken)))
    assert written[0]["content"] == [own]
    assert written[1] == {"role": "assistant", "tool_calls": [custom], "audio": {"id": "a1"}}


# ---- tools, hints, extras -------------------------------------------------------------------------------------------


def test_a_foreign_built_in_tool_is_refused_and_its_own_passes() -> None:
    """WIRE 12"""
    own = {"type": "custom", "custom": {"name": "n"}}
    assert body_of(Input(messages=ASK, tools=(Tool("n", wire="openai.chat", native=own),)))["tools"] == [own]
    with pytest.raises(Unsupported) as caught:
        body_of(Input(messages=ASK, tools=(Tool("web_search", wire="anthropic.messages", native={}),)))
    assert caught.value.param == "tools"


def test_hints_that_the_upstream_lacks_are_dropped_and_reported() -> None:
    """WIRE 20"""
    given = Input(messages=ASK, top_k=5, extra={"thinking": {}, "verbosity": "low"}, wire="anthropic.messages")
    request = request_of(given)
    assert request.dropped == ("top_k", "thinking")
    assert msgspec.json.decode(request.body)["verbosity"] == "low"
    assert request_of(given, top_k=True).dropped == ("thinking",)
    assert body_of(given, top_k=True)["top_k"] == 5


def test_what_a_foreign_door_cannot_do_without_is_refused() -> None:
    """WIRE 27"""
    with pytest.raises(Unsupported, match="previous_response_id"):
        body_of(Input(messages=ASK, extra={"previous_response_id": "resp_1"}, wire="openai.responses"))


@pytest.mark.parametrize(
    ("name", "value"), [("prompt", ["One.", "Two."]), ("prompt", [1, 2, 3]), ("suffix", "The end."), ("best_of", 3)]
)
def test_what_only_text_completions_can_say_is_refused_by_a_provider_without_them(name: str, value: Any) -> None:
    """WIRE 12: several prompts to a chat model would otherwise be answered as one, or none."""
    with pytest.raises(Unsupported) as caught:
        request_of(Input(messages=ASK, extra={name: value}, wire="openai.completions"))
    assert caught.value.param == name
    harmless = request_of(Input(messages=ASK, extra={"best_of": 1, "suffix": ""}, wire="openai.completions"))
    assert not {"best_of", "suffix"} & msgspec.json.decode(harmless.body).keys()


@pytest.mark.parametrize("capabilities", [(), ("reasoning",), ("tools",)])
def test_thinking_that_is_switched_off_is_never_a_little_thinking(capabilities: tuple[str, ...]) -> None:
    """Anthropic's `thinking: disabled`; a model that is known not to think loses nothing by it."""
    given = Input(messages=ASK, wire="anthropic.messages", reasoning_budget=0)
    request = request_of(given, capabilities=capabilities)
    assert "reasoning_effort" not in msgspec.json.decode(request.body)
    assert request.dropped == (() if capabilities == ("tools",) else ("reasoning_budget",))


@pytest.mark.parametrize(
    ("capabilities", "given", "sent", "dropped"),
    [
        (("reasoning",), {"reasoning_budget": 1024}, "low", ()),
        (("reasoning",), {"reasoning_budget": 50_000}, "high", ()),
        (("reasoning",), {"reasoning_effort": "medium", "reasoning_budget": 50_000}, "medium", ()),
        ((), {"reasoning_budget": 8000}, None, ("reasoning_budget",)),
        ((), {"reasoning_effort": "high"}, "high", ()),
        (("tools",), {"reasoning_effort": "high"}, None, ("reasoning_effort",)),
    ],
)
def test_thinking_is_asked_for_where_the_model_thinks(
    capabilities: tuple[str, ...], given: Any, sent: str | None, dropped: tuple[str, ...]
) -> None:
    request = request_of(Input(messages=ASK, wire="anthropic.messages", **given), capabilities=capabilities)
    assert msgspec.json.decode(request.body).get("reasoning_effort") == sent
    assert request.dropped == dropped


# ---- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("tools", {"tools": (Tool("f"),)}),
        ("n", {"n": 2}),
        ("logprobs", {"logprobs": True}),
        ("json_schema", {"response_format": ResponseFormat("json_schema", schema={})}),
        ("response_format", {"response_format": ResponseFormat("json_object")}),
        ("modalities", {"modalities": ("text", "audio")}),
    ],
)
@pytest.mark.parametrize("raw", [None, {"messages": []}])
def test_what_the_upstream_would_silently_ignore_is_refused(option: str, given: Any, raw: JSON | None) -> None:
    """WIRE 12"""
    asked = Input(messages=ASK, wire="openai.chat", raw=raw, **given)
    with pytest.raises(Unsupported) as caught:
        request_of(asked, unsupported=[option])
    assert caught.value.param == ("response_format" if option == "json_schema" else option)
    request_of(Input(messages=ASK, wire="openai.chat", raw=raw), unsupported=[option])


def test_fields_that_a_row_drops_are_reported_and_renamed_ones_renamed() -> None:
    """WIRE 20"""
    raw = {"messages": [], "user": "u", "seed": 4, "max_completion_tokens": 9}
    given = Input(wire="openai.chat", raw=raw)
    request = request_of(given, drop=["user"], rename={"seed": "random_seed"}, max_tokens_field="max_tokens")
    assert request.dropped == ("user",)
    assert msgspec.json.decode(request.body) == {"messages": [], "model": "m", "random_seed": 4, "max_tokens": 9}


def test_a_begun_answer_is_marked_in_the_upstreams_own_way() -> None:
    """WIRE 2"""
    begun = Input(messages=(*ASK, Message("assistant", (Text("The"),))))
    assert body_of(begun, prefill_message={"prefix": True})["messages"][-1]["prefix"] is True
    assert body_of(begun, prefill_body={"continue_final_message": True})["continue_final_message"] is True
    assert "continue_final_message" not in body_of(Input(messages=ASK), prefill_body={"continue_final_message": True})


@pytest.mark.parametrize(
    ("base_url", "options", "url"),
    [
        ("https://api.example.com/v1/", {}, "https://api.example.com/v1/chat/completions"),
        ("http://127.0.0.1:8000", {}, "http://127.0.0.1:8000/v1/chat/completions"),
        ("https://api.example.com", {"prefix": ""}, "https://api.example.com/chat/completions"),
        (
            "https://x.openai.azure.com",
            {"prefix": "", "path": "/openai/deployments/{model}", "params": {"api-version": "2024-10-21"}},
            "https://x.openai.azure.com/openai/deployments/my%20m/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_the_address_is_built_as_the_row_says(base_url: str, options: JSON, url: str) -> None:
    query = Query("chat", Input(messages=ASK), "my m")
    assert WIRE.encode(query, Endpoint("p", base_url, "k", options=options)).url == url


def test_the_key_goes_where_the_row_says() -> None:
    def headers(secret: str | None, **options: Any) -> dict[str, str]:
        endpoint = Endpoint("p", "http://x/v1", secret, {"X-Title": "t"}, options)
        return WIRE.encode(Query("chat", Input(messages=ASK), "m"), endpoint).headers

    assert headers("k") == {"content-type": "application/json", "authorization": "Bearer k", "x-title": "t"}
    assert headers("k", auth="api-key")["api-key"] == "k"
    assert "authorization" not in headers("k", auth="none")
    assert "authorization" not in headers(None)
