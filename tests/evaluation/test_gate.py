"""The gate: which status a run comes to, and what is written down of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from comporta.errors import UpstreamTimeout
from comporta.evaluation.base import Tools
from comporta.evaluation.gate import Report, Tested, judge
from comporta.evaluation.reports import LONGEST_MARKDOWN, junit, markdown, plain, summary
from comporta.evaluation.running import Planned, Runner
from support.answering import Answering, suite, version

OLD, NEW = "Old", "New"
Says = Callable[[str, str], Any]


def cases(count: int, more: str = "") -> str:
    listed = ", ".join(f"{{id: c{n}, input: question {n}}}" for n in range(count))
    return f"defaults: {{assert: [{{contains: good}}]}}\ncases: [{listed}]\n{more}"


async def report(says: Says, text: str, *, baseline: bool = False, judges: Any = None, **more: Any) -> Report:
    target = Answering(says, judges=judges)
    plan = Planned(suite(text), version(at="2.0.0", system=NEW), version(system=OLD) if baseline else None)
    ran = await Runner(target, Tools(ask=target.ask), **more).run([plan])
    return judge([plan], ran, against="production" if baseline else None)


async def outcome_of(says: Says, text: str, **more: Any) -> Tested:
    (one,) = (await report(says, text, **more)).tested
    return one


def number(user: str) -> int:
    return int(user.rsplit(" ", 1)[1])


# ---- alone ----------------------------------------------------------------------------------------------------------


async def test_all_that_passes_is_passed() -> None:
    made = await report(lambda *_: "good", cases(3))
    assert (made.tested[0].status, made.exit_code, made.tested[0].pass_share) == ("passed", 0, 1.0)


async def test_one_failing_case_fails_where_all_must_pass() -> None:
    made = await report(lambda s, user: "bad" if number(user) == 1 else "good", cases(4))
    assert (made.tested[0].status, made.exit_code) == ("failed", 1)
    assert made.tested[0].reasons == ("1 case of 4 failed: 75.0% passed, asked is 100.0%",)


async def test_a_share_may_be_asked_and_required_cases_still_must_pass() -> None:
    def says(system: str, user: str) -> str:
        return "bad" if number(user) == 1 else "good"

    assert (await outcome_of(says, cases(4, "gate: {pass_rate: 75%}"))).status == "passed"
    required = cases(4, "gate: {pass_rate: 75%}").replace("question 1}", "question 1, required: true}")
    found = await outcome_of(says, required)
    assert found.status == "failed" and found.reasons == ("c1 is required and failed",)


async def test_a_case_counts_once_however_often_it_is_repeated() -> None:
    text = cases(2, "gate: {pass_rate: 50%}").replace("question 0}", "question 0, repeats: 9}")
    found = await outcome_of(lambda s, user: "bad" if number(user) == 0 else "good", text)
    assert (found.pass_share, found.tried, found.status) == (0.5, 10, "passed")


async def test_what_got_no_answer_is_no_failure_and_no_success() -> None:
    late = UpstreamTimeout("too late")
    made = await report(lambda s, user: late if number(user) == 1 else "good", cases(3))
    assert (made.tested[0].status, made.exit_code) == ("broken", 2)
    assert made.tested[0].reasons == (
        "1 try could not be judged; --resume asks those again", "c1 (candidate): too late",
    )  # fmt: skip


async def test_a_run_that_its_ceiling_stopped_is_neither() -> None:
    made = await report(lambda *_: "good", cases(9), max_cost_microusd=50)
    assert (made.tested[0].status, made.exit_code, made.tested[0].tried) == ("stopped", 5, 5)
    assert "5 of 9 tries done; --resume goes on" in made.tested[0].reasons[0]


# ---- against a baseline ---------------------------------------------------------------------------------------------


def by_version(old: Callable[[int], bool], new: Callable[[int], bool]) -> Says:
    """Good answers of each version by the case's number."""
    return lambda system, user: "good" if (old if system == OLD else new)(number(user)) else "bad"


@pytest.mark.parametrize(
    ("old", "new", "count", "status", "code"),
    [
        (lambda n: n % 2 == 0, lambda n: True, 40, "better", 0),
        (lambda n: True, lambda n: n % 2 == 0, 40, "worse", 3),
        (lambda n: n != 3, lambda n: n != 3, 80, "no worse", 0),
        (lambda n: True, lambda n: True, 10, "not enough data", 4),
        (lambda n: True, lambda n: n != 1, 12, "not enough data", 4),
    ],
)
async def test_the_verdict_of_both_versions_on_the_same_cases(
    old: Callable[[int], bool], new: Callable[[int], bool], count: int, status: str, code: int
) -> None:
    made = await report(by_version(old, new), cases(count), baseline=True)
    (one,) = made.tested
    assert (one.status, made.exit_code, one.baseline) == (status, code, "support@1.0.0 (production)")
    assert one.passes is not None and one.passes.cases == count and one.reasons[0].startswith(f"passes: {status},")


async def test_not_enough_data_says_how_many_more_cases_would_tell() -> None:
    one = await outcome_of(by_version(lambda n: True, lambda n: True), cases(10), baseline=True)
    assert one.passes is not None and one.passes.more == 63
    assert one.reasons[0].endswith("about 63 more cases like these would decide it")


async def test_a_required_case_fails_the_run_also_where_the_candidate_is_no_worse() -> None:
    text = cases(80).replace("question 3}", "question 3, required: true}")
    one = await outcome_of(by_version(lambda n: n != 3, lambda n: n != 3), text, baseline=True)
    assert one.status == "failed"


async def test_the_same_text_is_no_worse_without_being_asked_twice() -> None:
    target = Answering(lambda *_: "good")
    plan = Planned(suite(cases(3)), version(), same=True)
    made = judge([plan], await Runner(target, Tools(ask=target.ask)).run([plan]), against="production")
    (one,) = made.tested
    assert (one.status, one.reasons, len(target.asked)) == ("no worse", ("the text is the same as production's",), 3)


async def test_a_metric_of_the_gate_can_shut_it_though_all_cases_pass() -> None:
    def marks(call: Any) -> dict[str, Any]:
        return {"reason": "r", "score": 9 if "good old" in call.input.messages[1].text else 5}

    text = cases(80, "judge: j\ngate: {metrics: {polite: 0.1}}").replace(
        "[{contains: good}]", "[{contains: good}, {judge: Is it polite?, name: polite, pass_at: 10%}]"
    )
    one = await outcome_of(lambda system, user: f"good {system.lower()}", text, baseline=True, judges=marks)
    assert one.status == "worse" and one.reasons[1].startswith("polite: worse, -0.4")
    (polite,) = [m for m in one.measured if m.name == "polite"]
    assert polite.gates and polite.paired is not None and polite.paired.verdict == "worse"
    # Two questions are asked of the same answers: each with half of the errors that one might make.
    assert polite.paired.level == pytest.approx(0.975)
    shown = await outcome_of(
        lambda system, user: f"good {system.lower()}", text.replace("gate: {metrics: {polite: 0.1}}", ""),
        baseline=True, judges=marks,
    )  # fmt: skip
    assert shown.status == "no worse"


async def test_a_metric_that_nothing_measured_breaks_the_gate() -> None:
    one = await outcome_of(lambda *_: "good", cases(2, "gate: {metrics: {politeness: 0.1}}"))
    assert one.status == "broken" and "gate.metrics names politeness" in one.reasons[0]


async def test_a_judge_that_draws_lots_is_refused_as_a_gate() -> None:
    marks = iter([2, 9, 9, 1, 10, 3] * 100)
    text = cases(8, "judge: {model: j, repeats: 3}").replace(
        "[{contains: good}]", "[{judge: Is it polite?, name: polite}]"
    )
    one = await outcome_of(lambda *_: "good", text, judges=lambda call: {"reason": "r", "score": next(marks)})
    assert one.status == "broken" and "a judge too noisy to tell is no gate" in one.reasons[0]
    assert one.noise[0].name == "polite" and one.noise[0].too_noisy


async def test_a_steady_judge_is_shown_and_let_through_and_so_is_a_noisy_one_without_a_say() -> None:
    text = cases(8, "judge: {model: j, repeats: 3}").replace(
        "[{contains: good}]", "[{judge: Is it polite?, name: polite}]"
    )
    steady = await outcome_of(lambda *_: "good", text, judges={"reason": "r", "score": 9})
    assert steady.status == "passed" and steady.noise[0].known and not steady.noise[0].too_noisy
    marks = iter([2, 9, 9] * 100)
    optional = text.replace("name: polite}", "name: polite, optional: true}")
    one = await outcome_of(lambda *_: "good", optional, judges=lambda call: {"reason": "r", "score": next(marks)})
    assert one.status == "passed" and one.noise == ()


async def test_being_preferred_does_not_count_as_passing_more_cases() -> None:
    text = "judge: j\ncases: [" + ", ".join(
        f"{{input: question {n}, assert: [{{better_than: baseline, name: preferred}}]}}" for n in range(8)
    ) + "]"  # fmt: skip
    one = await outcome_of(lambda system, user: system, text, baseline=True, judges={"reason": "r", "better": "TIE"})
    assert one.pass_share == 0 and one.passes is not None and one.passes.effect == 0


async def test_the_worst_of_several_suites_is_the_exit_code() -> None:
    good, bad = Answering(lambda *_: "good"), Answering(lambda *_: "bad")
    reports = []
    for target in (good, bad):
        plan = Planned(suite(cases(2)), version())
        reports.append(judge([plan], await Runner(target, Tools(ask=target.ask)).run([plan])).tested[0])
    assert Report(tuple(reports), 0).exit_code == 1


# ---- written down ---------------------------------------------------------------------------------------------------


async def failing() -> Report:
    def says(system: str, user: str) -> str:
        return "bad <b>@everyone</b> \x07 | `x`" if number(user) == 1 else "good"

    return await report(says, cases(3), baseline=False)


async def test_junit_has_a_case_for_each_case_and_one_for_the_gate() -> None:
    root = ElementTree.fromstring(junit(await failing()))
    (made,) = root
    assert (made.get("tests"), made.get("failures"), made.get("errors")) == ("4", "2", "0")
    told = {one.get("name"): [below.tag for below in one] for one in made}
    assert told == {"c0": [], "c1": ["failure"], "c2": [], "gate": ["failure"]}
    failure = made.find("testcase[@name='c1']/failure")
    assert failure is not None and "has no «good»" in (failure.text or "") and "support.yaml:" in (failure.text or "")


async def test_junit_of_a_regression_fails_in_the_gate_and_not_enough_data_is_skipped() -> None:
    worse = await report(by_version(lambda n: True, lambda n: n % 2 == 0), cases(40), baseline=True)
    few = await report(by_version(lambda n: True, lambda n: True), cases(3), baseline=True)
    tags = [
        [below.tag for below in ElementTree.fromstring(junit(one)).findall("testsuite/testcase[@name='gate']/*")]
        for one in (worse, few)
    ]  # fmt: skip
    assert tags == [["failure"], ["skipped"]]


async def test_markdown_says_verdict_numbers_and_failures_and_lets_no_answer_be_markup() -> None:
    text = markdown(await failing())
    assert "❌ support@\u200b2.0.0: failed" in text and "66.7% passed" in text
    assert "<b>" not in text and "@everyone" not in text and "\\|" in text and "\\`x\\`" in text
    compared = markdown(await report(by_version(lambda n: True, lambda n: True), cases(3), baseline=True))
    assert "support@\u200b2.0.0 against support@\u200b1.0.0 (production): not enough data" in compared
    assert "| **passes** | 100.0% | 100.0% | +0.0 points" in compared and "**not enough data**" in compared


async def test_markdown_fits_into_a_comment_whatever_was_answered() -> None:
    made = await report(lambda *_: "bad " * 5_000, cases(300))
    assert len(markdown(made)) <= LONGEST_MARKDOWN + 100


async def test_json_holds_every_try_and_no_infinity() -> None:
    made = plain(await report(by_version(lambda n: True, lambda n: True), cases(1), baseline=True))
    text = json.dumps(made, allow_nan=False)
    assert json.loads(text)["suites"][0]["trials"][0]["passed"] is True and made["exit_code"] == 4


async def test_the_summary_for_the_registry_is_small() -> None:
    one = (await report(by_version(lambda n: True, lambda n: True), cases(90), baseline=True)).tested[0]
    found = summary(one)
    assert found["verdict"] == "no worse" and found["cases"] == 90 and found["baseline"] == "support@1.0.0 (production)"
    assert len(json.dumps(found)) < 1_000
