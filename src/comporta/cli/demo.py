"""`comporta demo`: a believable week of a delivery app's traffic, to look at and to take away again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from comporta.app.demo import filling, live
from comporta.app.demo.filling import Progress as Told
from comporta.app.demo.week import drawn
from comporta.app.folder import Folder
from comporta.cli.gate import Gate, find
from comporta.cli.shown import DATA, note, say
from comporta.errors import ComportaError
from comporta.store.database import Database

REMOVE = typer.Option(False, "--remove", help="Take the demo away again.")
CALLS = typer.Option(6000, "--calls", min=100, max=200_000, help="About so many calls over the week.")
LIVE = typer.Option(80, "--live", min=0, max=5000, help="So many of them through the gate, now.")
SEED = typer.Option(7, "--seed", help="Another seed draws another week.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_demo)


def _demo(
    remove: bool = REMOVE, calls: int = CALLS, live_calls: int = LIVE, seed: int = SEED, data: Path = DATA
) -> None:
    """Fill the running gate with a week of traffic, marked with the tag `demo`; `--remove` takes it away."""
    running = Folder(data).running()
    if running is None:
        raise ComportaError(
            f"No gate runs on the data folder {data}: start one with `comporta serve`.", code="no_gate"
        )  # fmt: skip
    gate = find(data, {})
    if remove:
        _remove(gate, running.dsn)
        return
    begun_s = time.monotonic()
    asyncio.run(_fill(gate, running.url, running.dsn, calls, live_calls, seed))
    say(f"A week of a delivery app is there, after {time.monotonic() - begun_s:.0f} s. Open the console's overview.")
    say("Take it away again: comporta demo --remove")


async def _fill(gate: Gate, url: str, dsn: str, calls: int, live_calls: int, seed: int) -> None:
    async with Database(dsn, max_size=2) as database:
        if await filling.has_demo(database):
            raise ComportaError("There is a demo already. Take it away first: comporta demo --remove", code="demo")
        made = live.make_keys(gate.ask)
        with _bar("a week of records") as told:
            await filling.fill(database, drawn(made.keys, calls, seed), told)
    model = live.free_model(gate.ask)
    if model is None:
        note("No model here answers by itself, so no calls go through the gate: add `offline: {}` under `providers`.")
        return
    live.release(gate.ask, model)
    with _bar("calls through the gate") as told:
        await live.talk(url, made, live_calls, seed, told)


def _remove(gate: Gate, dsn: str) -> None:
    live.end_rollout(gate.ask)
    keys = live.revoke_keys(gate.ask)
    if not keys:
        say("There is no demo.")
        return

    async def gone() -> int:
        async with Database(dsn, max_size=2) as database:
            with _bar("taking away") as told:
                return await filling.take_away(database, told)

    calls = asyncio.run(gone())
    say(f"{calls:,} calls of the demo are gone, with all that hung on them; its {keys} keys are revoked.")
    say(f"The prompt {live.PROMPT}, its history and the audit log stay: what was done is never taken out of them.")


@contextmanager
def _bar(what: str) -> Iterator[Told]:
    """A bar on a terminal, nothing in a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda share: None
        return
    with Progress(TextColumn(what), BarColumn(), TaskProgressColumn(), console=console) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
