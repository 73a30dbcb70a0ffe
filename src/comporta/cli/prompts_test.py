"""`comporta prompts test`: try prompts on their cases, against a baseline if one is given, and open or shut a gate."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import typer
from msgspec import Struct

from comporta.cli.place import CONFIG
from comporta.cli.shown import DATA
from comporta.cli.written import money_microusd

CONCURRENCY = 8

WHICH = typer.Argument(None, help="Only these prompts: their ids. Default: all that have tests.", metavar="[ID]...")
FOLDER = typer.Option(Path("prompts"), "--prompts", help="The folder of prompt files.")
TESTS = typer.Option(None, "--tests", help="The folder of tests. Default: tests/ in the prompts' folder, or beside it.")
BASELINE = typer.Option(
    None, "--baseline", help="Run the same cases on this too, and compare: an environment, a version, or git:REF."
)
MODEL = typer.Option(None, "--model", help="Ask this route or model, whatever prompts and tests say.")
JUDGE = typer.Option(None, "--judge", help="The model that judges where tests name none.")
ROUTE = typer.Option(None, "--route", help="Ask this route with the bare question: it brings its own prompt.")
REPEATS = typer.Option(None, "--repeats", min=1, max=100, help="How often each case is tried.")
TAG = typer.Option([], "--tag", help="Only cases with this tag; several times: with any of them.")
CASE = typer.Option([], "--case", help="Only this case, by its id; several times.")
MOST = typer.Option(CONCURRENCY, "--concurrency", min=1, max=256, help="How many tries run at once.")
MAX_COST = typer.Option(None, "--max-cost", help="Stop before answers and judges cost more than this, such as $2.")
RECORD = typer.Option(None, "--record", file_okay=False, help="Keep every answer in this folder.")
REPLAY = typer.Option(None, "--replay", exists=True, file_okay=False, help="Take answers from there; ask nobody.")
RESUME = typer.Option(False, "--resume", help="Go on with the run before: what it answered is not asked again.")
JUNIT = typer.Option(None, "--junitxml", dir_okay=False, help="Write a report in JUnit's form.")
JSON = typer.Option(None, "--json", dir_okay=False, help="Write all numbers and answers as JSON; - prints them.")
MARKDOWN = typer.Option(None, "--markdown", dir_okay=False, help="Write the text of a comment.")
KEEP = typer.Option(True, "--keep/--no-keep", help="Tell the registry how the run went.")


class Asked(Struct, frozen=True, kw_only=True):
    """What was typed."""

    ids: tuple[str, ...]
    folder: Path
    tests: Path | None
    baseline: str | None
    model: str | None
    judge: str | None
    route: str | None
    repeats: int | None
    tags: tuple[str, ...]
    cases: tuple[str, ...]
    concurrency: int
    max_cost_microusd: int | None
    record: Path | None
    replay: Path | None
    resume: bool
    keep: bool
    config: Path | None
    data: Path

    @property
    def partial(self) -> bool:
        """Whether less than the prompts' own tests is run."""
        return bool(self.tags or self.cases or self.model or self.route)


class Written(Struct, frozen=True):
    """The files to write."""

    junitxml: Path | None = None
    json: Path | None = None
    markdown: Path | None = None


def add(below: typer.Typer) -> None:
    below.command("test")(_test)


def _test(
    ids: list[str] | None = WHICH,
    folder: Path = FOLDER,
    tests: Path | None = TESTS,
    baseline: str | None = BASELINE,
    model: str | None = MODEL,
    judge_model: str | None = JUDGE,
    route: str | None = ROUTE,
    repeats: int | None = REPEATS,
    tag: list[str] = TAG,
    case: list[str] = CASE,
    concurrency: int = MOST,
    max_cost: str | None = MAX_COST,
    record: Path | None = RECORD,
    replay: Path | None = REPLAY,
    resume: bool = RESUME,
    junitxml: Path | None = JUNIT,
    json: Path | None = JSON,
    markdown_file: Path | None = MARKDOWN,
    keep: bool = KEEP,
    config: Path | None = CONFIG,
    data: Path = DATA,
) -> None:
    """Try prompts on their cases. Exit codes: 0 passed, or no worse than the baseline; 1 failed; 2 nothing could be
    told (mistakes in files, no gate, tries without an answer, a judge too noisy); 3 worse than the baseline; 4 not
    enough data to tell; 5 stopped at --max-cost.
    """
    if record is not None and replay is not None:
        raise typer.BadParameter("give one of --record and --replay")
    if route is not None and baseline is not None:
        raise typer.BadParameter("a route brings its own prompt: there is no other version to compare with")
    asked = Asked(
        ids=tuple(ids or ()), folder=folder, tests=tests, baseline=baseline, model=model, judge=judge_model,
        route=route, repeats=repeats, tags=tuple(tag), cases=tuple(case), concurrency=concurrency,
        max_cost_microusd=money_microusd(max_cost, "--max-cost"), record=record, replay=replay, resume=resume,
        keep=keep, config=config, data=data,
    )  # fmt: skip
    # The gate and all that can run in it: two seconds that the other commands about prompts should not pay.
    code = import_module("comporta.cli.prompts_run").run(asked, Written(junitxml, json, markdown_file))
    raise typer.Exit(code)
