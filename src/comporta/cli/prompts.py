"""`comporta prompts`: check the prompt files of a folder, without a gate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import typer

from comporta.cli.shown import AS_JSON, note, say, say_json
from comporta.prompts.checks import Facts, Report, examine
from comporta.prompts.folder import survey
from comporta.providers.catalogue import Catalogue, ModelFacts

FOLDER = typer.Argument(Path("prompts"), help="The folder of prompt files, or one file.")
STRICT = typer.Option(False, "--strict", help="Take warnings for mistakes.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    # With one command alone, typer would leave out its name.
    below.callback()(lambda: None)
    below.command("check")(_check)
    app.add_typer(below, name=name, help=summary)


def _check(folder: Path = FOLDER, strict: bool = STRICT, as_json: bool = AS_JSON) -> None:
    """Tell every mistake in prompt files with its file and line; the exit code is 1 where there is one."""
    report = asyncio.run(examine(folder, survey(folder), _facts()))
    mistakes = len(report.findings) if strict else report.count("mistake")
    if as_json:
        say_json(_plain(report, mistakes))
    else:
        _tell(report, folder)
    if mistakes or not report.prompts:
        raise typer.Exit(1)


def _tell(report: Report, folder: Path) -> None:
    for one in report.findings:
        say(str(one))
    for text in report.notes:
        note(text)
    if not report.prompts and not report.findings:
        note(f"{folder} holds no prompt file (*.yaml); comporta init --prompts writes some to start from.")
        return
    mistakes, warnings = report.count("mistake"), report.count("warning")
    if not report.findings:
        say(f"{_counted(report.prompts, 'prompt')} hold." if report.prompts > 1 else "1 prompt holds.")
    else:
        said = f"{_counted(mistakes, 'mistake')}, {_counted(warnings, 'warning')}"
        note(f"{_counted(report.prompts, 'prompt')} read: {said}.")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _plain(report: Report, mistakes: int) -> dict[str, Any]:
    return {"ok": not mistakes and report.prompts > 0, **msgspec.to_builtins(report)}


def _facts() -> Facts:
    """Facts of `provider/model`, or of a model that only one name is known for; a route's name is none."""
    catalogue = Catalogue.shipped()

    def find(model: str) -> ModelFacts | None:
        provider, slash, name = model.partition("/")
        if slash and provider in catalogue.providers:
            return catalogue.find(provider, name)
        found = [facts for one in catalogue.providers if (facts := catalogue.find(one, model)) is not None]
        return max(found, key=lambda facts: facts.context or 0, default=None)

    return find
