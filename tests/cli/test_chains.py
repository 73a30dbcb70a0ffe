"""`comporta chains`: mistakes with their lines, and a run with a view of each step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Type
from comporta.testing.servers import short_folder
from support.serving import Served

CONFIG = "providers: {scripted: {options: {script: {broken: {error: {status: 503}}, '*': {}}}}}\n"
GOOD = "model: scripted/echo\nsteps:\n  - {name: a, prompt: 'Say {input}'}\n  - {name: b, prompt: 'Then {a}'}\n"
BAD = "steps:\n  - {name: good, model: scripted/echo, prompt: 'Kept {input}'}\n  - {name: bad, model: scripted/broken, prompt: 'Lost {who}'}\n"  # noqa: E501


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chains").mkdir()
    (tmp_path / "chains" / "good.yaml").write_text(GOOD)
    return tmp_path


def test_chains_that_hold_are_told_so(folder: Path, typed: Type) -> None:
    done = typed("chains", "check")
    assert (done.code, done.out) == (0, "1 chain holds.\n")


def test_every_mistake_is_told_with_its_line_and_fails_the_check(folder: Path, typed: Type) -> None:
    (folder / "chains" / "bad.yaml").write_text("steps:\n  - {name: a, chain: godo}\n  - {name: b, prompt: 'x {a}'}")
    (folder / "chains" / "worse.yaml").write_text("stepz: 1")
    done = typed("chains", "check")
    assert done.code == 1
    assert "chains/bad.yaml:2: steps[0]: there is no chain 'godo'; did you mean 'good'?" in done.out
    assert "chains/worse.yaml:1: stepz: unknown key" in done.out
    told = json.loads(typed("chains", "check", "--json").out)
    assert told["ok"] is False and len(told["mistakes"]) >= 2 and "good" in told["chains"]


def test_models_and_prompts_that_nobody_knows_are_doubtful(folder: Path, typed: Type) -> None:
    (folder / "comporta.yaml").write_text("providers: {scripted: {}}\nroutes: {support: {model: scripted/echo}}\n")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "help.yaml").write_text("id: help\nversion: 1.0.0\nuser_prompt_template: 'Help {input}'\n")
    (folder / "chains" / "good.yaml").write_text(
        "steps:\n  - {name: a, prompt: help@1.0.0, model: support}\n  - {name: b, prompt: hepl, model: suport}\n"
    )
    done = typed("chains", "check")
    assert done.code == 0
    assert "good.yaml:3: steps[1]: step 'b' asks 'suport', which the configuration does not know" in done.out
    assert "did you mean 'support'?" in done.out and "there is no prompt hepl; did you mean 'help'?" in done.out
    assert "steps[0]" not in done.out
    assert typed("chains", "check", "--strict").code == 1


def test_a_folder_without_chains_is_told_and_fails(folder: Path, typed: Type) -> None:
    (folder / "chains" / "good.yaml").unlink()
    done = typed("chains", "check")
    assert done.code == 1 and "holds no chain file" in done.err
    assert typed("chains", "check", "nowhere").code == 1


def test_the_configurations_own_check_tells_of_chains_too(folder: Path, typed: Type) -> None:
    (folder / "comporta.yaml").write_text("providers: {scripted: {}}\n")
    (folder / "chains" / "good.yaml").write_text("steps: [{name: a, chain: good}]")
    done = typed("config", "check")
    assert done.code == 2 and "good.yaml:1: steps[0]: asks itself without an end" in done.err + done.out


def test_the_chain_that_init_writes_holds_and_is_never_written_over(folder: Path, typed: Type) -> None:
    assert "wrote chains/document-analysis.yaml" in typed("init", "--chains", "--no-config").out
    done = typed("chains", "check", "--strict")
    assert done.code == 0, done.out
    file = folder / "chains" / "document-analysis.yaml"
    file.write_text("mine")
    assert "kept" in typed("init", "--chains", "--no-config").err
    assert file.read_text() == "mine"


@pytest.fixture(scope="module")
def gate() -> Iterator[Served]:
    with short_folder() as folder:
        (folder / "chains").mkdir()
        (folder / "chains" / "good.yaml").write_text(GOOD)
        (folder / "chains" / "bad.yaml").write_text(BAD)
        served = Served(folder, CONFIG)
        served.start()
        yield served
        assert served.stop() == 0, served.output


@pytest.fixture
def asked(gate: Served, typed: Type, monkeypatch: pytest.MonkeyPatch) -> Type:
    monkeypatch.setenv("COMPORTA_URL", gate.url)
    monkeypatch.setenv("COMPORTA_KEY", gate.key)
    return typed


def test_a_run_shows_each_step_and_the_answer(asked: Type) -> None:
    done = asked("chains", "run", "good", "hello there")
    assert done.code == 0, done.err
    head, line, first, second, answer = [line.split() for line in done.out.splitlines()]
    assert head[:4] == ["step", "status", "model", "ms"] and line
    assert first[:3] == ["a", "ok", "scripted/echo"] and "Say hello there" in " ".join(first)
    assert second[:3] == ["b", "ok", "scripted/echo"]
    assert " ".join(answer) == "Then Say hello there"


def test_a_run_as_json_has_the_steps_with_their_outputs(asked: Type) -> None:
    told = json.loads(asked("chains", "run", "chain:good", "--json", stdin="hello").out)
    assert told["answer"] == "Then Say hello"
    assert [(step["step"], step["output"]) for step in told["steps"]] == [
        ("a", "Say hello"), ("b", "Then Say hello"),
    ]  # fmt: skip


def test_a_run_that_fails_shows_how_far_it_came(asked: Type) -> None:
    done = asked("chains", "run", "bad", "this", "--var", "who=Ana")
    assert done.code == 1
    good, bad = [line.split() for line in done.out.splitlines()[2:]]
    assert good[:2] == ["good", "ok"] and good[-2:] == ["Kept", "this"] and bad[:2] == ["bad", "upstream_fault"]
    assert "The chain 'bad' failed at its step 'bad'" in done.err


def test_a_missing_variable_is_named(asked: Type) -> None:
    done = asked("chains", "run", "bad", "this", "--var", "whom=Ana")
    assert done.code == 1 and "did you mean 'who'?" in done.err
