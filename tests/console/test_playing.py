"""What the playground asks and hears, and what becomes of what is saved there."""

from __future__ import annotations

import json

import pytest
import yaml

from comporta.console.cases import as_suite, case_text
from comporta.console.parts.tags import address
from comporta.console.playing import (
    Heard,
    Line,
    as_file,
    bumped,
    draft_body,
    free_body,
    lines_of,
    params_of,
    prompt_body,
    read_draft,
    with_version,
)
from comporta.errors import BadRequest, ComportaError

DRAFT = "id: p\nversion: 1.2.3\nmodel: scripted/echo\nsystem_prompt: You help.\nuser_prompt_template: '{question}'\n"


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_an_answer_is_put_together_from_its_events() -> None:
    heard = Heard()
    assert heard.take(event(choices=[{"index": 0, "delta": {"content": "On its "}}]))
    assert heard.take(
        event(choices=[{"index": 1, "delta": {"content": "another"}}, {"index": 0, "delta": {"content": "way"}}])
    )
    assert not heard.take(event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.002}))
    assert not heard.take(b"[DONE]")
    assert (heard.text, heard.tokens_in, heard.tokens_out, heard.cost_usd) == ("On its way", 7, 3, 0.002)


def test_tools_come_in_pieces() -> None:
    heard = Heard()
    for part in ({"name": "find", "arguments": '{"o'}, {"arguments": 'rder": 1}'}):
        heard.take(event(choices=[{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": part}]}}]))
    assert heard.tools == 'find {"order": 1}'


def test_a_failure_in_the_stream_is_raised_with_its_code() -> None:
    with pytest.raises(ComportaError, match="broke off") as caught:
        Heard().take(event(error={"message": "The upstream broke off.", "code": "upstream_error"}))
    assert caught.value.code == "upstream_error"


def test_what_is_no_number_is_refused_and_what_is_empty_left_out() -> None:
    assert params_of({"temperature": "0.3", "max_tokens": " ", "top_p": ""}) == {"temperature": 0.3}
    with pytest.raises(BadRequest, match="max_tokens"):
        params_of({"max_tokens": "many"})


def test_a_call_without_a_message_is_not_made() -> None:
    with pytest.raises(BadRequest):
        free_body("m", [Line("user", "  ")], {}, "u")


def test_without_a_model_the_prompts_own_is_asked() -> None:
    body = prompt_body("", "p", "1.0.0", {"question": "?"}, {"temperature": 0.0}, "console/ana")
    assert "model" not in body and body["prompt"]["version"] == "1.0.0" and body["temperature"] == 0.0
    assert prompt_body("m", "p", "1.0.0", {}, {}, "u")["model"] == "m"


def test_a_draft_is_put_together_with_its_values_and_never_reads_braces_in_them() -> None:
    body = draft_body("", DRAFT, {"question": "{question} <b>?"}, {}, "u")
    assert body["model"] == "scripted/echo"
    assert [one["content"] for one in body["messages"]] == ["You help.", "{question} <b>?"]


def test_a_draft_that_can_not_be_read_says_where() -> None:
    with pytest.raises(ComportaError, match="versio"):
        draft_body("m", DRAFT.replace("version", "versio"), {}, {}, "u")


def test_a_kept_call_becomes_lines_that_can_be_asked_again() -> None:
    told = {"type": "tool_result", "id": "t", "parts": [{"type": "text", "text": "8 minutes"}]}
    prompt = {"messages": [
        {"role": "system", "parts": [{"type": "text", "text": "Help."}]},
        {"role": "tool", "parts": [told]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t", "name": "f", "arguments": "{}"}]},
    ]}  # fmt: skip
    assert [(one.role, one.text) for one in lines_of(prompt)] == [("system", "Help."), ("user", "8 minutes")]
    assert lines_of(None) == []


def test_free_messages_become_a_prompt_file_with_variables() -> None:
    text = as_file(
        "new", "1.0.0", "m", [Line("system", "Help {name}."), Line("user", "{question}")], {"temperature": 0.1}
    )
    prompt = read_draft(text)
    assert (prompt.id, prompt.temperature) == ("new", 0.1)
    assert {one.name for one in prompt.variables} == {"name", "question"}


@pytest.mark.parametrize(("version", "next_one"), [("1.2.3", "1.2.4"), ("2.0.0-rc.1", "2.0.1"), ("latest", "1.0.0")])
def test_the_next_version_is_proposed(version: str, next_one: str) -> None:
    assert bumped(version) == next_one


def test_a_file_keeps_all_but_its_version() -> None:
    assert read_draft(with_version(DRAFT, "1.3.0")).version == "1.3.0"
    assert read_draft(with_version(DRAFT, "1.3.0")).system_prompt == "You help."


def test_cases_become_a_file_of_prompt_tests() -> None:
    one = case_text(variables={"question": "?"}, lines=[], expected="It helps.", reference="Yes.", by="playground")
    free = case_text(variables=None, lines=[Line("system", "x"), Line("user", "a"), Line("assistant", "b"),
                                            Line("user", "c")], expected="", reference=None, by="")  # fmt: skip
    suite = yaml.safe_load(as_suite("p", [json.loads(one), json.loads(free)]))
    assert suite["prompt"] == "p" and [case["id"] for case in suite["cases"]] == ["saved-1", "saved-2"]
    assert suite["cases"][0]["reference"] == "Yes." and suite["cases"][1]["input"] == "c"
    assert [turn["role"] for turn in suite["cases"][1]["history"]] == ["user", "assistant"]
    with pytest.raises(BadRequest):
        case_text(variables={"a": "x" * 20_000}, lines=[], expected="", reference=None, by="")


def test_an_address_that_would_run_something_leads_nowhere() -> None:
    assert address("javascript:alert(1)") == "#" and address("/traces/1") == "/traces/1"
