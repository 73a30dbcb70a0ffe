"""`python -m gauge [--quick] [--only NAME …]`: start the gateways, measure, print the table, write the JSON."""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gauge import table
from gauge.figures import is_growing
from gauge.gateways import STARTS, Gateway, mock
from gauge.installing import BENCH, LITELLM, TENSORZERO, debian_package
from gauge.processes import LOAD_CORE, can_pin
from gauge.rounds import FULL, QUICK, Measured, Plan, Rounds

OUT = BENCH / "out" / "gate.json"
_INSTALLS: dict[str, Callable[[], None]] = {"litellm": LITELLM.install, "tensorzero": TENSORZERO.install}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 where an answer was wrong, a record missing or the memory grew."""
    options = _options(argv)
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 120)
    plan = QUICK if options.quick else FULL
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    running: list[Gateway] = []
    try:
        measured = _measured(options.only, plan, folder, running, console)
        table.show(measured, running, console, _machine())
    finally:
        for gateway in reversed(running):
            gateway.process.stop()
        shutil.rmtree(folder, ignore_errors=True)
    table.write(measured, options.out)
    console.print(f"Written: {options.out}", highlight=False)
    return int(_is_wrong(measured))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gauge", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter windows: under four minutes in all")
    parser.add_argument("--only", nargs="*", choices=STARTS, default=list(STARTS), help="these gateways alone")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    return parser.parse_args(argv)


def _measured(names: list[str], plan: Plan, folder: Path, running: list[Gateway], console: Console) -> Measured:
    if not can_pin():
        console.print("This machine has no cores 0 and 1 to pin to: the gateways share a core with the load.")
    left_out: dict[str, str] = {}
    direct = mock(folder)
    running.append(direct)
    for name in names:
        console.print(f"Starting {name} …", highlight=False)
        try:
            _install(name, console)
            running.append(STARTS[name](folder, direct.port))
        except RuntimeError as error:
            left_out[name] = str(error).rstrip(".")
            console.print(f"Left out: {name}, since {error}", highlight=False, markup=False)
    if can_pin():
        os.sched_setaffinity(0, {LOAD_CORE})
    measured = uvloop.run(_run(plan, direct, running[1:], console))
    measured.left_out = left_out
    return measured


def _install(name: str, console: Console) -> None:
    if name == "nginx" and shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
        debian_package("nginx-light", "nginx")
    elif name in _INSTALLS:
        with console.status(f"Installing {name} (once) …"):
            _INSTALLS[name]()


async def _run(plan: Plan, direct: Gateway, gateways: Sequence[Gateway], console: Console) -> Measured:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Drawn between the windows only: drawing takes CPU from the load.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        steps = progress.add_task("measuring", total=plan.segments(1 + len(gateways)) + 100)

        def tell(text: str) -> None:
            progress.update(steps, advance=1, description=text)
            progress.refresh()

        rounds = Rounds(plan, direct, gateways, tell)
        measured = await rounds.run()
        for gateway in gateways:
            if gateway.name == "comporta":
                await rounds.memory(gateway)
        progress.update(steps, completed=plan.segments(1 + len(gateways)) + 100, description="measured")
    return measured


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{model}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, {today}"


def _is_wrong(measured: Measured) -> bool:
    grows = bool(measured.memory) and is_growing(measured.memory)
    return any(measured.wrong.values()) or measured.recorded != measured.answered or grows


if __name__ == "__main__":
    sys.exit(main())
