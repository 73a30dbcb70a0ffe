"""A call that was stopped at its provider's edge goes on as the call it was, wherever that is."""

from __future__ import annotations

import msgspec

from comporta.gateway.batches.parked import Parked, ParkedCall, call_of, parked_of
from comporta.guardrails.base import Match
from comporta.guardrails.call import GUARDED, LOOKED_IN, MASKS
from comporta.guardrails.masking import Masks
from comporta.pipeline import Call
from comporta.prompts.values import Guard, Guardrails
from comporta.telemetry.capture import KEEP
from comporta.telemetry.record import PROMPTED, Prompted
from comporta.types import (
    Caller,
    Image,
    Input,
    Message,
    ResponseFormat,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

TARGET = Target("support", "v1", "openai", "gpt-4o-mini", {"temperature": 0.1}, "main")
INPUT = Input(
    messages=(
        Message("user", (Text("Write to [EMAIL_1]"), Image(url="https://example.com/a.png"))),
        Message("assistant", (ToolCall("c1", "mail", '{"to": "[EMAIL_1]"}'),)),
        Message("tool", (ToolResult("c1", (Text("sent"),)),)),
    ),
    tools=(Tool("mail", parameters={"type": "object"}),), tool_choice=ToolChoice("tool", "mail"), stop=("END",),
    response_format=ResponseFormat("json_schema", "x", {"type": "object"}), temperature=0.0, max_tokens=5,
    texts=("a", (1, 2)), extra={"verbosity": "low"}, wire="openai.chat", raw={"model": "m", "deep": [1, {"a": None}]},
)  # fmt: skip


def stopped(masks: Masks | None = None) -> tuple[Call, ParkedCall]:
    call = Call(
        kind="chat", input=INPUT, model="support", door="openai.chat", session="s", user="ana",
        caller=Caller("key-1", "k", "water", tags={"a": "b"}, guardrails="strict"), tags={"a": "b"},
        headers={"cache-control": "no-store"}, dropped=("seed",),
    )  # fmt: skip
    call.note("batch", id="batch_1")
    call.facts |= {
        PROMPTED: Prompted("greet", "1.2.0", "production", {"author": "bo"}, {"name": "Ana"}), KEEP: "hashed",
        "prompt_guards": Guardrails(output=(Guard("regex", "block", {"patterns": ["x"]}),)),
    }  # fmt: skip
    if masks is not None:
        call.facts |= {MASKS: masks, GUARDED: True}
    return call, parked_of(call, Parked(b"{}", "chat/completions", TARGET, 50, 321))


def again(kept: ParkedCall, at_s: float = 1_700_000_000.25) -> Call:
    """As another process reads it."""
    return call_of(msgspec.json.decode(msgspec.json.encode(kept), type=ParkedCall), at_s, "batch_abc", 60.0)


def test_what_is_kept_of_a_call_is_the_call_with_everything_its_record_needs() -> None:
    call, kept = stopped()
    back = again(kept)
    for name in ("id", "request_id", "trace_id", "kind", "model", "door", "caller", "input", "session", "user", "tags",
                 "headers", "dropped"):  # fmt: skip
        assert getattr(back, name) == getattr(call, name), name
    assert back.target == TARGET and back.started_s == 1_700_000_000.25
    assert {name: back.facts[name] for name in call.facts} == call.facts
    assert back.notes == {
        "batch": {"id": "batch_1"}, "native": {"batch": "batch_abc", "percent": 50, "waited_s": 60.0},
    }  # fmt: skip
    assert LOOKED_IN in back.facts and GUARDED not in back.facts


def test_told_again_it_is_the_same_call_at_the_same_time() -> None:
    _, kept = stopped()
    one, other = again(kept), again(kept)
    assert (one.id, one.started_s) == (other.id, other.started_s)


def test_masks_lead_back_and_are_put_again_after_they_were_kept() -> None:
    masks = Masks("numbered", "stays [EMAIL_2]", lead_back=True)
    masks.put("ana@example.com", [Match(0, 15, "EMAIL")])
    _, kept = stopped(masks)
    back: Masks = again(kept).facts[MASKS]
    assert back.back("to [EMAIL_1] and [EMAIL_2]") == "to ana@example.com and [EMAIL_2]"
    assert back.again("to ana@example.com") == "to [EMAIL_1]"
    # The next one is told apart from those there were, and from what stood in the question.
    assert back.mask("bo@example.com", "EMAIL") == "[EMAIL_3]"
    assert back.mask("ana@example.com", "EMAIL") == "[EMAIL_1]"
