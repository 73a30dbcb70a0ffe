"""What tests of records share: a finished call, and a spool in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from comporta.pipeline import Call, Span
from comporta.telemetry.record import CallRecord, record_of
from comporta.telemetry.spool import Spool
from comporta.types import Caller, Input, Message, Target, Text, Usage

MakeCall = Callable[..., Call]
MakeRecord = Callable[..., CallRecord]


@pytest.fixture
def make_call() -> MakeCall:
    """A call that went to a model and came back."""

    def make(text: str = "Where is the sluice?", *, route: str = "support", team: str | None = "water") -> Call:
        caller = Caller("key-1", name="backend", team=team, environment="production", feature="chat")
        input = Input(messages=(Message("user", (Text(text),)),))
        call = Call(kind="chat", input=input, model=route, caller=caller, door="openai.chat", session="s-1", user="u-1")
        call.target = Target(route, "v1", "openai", "gpt-x", credential="main")
        call.usage = Usage(input=100, cached=20, output=30)
        call.cost_microusd = 150
        call.spans.append(Span("choose", call.start_ns + 5_000, 0, call.start_ns + 105_000))
        call.spans.append(
            Span("request", call.start_ns + 9_000, 1, call.start_ns + 99_000, None, {"provider": "openai"})
        )
        return call

    return make


@pytest.fixture
def make_record(make_call: MakeCall) -> MakeRecord:
    """The record of such a call that took `duration_us`."""

    def make(text: str = "Where?", *, duration_us: int = 2000, **changes: str) -> CallRecord:
        call = make_call(text, **changes)
        call.first_ns = call.start_ns + duration_us * 500
        prompt = '[{"text":"' + text + '"}]'
        end_ns = call.start_ns + duration_us * 1000
        return record_of(call, capture="full", prompt=prompt, reply='[{"text":"Here."}]', end_ns=end_ns)

    return make


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()
