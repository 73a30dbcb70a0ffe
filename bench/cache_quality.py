"""How often the semantic cache answers, and how often rightly: on our own pairs, and on anybody's beside them.

`python bench/cache_quality.py [--json] [--data FOLDER] [--quick] [FILE ...]`: every set is a line. A FILE is one for
`comporta cache evaluate`; `../shared/data/cache` is measured too where it is there, unless `--quick`. Nothing that is
measured was trained on. Portuguese and Spanish are left to another embedder, which is not here: of them stands what the
rules say, as if every two questions were wholly alike, so that no embedder does worse on changed pairs, or better on
reworded ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cache_pairs
import msgspec
from rich.console import Console
from rich.table import Table

from comporta.cache.measuring import Measured, measured, read_rows, tried
from comporta.embedding.minilm import MiniLM

SHARED = Path(__file__).parents[2] / "shared" / "data" / "cache" / "question_pairs.jsonl.gz"
#: What is asked of each set: precision and hits of those that should hit, or the most false hits.
PRECISION, RECALL, FALSE = 0.97, 0.85, 0.01
#: Languages that the embedder here can't read.
BY_RULES = ("pt", "es")


class Set(msgspec.Struct, frozen=True):
    """Rows of one kind. `asked` of them is `paraphrase`, `adversarial` or nothing."""

    name: str
    path: Path
    asked: str = ""
    #: False: every two of its questions count as wholly alike.
    embedded: bool = True


def sets(folder: Path, given: Sequence[Path], shared: bool) -> Iterator[Set]:
    """Ours, each written to a file, and others' as they stand."""
    for kind, wanted in (("rewordings", "paraphrase"), ("questions", "")):
        for way, rows in (("looked up", cache_pairs.looks(kind)), ("pairs", cache_pairs.pairs(kind))):
            name = f"{'reworded' if kind == 'rewordings' else 'said otherwise'}, {way}"
            asked = wanted if way == "looked up" else ""
            yield Set(name, cache_pairs.written(rows, folder / f"{kind}-{way[:5]}.jsonl"), asked)
    for kind in cache_pairs.kinds():
        rows = cache_pairs.adversarial(kind)
        yield Set(f"changed {kind}", cache_pairs.written(rows, folder / f"{kind}.jsonl"), "adversarial")
    for language in BY_RULES:
        same = [row for row in cache_pairs.pairs("rewordings", language) if row["label"]]
        path = cache_pairs.written(same, folder / f"{language}-reworded.jsonl")
        yield Set(f"{language}: reworded", path, embedded=False)
        for kind in cache_pairs.kinds(language):
            rows = cache_pairs.adversarial(kind, language)
            path = cache_pairs.written(rows, folder / f"{language}-{kind}.jsonl")
            yield Set(f"{language}: changed {kind}", path, "adversarial", embedded=False)
    if shared and SHARED.is_file():
        yield Set("shared question pairs", SHARED)
    for path in given:
        yield Set(path.name, path)


async def measured_all(chosen: Sequence[Set], cache: Path) -> dict[str, Measured]:
    """Every set, decided as live at the default threshold."""
    embedder, found = MiniLM(cache), {}
    try:
        for one in chosen:
            rows = read_rows(one.path)
            vectors: dict[str, tuple[float, ...]] = dict.fromkeys(rows.texts(), (1.0,))
            if one.embedded:
                vectors = {text: (await embedder.embed([text]))[0] for text in vectors}
            found[one.name] = measured(rows, tried(rows, vectors, verifier=one.embedded))
    finally:
        embedder.close()
    return found


def verdict(found: Measured, asked: str) -> bool | None:
    """Whether a set gives what is asked of it; None where nothing is."""
    if asked == "adversarial":
        return found.false_hit_rate <= FALSE
    if asked == "paraphrase":
        return (found.precision or 0.0) >= PRECISION and (found.recall or 0.0) >= RECALL
    return None


def report(given: Sequence[Path] = (), *, shared: bool = True, cache: Path | None = None) -> dict[str, Any]:
    """All figures by the name of the set, each with `asked` and `kept`."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(sets(Path(folder), given, shared))
        found = asyncio.run(measured_all(chosen, cache or Path(folder)))
    return {
        one.name: msgspec.to_builtins(found[one.name])
        | {"asked": one.asked or None, "kept": verdict(found[one.name], one.asked)}
        for one in chosen
    }


def told(figures: dict[str, Any]) -> None:
    """The table."""
    table = Table(box=None, pad_edge=False)
    for name in ("set", "pairs", "should hit", "hits", "right", "of those", "false", "at 97 % right", "cosine", ""):
        table.add_column(name, justify="left" if name in ("set", "") else "right")
    for name, one in figures.items():
        best, alone = one["at_precision"], one["cosine_alone"]
        table.add_row(
            name, str(one["pairs"]), str(one["positives"]), str(one["hits"]), _percent(one["precision"]),
            _percent(one["recall"]), _percent(one["false_hit_rate"]), _percent(best and best["recall"]),
            f"{_percent(alone['recall'])} / {_percent(alone['precision'])}",
            {True: "kept", False: "MISSED", None: ""}[one["kept"]],
        )  # fmt: skip
    Console(width=150, highlight=False).print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def main() -> int:
    """Measures and prints; 1 where something that is asked was missed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("files", nargs="*", type=Path)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--quick", action="store_true", help="without ../shared/data/cache")
    asked.add_argument("--data", type=Path, help="where the built embedding model lies, or will")
    given = asked.parse_args()
    figures = report(given.files, shared=not given.quick, cache=given.data and given.data / "cache")
    if given.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    else:
        told(figures)
    return int(any(one["kept"] is False for one in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
