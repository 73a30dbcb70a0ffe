"""`python -m gauge [--quick] [--only NAME,…]`: start the gateways, measure, print the tables, write the JSON.

`--only` names gateways (nginx, bare, comporta, tensorzero, litellm) and parts (memory, workers, keys). Figures of a run
that is not whole go to `gate.part.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gauge import table
from gauge.demands import FEWEST_CALLS
from gauge.figures import is_growing
from gauge.gateway import Gateway, mock
from gauge.gateways import STARTS
from gauge.installing import BENCH, LITELLM, TENSORZERO, debian_package
from gauge.measured import OURS, Measured
from gauge.ours import Comporta
from gauge.parts import Parts
from gauge.processes import LOAD_CORE, can_pin
from gauge.rounds import FULL, QUICK, Plan, Rounds, Tell

OUT = BENCH / "out" / "gate.json"
PART_OUT = BENCH / "out" / "gate.part.json"
PARTS = ("memory", "workers", "keys")
_LONGEST_REASON = 400
_INSTALLS: dict[str, Callable[[], None]] = {"litellm": LITELLM.install, "tensorzero": TENSORZERO.install}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 where an answer was wrong, the books are, memory grew or our own gate broke down."""
    options = _options(argv)
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 130)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    running: dict[str, Gateway] = {}
    try:
        run = _Run(options, folder, running, console)
        measured = run.measured()
    finally:
        for gateway in reversed(running.values()):
            gateway.process.stop()
        shutil.rmtree(folder, ignore_errors=True)
    notes = {name: gateway.note for name, gateway in running.items() if gateway.note}
    about = table.About(_machine(), _today(), options.run, notes, measured.left_out)
    names = ["direct", *(name for name in STARTS if name in options.only)]
    table.show(measured, names, console, about)
    table.write(measured, options.out, about)
    console.print(f"Written: {options.out}", highlight=False)
    return int(_is_wrong(measured))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gauge", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter windows: under four minutes in all")
    parser.add_argument("--only", type=_names, default=[*STARTS, *PARTS], help="these gateways and parts alone")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args(argv)
    whole = set(options.only) == {*STARTS, *PARTS}
    options.out = options.out or (OUT if whole else PART_OUT)
    options.run = ("a short run" if options.quick else "a full run") + ("" if whole else ", a part of it")
    return options


def _names(said: str) -> list[str]:
    names = [name for name in said.replace(",", " ").split() if name]
    unknown = [name for name in names if name not in STARTS and name not in PARTS]
    if unknown or not names:
        known = ", ".join([*STARTS, *PARTS])
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is none of {known}")
    return names


class _Run:
    """One run of the bench."""

    def __init__(
        self, options: argparse.Namespace, folder: Path, running: dict[str, Gateway], console: Console
    ) -> None:  # fmt: skip
        self._only: list[str] = options.only
        self._plan: Plan = QUICK if options.quick else FULL
        self._folder = folder
        self._running = running
        self._console = console
        self._left_out: dict[str, str] = {}
        self._since_s = time.monotonic()

    def measured(self) -> Measured:
        if not can_pin():
            self._console.print("This machine has no cores 0 and 1 to pin to: the gateways share a core with the load.")
        self._running["direct"] = mock(self._folder)
        for name in STARTS:
            # The memory is that of the gate from the rounds; it is asked last.
            if name in self._only or (name == OURS and "memory" in self._only):
                self._start(name)
        if can_pin():
            os.sched_setaffinity(0, {LOAD_CORE})
        measured = uvloop.run(self._run())
        measured.left_out = self._left_out | measured.left_out
        return measured

    def _start(self, name: str) -> None:
        self._console.print(f"Starting {name} …", highlight=False)
        try:
            self._install(name)
            self._running[name] = STARTS[name](self._folder, self._running["direct"].port)
        except (RuntimeError, OSError) as error:
            self._left_out[name] = _reason(error)
            self._console.print(f"Left out: {name}, since {error}", highlight=False, markup=False)

    def _install(self, name: str) -> None:
        if name == "nginx" and shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
            debian_package("nginx-light", "nginx")
        elif name in _INSTALLS:
            with self._console.status(f"Looking that {name} is installed …"):
                _INSTALLS[name]()

    async def _run(self) -> Measured:
        gateways = [gateway for name, gateway in self._running.items() if name in self._only]
        parts = [part for part in PARTS if part in self._only]
        with self._progress(self._steps(gateways, parts)) as tell:
            rounds = Rounds(self._plan, self._running["direct"], gateways, tell, self._since_s)
            if gateways:
                await rounds.run()
            self._end_rivals()
            await self._parts(rounds, parts, tell)
        return rounds.measured

    def _steps(self, gateways: Sequence[Gateway], parts: Sequence[str]) -> int:
        pair = 2 * (1 + 3 * self._plan.pair_rounds)
        steps = {"memory": 99, "workers": pair, "keys": pair}
        names = [gateway.name for gateway in gateways]
        return (self._plan.segments(names) if names else 0) + sum(steps[part] for part in parts)

    def _end_rivals(self) -> None:
        """They are not needed any more, and some of them are never quite idle."""
        for name, gateway in self._running.items():
            if name not in ("direct", OURS):
                gateway.process.stop()

    async def _parts(self, rounds: Rounds, names: Sequence[str], tell: Tell) -> None:
        gate = self._running.get(OURS)
        parts = Parts(self._plan, self._folder, self._running["direct"], rounds, tell)
        todo: dict[str, Callable[[], Awaitable[None]]] = {"keys": parts.keys, "workers": parts.workers}
        if isinstance(gate, Comporta) and OURS not in rounds.measured.left_out:
            todo |= {"memory": lambda: parts.memory(gate), "books": lambda: parts.books(gate)}
        for name, part in todo.items():
            if name not in names and name != "books":
                continue
            try:
                await part()
            except (RuntimeError, OSError, psycopg.Error) as error:
                rounds.measured.left_out[name] = _reason(error)

    @contextlib.contextmanager
    def _progress(self, total: int) -> Iterator[Tell]:
        """Drawn between the windows only: drawing takes CPU from the load."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, auto_refresh=False) as progress:
            steps = progress.add_task("measuring", total=total)

            def tell(text: str) -> None:
                progress.update(steps, advance=1, description=text)
                progress.refresh()

            yield tell
            progress.update(steps, completed=total, description="measured")
            progress.refresh()


def _reason(error: Exception) -> str:
    """In a line: how it begins, and how it ends."""
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return said if len(said) <= _LONGEST_REASON else f"{said[:100]} … {said[100 - _LONGEST_REASON :]}"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{model}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _is_wrong(measured: Measured) -> bool:
    grows = measured.memory_calls >= FEWEST_CALLS and is_growing(measured.memory)
    failed = {OURS, *PARTS, "books"} & set(measured.left_out)
    return any(measured.wrong.values()) or bool(measured.faults) or bool(failed) or grows


if __name__ == "__main__":
    sys.exit(main())
