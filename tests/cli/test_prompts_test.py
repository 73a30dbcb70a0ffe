"""`comporta prompts test`, as it is typed: exit codes, baselines, recordings, ceilings, resumes, what is written."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli.conftest import Type
from comporta.testing.servers import short_folder

PROMPT = """
id: {id}
version: {version}
model: scripted/echo
system_prompt: Help.
user_prompt_template: "{user}"
variables: [message]
"""
#: The scripted model says what the user says.
GOOD, BAD = "Sorry: {message}", "{message}"


class Project:
    """A folder of prompts with a prompt of its own name, so that tests don't meet each other's in the registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = f"p{uuid.uuid4().hex[:8]}"
        (folder / "prompts" / "tests").mkdir(parents=True)

    def prompt(self, user: str = GOOD, version: str = "1.0.0") -> None:
        text = PROMPT.format(id=self.id, version=version, user=user)
        (self.folder / "prompts" / f"{self.id}.yaml").write_text(text)

    def tests(self, count: int = 2, more: str = "") -> None:
        listed = "\n".join(f"  - {{id: c{n}, input: question {n}, tags: [t{n % 2}]}}" for n in range(count))
        text = f"{more}\ndefaults: {{assert: [{{contains: Sorry}}]}}\ncases:\n{listed}\n"
        (self.folder / "prompts" / "tests" / f"{self.id}.yaml").write_text(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def test_a_run_that_passes_writes_its_reports_and_tells_the_registry(at_gate: Type, project: Project) -> None:
    project.prompt()
    project.tests()
    at_gate("prompts", "push")
    done = at_gate(
        "prompts", "test", "--junitxml", "out/j.xml", "--json", "out/r.json", "--markdown", "out/c.md"
    )  # fmt: skip
    assert done.code == 0 and done.out.startswith(f"{project.id}@1.0.0: passed\n  2 cases, 2 tries"), done.err
    assert ElementTree.parse("out/j.xml").getroot().find("testsuite") is not None
    (suite,) = json.loads(Path("out/r.json").read_text())["suites"]
    assert [one["output"] for one in suite["trials"]] == ["Sorry: question 0", "Sorry: question 1"]
    assert "passed" in Path("out/c.md").read_text()
    shown = json.loads(at_gate("prompts", "show", f"{project.id}@1.0.0", "--json").out)
    assert [(one["verdict"], one["green"], one["summary"]["cases"]) for one in shown["tests"]] == [("passed", True, 2)]


def test_a_part_of_the_tests_or_another_model_is_not_told_the_registry(at_gate: Type, project: Project) -> None:
    project.prompt()
    project.tests()
    at_gate("prompts", "push")
    for option in (("--case", "c0"), ("--tag", "t1"), ("--model", "scripted/echo"), ("--no-keep",)):
        assert at_gate("prompts", "test", *option).code == 0
    assert json.loads(at_gate("prompts", "show", f"{project.id}@1.0.0", "--json").out)["tests"] == []


def test_a_failing_case_ends_in_1_with_question_reason_and_place(at_gate: Type, project: Project) -> None:
    project.prompt(BAD)
    project.tests()
    done = at_gate("prompts", "test")
    assert done.code == 1 and "2 cases of 2 failed: 0.0% passed, asked is 100.0%" in done.out
    assert "failed c0: «question 0»" in done.out and f"(prompts/tests/{project.id}.yaml:2)" in done.out


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda p: p.tests(more="casess: 1"), "casess: unknown key; did you mean 'cases'?"),
        (lambda p: None, "holds no file of tests at all"),
        (lambda p: (p.folder / "prompts" / "tests" / "else.yaml").write_text("cases: [{input: x}]"), "no such prompt"),
        (lambda p: (p.folder / "prompts" / f"{p.id}.yaml").write_text("version: 1\n"), "is no version by semver"),
        (lambda p: p.tests(more="model: nothing/here"), "nothing"),
        (
            lambda p: (
                p.tests(),
                (p.folder / "prompts/tests/b.yaml").write_text(f"prompt: {p.id}\ncases: [{{input: x}}]\n"),
            ),
            "make them one file",
        ),
    ],
)
def test_a_broken_set_up_ends_in_2(at_gate: Type, project: Project, break_it: object, said: str) -> None:
    project.prompt()
    break_it(project)  # type: ignore[operator]
    done = at_gate("prompts", "test")
    assert done.code == 2 and said in done.out + done.err, done


def test_a_gate_that_is_not_there_ends_in_2(typed: Type, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.prompt()
    project.tests()
    monkeypatch.setenv("COMPORTA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COMPORTA_KEY", "cmp-none")
    done = typed("prompts", "test")
    assert done.code == 2 and "can't be reached" in done.out
    assert typed("prompts", "test", "--record", "a", "--replay", ".").code == 2


def test_against_production_the_verdict_ends_in_0_3_or_4(at_gate: Type, project: Project) -> None:
    project.prompt()
    project.tests(40)
    first = at_gate("prompts", "test", "--baseline", "production")
    assert first.code == 0 and f"production has no {project.id} yet" in first.err
    at_gate("prompts", "push")
    assert at_gate("prompts", "deploy", f"{project.id}@1.0.0", "--env", "production", "--yes", "--commit-sha", "c",
                   "--author", "a").code == 0  # fmt: skip
    same = at_gate("prompts", "test", "--baseline", "production")
    assert same.code == 0 and "no worse" in same.out and "the text is the same as production's" in same.out
    project.prompt(BAD, "1.1.0")
    worse = at_gate("prompts", "test", "--baseline", "production")
    assert worse.code == 3 and f"{project.id}@1.1.0 against {project.id}@1.0.0 (production): worse" in worse.out
    project.prompt("Sorry, dear: {message}", "1.1.0")
    few = at_gate("prompts", "test", "--baseline", "1.0.0", "--case", "c1", "--case", "c2")
    assert few.code == 4 and "more cases like these would decide it" in few.out
    slip = at_gate("prompts", "test", "--baseline", "9.9.9")
    assert slip.code == 2 and "no prompt that is tested has a version 9.9.9" in slip.err


def test_recorded_answers_are_replayed_without_any_gate(
    at_gate: Type, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.prompt()
    project.tests()
    assert at_gate("prompts", "test", "--record", "kept", "--no-keep").code == 0
    at_gate("prompts", "push")
    assert at_gate("prompts", "test", "--replay", "kept").code == 0
    assert "passed" not in at_gate("prompts", "show", f"{project.id}@1.0.0", "--json").out
    assert at_gate("prompts", "test").code == 0
    assert "passed" in at_gate("prompts", "show", f"{project.id}@1.0.0", "--json").out
    monkeypatch.setenv("COMPORTA_DATA", str(project.folder / "elsewhere"))
    again = at_gate("prompts", "test", "--replay", "kept")
    assert again.code == 0 and "2 tries" in again.out
    project.prompt("Sorry! {message}", "1.0.1")
    other = at_gate("prompts", "test", "--replay", "kept")
    assert other.code == 2 and "Record it anew with --record" in other.out


def test_a_ceiling_stops_with_5_and_resume_goes_on(at_gate: Type, project: Project) -> None:
    priced = f"m{project.id}"
    assert (
        at_gate("models", "add", priced, "scripted/echo", "--input-price", "1000", "--output-price", "1000").code == 0
    )
    project.prompt()
    project.tests(6, f"model: {priced}")
    one = at_gate("prompts", "test", "--case", "c0", "--json", "-")
    spent = json.loads(one.out)["spent_usd"]
    assert spent > 0
    stopped = at_gate("prompts", "test", "--max-cost", f"{spent * 3.5:.6f}", "--concurrency", "2")
    assert stopped.code == 5 and "3 of 6 tries done; --resume goes on" in stopped.out
    resumed = at_gate("prompts", "test", "--resume", "--max-cost", "100")
    assert resumed.code == 0 and "3 tries taken from the run before" in resumed.err


def test_a_route_is_tested_with_its_own_prompt(at_gate: Type, project: Project) -> None:
    project.prompt(BAD)
    project.tests(1)
    done = at_gate("prompts", "test", "--route", "scripted/echo?tokens=3")
    assert done.code == 1 and "route scripted/echo?tokens=3: failed" in done.out
    assert at_gate("prompts", "test", "--route", "house", "--baseline", "production").code == 2


def test_without_a_gate_one_is_opened_for_the_run(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    with short_folder() as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COMPORTA_DATA", str(folder / "data"))
        (folder / "comporta.yaml").write_text("providers: {scripted: {}}\n")
        project = Project(folder)
        project.prompt()
        project.tests()
        done = typed("prompts", "test", "--baseline", "staging", "--json", "-")
        found = json.loads(done.out)
        assert done.code == found["exit_code"] == 0 and found["spent_usd"] == 0
        assert f"staging has no {project.id} yet" in done.err
