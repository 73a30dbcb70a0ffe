"""A variant's parameters stand in where the body said nothing, and only there."""

from __future__ import annotations

from comporta.gateway.reach import with_defaults
from comporta.types import Input


def test_the_body_wins_over_the_variant_even_with_zero_and_false() -> None:
    given = Input(temperature=0.0, seed=0, parallel_tool_calls=False)
    filled = with_defaults(given, {"temperature": 0.9, "seed": 7, "parallel_tool_calls": True, "top_p": 0.5})
    assert (filled.temperature, filled.seed, filled.parallel_tool_calls, filled.top_p) == (0.0, 0, False, 0.5)


def test_the_clients_own_body_is_filled_in_its_own_words() -> None:
    raw = {"model": "m", "temperature": 0}
    filled = with_defaults(
        Input(temperature=0.0, wire="anthropic.messages", raw=raw), {"stop": "END", "temperature": 1, "new_field": {}}
    )
    assert filled.raw == {"model": "m", "temperature": 0, "stop_sequences": ["END"], "new_field": {}}
    assert filled.stop == ("END",)
    assert filled.extra == {"new_field": {}}
    assert raw == {"model": "m", "temperature": 0}


def test_without_parameters_nothing_is_copied() -> None:
    given = Input(temperature=0.5)
    assert with_defaults(given, {}) is given
