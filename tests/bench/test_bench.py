"""The bench's arithmetic, its check of answers, its demands, and a short run of it against the mock and a real gate."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

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


def test_there_is_no_ratio_against_what_was_not_measured_and_rounds_in_which_it_stood_still_are_left_out() -> None:
    ratio = gauge("figures").ratio
    assert ratio({"a": [1.0]}, "a", "b") is None
    assert ratio({"a": [1.0, 2.0], "b": [0.0, 0.0]}, "a", "b") is None
    assert ratio({"a": [1.0, 2.0], "b": [1.0, 0.0]}, "a", "b") == 1.0


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


@pytest.mark.parametrize("thorough", [True, False], ids=["decoded", "as bytes"])
def test_the_mocks_own_answers_are_right(thorough: bool) -> None:
    words = gauge("words")
    for model in words.MODELS:
        check = words.Check(model)
        events = words.asked(words.question(model))[0]
        answer = b"".join(words.stream_answer(events, usage=True)) if events else words.whole_answer()
        for _ in range(1 if thorough else 3):
            assert check(*parted(answer))
        assert (check.right, check.wrong) == (1 if thorough else 3, 0)


@pytest.mark.parametrize("at", [1, 2], ids=["decoded", "as bytes"])
@pytest.mark.parametrize(
    ("old", "new"),
    [(b" 200 ", b" 500 "), (b"~7 ", b""), (b"[DONE]", b""), (b"~7 ", b"~7 ~"), (b"~7 ", b"~8 "), (b"~7 ", b"*7 ")],
    ids=["status", "a token lost", "no end", "a token more", "a token twice", "a letter"],
)
def test_a_stream_that_does_not_say_the_same_is_wrong(old: bytes, new: bytes, at: int) -> None:
    words = gauge("words")
    check = words.Check("count-31")
    good = b"".join(words.stream_answer(31, usage=False))
    for _ in range(at - 1):
        assert check(*parted(good))
    assert not check(*parted(good.replace(old, new)))
    assert check.wrong == 1
    assert check.first_wrong.startswith(b"HTTP/1.1")


@pytest.mark.parametrize("at", [1, 2], ids=["decoded", "as bytes"])
@pytest.mark.parametrize(("old", "new"), [(b"sluice", b"dam"), (b"measure. >>", b"measure, >>")])
def test_a_plain_answer_with_another_text_is_wrong(old: bytes, new: bytes, at: int) -> None:
    words = gauge("words")
    check = words.Check("plain")
    for _ in range(at - 1):
        assert check(*parted(words.whole_answer()))
    assert not check(*parted(words.whole_answer().replace(old, new, 1)))
    assert check.wrong == 1


def test_a_text_that_is_written_otherwise_in_json_is_the_same_text() -> None:
    words = gauge("words")
    check = words.Check("plain")
    for _ in range(3):
        assert check(*parted(words.whole_answer().replace(b"<<The", b"\\u003c\\u003cThe")))


def test_an_answer_that_is_not_from_where_it_should_be_is_wrong() -> None:
    check = gauge("words").Check("plain", [b"x-comporta-cache: miss"])
    head, body = parted(gauge("words").whole_answer())
    assert check(head.replace(b"\r\n\r\n", b"\r\nx-comporta-cache: miss\r\n\r\n"), body)
    assert not check(head.replace(b"\r\n\r\n", b"\r\nx-comporta-cache: hit\r\n\r\n"), body)


# ---- the questions --------------------------------------------------------------------------------------------------


def test_no_two_questions_are_the_same_and_each_is_as_long_as_it_says() -> None:
    words = gauge("words")
    ask = words.asking(80, "plain", itertools.count(1))
    asked = [ask() for _ in range(50)]
    assert len(set(asked)) == 50
    for request in asked:
        head, body = parted(request)
        assert f"Content-Length: {len(body)}\r\n".encode() in head
        assert json.loads(body)["model"] == "plain"


def test_a_question_and_a_plain_answer_hold_about_1_kb_each() -> None:
    words = gauge("words")
    assert 900 < len(words.question("plain")) < 1100
    assert 900 < len(parted(words.whole_answer())[1]) < 1100


def test_a_gateway_that_could_not_be_had_has_a_row_that_says_so_and_no_figures() -> None:
    measured_in, table, console = gauge("measured"), gauge("table"), Console(width=200, record=True, quiet=False)
    direct = {"direct": [10.0]}
    measured = measured_in.Measured(
        rps=direct, streams=direct, streams_17=direct, one_p50_ms=direct, one_p99_ms=direct, cpu_us=direct,
        stream_cpu_us=direct, busy=direct, load_busy=direct, others_busy=direct,
        wrong={"direct": 0}, left_out={"litellm": "pip could not"},
    )  # fmt: skip
    assert set(measured_in.figures(measured)["rps"]) == {"direct"}
    about = table.About("a machine", "2026-11-21", "a short run", {}, measured.left_out)
    with console.capture() as said:
        table.show(measured, ["direct", "litellm"], console, about)
    assert "LiteLLM" in said.get()
    assert "did not run, see below" in said.get()
    assert "Left out: litellm, since pip could not." in said.get()


# ---- demands --------------------------------------------------------------------------------------------------------


MET: dict[str, dict[str, float]] = {
    "rps_ratio": {"tensorzero": 1.0, "litellm": 40.0},
    "streams_ratio": {"litellm": 25.0, "bare": 0.6},
    "exact_hits_per_s": {"comporta": 8000.0},
    "added_p50_ms": {"comporta": 0.35},
    "added_p99_ms": {"comporta": 1.5},
    "half_load_added_p99_ms": {"comporta": 5.0},
    "rss_mb": {"comporta": 160.0},
    "memory_calls": {"comporta": 500_000},
    "rss_growth": {"comporta": 0.03},
    "workers_cpu_ratio": {"comporta": 1.18},
    "many_keys_ratio": {"comporta": 0.9},
    "many_keys_streams_ratio": {"comporta": 0.9},
    "many_keys_p50_ratio": {"comporta": 1.1},
    "wrong": {"comporta": 0, "litellm": 0},
    "books": {"faults": 0},
}


def test_figures_that_just_meet_every_demand_pass() -> None:
    found = gauge("demands").verdicts(MET)
    assert [(verdict.what, verdict.word) for verdict in found if verdict.word != "PASS"] == []
    assert len(found) == 16


@pytest.mark.parametrize(
    ("measure", "name", "value"),
    [
        ("rps_ratio", "tensorzero", 0.99), ("rps_ratio", "litellm", 39.9), ("streams_ratio", "litellm", 24.9),
        ("streams_ratio", "bare", 0.59), ("exact_hits_per_s", "comporta", 7999.0), ("added_p50_ms", "comporta", 0.351),
        ("added_p99_ms", "comporta", 1.51), ("half_load_added_p99_ms", "comporta", 5.01),
        ("rss_mb", "comporta", 160.1), ("rss_growth", "comporta", 0.031), ("workers_cpu_ratio", "comporta", 1.181),
        ("many_keys_ratio", "comporta", 0.899), ("many_keys_streams_ratio", "comporta", 0.899),
        ("many_keys_p50_ratio", "comporta", 1.101), ("wrong", "litellm", 1), ("books", "faults", 1),
    ],
)  # fmt: skip
def test_each_demand_is_short_by_itself(measure: str, name: str, value: float) -> None:
    figures = {**MET, measure: {**MET[measure], name: value}}
    assert [verdict.word for verdict in gauge("demands").verdicts(figures)].count("short") == 1


def test_a_short_run_does_not_judge_memory() -> None:
    figures = {**MET, "memory_calls": {"comporta": 10_000}, "rss_growth": {"comporta": 0.2}}
    words = [verdict.word for verdict in gauge("demands").verdicts(figures)]
    assert (words.count("not measured"), words.count("short")) == (2, 0)


def test_what_was_not_measured_neither_passes_nor_is_short() -> None:
    assert {verdict.word for verdict in gauge("demands").verdicts({})} == {"not measured"}


@pytest.mark.parametrize(("abort", "finish", "short"), [(0.8, 1.0, 0), (0.79, 1.0, 1), (0.8, 0.99, 1), (1.0, 0.5, 0)])
def test_a_client_that_cannot_abort_may_reach_the_rate_if_the_other_comes_near(
    abort: float, finish: float, short: int
) -> None:
    figures = {**MET, "rps_ratio": {"tensorzero": abort, "litellm": 40.0}, "rps_finish_ratio": {"tensorzero": finish}}
    assert [verdict.word for verdict in gauge("demands").verdicts(figures)].count("short") == short


# ---- what is installed ----------------------------------------------------------------------------------------------


def test_a_rival_is_brought_up_to_date_now_and_then_and_kept_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installing = gauge("installing")
    place = installing.Environment("nobody", "nobody[proxy]")
    place.folder = tmp_path
    asked: list[str] = []

    def pip(*words: str) -> str:
        asked.append(words[0])
        if words[0] == "install" and len(asked) > 2:
            raise RuntimeError("no network")
        return "nobody (2.1)\nAvailable versions: 2.1, 2.0\n"

    monkeypatch.setattr(place, "_pip", pip)
    (tmp_path / ".installed").touch()
    place.install()
    assert (asked, place.published()) == (["install", "index"], "2.1")
    place.install()
    assert len(asked) == 2
    os.utime(tmp_path / ".installed", (0, 0))
    place.install()
    assert asked[2:] == ["install"]
    assert place.fresh
    assert place.published() == "2.1"


# ---- books ----------------------------------------------------------------------------------------------------------


def test_books_are_right_when_records_ledger_and_budget_hold_every_call_and_hits_cost_nothing() -> None:
    ours, parts = gauge("ours"), gauge("parts")
    assert ours.CALL_MICROUSD == 790
    assert parts.faults_of(ours.Books(10, 0, 7 * 790, 10, 7 * 790, 7 * 790), 10, 3) == []


@pytest.mark.parametrize("wrong", range(6))
def test_each_figure_in_the_books_is_looked_at(wrong: int) -> None:
    ours, parts = gauge("ours"), gauge("parts")
    right = [10, 0, 7 * 790, 10, 7 * 790, 7 * 790]
    right[wrong] += 1
    assert len(parts.faults_of(ours.Books(*right), 10, 3)) == 1


# ---- figures and their file -----------------------------------------------------------------------------------------


def test_two_gates_are_compared_round_by_round() -> None:
    measured = gauge("measured")
    pair = measured.Pair("few", "many", cpu_us={"few": [100.0, 200.0, 100.0], "many": [110.0, 230.0, 120.0]})
    figures = measured.figures(measured.Measured(workers=pair))
    assert figures["workers_cpu_ratio"] == {"comporta": 1.15}


def test_ratios_are_those_of_the_rounds_and_a_rival_that_broke_down_is_measured_by_the_rounds_it_answered() -> None:
    measured = gauge("measured")
    rps = {"direct": [1.0] * 3, "comporta": [10.0, 20.0, 40.0], "bare": [20.0, 20.0, 20.0], "litellm": [1.0]}
    figures = measured.figures(measured.Measured(rps=rps, rps_one_core={"comporta": [5.0, 10.0, 20.0]}))
    assert figures["rps_ratio"] == {"bare": 1.0, "litellm": 10.0}
    assert figures["rps_one_core_ratio"] == {"bare": 0.5, "litellm": 5.0}


def test_a_latency_that_nobody_saw_is_no_figure() -> None:
    measured = gauge("measured")
    one = {"direct": [0.1], "comporta": [float("nan")]}
    assert measured.figures(measured.Measured(one_p50_ms=one))["added_p50_ms"] == {"direct": 0.0}


def test_the_readmes_tables_are_made_from_the_file_alone(tmp_path: Path) -> None:
    measured, table, markdown = gauge("measured"), gauge("table"), gauge("markdown")
    rps = {"direct": [9000.0], "comporta": [4000.0], "bare": [2000.0]}
    seen = measured.Measured(
        rps=rps, rss_mb={"comporta": 99.6}, wrong={"comporta": 0}, exact_hits={"comporta": [9000.0]},
        others_busy={"comporta": [0.5]},
    )  # fmt: skip
    about = table.About("a machine", "2026-11-21", "a full run", {"bare": "a note"}, {"litellm": "no reason"})
    table.write(seen, tmp_path / "gate.json", about)
    said = markdown.markdown(*table.read(tmp_path / "gate.json"))
    assert "| **Comporta** | **4,000** | **100** |" in said
    assert "| bare Python proxy | 2.00 |" in said
    assert "| calls/s against TensorZero | ≥ 1 × | – | not measured |" in said
    assert "| exact hits/s | 9,000 |" in said
    assert "Something else took up to 0.50 of the two cores" in said
    for part in ("a machine", "2026-11-21", "a full run", "- bare Python proxy: a note.", "litellm, since no reason"):
        assert part in said


def test_a_file_that_is_missing_or_another_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = gauge("markdown").main
    assert main([str(tmp_path / "none.json")]) == 1
    assert "run `make bench` first" in capsys.readouterr().err
    (tmp_path / "old.json").write_text('{"rps": {}}')
    assert main([str(tmp_path / "old.json")]) == 1
    assert "holds no figures of this bench" in capsys.readouterr().err


@pytest.mark.parametrize("said", ["comporta,bare,keys", "comporta bare keys"])
def test_a_run_of_some_parts_does_not_write_over_the_figures_of_a_whole_one(said: str) -> None:
    main = gauge("__main__")
    options = main._options(["--quick", "--only", said])
    assert options.only == ["comporta", "bare", "keys"]
    assert options.out == main.PART_OUT
    assert options.run == "a short run, a part of it"
    assert main._options([]).out == main.OUT
    with pytest.raises(SystemExit):
        main._options(["--only", "comporta,nobody"])


# ---- a short run ----------------------------------------------------------------------------------------------------


class Lost:
    """A gateway whose process has gone."""

    name = "lost"
    rss_mb = 1.0

    @property
    def process(self) -> Lost:
        return self

    def said(self) -> str:
        return "first\nout of memory\n"

    def cpu_s(self) -> tuple[float, float]:
        raise ConnectionRefusedError


async def test_on_a_slow_machine_rounds_are_left_out_but_never_the_first() -> None:
    rounds = gauge("rounds")
    seen: list[int] = []
    run = rounds.Rounds(rounds.Plan(3, 0, 0, 0, 0, 0, 0, 0, 0, limit_s=0.001), Lost(), [], lambda text: None)

    async def one(gateway: object, number: int) -> None:
        seen.append(number)
        await asyncio.sleep(0.002)

    run._try = one
    await run.run()
    assert seen == [0]


async def test_a_rival_that_breaks_down_is_left_out_with_its_last_word() -> None:
    rounds = gauge("rounds")
    run = rounds.Rounds(rounds.QUICK, None, [], lambda text: None)
    run.load = lambda *_, **__: None
    await run._try(Lost(), 1)
    assert "round 2 (ConnectionRefusedError); its last word: out of memory" in run.measured.left_out["lost"]
    await run._try(Lost(), 2)
    assert list(run.measured.left_out) == ["lost"]


async def test_a_run_against_the_mock_and_a_gate_gives_every_figure_and_right_books(tmp_path: Path) -> None:
    gateways, rounds, table, parts = gauge("gateways"), gauge("rounds"), gauge("table"), gauge("parts")
    plan = rounds.Plan(
        rounds=1, warm_s=0.1, plain_s=0.2, streams_s=0.2, one_s=0.1, half_s=0.3, paced_s=0.0, memory_calls=300,
        pair_rounds=1,
    )  # fmt: skip
    heard: list[str] = []
    with short_folder() as folder:
        direct = await asyncio.to_thread(gateways.mock, folder)
        try:
            gate = await asyncio.to_thread(gateways.comporta, folder, direct.port)
            try:
                run = rounds.Rounds(plan, direct, [gate], heard.append)
                measured = await run.run()
                assert len(heard) == plan.segments(["comporta"])
                further = parts.Parts(plan, folder, direct, run, heard.append)
                await further.memory(gate)
                await further.books(gate)
            finally:
                await asyncio.to_thread(gate.process.stop)
        finally:
            await asyncio.to_thread(direct.process.stop)
    assert measured.first_wrong == {}
    assert measured.faults == []
    assert measured.answered == measured.recorded > 300
    assert gate.hits > 0
    assert len(measured.memory) == 99
    about = table.About("a machine", "2026-11-21", "a test", {}, {})
    table.write(measured, tmp_path / "gate.json", about)
    written, _ = table.read(tmp_path / "gate.json")
    for measure in ("rps", "streams", "added_p50_ms", "added_p99_ms", "rss_mb"):
        assert set(written[measure]) == {"direct", "comporta"}, measure
    for measure, by in written.items():
        assert all(isinstance(value, int | float) for value in by.values()), measure
    assert written["rps"]["direct"] > written["rps"]["comporta"] > 0
    assert measured.one_p50_ms["comporta"][0] > 0
    assert written["exact_hits_per_s"]["comporta"] > 0
    assert written["rps_one_core"]["comporta"] > 0
    assert written["postgres_cpu_us"]["comporta"] > 0
    assert set(written["others_busy"]) == {"direct", "comporta"}
