"""`comporta init` and `comporta prompts check`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Type


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_init_writes_passes_the_check_and_is_not_written_twice(typed: Type, folder: Path) -> None:
    done = typed("init", "--prompts")
    assert done.code == 0 and done.out.count("wrote ") == 31
    checked = typed("prompts", "check")
    assert (checked.code, checked.out) == (0, "15 prompts hold.\n")
    again = typed("init")
    assert again.code == 0 and "wrote" not in again.out and again.err.count("kept ") == 31


def test_the_configuration_that_init_writes_holds_and_guards(typed: Type, folder: Path) -> None:
    assert "wrote comporta.yaml" in typed("init", "--no-prompts").out
    checked = typed("config", "check")
    assert checked.code == 0, checked.err
    said = json.loads(typed("guard", "test", "My card is 4111 1111 1111 1111", "--json").out)
    assert [one["guard"] for one in said["verdicts"]] == ["pii_detection", "secrets", "prompt_injection"]
    assert said["approved"] and "4111" not in said["sanitized_prompt"]


def test_init_writes_one_language_where_one_is_wanted(typed: Type, folder: Path) -> None:
    typed("init", "--language", "pt", "there")
    written = sorted(
        one.relative_to(folder / "there" / "prompts") for one in (folder / "there/prompts").rglob("*.yaml")
    )
    assert len(written) == 10 and all(one.name.endswith("-pt.yaml") for one in written)
    assert sum(one.parent.name == "tests" for one in written) == 5
    assert typed("init", "--language", "fr").code == 2


def test_mistakes_are_told_a_line_each_and_end_in_1(typed: Type, folder: Path) -> None:
    (folder / "prompts").mkdir()
    (folder / "prompts" / "a.yaml").write_text("version: 1\nsytem_prompt: x\nmodel: openai/gpt-4o-mini\n")
    done = typed("prompts", "check")
    assert done.code == 1
    assert "prompts/a.yaml:1: version: is no version by semver: three numbers; write 1.0.0" in done.out
    assert "prompts/a.yaml:2: sytem_prompt: unknown key; did you mean 'system_prompt'?" in done.out


def test_a_prompt_too_large_for_its_model_is_told_by_the_catalogue(typed: Type, folder: Path) -> None:
    text = "word " * 150_000
    Path("a.yaml").write_text(f"version: 1.0.0\nmodel: openai/gpt-4o-mini\nsystem_prompt: {text}\n")
    assert "its context is 128,000" in typed("prompts", "check", "a.yaml").out


def test_warnings_end_in_1_only_where_strict(typed: Type, folder: Path) -> None:
    Path("a.yaml").write_text("version: 1.0.0\nsystem_prompt: Hi {name}\n")
    done = typed("prompts", "check", "a.yaml")
    assert done.code == 0 and done.out.rstrip().endswith("(warning)")
    assert typed("prompts", "check", "a.yaml", "--strict").code == 1


def test_the_report_can_be_json(typed: Type, folder: Path) -> None:
    Path("a.yaml").write_text("version: 1.0.0\nsystem_prompt: Hi {name}\n")
    report = json.loads(typed("prompts", "check", "a.yaml", "--json").out)
    assert report["ok"] is True and report["prompts"] == 1
    (finding,) = report["findings"]
    assert (finding["file"], finding["line"], finding["level"], finding["check"], finding["path"]) == (
        "a.yaml", 2, "warning", "undeclared", "system_prompt",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["empty", "none"])
def test_a_folder_without_prompts_is_no_success(typed: Type, folder: Path, name: str) -> None:
    (folder / "empty").mkdir()
    done = typed("prompts", "check", name)
    assert done.code == 1 and name in done.out + done.err
