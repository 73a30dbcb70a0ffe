"""`comporta prompts`: check the prompt files of a folder and push them; what comes after that is in `releases`."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import typer

from comporta.app.folder import Folder
from comporta.app.guarding import kinds_at_hand, mistake_in
from comporta.cli import prompts_test, releases
from comporta.cli.gate import Gate, find
from comporta.cli.place import load
from comporta.cli.shown import AS_JSON, DATA, note, say, say_json
from comporta.errors import ComportaError, ConfigError
from comporta.prompts.checks import Facts, Report, examine
from comporta.prompts.commit import sources_of
from comporta.prompts.folder import survey
from comporta.prompts.kept import Source
from comporta.providers.catalogue import Catalogue, ModelFacts

FOLDER = typer.Argument(Path("prompts"), help="The folder of prompt files, or one file.")
STRICT = typer.Option(False, "--strict", help="Take warnings for mistakes.")
SHA = typer.Option(None, "--commit-sha", help="Where the files come from. Default: as git says, for each file.")
AUTHOR = typer.Option(None, "--author", help="Who wrote them. Default: as git says, else who pushes.")
MESSAGE = typer.Option(None, "--message", "-m", help="Why. Default: as git says.")
FORCE = typer.Option(False, "--force", help="Take in versions that are lower than the highest.")
DRY_RUN = typer.Option(False, "--dry-run", help="Only say what would be done.")
_PUSH_LIMIT_S = 150.0
_REFUSED = ("prompt_version_taken", "prompt_version_lower")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("check")(_check)
    prompts_test.add(below)
    below.command("push")(_push)
    releases.add(below)
    app.add_typer(below, name=name, help=summary)


def _check(folder: Path = FOLDER, strict: bool = STRICT, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Tell every mistake in prompt files with its file and line; the exit code is 1 where there is one."""
    kinds = kinds_at_hand(Folder(data).cache, _functions(data))
    found = survey(folder, guards=lambda side, guard: mistake_in(kinds, side, guard))
    report = asyncio.run(examine(folder, found, _facts()))
    mistakes = len(report.findings) if strict else report.count("mistake")
    if as_json:
        say_json(_plain(report, mistakes))
    else:
        _tell(report, folder)
    if mistakes or not report.prompts:
        raise typer.Exit(1)


def _functions(data: Path) -> list[str]:
    """What guards may name, where a configuration is at hand that can be read."""
    try:
        return load(None, data).value.guardrails.functions
    except ConfigError:
        return []


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


def _push(
    folder: Path = FOLDER,
    commit_sha: str | None = SHA,
    author: str | None = AUTHOR,
    message: str | None = MESSAGE,
    force: bool = FORCE,
    strict: bool = STRICT,
    dry_run: bool = DRY_RUN,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Take a folder of prompts into the registry: all of them, each version once and for good, or none.

    The questions of their tests go along: what production asks is held against them.
    """
    sources = asyncio.run(sources_of(folder))
    # What reads files of tests takes a second to load, which `check` and others should not pay.
    tests = import_module("comporta.cli.prompts_cases").gathered(folder)
    if strict and tests.mistakes:
        raise ComportaError("\n".join([*tests.mistakes, "Nothing was pushed."]), code="test_mistakes")
    body = {
        "files": [_file(one) for one in sources], "commit_sha": commit_sha, "author": author, "message": message,
        "force": force, "strict": strict, "dry_run": dry_run, "cases": tests.cases,
    }  # fmt: skip
    gate = find(data, timeout_s=_PUSH_LIMIT_S)
    done = _pushed(gate, body)
    refused = any(one["outcome"] == "refused" for one in done["prompts"])
    if as_json:
        say_json(done)
    else:
        _tell_push(done, dry_run or refused)
    _tell_cases(tests, dry_run or refused)
    if refused:
        raise typer.Exit(1)


def _file(one: Source) -> dict[str, Any]:
    commit = one.commit
    said = {} if commit is None else {"commit_sha": commit.sha, "author": commit.author, "message": commit.message}
    return {"name": one.name, "text": one.text, **said}


def _pushed(gate: Gate, body: dict[str, Any]) -> Any:
    """What was done; where a prompt is refused, what would have been done with each."""
    try:
        return gate.ask("POST", "/admin/prompts/push", body)
    except ComportaError as error:
        if error.code not in _REFUSED:
            raise
    return gate.ask("POST", "/admin/prompts/push", {**body, "dry_run": True})


def _tell_push(done: Any, nothing: bool) -> None:
    for one in done["prompts"]:
        why = f": {one['why']}" if one["why"] else " (lower than the highest)" if one["lower"] else ""
        say(f"{one['outcome']:<9}  {one['id']}@{one['version']}{why}")
    for text in done["warnings"]:
        note(f"{text} (warning)")
    outcomes = [one["outcome"] for one in done["prompts"]]
    counts = [f"{outcomes.count(word)} {word}" for word in ("new", "unchanged", "refused") if word in outcomes]
    note(f"{', '.join(counts)}.{' Nothing was pushed.' if nothing else ''}")


def _tell_cases(tests: Any, nothing: bool) -> None:
    """What is wrong with tests keeps no prompt out: `comporta prompts test` is who fails for it."""
    for text in tests.mistakes:
        note(f"{text} (left out)")
    if tests.cases and not nothing:
        note(
            f"Tests of {_counted(len(tests.cases), 'prompt')} went along: {sum(map(len, tests.cases.values()))} cases."
        )
