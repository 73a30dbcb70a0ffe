"""`PromptSuite` in a program, and its pytest plugin in somebody's own run of pytest."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from comporta.compat import PromptTestSuite
from comporta.errors import ComportaError, NotFound, UpstreamTimeout
from comporta.evaluation.assertions import assertion
from comporta.testing import PromptSuite
from comporta.testing.prompt_suite import AssertionUnjudged, Bench
from comporta.testing.servers import short_folder
from support.answering import Answering

PROMPT = """
id: support
version: 2.3.1
model: m
system_prompt: Help.
user_prompt_template: "{message}"
variables: [message]
"""
CONFIG = """
providers:
  scripted:
    options:
      script:
        good: {text: '{"action": "refund", "confidence": 0.9, "reply": "We are sorry about your order."}'}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "support.yaml").write_text(PROMPT)
    (tmp_path / "tests" / "support.yaml").write_text(
        "judge: j\ncases: [{id: refund, input: Money back, expected_behavior: refund, assert: [{contains: sorry}]}]\n"
    )
    return tmp_path


@pytest.fixture
def target() -> Answering:
    said = {"action": "refund", "confidence": 0.9, "reply": "We are sorry about your order"}
    return Answering(lambda *_: said, judges={"reason": "kind", "score": 8})


@pytest.fixture
def suite(folder: Path, target: Answering) -> Iterator[PromptSuite]:
    with Bench(target=target) as bench:
        yield PromptSuite("support", folder=folder, bench=bench)


def test_a_question_gives_all_that_is_known_of_its_answer(suite: PromptSuite) -> None:
    result = suite.run(input="Quero o meu dinheiro de volta", language="pt-BR", expected_behavior="refund")
    assert json.loads(result.output)["action"] == "refund"
    assert (result.action, result.confidence, result.action_source) == ("refund", 0.9, "json")
    assert (result.detected_language, result.response_language) == ("pt-BR", "en")
    assert (result.guardrail_triggered, result.cost, result.latency_s) == (None, 0.00001, 0.25)
    assert result.passed and result.scores == {"expected_behavior: refund": True}


def test_assertions_and_judges_are_those_of_a_file_of_tests(suite: PromptSuite) -> None:
    result = suite.run(
        "Money!", assertions=[{"contains": "never there"}, assertion("judge", "Is it kind?", name="kind")]
    )
    assert not result.passed and result.scores == {"contains: never there": False, "kind": 0.8}
    assert len(result.failures) == 1 and "has no «never there»" in result.failures[0]
    assert result.cost == pytest.approx(0.000015)


def test_history_and_variables_go_along(suite: PromptSuite, target: Answering) -> None:
    suite.run(variables={"message": "And now?"}, history=[{"role": "user", "content": "Hi"}])
    assert [one["content"] for one in target.asked[0]["messages"]] == ["Help.", "Hi", "And now?"]


def test_the_cases_of_the_file_can_be_run_one_by_one(suite: PromptSuite) -> None:
    assert suite.cases == ("refund",)
    assert suite.run_case("refund").passed
    with pytest.raises(KeyError, match="has no case refunds; it has refund"):
        suite.run_case("refunds")


def test_no_answer_is_an_error_and_so_is_what_nobody_can_judge(folder: Path) -> None:
    late = Answering(lambda *_: UpstreamTimeout("too late"))
    with Bench(target=late) as bench, pytest.raises(ComportaError, match="too late"):
        PromptSuite("support", folder=folder, bench=bench).run("x")
    (folder / "tests" / "support.yaml").unlink()
    plain = Answering(lambda *_: "ok")
    with Bench(target=plain) as bench, pytest.raises(AssertionUnjudged, match="no judge"):
        PromptSuite("support", folder=folder, bench=bench).run("x", expected_behavior="It says hello to everybody.")


def test_a_prompt_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(NotFound, match="support has no version 9"):
        PromptSuite("support@9.0.0", folder=folder)


async def test_it_runs_within_a_running_loop_too(suite: PromptSuite) -> None:
    await asyncio.sleep(0)
    assert suite.run("x").output


def test_answers_are_recorded_and_replayed(folder: Path, target: Answering, tmp_path: Path) -> None:
    with Bench(target=target, record=tmp_path / "kept") as bench:
        first = PromptSuite("support", folder=folder, bench=bench).run("x").output
    with Bench(replay=tmp_path / "kept") as bench:
        assert PromptSuite("support", folder=folder, bench=bench).run("x").output == first
        with pytest.raises(ComportaError, match="Nothing is recorded"):
            PromptSuite("support", folder=folder, bench=bench).run("y")


def test_the_name_that_people_wrote_is_the_same_thing(folder: Path, target: Answering) -> None:
    with Bench(target=target) as bench:
        result = PromptTestSuite("support-v2.3.1", folder=folder, bench=bench).run(
            input="Money back", expected_behavior="refund", language="en"
        )
    assert result.action == "refund" and result.passed


# ---- the plugin -----------------------------------------------------------------------------------------------------


def ran(folder: Path, *arguments: str, plugin: bool = True) -> subprocess.CompletedProcess[str]:
    """pytest in a folder of its own, with the plugin alone."""
    named = ["-p", "comporta.testing.plugin"] if plugin else []
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COMPORTA_DATA": str(folder / "data")}
    environment.pop("COMPORTA_URL", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *named, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_fixture_makes_suites_in_somebodys_own_tests() -> None:
    with short_folder() as folder:
        (folder / "prompts").mkdir()
        (folder / "comporta.yaml").write_text(CONFIG)
        (folder / "prompts" / "support.yaml").write_text(PROMPT.replace("model: m", "model: scripted/good"))
        (folder / "test_support.py").write_text(
            dedent("""
            def test_it_refunds(prompt_suite):
                assert prompt_suite("support").run(input="Money!", expected_behavior="refund").passed

            def test_it_escalates(prompt_suite):
                result = prompt_suite("support").run(input="Money!", expected_behavior="escalate")
                assert result.passed, result.failures
            """)
        )
        done = ran(folder, "--comporta-record", "kept")
        assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
        assert "the action is refund (by json), not escalate" in done.stdout
        (folder / "comporta.yaml").write_text("providers: {}\n")
        assert "1 failed, 1 passed" in ran(folder, "--comporta-replay", "kept").stdout


def test_suites_of_one_process_share_a_gate_with_each_other_and_with_the_fixture() -> None:
    with short_folder() as folder:
        (folder / "prompts").mkdir()
        (folder / "comporta.yaml").write_text(CONFIG)
        (folder / "prompts" / "support.yaml").write_text(PROMPT.replace("model: m", "model: scripted/good"))
        (folder / "test_support.py").write_text(
            dedent("""
            from comporta.testing import PromptSuite

            def test_two_at_once(prompt_suite):
                with PromptSuite("support") as one, PromptSuite("support") as other:
                    for suite in (one, other, prompt_suite("support")):
                        assert suite.run(input="Money!", expected_behavior="refund").passed

            def test_one_after_another_and_one_that_nobody_closes():
                assert PromptSuite("support").run(input="Money!", expected_behavior="refund").passed
                with PromptSuite("support") as suite:
                    assert suite.run(input="Money!", expected_behavior="refund").passed
            """)
        )
        done = ran(folder)
        assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_run_that_does_not_use_it_pays_nothing_and_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        dedent("""
        import sys

        def test_it():
            heavy = {"numpy", "pydantic", "aiohttp", "comporta.app.gate", "comporta.testing.prompt_suite"}
            assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """)
    )
    done = ran(tmp_path, "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_names_the_plugin_to_pytest() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\ncomporta = "comporta.testing.plugin"\n' in text
