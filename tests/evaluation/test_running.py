"""Running suites: what is asked, how many at once, what stops it, and going on after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from comporta.errors import ComportaError, Forbidden, NotFound, UpstreamTimeout
from comporta.evaluation.base import JudgeModel, Tools
from comporta.evaluation.journal import Journal, read
from comporta.evaluation.recording import Recording
from comporta.evaluation.running import Planned, Ran, Runner
from comporta.evaluation.targets import Target
from comporta.evaluation.trial import Trial
from comporta.types import ToolCall
from support.answering import Answering, suite, tools, version

JUDGED = "cases: [{input: x, assert: [{judge: Is it kind?}]}]"
TEN = "cases: [" + ", ".join(f"{{input: question {n}}}" for n in range(10)) + "]"


async def ran(target: Target, plan: Planned, **more: object) -> Ran:
    return await Runner(target, Tools(ask=target.ask), **more).run([plan])  # type: ignore[arg-type]


async def one(target: Answering, text: str, judge: JudgeModel | None = None) -> Trial:
    found = await Runner(target, Tools(ask=target.ask, judge=judge)).run([Planned(suite(text), version())])
    (trial,) = found.trials
    return trial


# ---- one try --------------------------------------------------------------------------------------------------------


async def test_a_try_tells_all_that_is_known_of_an_answer() -> None:
    target = Answering(lambda system, user: {"action": "refund", "confidence": 0.8, "text": "We are sorry about that"})
    trial = await one(
        target, "cases: [{id: a, input: 'Quero o meu dinheiro de volta, por favor', assert: [{contains: sorry}]}]"
    )
    assert trial.passed and trial.model == "m" and (trial.cost_microusd, trial.latency_s) == (10, 0.25)
    assert (trial.action, trial.confidence, trial.action_source) == ("refund", 0.8, "json")
    assert (trial.detected_language or "").startswith("pt") and trial.response_language == "en"


async def test_a_language_given_wins_over_the_guess() -> None:
    trial = await one(Answering(lambda *_: "Ja."), "cases: [{input: Where is my order please, language: de-AT}]")
    assert trial.detected_language == "de-AT"


async def test_the_action_may_be_a_tool_call_and_says_so() -> None:
    called = Answering(lambda *_: ToolCall("1", "escalate", '{"confidence": 0.4}'))
    trial = await one(called, "cases: [{input: x, expected_behavior: escalate}]")
    assert (trial.action, trial.confidence, trial.action_source, trial.passed) == ("escalate", 0.4, "tool_call", True)


async def test_a_declared_classifier_finds_the_action_by_a_model() -> None:
    target = Answering(lambda *_: "Done.", judges={"reason": "r", "label": "refund", "confidence": 0.7})
    text = "cases: [{input: x, expected_behavior: Refund}]\naction: {one_of: [refund, escalate], model: small}"
    trial = await one(target, text)
    assert (trial.action, trial.action_source, trial.passed) == ("refund", "classifier", True)
    assert target.judged[0].model == "small" and trial.judging_microusd == 5


async def test_another_action_than_expected_fails_and_says_where_it_was_read() -> None:
    trial = await one(Answering(lambda *_: {"action": "escalate"}), "cases: [{input: x, expected_behavior: refund}]")
    assert trial.passed is False and trial.failures[0].reason == "the action is escalate (by json), not refund"


async def test_a_sentence_of_expected_behaviour_goes_to_the_judge() -> None:
    target = Answering(lambda *_: "Sure!", judges={"reason": "it refuses nothing", "score": 2})
    text = "cases: [{input: x, expected_behavior: It declines politely and offers a colleague.}]"
    trial = await one(target, text, JudgeModel("judge"))
    assert trial.passed is False and trial.failures[0].value == 0.2
    unjudged = await one(target, text)
    assert unjudged.passed is None and "there is no judge" in unjudged.unjudged[0]


async def test_the_guards_of_the_prompt_go_along_with_the_question() -> None:
    target = Answering(lambda *_: "ok")
    guarded = version("variables: [message]\nguardrails: {input: [{type: jailbreak_detection, action: block}]}\n")
    await Runner(target, tools(target)).run([Planned(suite("cases: [{input: x}]"), guarded)])
    (guards,) = target.guardrails
    assert guards is not None and guards.input[0].type == "jailbreak_detection"


# ---- many -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_no_more_run_at_once_than_is_said(concurrency: int) -> None:
    target = Answering(lambda *_: "ok", delay_s=0.005)
    found = await ran(target, Planned(suite(TEN), version()), concurrency=concurrency)
    assert len(found.trials) == 10 and target.most_at_once == concurrency


async def test_each_case_is_tried_once_before_any_is_repeated() -> None:
    target = Answering(lambda *_: "ok")
    await ran(target, Planned(suite(TEN + "\ndefaults: {repeats: 2}"), version()), concurrency=1)
    users = [body["messages"][-1]["content"] for body in target.asked]
    assert users[:10] == users[10:] and len(set(users[:10])) == 10


async def test_both_versions_answer_the_same_cases_and_the_candidate_is_held_against_the_baseline() -> None:
    target = Answering(
        lambda system, user: f"{system}!",
        judges=lambda call: {
            "reason": "r", "better": "FIRST" if "New" in call.input.messages[1].text.split("END")[1] else "SECOND",
        },
    )  # fmt: skip
    text = "judge: j\ncases: [{input: x, assert: [{better_than: baseline, name: preferred}, {contains: '!'}]}]"
    plan = Planned(suite(text), version(at="2.0.0", system="New"), version(at="1.0.0", system="Old"))
    found = {one.side: one for one in (await ran(target, plan)).trials}
    assert (found["baseline"].output, found["candidate"].output) == ("Old!", "New!")
    assert [one.name for one in found["baseline"].outcomes] == ["contains: !"]
    assert [one.name for one in found["candidate"].outcomes] == ["preferred", "contains: !"]
    assert found["candidate"].passed


async def test_without_a_baseline_nothing_is_asked_about_it() -> None:
    trial = await one(Answering(lambda *_: "ok"), "judge: j\ncases: [{input: x, assert: [{better_than: baseline}]}]")
    assert trial.passed and trial.outcomes == ()


async def test_one_try_that_fails_upstream_sinks_no_other() -> None:
    late = UpstreamTimeout("too late")
    found = await ran(Answering(lambda s, user: late if "3" in user else "ok"), Planned(suite(TEN), version()))
    (failed,) = [trial for trial in found.trials if trial.error]
    assert (failed.error, failed.passed, found.broken) == ("too late", None, None) and len(found.trials) == 10


@pytest.mark.parametrize(
    "error", [Forbidden("no such right"), NotFound("no such model"), ComportaError("x", code="gate_unreachable")]
)
async def test_what_every_try_would_meet_ends_the_run_at_once(error: ComportaError) -> None:
    target = Answering(lambda *_: error)
    found = await ran(target, Planned(suite(TEN), version()), concurrency=2)
    assert found.broken == error.message and len(target.asked) <= 2


# ---- the ceiling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3, 8])
async def test_a_ceiling_is_never_passed_and_stops_the_run_cleanly(concurrency: int) -> None:
    target = Answering(lambda *_: "ok", cost_microusd=100, delay_s=0.001)
    found = await ran(target, Planned(suite(TEN), version()), concurrency=concurrency, max_cost_microusd=450)
    assert len(found.trials) == 4 and found.spent_microusd == 400
    assert found.stopped is not None and "ceiling" in found.stopped and found.broken is None


async def test_judges_count_against_the_ceiling_too() -> None:
    target = Answering(lambda *_: "ok", cost_microusd=0, judges={"reason": "r", "score": 9})
    text = TEN + "\njudge: j\ndefaults: {assert: [{judge: Is it good?}]}"
    found = await ran(target, Planned(suite(text), version()), max_cost_microusd=15)
    assert found.spent_microusd == 15 and len(found.trials) == 3 and found.stopped


async def test_a_ceiling_that_is_not_reached_stops_nothing() -> None:
    found = await ran(Answering(lambda *_: "ok"), Planned(suite(TEN), version()), max_cost_microusd=100)
    assert len(found.trials) == 10 and found.stopped is None and found.spent_microusd == 100


async def test_with_a_ceiling_an_unknown_price_breaks_the_run_off() -> None:
    target = Answering(lambda *_: "ok", cost_microusd=None)
    found = await ran(target, Planned(suite(TEN), version()), max_cost_microusd=100)
    assert found.broken is not None and "register the model's price" in found.broken and len(target.asked) == 1
    assert (
        await ran(Answering(lambda *_: "ok", cost_microusd=None), Planned(suite(TEN), version()))
    ).spent_microusd is None


# ---- going on -------------------------------------------------------------------------------------------------------


async def test_a_run_goes_on_where_the_one_before_stopped(tmp_path: Path) -> None:
    plan, path = Planned(suite(TEN), version()), tmp_path / "tests" / "journal.jsonl"
    first, again = Answering(lambda *_: "ok", cost_microusd=100), Answering(lambda *_: "ok", cost_microusd=100)
    with Journal(path, resume=False) as journal:
        await ran(first, plan, max_cost_microusd=400, keep=journal.add)
    with path.open("ab") as file:
        file.write(b'{"key": "torn')
    with Journal(path, resume=True) as journal:
        found = await ran(again, plan, known=journal.known, keep=journal.add)
    assert (len(first.asked), len(again.asked), found.resumed, len(found.trials)) == (4, 6, 4, 10)
    assert found.spent_microusd == 600 and len(read(path)) == 10
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_changed_since_is_asked_again_and_so_is_what_failed(tmp_path: Path) -> None:
    path, late = tmp_path / "journal", UpstreamTimeout("late")
    with Journal(path, resume=False) as journal:
        target = Answering(lambda s, user: late if "3" in user else "ok")
        await ran(target, Planned(suite(TEN), version()), keep=journal.add)
    known = Journal(path, resume=True).known
    for text, plan in (
        ("only what failed", Planned(suite(TEN), version())),
        ("another prompt", Planned(suite(TEN), version(system="Another."))),
        ("another model", Planned(suite(TEN), version(model="other"))),
        ("another case", Planned(suite(TEN.replace("question 1}", "question one}")), version())),
    ):
        target = Answering(lambda *_: "ok")
        await ran(target, plan, known=known)
        wanted = {"only what failed": 1, "another case": 2}.get(text, 10)
        assert len(target.asked) == wanted, text


async def test_what_another_judge_said_is_not_taken_for_the_word_of_this_one(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    target = Answering(lambda *_: "ok", judges={"reason": "It is.", "score": 9})
    for text, names, asked in ((JUDGED, "aab", [1, 0, 1]), (f"judge: own\n{JUDGED}", "ab", [1, 0])):
        with Journal(path, resume=False) as journal:
            for name, wanted in zip(names, asked, strict=True):
                before, known = len(target.judged), read(path)
                given = Tools(ask=target.ask, judge=JudgeModel(name))
                await Runner(target, given, known=known, keep=journal.add).run([Planned(suite(text), version())])
                assert len(target.judged) - before == wanted, (text, name)


async def test_a_baseline_that_was_tried_before_is_not_asked_again(tmp_path: Path) -> None:
    old, path = version(system="Old."), tmp_path / "journal"
    with Journal(path, resume=False) as journal:
        await ran(Answering(lambda *_: "ok"), Planned(suite(TEN), version(system="A."), old), keep=journal.add)
    target = Answering(lambda *_: "ok")
    await ran(target, Planned(suite(TEN), version(system="B."), old), known=Journal(path, resume=True).known)
    assert {body["messages"][0]["content"] for body in target.asked} == {"B."}


KILLED = """
import asyncio, sys
from pathlib import Path
from comporta.evaluation.base import Tools
from comporta.evaluation.journal import Journal
from comporta.evaluation.running import Planned, Runner
from support.answering import Answering, suite, version
from evaluation.test_running import TEN

async def main():
    target = Answering(lambda *_: "ok", delay_s=0.2)
    with Journal(Path(sys.argv[1]), resume=False) as journal:
        runner = Runner(target, Tools(ask=target.ask), concurrency=2, keep=journal.add)
        await runner.run([Planned(suite(TEN), version())])

asyncio.run(main())
"""


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def killed(path: Path) -> int:
    """How many tries stand in the journal of a run that was killed in its midst."""
    place = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(place)}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], env=environment) as run:
        until = time.monotonic() + 90
        while len(read(path)) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    return len(read(path))


async def test_a_run_that_is_killed_goes_on_with_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    had = await asyncio.to_thread(killed, path)
    assert 2 <= had < 10
    target = Answering(lambda *_: "ok")
    with Journal(path, resume=True) as journal:
        found = await ran(target, Planned(suite(TEN), version()), known=journal.known, keep=journal.add)
    assert len(target.asked) == 10 - had and len(found.trials) == 10


def test_a_journal_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComportaError, match="can't be written"), Journal(tmp_path / "file" / "journal", resume=False):
        pass


# ---- recorded answers -----------------------------------------------------------------------------------------------


async def test_what_was_recorded_is_given_again_judges_and_repeats_too(tmp_path: Path) -> None:
    count = 0

    def says(*_: str) -> str:
        nonlocal count
        count += 1
        return f"answer {count}"

    text = "judge: j\ncases: [{input: x, repeats: 3, assert: [{judge: Is it good?, name: good}]}]"
    target = Answering(says, judges={"reason": "r", "score": 9})
    plan = Planned(suite(text), version())
    asked = await ran(Recording(tmp_path / "kept", target), plan)
    again = await ran(Recording(tmp_path / "kept"), plan)
    assert sorted(one.output for one in again.trials) == ["answer 1", "answer 2", "answer 3"]
    assert [(t.output, t.cost_microusd, t.latency_s, t.outcomes) for t in again.trials] == [
        (t.output, t.cost_microusd, t.latency_s, t.outcomes) for t in asked.trials
    ]  # fmt: skip
    assert len(target.asked) == 3 and len(target.judged) == 3


async def test_a_question_that_nobody_recorded_breaks_the_run_off_and_says_what_to_do(tmp_path: Path) -> None:
    await ran(Recording(tmp_path, Answering(lambda *_: "ok")), Planned(suite("cases: [{input: x}]"), version()))
    found = await ran(Recording(tmp_path), Planned(suite("cases: [{input: y}]"), version()))
    assert found.broken is not None and "«y»" in found.broken and "--record" in found.broken


async def test_a_recording_that_is_no_json_is_told_by_its_file(tmp_path: Path) -> None:
    plan = Planned(suite("cases: [{input: x}]"), version())
    await ran(Recording(tmp_path, Answering(lambda *_: "ok")), plan)
    (file,) = files_in(tmp_path)
    file.write_text("{")
    (trial,) = (await ran(Recording(tmp_path), plan)).trials
    assert trial.error is not None and file.name in trial.error
