"""What pages are made from, without a browser: conversations, bars of a trace, files, addresses."""

from __future__ import annotations

import csv
import datetime
import io
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from comporta.console.bars import placed
from comporta.console.csv import csv_of, line
from comporta.console.messages import Piece, conversation
from comporta.console.pages.session import latest
from comporta.console.parts.tags import address
from comporta.console.sign_in import inside
from comporta.errors import Unavailable
from comporta.telemetry.calls import CallRow, SpanRow
from comporta.telemetry.traces import OtherSpan, Trace

START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def call(n: int, *, parent: int | None = None, parent_span: str | None = None, at_s: float = 0.0) -> CallRow:
    values: dict[str, Any] = dict.fromkeys(CallRow.__struct_fields__)
    values |= {
        "id": str(uuid.UUID(int=n)), "parent_id": None if parent is None else str(uuid.UUID(int=parent)),
        "started_at": START + datetime.timedelta(seconds=at_s), "duration_us": 1000, "kind": "chat", "asked": "m",
        "model": f"model-{n}", "outcome": "ok", "outcome_class": "ok", "tags": {}, "dropped": [],
        "parent_span": parent_span,
    }  # fmt: skip
    return CallRow(**values)


def other(id: str, parent: str | None = None, *, of_call: int | None = None, at_s: float = 0.0) -> OtherSpan:
    call_id = None if of_call is None else str(uuid.UUID(int=of_call))
    at = START + datetime.timedelta(seconds=at_s)
    return OtherSpan(at, id, parent, call_id, f"span-{id}", "chain", 2000, None, "app", {})


def test_a_conversation_shows_text_tools_results_and_answers_in_order() -> None:
    prompt = {"messages": [
        {"role": "user", "parts": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t", "name": "find", "arguments": "{\"a\": 1}"}]},
        {"role": "tool", "parts": [{"type": "tool_result", "id": "t", "parts": [{"type": "text", "text": "found"}]}]},
    ]}  # fmt: skip
    reply = [{"index": 0, "text": "done", "finish": "stop", "reasoning": [{"text": "hm"}]}]
    said = conversation(prompt, reply)
    assert [one.role for one in said] == ["user", "assistant", "tool", "assistant"]
    assert said[1].pieces == (Piece("call", '{\n  "a": 1\n}', "find", "t"),)
    assert said[2].pieces == (Piece("result", "found", "", "t"),)
    assert said[3].reply and [piece.kind for piece in said[3].pieces] == ["think", "text"]
    assert [one.role for one in latest(said)] == ["user", "assistant", "tool", "assistant"]


def test_previews_and_hashes_are_told_as_what_they_are() -> None:
    said = conversation(
        [{"text": "How", "length": 900, "role": "user"}], [{"type": "text", "length": 4, "sha256": "ab"}]
    )
    assert said[0].pieces[0].text == "How … (900)"
    assert "sha256 ab" in said[1].pieces[0].text and said[1].pieces[0].kind == "note"


@pytest.mark.parametrize(
    "odd", [None, 1, "text", {"messages": "x"}, {"messages": [1, None]}, [[1]], {"messages": [{"parts": [3]}]}]
)
def test_content_of_no_known_shape_breaks_no_page(odd: Any) -> None:
    conversation(odd, odd)


def test_calls_lie_below_what_they_took_place_in_with_their_stages() -> None:
    first, second = call(1), call(2, parent=1, at_s=0.5)
    spans = {first.id: [SpanRow("record", 10, 900, 0, None, None)], second.id: []}
    bars = placed(Trace("t", [first, second], spans, []))
    assert [(one.bar.name, one.bar.depth) for one in bars] == [("chat model-1", 0), ("record", 1), ("chat model-2", 1)]
    assert bars[2].bar.start_us == 500_000


def test_spans_of_others_hold_the_calls_they_made() -> None:
    trace = Trace("t", [call(1, parent_span="b", at_s=0.2)], {}, [other("a"), other("b", "a", at_s=0.1)])
    assert [(one.bar.name, one.bar.depth) for one in placed(trace)] == [
        ("span-a", 0),
        ("span-b", 1),
        ("chat model-1", 2),
    ]


def test_a_call_that_others_tell_of_too_stands_there_once() -> None:
    trace = Trace("t", [call(1)], {}, [other("a", of_call=1), other("b", "a", at_s=0.1)])
    assert [(one.bar.name, one.bar.depth) for one in placed(trace)] == [("chat model-1", 0), ("span-b", 1)]


def test_spans_that_name_each_other_or_nobody_are_shown_all_the_same() -> None:
    trace = Trace("t", [], {}, [other("a", "b"), other("b", "a"), other("c", "gone"), other("d", "d")])
    assert sorted(one.bar.name for one in placed(trace)) == ["span-a", "span-b", "span-c", "span-d"]


def test_a_deep_trace_is_no_trouble() -> None:
    spans = [other(str(n), str(n - 1) if n else None, at_s=n / 1000) for n in range(5000)]
    bars = placed(Trace("t", [], {}, spans))
    assert len(bars) == 5000 and bars[-1].bar.depth == 60


def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe() -> None:
    row = ("=HYPERLINK(1)", "+1", "@x", "-1", "plain, quoted", -5, None)
    assert next(csv.reader(io.StringIO(line(row)))) == [
        "'=HYPERLINK(1)",
        "'+1",
        "'@x",
        "'-1",
        "plain, quoted",
        "-5",
        "",
    ]


async def test_a_file_that_breaks_off_says_so() -> None:
    async def rows() -> AsyncIterator[Sequence[object]]:
        yield ("head",)
        yield ("one",)
        raise Unavailable("The database is away.")

    response: Any = await csv_of("x.csv", rows())
    text = "".join([part async for part in response.body_iterator])
    assert text == "head\r\none\r\nINCOMPLETE: The database is away.\r\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [("/calls?a=b", True), ("https://x.example", True), ("#here", True), ("javascript:alert(1)", False),
     (" JavaScript:alert(1)", False), ("data:text/html,x", False), ("vbscript:x", False)],
)  # fmt: skip
def test_no_address_runs_anything(text: str, kept: bool) -> None:
    assert (address(text) == text) is kept


@pytest.mark.parametrize("way", ["//evil", "https://evil", "/\\evil", "javascript:x", "", "/sign-out", "/a\nb"])
def test_after_signing_in_one_stays_on_this_site(way: str) -> None:
    assert inside(way) == "/"
    assert inside("/calls?a=1") == "/calls?a=1"
