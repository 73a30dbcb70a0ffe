"""The simulation of rollouts, in short: it finds harm, spares the harmless, and is the same for the same seed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module", autouse=True)
def on_the_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))


def rollout() -> Any:
    return importlib.import_module("rollout")


def test_harm_is_brought_back_within_the_calls_that_are_promised() -> None:
    ends = rollout().simulated("harm_errors", 4, 11)
    assert [end.action for end in ends] == ["roll_back"] * 4
    assert all(end.calls_b <= 200 and end.backward == 0 for end in ends)


def test_a_run_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    bench = rollout()
    ends = bench.simulated("harm_errors", 2, 3)
    assert ends == bench.simulated("harm_errors", 2, 3)
    assert ends != bench.simulated("harm_errors", 2, 4)


def test_a_harmless_canary_reaches_100_percent() -> None:
    [end] = rollout().simulated("harmless", 1, 5)
    assert (end.action, end.cause, end.stage, end.backward) == ("finish", "held", 3, 0)


def test_results_say_what_was_found_of_how_many_runs_and_whether_that_is_enough() -> None:
    bench = rollout()
    ended = bench.Ended
    fine = ended("finish", "held", 900, 800, 9_000, 3, 0)
    back = ended("roll_back", "harm", 180, 170, 9_000, 0, 0)
    late = ended("roll_back", "harm", 220, 210, 9_000, 1, 1)
    ends = {name: [fine] * 20 for name in bench.SCENARIOS}
    ends |= {
        "harm_errors": [back] * 19 + [late],
        "harm_score": [back] * 18 + [fine] * 2,
        "aa": [fine] * 18 + [back] * 2,
    }
    found = json.loads(json.dumps(bench.results(ends)))
    assert (found["harm_errors_back_within_200"]["value"], found["harm_errors_back_within_200"]["runs"]) == (19, 20)
    assert found["harm_score_back_within_400"]["value"] == 18
    assert found["aa_wrong_rollbacks"]["value"] == 2
    assert found["harmless_promoted"]["value"] == 20
    assert found["backward_moves"] == {"value": 1, "runs": 120, "wanted": "0"}
    held = {key: bench.held(key, result) for key, result in found.items()}
    assert held == {
        "harm_errors_back_within_200": True,
        "harm_score_back_within_400": False,
        "small_harm_errors_back": False,
        "aa_wrong_rollbacks": False,
        "aa_wrong_rollbacks_at_half": True,
        "harmless_promoted": True,
        "backward_moves": False,
    }
