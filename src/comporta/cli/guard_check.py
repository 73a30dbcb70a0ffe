"""`comporta guard check`: how well guards find what they are for, on anybody's labelled examples."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from comporta.cli.guards_at_hand import GUARD, POLICY, at_hand, entry, policy_of
from comporta.cli.place import CONFIG
from comporta.cli.shown import AS_JSON, DATA, note, say, say_json, table
from comporta.errors import ComportaError
from comporta.guardrails.base import Place, Side
from comporta.guardrails.measuring import Asker, Bad, Example, Measured, measured, read_examples
from comporta.stats.detection import DRAWS, Detection

FILE = typer.Argument(help="JSON lines (or .gz): text, label, and if you like context, question, lang, source, spans.")
SIDE = typer.Option(None, "--side", help="input or output. Default: input, where the guards look at input.")
PLACE = typer.Option(None, "--place", help="Where the texts stand: user, system, tool, passage, assistant.")
LIMIT = typer.Option(None, "--limit", min=1, help="Only so many examples, from the beginning.")
DRAWN = typer.Option(DRAWS, "--draws", min=100, max=20_000, help="Draws of the bootstrap behind the intervals.")
_MOST_TOLD = 20
_SIDES: tuple[Side, ...] = ("input", "output")
_PLACES: tuple[Place, ...] = ("system", "user", "assistant", "tool", "passage", "name", "alt")
_SHOWN = ("accuracy", "precision", "recall", "recall_at_1pct_fpr", "auc")


def check(
    file: Path = FILE,
    guard: list[str] = GUARD,
    policy: str | None = POLICY,
    side: str | None = SIDE,
    place: str | None = PLACE,
    limit: int | None = LIMIT,
    draws: int = DRAWN,
    config: Path | None = CONFIG,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Measure guards on labelled examples: accuracy, precision, recall, AUC, with 95 % intervals.

    A label is 1 or 0, true or false, or a word for either; with `spans` ([start, end, type]) precision and recall by
    type are told too. A line that can't be used is named and left out.
    """
    examples, skipped = _read(file, limit)
    entries = [entry(one) for one in guard]
    found = asyncio.run(
        _measured(
            examples, skipped, entries, policy, _one_of(side, _SIDES), _one_of(place, _PLACES), config, data, draws
        )
    )
    if as_json:
        say_json(msgspec.to_builtins(found))
    else:
        _tell(found)


def _one_of(word: str | None, words: Sequence[Any]) -> Any:
    if word is not None and word not in words:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(words)}")
    return word


def _read(file: Path, limit: int | None) -> tuple[list[Example], int]:
    examples: list[Example] = []
    bad: list[Bad] = []
    for one in read_examples(file):
        if isinstance(one, Bad):
            bad.append(one)
        else:
            examples.append(one)
        if limit is not None and len(examples) >= limit:
            break
    for wrong in bad[:_MOST_TOLD]:
        note(f"{file}:{wrong.line} {wrong.why}")
    if len(bad) > _MOST_TOLD:
        note(f"… and {len(bad) - _MOST_TOLD} more lines that can't be used")
    if not examples:
        raise ComportaError(f"{file} holds no example: lines of JSON with `text` and `label`.", code="no_examples")
    return examples, len(bad)


async def _measured(
    examples: list[Example], skipped: int, entries: list[Any], policy: str | None, side: Side | None,
    place: Place | None, config: Path | None, data: Path, draws: int,
) -> Measured:  # fmt: skip
    guarding = at_hand(config, data)
    if side is None:
        side = _side(guarding.kinds.all, entries)
    asked = policy_of(guarding, policy, entries, side)
    uses = asked.input if side == "input" else asked.output
    asker = Asker(uses, side, time.perf_counter, place)
    judged = [await asker.judged(example) for example in _tracked(examples)]
    name = ", ".join(use.name for use in uses)
    return await asyncio.to_thread(measured, name, judged, skipped, draws)


def _side(kinds: Sequence[Any], entries: list[Any]) -> Side:
    """Output, where one of the guards looks at nothing else."""
    names = {one if isinstance(one, str) else one.get("type") for one in entries}
    meant = [kind for kind in kinds if names & {kind.name, *kind.aliases}]
    return "output" if any("input" not in kind.sides for kind in meant) else "input"


def _tracked(examples: list[Example]) -> Iterator[Example]:
    """With a bar in a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from examples
        return
    with Progress(console=console, transient=True) as progress:
        yield from progress.track(examples, description="Asking the guards")


def _tell(found: Measured) -> None:
    took = f"{found.latency_ms_p50:.2f} ms each (95 %: {found.latency_ms_p95:.2f} ms)"
    say(f"{found.guard} on {found.n} examples, {took}\n")
    rows = [("all", found.all), *(("lang " + n, d) for n, d in found.by_lang.items())]
    rows += [("source " + n, d) for n, d in found.by_source.items()]
    columns = ("", "n", "positives", "accuracy", "precision", "recall", "recall at 1 % FPR", "AUC")
    table(columns, [(name, one.n, one.positives, *_cells(one)) for name, one in rows], "")
    if found.spans is not None:
        say("")
        spans = ((n, s.marked, s.found, s.right, s.precision, s.recall) for n, s in found.spans.items())
        table(("spans", "marked", "found", "right", "precision", "recall"), spans, "")
    if found.skipped:
        note(f"{found.skipped} lines could not be used.")


def _cells(one: Detection) -> Iterator[str]:
    for name in _SHOWN:
        value, interval = getattr(one, name), one.intervals[name]
        yield (
            "–" if value is None else f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
        )
