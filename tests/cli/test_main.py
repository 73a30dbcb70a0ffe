"""The program itself: its help, its speed, its failures, its reference page; and `config`, which needs no gate."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main

from cli.conftest import Type
from comporta.cli import main as program_module
from comporta.cli.main import COMMANDS, program
from comporta.cli.reference import render
from comporta.errors import ComportaError

ROOT = Path(__file__).parent.parent.parent


def test_help_names_every_command_and_comes_at_once() -> None:
    def spent_s() -> float:
        begun_s = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "comporta.cli.main", "--help"], capture_output=True, text=True, check=True
        )
        assert all(name in done.stdout for name in COMMANDS)
        return time.perf_counter() - begun_s

    # A fifth of a second by itself; once is enough, for the machine may be slow and busy with something else.
    assert any(spent_s() < 2 for _ in range(8))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from comporta.cli.main import program; program('');"
        "print([m for m in ('aiohttp', 'fastapi', 'pydantic', 'psycopg', 'rich', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_is_found_in_its_module_with_a_help_text() -> None:
    root = typer.main.get_command(program())
    commands = root.commands  # type: ignore[attr-defined]
    assert set(commands) == set(COMMANDS)
    for name, command in commands.items():
        assert command.help == COMMANDS[name].summary
        for below in getattr(command, "commands", {}).values():
            assert below.help


def test_the_version_is_told(typed: Type) -> None:
    assert typed("version").out == typed("--version").out
    assert typed("version").out.startswith("comporta ")


def test_an_unforeseen_failure_is_one_line(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(only: str | None = None) -> typer.Typer:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(program_module, "program", fail)
    result = typed("version")
    assert (result.code, result.out) == (1, "")
    assert result.err == "comporta: RuntimeError: out of luck (COMPORTA_DEBUG=1 shows where)\n"


def test_a_failure_of_several_lines_names_the_program_on_each(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(only: str | None = None) -> typer.Typer:
        raise ComportaError("one\ntwo")

    monkeypatch.setattr(program_module, "program", fail)
    assert typed("version").err == "comporta: one\ncomporta: two\n"


def test_the_reference_page_names_every_command_and_is_the_same_each_time() -> None:
    page = render()
    assert page == render()
    for name in ("serve", "config check", "key rotate", "budget create", "models add", "call", "doctor"):
        assert f"`comporta {name}`" in page
    assert "`--overlap` *text*" in page


def test_the_pages_in_the_repository_are_checked_and_a_stale_one_is_told(tmp_path: Path) -> None:
    copy = tmp_path / "tools" / "reference.py"
    copy.parent.mkdir()
    copy.write_text((ROOT / "tools" / "reference.py").read_text())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(copy), *arguments], capture_output=True, text=True, check=False)

    assert run("--check").returncode == 1
    assert run().returncode == 0
    page = tmp_path / "docs" / "reference" / "cli.md"
    page.write_text(page.read_text() + "more")
    stale = run("--check")
    assert stale.returncode == 1 and "cli.md is out of date" in stale.stderr
    assert run("--wrong").returncode == 2


def test_a_good_configuration_is_told_so(typed: Type, tmp_path: Path) -> None:
    file = tmp_path / "comporta.yaml"
    file.write_text("providers:\n  offline: {}\nroutes:\n  a:\n    model: offline/extractive\n")
    result = typed("config", "check", "-c", str(file))
    assert (result.code, result.err) == (0, "")
    assert str(file) in result.out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sever:\n  port: 1\n", "comporta.yaml:1"),
        ("server:\n  port: high\n", "comporta.yaml:2"),
        ("routes:\n  a:\n    model: nowhere/x\n", "comporta.yaml:3"),
        ("guardrails:\n  input:\n    - nobody\n", "comporta.yaml:3"),
    ],
)
def test_a_bad_configuration_is_told_with_its_line_and_code_2(
    typed: Type, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "comporta.yaml"
    file.write_text(text)
    result = typed("config", "check", "-c", str(file))
    assert result.code == 2
    assert told in result.err


def test_a_file_that_is_not_there_is_a_mistake(typed: Type, tmp_path: Path) -> None:
    result = typed("config", "check", "-c", str(tmp_path / "none.yaml"))
    assert result.code == 2
    assert "none.yaml" in result.err


def test_the_configuration_in_force_is_shown_without_secrets(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_KEY", "sk-very-secret-thing-0000000000")
    file = tmp_path / "comporta.yaml"
    file.write_text("providers:\n  openai:\n    api_key: ${HOUSE_KEY}\n")
    shown = typed("config", "show", "-c", str(file), "--origins")
    assert shown.code == 0
    assert "very-secret" not in shown.out
    assert "comporta.yaml:3 ${HOUSE_KEY}" in shown.out
    assert "port: 8080" in shown.out


def test_the_schema_is_json(typed: Type) -> None:
    assert "routes" in json.loads(typed("config", "schema").out)["properties"]
