"""The run behind `comporta prompts test`: what is tried, with what, and what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import structs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from comporta.cli.prompts_test import Asked, Written
from comporta.cli.shown import note, say_json
from comporta.cli.tested_at import At, opened
from comporta.cli.tested_shown import tell
from comporta.embedding.minilm import MiniLM
from comporta.errors import BadRequest, ComportaError
from comporta.evaluation.base import JudgeModel, Tools
from comporta.evaluation.baselines import Baselines
from comporta.evaluation.composing import Version
from comporta.evaluation.gate import Report, judge
from comporta.evaluation.journal import Journal
from comporta.evaluation.reading_suite import find_suites, load_suite
from comporta.evaluation.recording import Recording
from comporta.evaluation.reports import junit, markdown, plain, summary
from comporta.evaluation.running import Planned, Ran, Runner
from comporta.evaluation.suite import Suite
from comporta.evaluation.targets import Target
from comporta.evaluation.trial import Trial
from comporta.prompts.folder import Prompts, load_folder
from comporta.prompts.semver import named

#: Nothing could be tested, or what was tested means nothing.
BROKEN = 2
_JOURNAL = "tests/journal.jsonl"
_UNTOLD = ("stopped", "broken")
_STDOUT = Path("-")


def run(asked: Asked, written: Written) -> int:
    """The exit code of a run, told and written down."""
    try:
        report = asyncio.run(_run(asked))
        _write(report, written)
    except ComportaError as error:
        note(f"comporta: {error.message}")
        return BROKEN
    if written.json != _STDOUT:
        tell(report, asked.max_cost_microusd)
    return report.exit_code


async def _run(asked: Asked) -> Report:
    here = _prompts(asked)
    suites = _suites(asked, here)
    async with opened(asked.config, asked.data, needed=asked.replay is None) as at:
        plans = await _plans(asked, suites, here, at)
        with Journal(asked.data / _JOURNAL, resume=asked.resume) as journal, _bar(plans) as seen:
            async with _tools(asked, at) as (target, tools):
                runner = Runner(
                    target, tools, concurrency=asked.concurrency, max_cost_microusd=asked.max_cost_microusd,
                    known=journal.known, keep=journal.add, seen=seen,
                )  # fmt: skip
                ran = await _until_interrupted(runner, plans)
        report = judge(plans, ran, against=asked.baseline)
        await _keep(asked, at, plans, report)
        return report


async def _until_interrupted(runner: Runner, plans: Sequence[Planned]) -> Ran:
    try:
        return await runner.run(plans)
    except asyncio.CancelledError:
        note("Stopped. What was answered is kept: --resume goes on.")
        raise


# ---- what is tried --------------------------------------------------------------------------------------------------


def _prompts(asked: Asked) -> Prompts:
    """The folder's prompts; of a route none are needed."""
    if asked.route is not None and not asked.folder.exists():
        return Prompts(())
    return load_folder(asked.folder, guards=True)


def _suites(asked: Asked, here: Prompts) -> list[Suite]:
    files = _files(asked)
    wanted = [named(one).id for one in asked.ids]
    suites = [one for one in map(load_suite, files) if not wanted or one.prompt in wanted]
    _told_once(suites)
    missing = [one for one in wanted if one not in {suite.prompt for suite in suites}]
    if missing or not suites:
        where = asked.tests or f"{asked.folder}/tests"
        what = f"for {', '.join(missing)}" if missing else "at all"
        raise BadRequest(f"{where} holds no file of tests {what}; comporta init writes some to start from.")
    if asked.route is None and (unknown := [one.prompt for one in suites if one.prompt not in here.ids]):
        raise BadRequest(f"there are tests of {', '.join(unknown)}, and {asked.folder} holds no such prompt")
    chosen = [_narrowed(one, asked) for one in suites]
    if not any(one.cases for one in chosen):
        raise BadRequest("no case has these ids or tags")
    return [one for one in chosen if one.cases]


def _told_once(suites: Sequence[Suite]) -> None:
    """Two files for one prompt would be two verdicts about it, and each would count the other's tries."""
    first: dict[str, Suite] = {}
    for one in suites:
        other = first.setdefault(one.prompt, one)
        if other is not one:
            raise BadRequest(f"{other.path} and {one.path} both hold tests of {one.prompt}: make them one file.")


def _files(asked: Asked) -> tuple[Path, ...]:
    if asked.tests is None:
        return find_suites(asked.folder)
    if asked.tests.is_file():
        return (asked.tests,)
    return tuple(sorted(one for one in asked.tests.glob("*") if one.suffix in (".yaml", ".yml")))


def _narrowed(suite: Suite, asked: Asked) -> Suite:
    """The cases that are wanted, as often as they are wanted."""
    cases = [
        one for one in suite.cases
        if (not asked.tags or set(asked.tags) & set(one.case.tags)) and (not asked.cases or one.case.id in asked.cases)
    ]  # fmt: skip
    if asked.repeats is not None:
        cases = [structs.replace(one, repeats=asked.repeats) for one in cases]
    return structs.replace(suite, cases=tuple(cases))


async def _plans(asked: Asked, suites: Sequence[Suite], here: Prompts, at: At) -> list[Planned]:
    if asked.route is not None:
        return [Planned(one, Version(None, model=asked.route)) for one in suites]
    baselines = Baselines(asked.baseline, asked.folder, here, at.registered) if asked.baseline is not None else None
    plans = []
    for suite in suites:
        version = next((named(one).version for one in asked.ids if named(one).id == suite.prompt), None)
        prompt = here.get(suite.prompt, version)
        before = await baselines.find(suite.prompt) if baselines is not None else None
        if baselines is not None and before is None:
            note(f"{asked.baseline} has no {suite.prompt} yet: there is nothing to compare it with.")
        candidate = Version(prompt, model=asked.model)
        other = None if before is None or before.digest == prompt.digest else Version(before, model=asked.model)
        plans.append(Planned(suite, candidate, other, same=before is not None and other is None))
    if baselines is not None and baselines.version and not any(one.baseline or one.same for one in plans):
        # An environment may have nothing yet; a version that is nowhere is a slip, and must open no gate.
        raise BadRequest(f"no prompt that is tested has a version {baselines.version}", param="baseline")
    return plans


# ---- with what ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _tools(asked: Asked, at: At) -> AsyncIterator[tuple[Target, Tools]]:
    target = _target(asked, at)
    embedder = MiniLM(asked.data / "cache")
    model = JudgeModel(asked.judge) if asked.judge is not None else None
    folder = asked.tests if asked.tests is not None and asked.tests.is_dir() else None
    try:
        yield target, Tools(ask=target.ask, judge=model, caller=at.caller, embedder=embedder, folder=folder)
    finally:
        embedder.close()


def _target(asked: Asked, at: At) -> Target:
    if asked.replay is not None:
        return Recording(asked.replay)
    assert at.target is not None, "a gate was asked for"
    return Recording(asked.record, at.target) if asked.record is not None else at.target


@contextlib.contextmanager
def _bar(plans: Sequence[Planned]) -> Iterator[Callable[[Trial], None]]:
    """A progress bar on a terminal; nothing in a pipe or a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda trial: None
        return
    columns = (TextColumn("tries"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("tries", total=sum(one.tries for one in plans), failed=0)
        failed = 0

        def seen(trial: Trial) -> None:
            nonlocal failed
            failed += trial.passed is False and trial.side == "candidate"
            bar.update(task, advance=1, failed=failed)

        yield seen


# ---- what comes of it -----------------------------------------------------------------------------------------------


async def _keep(asked: Asked, at: At, plans: Sequence[Planned], report: Report) -> None:
    """Tell the registry of each prompt's run; a part of its tests, another model or kept answers say nothing of it."""
    if not asked.keep or at.record is None or asked.partial or asked.replay is not None:
        return
    for planned, tested in zip(plans, report.tested, strict=True):
        prompt = planned.candidate.prompt
        if prompt is None or tested.status in _UNTOLD:
            continue
        try:
            await at.record(prompt.id, prompt.version, prompt.digest, tested.status, summary(tested))
        except ComportaError as error:
            note(f"The registry was not told of the run of {prompt.label}: {error.message}")


def _write(report: Report, written: Written) -> None:
    if written.json == _STDOUT:
        say_json(plain(report))
    else:
        _file(written.json, lambda: msgspec.json.format(msgspec.json.encode(plain(report)), indent=2) + b"\n")
    _file(written.junitxml, lambda: junit(report))
    _file(written.markdown, lambda: markdown(report).encode())


def _file(path: Path | None, made: Callable[[], bytes]) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made())
    except OSError as error:
        raise ComportaError(f"{path} can't be written: {error.strerror}") from None
