"""W3C trace context: what a client's header says, and what providers hear."""

from __future__ import annotations

import pytest

from comporta.pipeline import Call, child_of
from comporta.telemetry.otlp.context import Parent, headers_of, parent_of, span_id_of, state_of, trace_id_of
from comporta.types import Caller, Input

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_header_names_the_clients_trace_and_span() -> None:
    assert parent_of(f"00-{TRACE}-{SPAN}-01") == Parent(TRACE, SPAN, "01")
    assert parent_of(f"00-{TRACE}-{SPAN}-00") == Parent(TRACE, SPAN, "00")


def test_a_later_version_may_say_more_behind_it() -> None:
    assert parent_of(f"cc-{TRACE}-{SPAN}-f1-what-comes") == Parent(TRACE, SPAN, "01")


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
    assert headers_of(call) == {"traceparent": f"00-{TRACE}-{span_id_of(call.id)}-01"}
    assert len(span_id_of(call.id)) == 16


def test_whether_a_trace_is_kept_and_what_its_vendors_say_of_it_goes_on_as_it_came() -> None:
    call = Call(kind="chat", input=Input(), model="m", caller=Caller("k"), trace_id=TRACE, traced=("00", "a=1,b=2"))
    found = headers_of(call)
    assert found["traceparent"].endswith("-00") and found["tracestate"] == "a=1,b=2"
    child = child_of(call, Input(), "m", door="chain")
    assert headers_of(child)["tracestate"] == "a=1,b=2" and headers_of(child)["traceparent"].endswith("-00")


@pytest.mark.parametrize("header", [None, "", "a=" + "x" * 600, "a=\r\nx: y", "a=\u00e9"])
def test_a_state_that_is_none_goes_nowhere(header: str | None) -> None:
    assert state_of(header) is None


def test_a_trace_that_is_a_word_gets_an_id_of_its_own_always_the_same() -> None:
    assert trace_id_of(TRACE) == TRACE
    assert trace_id_of("batch 7") == trace_id_of("batch 7") != trace_id_of("batch 8")
    assert len(trace_id_of("batch 7")) == 32
