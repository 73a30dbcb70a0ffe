"""`comporta batch`: ask a file of requests, with progress, a ceiling on cost, and going on where it was stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from comporta.cli.batch_native import Came, NativeRun
from comporta.cli.batch_run import Ceiling, Item, Outcome, Run, done_before, items_of
from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, note, say_json
from comporta.config.values import parse_money
from comporta.errors import BadRequest

FILE = typer.Argument(exists=True, dir_okay=False, help="One request a line: OpenAI's batch lines, prompts, or text.")
OUT = typer.Option(..., "--out", "-o", help="Where answers go, one a line; those there are kept.")
MODEL = typer.Option("default", "--model", "-m", envvar="COMPORTA_MODEL", help="For lines that name none.")
AT_ONCE = typer.Option(5, "--concurrency", "-c", min=1, max=256, help="How many are asked at a time.")
MOST = typer.Option(None, "--max-cost", help="Begin no call that could take the sum above this: $5.")
NATIVE = typer.Option(
    False,
    "--native/--no-native",
    help="As one batch of the gate's, which providers' own batch APIs may answer at a lower price, within a day.",
)
ERRORS = typer.Option(None, "--errors", help="Where refusals go; default: OUT with .errors before its ending.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_batch)


def _batch(
    file: Path = FILE, out: Path = OUT, model: str = MODEL, concurrency: int = AT_ONCE, max_cost: str | None = MOST,
    errors: Path | None = ERRORS, native: bool = NATIVE, data: Path = DATA, as_json: bool = AS_JSON,
) -> None:  # fmt: skip
    items = items_of(_read(file), model)
    before = done_before(out)
    waiting = [item for item in items if item.id not in before]
    ceiling = Ceiling(_most_usd(max_cost))
    url, key = find(data).access
    refusals = errors or out.with_name(f"{out.stem}.errors{out.suffix}")
    if native:
        if max_cost is not None:
            raise BadRequest("A batch of the gate's has no --max-cost: give its key a budget.", param="max-cost")
        outcome = _native(url.removesuffix("/v1"), key, out, refusals, waiting, before)
        _tell(outcome, out, refusals, as_json)
        if outcome.failed or outcome.left:
            raise typer.Exit(1)
        return
    with _bar(len(items), len(items) - len(waiting), ceiling) as tell:
        run = Run(url.removesuffix("/v1"), key, out, refusals, ceiling, tell)
        left = asyncio.run(_run(run, waiting, concurrency))
    if not run.failed:
        refusals.unlink(missing_ok=True)
    outcome = Outcome(
        run.asked, run.failed, len(items) - len(waiting), left, round(ceiling.spent_usd, 6), ceiling.unpriced
    )
    _tell(outcome, out, refusals, as_json)
    if outcome.failed or outcome.left:
        raise typer.Exit(1)


def _native(url: str, key: str, out: Path, refusals: Path, items: list[Item], before: set[str]) -> Outcome:
    if not items:
        return Outcome(0, 0, len(before), 0, 0.0, 0)
    with _bar(len(items), 0, Ceiling(None)) as tell:
        seen = 0

        def told(done: int) -> None:
            nonlocal seen
            for _ in range(done - seen):
                tell()
            seen = max(seen, done)

        run = NativeRun(url, key, out, refusals, told)
        came = asyncio.run(_run_native(run, items, before))
    if not came.over:
        note(f"The batch goes on at the gate; the same command waits for it ({out}.batch knows which).")
        return Outcome(0, 0, len(before), len(items), 0.0, 0)
    if not came.failed:
        refusals.unlink(missing_ok=True)
    return Outcome(
        came.done + came.failed, came.failed, len(before), len(items) - came.done - came.failed, came.spent_usd, 0,
        came.saved_usd, came.handed_over,
    )  # fmt: skip


async def _run_native(run: NativeRun, items: list[Item], before: set[str]) -> Came:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.stop)
    return await run.run(items, before)


async def _run(run: Run, items: list[Item], concurrency: int) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.stop)
    return await run.run(items, concurrency)


def _most_usd(written: str | None) -> float | None:
    try:
        return None if written is None else parse_money(written) / 1e6
    except ValueError as error:
        raise BadRequest(f"--max-cost {error}", param="max-cost") from None


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(f"{file} is not UTF-8 text.", param="file") from None


@contextmanager
def _bar(total: int, done: int, ceiling: Ceiling) -> Iterator[Callable[[], None]]:
    """A progress bar with the cost so far, on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (
        TextColumn("asked"), BarColumn(), MofNCompleteColumn(), TextColumn("${task.fields[usd]:.4f}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("asked", total=total, completed=done, usd=0.0)
        yield lambda: bar.update(task, advance=1, usd=ceiling.spent_usd)


def _tell(outcome: Outcome, out: Path, errors: Path, as_json: bool) -> None:
    if as_json:
        say_json(msgspec.to_builtins(outcome))
        return
    sys.stdout.write(
        f"{outcome.asked - outcome.failed} answered into {out}, {outcome.failed} refused, {outcome.before} from an "
        f"earlier run, ${outcome.spent_usd:.6f} spent.\n"
    )
    if outcome.handed_over:
        sys.stdout.write(f"{outcome.handed_over} went to providers' own batch APIs: ${outcome.saved_usd:.6f} saved.\n")
    if outcome.unpriced:
        note(f"The cost of {outcome.unpriced} is unknown, and not in that sum.")
    if outcome.failed:
        note(f"Refusals are in {errors}; the same command asks them again.")
    if outcome.left:
        note(f"{outcome.left} were not asked; the same command goes on with them.")
