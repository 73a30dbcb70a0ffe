"""The bench's arithmetic and its check of answers, and one short run of it against the mock and a real gate."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comporta.testing.servers import short_folder

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module", autouse=True)
def on_the_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))


def gauge(name: str) -> Any:
    return importlib.import_module(f"gauge.{name}")


# ---- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (0.999, 100.0), (1.0, 100.0), (0.001, 1.0)])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert gauge("figures").percentile(values, share) == expected


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        gauge("figures").percentile([], 0.5)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios_and_not_the_ratio_of_medians() -> None:
    rounds = {"a": [10.0, 100.0, 30.0], "b": [5.0, 25.0, 30.0]}
    assert gauge("figures").ratio(rounds, "a", "b") == 2.0


def test_there_is_no_ratio_against_what_was_not_measured_or_stood_still() -> None:
    ratio = gauge("figures").ratio
    assert ratio({"a": [1.0]}, "a", "b") is None
    assert ratio({"a": [1.0, 2.0], "b": [1.0, 0.0]}, "a", "b") is None


def test_what_is_added_is_the_median_of_the_differences_within_each_round() -> None:
    rounds = {"direct": [1.0, 2.0, 3.0], "gate": [1.5, 4.0, 3.1]}
    assert gauge("figures").added(rounds, "direct") == {"direct": 0.0, "gate": 0.5}


def test_the_spread_is_half_the_range_as_a_share_of_the_median() -> None:
    spread = gauge("figures").spread
    assert spread([80.0, 100.0, 120.0]) == pytest.approx(0.2)
    assert spread([0.0, 0.0]) == 0.0


def test_memory_grows_when_the_last_third_lies_more_than_3_percent_above_the_middle_third() -> None:
    figures = gauge("figures")
    assert not figures.is_growing([50.0] * 10 + [100.0] * 10 + [102.9] * 10)
    assert figures.is_growing([50.0] * 10 + [100.0] * 10 + [103.1] * 10)
    assert figures.growth([1.0] * 4 + [100.0] * 4 + [90.0] * 4) == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="too few"):
        figures.growth([1.0, 2.0])


# ---- the check of answers -------------------------------------------------------------------------------------------


def parted(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


@pytest.mark.parametrize("thorough", [True, False], ids=["decoded", "at a glance"])
def test_the_mocks_own_answers_are_right(thorough: bool) -> None:
    words = gauge("words")
    for model in words.MODELS:
        check = words.Check(model)
        events = words.asked(words.question(model))[0]
        answer = b"".join(words.stream_answer(events, usage=True)) if events else words.whole_answer()
        for _ in range(1 if thorough else 3):
            assert check(*parted(answer))
        assert (check.right, check.wrong) == (1 if thorough else 3, 0)


@pytest.mark.parametrize("at", [1, 2], ids=["decoded", "at a glance"])
@pytest.mark.parametrize(
    ("old", "new"),
    [(b" 200 ", b" 500 "), (b"~7 ", b""), (b"[DONE]", b""), (b"~7 ", b"~7 ~")],
    ids=["status", "a token lost", "no end", "a token more"],
)
def test_a_stream_that_is_not_whole_is_wrong(old: bytes, new: bytes, at: int) -> None:
    words = gauge("words")
    check = words.Check("count-31")
    good = b"".join(words.stream_answer(31, usage=False))
    for _ in range(at - 1):
        assert check(*parted(good))
    assert not check(*parted(good.replace(old, new)))
    assert check.wrong == 1
    assert check.first_wrong.startswith(b"HTTP/1.1")


def test_a_plain_answer_with_another_text_is_wrong() -> None:
    words = gauge("words")
    check = words.Check("plain")
    assert not check(*parted(words.whole_answer().replace(b"sluice", b"dam", 1)))
    assert not check(*parted(words.whole_answer().replace(b"sluice", b"dam", 1)))
    assert check.wrong == 2


def test_a_question_and_a_plain_answer_hold_about_1_kb_each() -> None:
    words = gauge("words")
    assert 900 < len(words.question("plain")) < 1100
    assert 900 < len(parted(words.whole_answer())[1]) < 1100


def test_a_gateway_that_could_not_be_had_is_left_out_of_the_figures_and_told() -> None:
    rounds, table = gauge("rounds"), gauge("table")
    measured = rounds.Measured(rps={"direct": [10.0]}, left_out={"litellm": "pip could not"})
    assert set(table.figures(measured)["rps"]) == {"direct"}
    assert "Left out: litellm, since pip could not." in table.notes([], measured.left_out)


# ---- a short run ----------------------------------------------------------------------------------------------------


async def test_a_run_against_the_mock_and_a_gate_gives_every_figure_and_a_record_of_every_call(tmp_path: Path) -> None:
    gateways, rounds, table = gauge("gateways"), gauge("rounds"), gauge("table")
    plan = rounds.Plan(
        rounds=1, plain_s=0.2, streams_s=0.2, one_s=0.1, half_s=0.2, paced_s=0.0, memory_calls=300
    )  # fmt: skip
    with short_folder() as folder:
        direct = await asyncio.to_thread(gateways.mock, folder)
        try:
            gate = await asyncio.to_thread(gateways.comporta, folder, direct.port)
            try:
                run = rounds.Rounds(plan, direct, [gate], lambda text: None)
                measured = await run.run()
                await run.memory(gate)
            finally:
                await asyncio.to_thread(gate.process.stop)
        finally:
            await asyncio.to_thread(direct.process.stop)
    assert measured.first_wrong == {}
    assert measured.answered == measured.recorded > 300
    assert len(measured.memory) == 100
    table.write(measured, tmp_path / "gate.json")
    written = json.loads((tmp_path / "gate.json").read_text())
    for measure in ("rps", "streams", "added_p50_ms", "added_p99_ms", "rss_mb"):
        assert set(written[measure]) == {"direct", "comporta"}, measure
    assert written["rps"]["direct"] > written["rps"]["comporta"] > 0
    assert written["added_p50_ms"]["comporta"] > 0
