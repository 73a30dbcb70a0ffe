"""W3C trace context: what a client's header says, and what providers hear."""

from __future__ import annotations

import pytest

from comporta.pipeline import Call
from comporta.telemetry.otlp.context import Parent, header_of, parent_of, span_id_of, trace_id_of
from comporta.types import Caller, Input

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_header_names_the_clients_trace_and_span() -> None:
    assert parent_of(f"00-{TRACE}-{SPAN}-01") == Parent(TRACE, SPAN)


def test_a_later_version_may_say_more_behind_it() -> None:
    assert parent_of(f"cc-{TRACE}-{SPAN}-00-what-comes") == Parent(TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        "", "nonsense", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)  # fmt: skip
def test_what_is_no_context_begins_a_trace_of_its_own(header: str) -> None:
    assert parent_of(header) is None


def test_a_calls_header_leads_to_its_span() -> None:
    call = Call(kind="chat", input=Input(), model="m", caller=Caller("k"), trace_id=TRACE)
    assert header_of(call) == f"00-{TRACE}-{span_id_of(call.id)}-01"
    assert len(span_id_of(call.id)) == 16


def test_a_trace_that_is_a_word_gets_an_id_of_its_own_always_the_same() -> None:
    assert trace_id_of(TRACE) == TRACE
    assert trace_id_of("batch 7") == trace_id_of("batch 7") != trace_id_of("batch 8")
    assert len(trace_id_of("batch 7")) == 32
