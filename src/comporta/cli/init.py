"""`comporta init`: write what a project starts from, never over a file that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import typer

from comporta.chains.starter import NAME, starter
from comporta.cli.shown import note, say
from comporta.prompts.starter import LANGUAGES, Written, write_new, write_starter_tests, write_starters

FOLDER = typer.Argument(Path(), file_okay=False, help="The project's folder.")
PROMPTS = typer.Option(True, "--prompts/--no-prompts", help="Write prompts to start from, into prompts/.")
TESTS = typer.Option(True, "--tests/--no-tests", help="Write tests for them, into prompts/tests/.")
LANGUAGE = typer.Option(None, "--language", help="Only those in pt, en or es; may be given several times.")
CHAINS = typer.Option(False, "--chains", help="Write a chain to start from, too, into chains/.")
CONFIG = typer.Option(True, "--config/--no-config", help="Write a configuration to start from, into comporta.yaml.")
CI = typer.Option(None, "--ci", help="Write a workflow that tests prompts and deploys them: github or gitlab.")

#: Where each writes its file, and from which of ours it is.
_WORKFLOWS: Mapping[str, tuple[str, str, str]] = {
    "github": (".github/workflows", "prompts.yaml", "github.yaml"),
    "gitlab": ("", ".gitlab-ci.yml", "gitlab.yaml"),
}


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_init)


def _init(
    folder: Path = FOLDER,
    prompts: bool = PROMPTS,
    tests: bool = TESTS,
    language: list[str] | None = LANGUAGE,
    chains: bool = CHAINS,
    config: bool = CONFIG,
    ci: list[str] | None = CI,
) -> None:
    languages = _languages(language)
    for one in ci or ():
        if one not in _WORKFLOWS:
            raise typer.BadParameter(f"{one!r} is none of {', '.join(_WORKFLOWS)}", param_hint="--ci")
    if config:
        _tell(_written(folder, lambda place: write_new(place, {"comporta.yaml": _starter()})))
    if prompts:
        _tell(_written(folder / "prompts", lambda place: write_starters(place, languages)))
        if tests:
            _tell(_written(folder / "prompts" / "tests", lambda place: write_starter_tests(place, languages)))
        say(f"Look at them, then: comporta prompts check {folder / 'prompts'}")
    if chains:
        _tell(_written(folder / "chains", lambda place: write_new(place, {NAME: starter()})))
        say(f"Look at it, then: comporta chains check {folder / 'chains'}")
    for one in ci or ():
        _workflow(folder, one)


def workflow(ci: str) -> tuple[str, bytes]:
    """Where a workflow belongs in a project, and what stands in it."""
    below, name, ours = _WORKFLOWS[ci]
    return f"{below}/{name}" if below else name, files("comporta.cli").joinpath("ci", ours).read_bytes()


def _starter() -> bytes:
    return files("comporta.cli").joinpath("starter.yaml").read_bytes()


def _workflow(folder: Path, ci: str) -> None:
    place, data = workflow(ci)
    path = folder / place
    done = _written(path.parent, lambda place: write_new(place, {path.name: data}))
    _tell(done)
    if done.kept:
        note(f"Ours would say what `comporta init --ci {ci}` writes into an empty folder.")
    else:
        say("Give its runs COMPORTA_URL and COMPORTA_KEY (an admin key of that gate): its first lines say how.")


def _languages(wanted: list[str] | None) -> tuple[str, ...]:
    for one in wanted or ():
        if one not in LANGUAGES:
            raise typer.BadParameter(f"{one!r} is none of {', '.join(LANGUAGES)}", param_hint="--language")
    return tuple(wanted or LANGUAGES)


def _written(folder: Path, write: Callable[[Path], Written]) -> Written:
    try:
        return write(folder)
    except OSError as error:
        note(f"{folder} can't be written to: {error.strerror or type(error).__name__}")
        raise typer.Exit(1) from None


def _tell(written: Written) -> None:
    for path in written.new:
        say(f"wrote {path}")
    for path in written.kept:
        note(f"kept {path}, which was there")
