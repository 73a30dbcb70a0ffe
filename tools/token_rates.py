"""Makes `src/comporta/text/token_rates.json` and `bench/token_texts/counts.json` from tokenizers' own tables.

    python tools/token_rates.py FOLDER

FOLDER holds tables as `tokens.tables` takes them, and `<family>.ranks` for further ones in tiktoken's form, cut as
cl100k cuts. Rates are means over the first half of every file of `bench/token_texts` and over our own pages, sources
and word lists; the counts are of all texts of `bench/token_texts`, so that tests and bench can tell how far off the
estimate is on the second half without any table.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from comporta.text import token_tables
from comporta.text.token_families import NAMES
from comporta.text.token_pieces import classes, is_foreign, pieces
from comporta.text.token_tables import Counting, Tables

ROOT = Path(__file__).parent.parent
TEXTS = ROOT / "bench" / "token_texts"
RATES = ROOT / "src" / "comporta" / "text" / "token_rates.json"
COUNTS = TEXTS / "counts.json"
KINDS = ("en", "pt", "es", "code", "other")
#: A class that was seen so often stands by itself; a rarer one leans on its neighbours.
_LEAN = 3.0
#: Tables that nobody publishes: the family whose rates stand in.
STAND_INS = {"gemini": "o200k", "qwen": "cl100k"}


def texts(kind: str) -> list[str]:
    """The texts of a kind, those to learn from first."""
    return [text.strip("\n") for text in re.split(r"^=====$", (TEXTS / f"{kind}.txt").read_text(), flags=re.M)]


def learned() -> Iterator[str]:
    """What rates are made from."""
    for kind in KINDS:
        found = texts(kind)
        # Once more than the rest: they are what people send.
        for text in found if kind == "other" else found[: len(found) // 2]:
            yield from (text,) * 4
    for path in sorted((ROOT / "docs").rglob("*.md"))[::3]:
        yield path.read_text()
    for path in sorted((ROOT / "src" / "comporta").rglob("*.py"))[::12]:
        yield path.read_text()
    for name in ("pt", "es", "toxic-pt", "toxic-es"):
        yield re.sub(r"[{}|]", " ", (ROOT / "tools" / "training" / f"{name}.txt").read_text())
    for path in sorted((ROOT / "src" / "comporta" / "prompts" / "starters").glob("*.yaml")):
        yield path.read_text()


def rates(count: Counting) -> dict[str, float]:
    """Tokens by class of piece, or by character of it where the class ends in `+` or is a script."""
    tokens: dict[str, float] = defaultdict(float)
    seen: dict[str, float] = defaultdict(float)
    for text in learned():
        found = pieces(text)
        foreign = is_foreign(found)
        for piece, times in found.items():
            parts = classes(piece, foreign)
            size = sum(size for _, size in parts)
            whole = count(piece)
            for name, own in parts:
                tokens[name] += times * whole * own / size
                seen[name] += times * own
    return {name: round(_leaning(name, tokens, seen), 4) for name in sorted(seen)}


def _leaning(name: str, tokens: dict[str, float], seen: dict[str, float]) -> float:
    """The mean, drawn to that of the neighbouring lengths where there is little to go by."""
    match = re.fullmatch(r"(.+-[nsp])(\d+)", name)
    near = [] if match is None else [f"{match[1]}{int(match[2]) + step}" for step in (-1, 1)]
    near = [one for one in near if one in seen]
    around = sum(tokens[one] for one in near) / sum(seen[one] for one in near) if near else tokens[name] / seen[name]
    return (tokens[name] + _LEAN * around) / (seen[name] + _LEAN)


def main() -> None:
    folder = Path(sys.argv[1])
    tables = Tables([folder])
    counting = {family: count for family in tables.families if (count := tables.load(family)) is not None}
    for path in sorted(folder.glob("*.ranks")):
        counting[path.stem] = token_tables.from_ranks("cl100k", path)
    made = {family: rates(counting[family]) for family in NAMES if family in counting}
    made |= {family: made[other] for family, other in STAND_INS.items() if family not in made and other in made}
    RATES.write_text(json.dumps(made, indent=0, sort_keys=True) + "\n")
    counts = {f: {kind: [count(text) for text in texts(kind)] for kind in KINDS} for f, count in counting.items()}
    COUNTS.write_text(json.dumps(counts, sort_keys=True) + "\n")
    print(f"{len(made)} families: {', '.join(sorted(made))}; {len(made['o200k'])} classes")


if __name__ == "__main__":
    main()
