"""`comporta prompts push`, `deploy`, `rollback` …, typed at a running gate, with one after another's traces."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from cli.conftest import Type
from comporta.cli import releases
from support.serving import Served
from support.talking import ask

TEXT = "id: {id}\nversion: {version}\nmodel: openai/gpt-4o\nsystem_prompt: {text}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").mkdir()
    return tmp_path / "prompts"


def write(folder: Path, id: str, version: str = "1.0.0", text: str = "Hello.") -> None:
    (folder / f"{id}.yaml").write_text(TEXT.format(id=id, version=version, text=text))


def me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def test_a_push_says_of_each_prompt_what_it_did(at_gate: Type, folder: Path) -> None:
    write(folder, "said-a")
    first = at_gate("prompts", "push", "--commit-sha", "c0ffee", "--author", "Ana <ana@example.com>", "-m", "Why not")
    assert (first.code, first.out) == (0, "new        said-a@1.0.0\n")
    write(folder, "said-b")
    again = at_gate("prompts", "push")
    assert again.out == "unchanged  said-a@1.0.0\nnew        said-b@1.0.0\n" and "1 new, 1 unchanged." in again.err
    [row] = json.loads(at_gate("prompts", "show", "said-a", "--json").out)["versions"]
    assert (row["commit_sha"], row["author"], row["message"]) == ("c0ffee", "Ana <ana@example.com>", "Why not")
    assert row["pushed_by"] == me()


def test_a_refused_one_keeps_all_out_and_is_told_beside_the_others(at_gate: Type, folder: Path) -> None:
    write(folder, "kept-out")
    at_gate("prompts", "push")
    write(folder, "kept-out", text="Bye.")
    write(folder, "kept-new")
    done = at_gate("prompts", "push")
    assert done.code == 1
    assert (
        "refused    kept-out@1.0.0: kept-out@1.0.0 is in the registry with another text: raise the version" in done.out
    )
    assert "new        kept-new@1.0.0" in done.out and done.err.endswith("1 new, 1 refused. Nothing was pushed.\n")
    assert at_gate("prompts", "show", "kept-new").code == 1


def test_the_questions_of_tests_go_along_and_replace_those_of_before(
    at_gate: Type, folder: Path, served: Served
) -> None:
    more = "variables: [{name: question}]\nuser_prompt_template: 'Customer: {question}'\n"
    (folder / "tested.yaml").write_text(TEXT.format(id="tested", version="1.0.0", text="Help.") + more)
    (folder / "tests").mkdir()
    tests = folder / "tests" / "tested.yaml"
    case = "cases:\n  - {id: late, input: Where is it?, assert: [{min_words: 1}]}\n"
    tests.write_text(f"{case}  - {{variables: {{question: Refund me}}, assert: [{{min_words: 1}}]}}\n")
    dry = at_gate("prompts", "push", "--dry-run")
    assert dry.code == 0 and "went along" not in dry.err
    assert ask(served, "/admin/prompts/tested/cases").json["error"]["code"] == "prompt_without_cases"
    assert "Tests of 1 prompt went along: 2 cases." in at_gate("prompts", "push").err
    kept = ask(served, "/admin/prompts/tested/cases?limit=1").json
    assert (kept["cases"], kept["pushed_by"], kept["next"]) == (2, me(), 1)
    asked = {"id": "late", "input": "Customer: Where is it?", "variables": {"question": "Where is it?"}}
    assert kept["data"] == [asked]
    (second,) = ask(served, "/admin/prompts/tested/cases?after=1").json["data"]
    assert second["input"] == "Customer: Refund me"
    tests.write_text(case)
    again = at_gate("prompts", "push")
    assert "unchanged  tested@1.0.0" in again.out
    assert ask(served, "/admin/prompts/tested/cases").json["data"] == [asked]
    log = at_gate("prompts", "log", "tested").out
    assert log.count("prompt.cases") == 2 and "cases=1" in log


def test_tests_with_mistakes_are_told_and_keep_prompts_out_only_where_strict(at_gate: Type, folder: Path) -> None:
    write(folder, "untested")
    (folder / "tests").mkdir()
    (folder / "tests" / "untested.yaml").write_text("cases:\n  - {inputs: x}\n")
    strict = at_gate("prompts", "push", "--strict")
    assert strict.code == 1 and "untested.yaml:2: cases[0].inputs" in strict.err and "Nothing was pushed" in strict.err
    done = at_gate("prompts", "push")
    assert done.code == 0 and "untested.yaml:2" in done.err and "(left out)" in done.err
    assert done.out == "new        untested@1.0.0\n"


def test_a_mistake_is_told_with_file_and_line(at_gate: Type, folder: Path) -> None:
    (folder / "wrong.yaml").write_text("id: wrong\nversion: 1.0.0\nsytem_prompt: x\n")
    done = at_gate("prompts", "push")
    assert done.code == 1 and "wrong.yaml:3: sytem_prompt: unknown key" in done.err
    assert at_gate("prompts", "push", "nowhere").code == 2
    (folder / "wrong.yaml").write_bytes(b"id: wrong\nversion: 1.0.0\nsystem_prompt: \xff\n")
    assert "wrong.yaml:3: is not UTF-8 text" in at_gate("prompts", "push").err


def test_a_dry_run_changes_nothing(at_gate: Type, folder: Path) -> None:
    write(folder, "dry")
    done = at_gate("prompts", "push", "--dry-run")
    assert (done.code, done.out) == (0, "new        dry@1.0.0\n") and "Nothing was pushed." in done.err
    assert at_gate("prompts", "show", "dry").code == 1


def test_a_version_is_deployed_replaced_and_brought_back(at_gate: Type, folder: Path) -> None:
    write(folder, "moved")
    at_gate("prompts", "push", "--commit-sha", "c0ffee")
    first = at_gate("prompts", "deploy", "moved@1.0.0", "--env", "production", "--why", "first")
    assert first.code == 0, first.err
    assert first.out.startswith("moved@1.0.0 is in production now; watched until ")
    assert "+system_prompt: Hello." in first.err and "is the first there in production" in first.err
    write(folder, "moved", "1.1.0", "Hi.")
    at_gate("prompts", "push", "--commit-sha", "decaf")
    second = at_gate("prompts", "deploy", "moved-v1.1", "-e", "production", "--tag", "ticket=4711", "--yes")
    assert "moved@1.1.0 is in production now in place of 1.0.0" in second.out
    assert "-system_prompt: Hello." in second.err and "+system_prompt: Hi." in second.err
    assert "is in production already" in at_gate("prompts", "deploy", "moved@1.1.0", "-e", "production").out
    lower = at_gate("prompts", "deploy", "moved@1.0.0", "-e", "production")
    assert lower.code == 1 and "go back with rollback, or --force" in lower.err
    assert "moved" in at_gate("prompts", "list", "mov").out and "production=1.1.0" in at_gate("prompts", "list").out
    back = at_gate("prompts", "rollback", "moved", "-e", "production", "--why", "errors rose")
    assert back.out == "moved in production is back at 1.0.0, from 1.1.0.\n"
    rows = json.loads(at_gate("prompts", "history", "moved", "--json").out)
    assert [(row["kind"], row["version"], row["by"]) for row in rows] == [
        ("rollback", "1.0.0", me()), ("deploy", "1.1.0", me()), ("deploy", "1.0.0", me()),
    ]  # fmt: skip
    assert rows[1]["tags"] == {
        "commit_sha": "decaf", "author": me(), "model_version": "openai/gpt-4o", "ticket": "4711",
    }  # fmt: skip
    assert "errors rose" in at_gate("prompts", "history", "moved").out
    log = at_gate("prompts", "log", "moved").out
    assert log.count("prompt.push") == 2 and log.count("prompt.deploy") == 2 and log.count("prompt.rollback") == 1


def test_all_that_changed_goes_together(at_gate: Type, folder: Path) -> None:
    for id in ("all-a", "all-b"):
        write(folder, id)
    at_gate("prompts", "push", "--commit-sha", "c0ffee")
    done = at_gate("prompts", "deploy", "--changed", "--env", "all-together", "--commit-sha", "decaf")
    assert done.code == 0, done.err
    assert "all-a@1.0.0 is in all-together now" in done.out and "all-b@1.0.0 is in all-together now" in done.out
    again = at_gate("prompts", "deploy", "--changed", "--env", "all-together")
    assert (again.code, again.out) == (0, "") and "Nothing has changed" in again.err


def test_the_commit_of_the_folder_is_taken_where_the_push_said_none(at_gate: Type, folder: Path) -> None:
    write(folder, "unsaid")
    at_gate("prompts", "push")
    none = at_gate("prompts", "deploy", "unsaid@1.0.0", "-e", "staging")
    assert none.code == 1 and "--tag commit_sha=…" in none.err
    for words in (["init", "-q"], ["-c", "user.name=B", "-c", "user.email=b@example.com", "commit", "-qm", "x",
                                   "--allow-empty"]):  # fmt: skip
        subprocess.run(["git", *words], check=True, cwd=folder)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, cwd=folder, capture_output=True, text=True)
    os.chdir(folder)
    assert at_gate("prompts", "deploy", "unsaid@1.0.0", "-e", "staging").code == 0
    [row] = json.loads(at_gate("prompts", "history", "unsaid", "--json").out)
    assert row["tags"]["commit_sha"] == head.stdout.strip()


def test_what_show_prints_of_a_version_is_a_prompt_file_again(at_gate: Type, folder: Path) -> None:
    write(folder, "shown")
    at_gate("prompts", "push", "--commit-sha", "c0ffee")
    at_gate("prompts", "deploy", "shown@1.0.0", "-e", "staging")
    whole = at_gate("prompts", "show", "shown@staging").out
    assert whole.startswith("# shown@1.0.0, pushed ") and "# commit: c0ffee" in whole
    (folder / "shown.yaml").write_text(whole)
    assert at_gate("prompts", "push").out == "unchanged  shown@1.0.0\n"
    overview = at_gate("prompts", "show", "shown").out
    assert "staging" in overview and "c0ffee" in overview
    assert "no version 9.9.9" in at_gate("prompts", "show", "shown@9.9.9").err


def test_two_versions_are_compared(at_gate: Type, folder: Path) -> None:
    write(folder, "twice")
    at_gate("prompts", "push", "--commit-sha", "c0ffee")
    at_gate("prompts", "deploy", "twice@1.0.0", "-e", "staging")
    write(folder, "twice", "2.0.0", "Hi.")
    at_gate("prompts", "push")
    assert "+system_prompt: Hi." in at_gate("prompts", "diff", "twice@staging", "twice@2.0.0").out
    assert at_gate("prompts", "diff", "twice@1.0.0", "twice@staging").out == ""
    assert at_gate("prompts", "diff", "twice@1.0.0", "other@1.0.0").code == 2


def test_an_approval_is_somebody_elses(
    at_gate: Type, folder: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "approved")
    at_gate("prompts", "push", "--author", "Ana <ana@example.com>")
    own = at_gate("prompts", "approve", "approved@1.0.0", "-e", "production")
    assert own.code == 1 and "must come from somebody other" in own.err
    for name, code in (("ana", 1), ("bia", 0)):
        key = at_gate("key", "create", name, "--admin").out.strip()
        monkeypatch.setenv("COMPORTA_KEY", key)
        done = at_gate("prompts", "approve", "approved@1.0.0", "-e", "production", "--why", "read it")
        assert done.code == code, done.err
        monkeypatch.delenv("COMPORTA_KEY")
    assert "approved@1.0.0 is approved for production by bia." in done.out
    assert "# approved for production by bia" in at_gate("prompts", "show", "approved@1.0.0").out


@pytest.mark.parametrize(
    "words",
    [
        ("deploy", "support", "-e", "staging"), ("deploy", "-e", "staging"), ("deploy", "support@1.0.0"),
        ("deploy", "support@1.0.0", "--changed", "-e", "staging"), ("rollback", "support@1.0.0", "-e", "staging"),
        ("approve", "support@production", "-e", "staging"), ("show", "support@1.x"),
    ],
)  # fmt: skip
def test_wrong_use_is_told(at_gate: Type, words: tuple[str, ...]) -> None:
    done = at_gate("prompts", *words)
    assert done.code == 2 and done.out == ""


def test_on_a_terminal_people_are_asked_first(at_gate: Type, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "asked")
    at_gate("prompts", "push", "--commit-sha", "c0ffee")
    monkeypatch.setattr(releases, "on_terminal", lambda: True)
    no = at_gate("prompts", "deploy", "asked@1.0.0", "-e", "staging", stdin="n\n")
    assert no.code == 1 and "Deploy asked@1.0.0 to staging?" in no.err and not no.out.strip()
    assert json.loads(at_gate("prompts", "history", "asked", "--json").out) == []
    assert at_gate("prompts", "deploy", "asked@1.0.0", "-e", "staging", stdin="y\n").code == 0
    assert at_gate("prompts", "rollback", "asked", "-e", "staging", stdin="n\n").code == 1
    assert len(json.loads(at_gate("prompts", "history", "asked", "--json").out)) == 1
