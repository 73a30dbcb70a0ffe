"""`comporta cache evaluate`: how often the semantic cache would answer, and how often rightly, on anybody's pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from comporta.cache.agreement import THRESHOLD
from comporta.cache.measuring import PRECISION, Bad, Measured, Point, measured, plotted, read_rows, tried
from comporta.cli.shown import AS_JSON, DATA, facts, note, say, say_json
from comporta.embedding.minilm import MiniLM

FILE = typer.Argument(help="JSON lines (or .gz): a, b, label; or origin, similar.")
LIMIT_AT = typer.Option(THRESHOLD, "--threshold", min=0.0, max=1.0, help="How sure the cache must be; its default.")
CURVE = typer.Option(False, "--curve", help="Show every threshold, as a plot.")
_MOST_TOLD = 20


def evaluate(
    file: Path = FILE,
    threshold: float = LIMIT_AT,
    curve: bool = CURVE,
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Measure hits and false hits on pairs of questions, as the semantic cache would decide on them.

    Rows of `a`, `b`, `label` (1: one's answer answers the other) are decided pair by pair. Rows of `origin`,
    `similar` are looked up: all origins are kept, each similar is asked, and any other origin's answer is wrong.
    A line that can't be used is named and left out.
    """
    rows = read_rows(file)
    _complain(file, rows.bad)
    vectors = asyncio.run(_embedded(rows.texts(), data))
    found = measured(rows, tried(rows, vectors), threshold)
    if as_json:
        shown = msgspec.to_builtins(found)
        say_json(shown if curve else {name: value for name, value in shown.items() if name != "curve"})
        return
    _tell(found)
    if curve:
        say("")
        for line in plotted(found.curve):
            say(line)


async def _embedded(texts: Sequence[str], data: Path) -> dict[str, tuple[float, ...]]:
    embedder = MiniLM(data / "cache")
    try:
        await embedder.warm()
        return {text: (await embedder.embed([text]))[0] for text in _tracked(texts)}
    finally:
        embedder.close()


def _tracked(texts: Sequence[str]) -> Iterator[str]:
    """With a bar in a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from texts
        return
    with Progress(console=console, transient=True) as progress:
        yield from progress.track(texts, description="Embedding")


def _complain(file: Path, bad: Sequence[Bad]) -> None:
    for wrong in bad[:_MOST_TOLD]:
        note(f"{file}:{wrong.line} {wrong.why}")
    if len(bad) > _MOST_TOLD:
        note(f"… and {len(bad) - _MOST_TOLD} more lines that can't be used")


def _tell(found: Measured) -> None:
    say(f"{found.pairs} {'pairs' if found.kind == 'pairs' else 'look-ups'} at threshold {found.threshold}\n")
    facts((
        ("hits", f"{found.hits} ({found.hit_rate:.1%} of all)"),
        ("right", f"{found.right} (precision {_percent(found.precision)})"),
        ("wrong", f"{found.wrong} ({found.false_hit_rate:.2%} of all)"),
        ("should hit", f"{found.positives}, of which {_percent(found.recall)} did"),
        (f"at {PRECISION:.0%} right", _best(found.at_precision)),
        ("likeness alone", _alone(found.cosine_alone)),
        ("left out", f"{found.skipped} lines" if found.skipped else None),
    ))  # fmt: skip


def _best(point: Point | None) -> str:
    if point is None:
        return "no threshold is that precise"
    return f"threshold {point.threshold:.3f}: {_percent(point.recall)} of those that should hit"


def _alone(point: Point) -> str:
    return f"{_percent(point.recall)} of those that should hit, {_percent(point.precision)} right"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
