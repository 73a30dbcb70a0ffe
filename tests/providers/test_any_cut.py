"""Every wire: any cut of the bytes gives the same events, and no cut-off answer passes for a whole one (WIRE 5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.errors import UpstreamCut, UpstreamError
from comporta.pipeline import collect, replay
from comporta.testing.asking import cut, decode
from comporta.types import Event
from support.bodies import Spoken, plains, streams

WIRES = [
    "openai chat", "openai chat, two choices", "openai completions", "openai completions, two choices",
    "openai responses", "anthropic", "gemini", "ollama", "ollama, simple",
]  # fmt: skip


@pytest.fixture(scope="module")
def spoken() -> dict[str, Spoken]:
    return {one.name: one for one in streams()}


@pytest.fixture(scope="module")
def whole() -> dict[str, Spoken]:
    return {one.name: one for one in plains()}


def said(events: list[Event]) -> list[Any]:
    """What an answer says, whatever its bookkeeping."""
    reply = asyncio.run(collect(replay(events)))
    return [
        (c.index, c.text, [r.text for r in c.reasoning], [(t.name, t.arguments) for t in c.tools], c.finish)
        for c in reply.choices
    ]


def test_every_wire_is_tried(spoken: dict[str, Spoken], whole: dict[str, Spoken]) -> None:
    assert list(spoken) == list(whole) == WIRES
    for name, one in spoken.items():
        choices = said(decode(one.wire, one.query, [one.body]))
        assert choices[0][1] == "Açúcar e café ☕\n\ndata: {}\n\nfim.", name
        assert len(choices) == (2 if "two" in name else 1)


@pytest.mark.parametrize("name", WIRES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(0, 1 << 16), max_size=30))
def test_any_cut_of_the_bytes_gives_the_same_events(spoken: dict[str, Spoken], name: str, places: list[int]) -> None:
    """WIRE 5"""
    one = spoken[name]
    assert decode(one.wire, one.query, cut(one.body, places)) == decode(one.wire, one.query, [one.body])


@pytest.mark.parametrize("name", WIRES)
def test_byte_by_byte_gives_the_same_events(spoken: dict[str, Spoken], name: str) -> None:
    """WIRE 5"""
    one = spoken[name]
    pieces = [one.body[i : i + 1] for i in range(len(one.body))]
    assert decode(one.wire, one.query, pieces) == decode(one.wire, one.query, [one.body])


@pytest.mark.parametrize("name", WIRES)
def test_a_stream_that_ends_after_any_byte_is_cut_or_says_all_of_it(spoken: dict[str, Spoken], name: str) -> None:
    """WIRE 2, 5: the truncated answer is never a success."""
    one = spoken[name]
    all_of_it = said(decode(one.wire, one.query, [one.body]))
    cuts = 0
    for length in range(len(one.body)):
        try:
            events = decode(one.wire, one.query, [one.body[:length]])
        except UpstreamCut:
            cuts += 1
            continue
        assert said(events) == all_of_it, one.body[:length]
    assert cuts > len(one.body) // 2


@pytest.mark.parametrize("name", WIRES)
def test_a_plain_body_that_ends_after_any_byte_is_a_failure(whole: dict[str, Spoken], name: str) -> None:
    """WIRE 2, 5: also where no length gives the cut away."""
    one = whole[name]
    event = one.wire.reply(one.query, one.body)
    assert event.whole
    for length in range(len(one.body.rstrip())):
        with pytest.raises(UpstreamError):
            one.wire.reply(one.query, one.body[:length])
