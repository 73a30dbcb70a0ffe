"""The made-up workloads: the same at every run, in order, and as repetitive as they say."""

from __future__ import annotations

import pytest

from comporta.testing.workloads import DAYS, WORKLOADS, asked


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_is_the_same_for_the_same_seed_and_another_for_another(name: str) -> None:
    assert asked(name, 60, 1) == asked(name, 60, 1)
    assert asked(name, 60, 1) != asked(name, 60, 2)


@pytest.mark.parametrize("name", WORKLOADS)
def test_calls_come_in_the_order_of_time_within_its_days(name: str) -> None:
    calls = asked(name, 200, 7)
    assert len(calls) == 200
    times = [call.at_s for call in calls]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= DAYS * 86_400 + 600
    assert all(call.took_s > 0 and call.words > 0 and call.meaning for call in calls)


@pytest.mark.parametrize("name", ["code", "documents", "creative"])
def test_what_is_asked_again_comes_about_as_often_as_is_assumed(name: str) -> None:
    seen: set[tuple[str, ...]] = set()
    again = 0
    for call in asked(name, 1_500, 3):
        # Of a document the question alone says little: it is one of ten.
        said = (call.meaning, call.asked.messages[1].text if name == "documents" else "")
        again += said in seen
        seen.add(said)
    assert again / 1_500 == pytest.approx(WORKLOADS[name].repeats, abs=0.05)


def test_questions_of_one_meaning_come_in_several_wordings() -> None:
    wordings: dict[str, set[str]] = {}
    for call in asked("faq", 1_000, 3):
        wordings.setdefault(call.meaning, set()).add(call.asked.messages[-1].text)
    assert max(map(len, wordings.values())) == 8
    assert sum(len(texts) > 1 for texts in wordings.values()) > 30
