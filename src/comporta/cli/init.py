"""`comporta init`: write what a project starts from, never over a file that is there."""

from __future__ import annotations

from pathlib import Path

import typer

from comporta.cli.shown import note, say
from comporta.prompts.starter import LANGUAGES, Written, write_starters

FOLDER = typer.Argument(Path(), file_okay=False, help="The project's folder.")
PROMPTS = typer.Option(True, "--prompts/--no-prompts", help="Write prompts to start from, into prompts/.")
LANGUAGE = typer.Option(None, "--language", help="Only those in pt, en or es; may be given several times.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_init)


def _init(folder: Path = FOLDER, prompts: bool = PROMPTS, language: list[str] | None = LANGUAGE) -> None:
    if prompts:
        _tell(_written(folder / "prompts", _languages(language)))
        say(f"Look at them, then: comporta prompts check {folder / 'prompts'}")


def _languages(wanted: list[str] | None) -> tuple[str, ...]:
    for one in wanted or ():
        if one not in LANGUAGES:
            raise typer.BadParameter(f"{one!r} is none of {', '.join(LANGUAGES)}", param_hint="--language")
    return tuple(wanted or LANGUAGES)


def _written(folder: Path, languages: tuple[str, ...]) -> Written:
    try:
        return write_starters(folder, languages)
    except OSError as error:
        note(f"{folder} can't be written to: {error.strerror or type(error).__name__}")
        raise typer.Exit(1) from None


def _tell(written: Written) -> None:
    for path in written.new:
        say(f"wrote {path}")
    for path in written.kept:
        note(f"kept {path}, which was there")
