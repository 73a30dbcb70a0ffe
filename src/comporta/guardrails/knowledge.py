"""A knowledge base: texts of a folder or file in passages, searched by their words (BM25), read anew on change.

Searching: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

from __future__ import annotations

import asyncio
import csv
import heapq
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comporta.errors import Unavailable
from comporta.guardrails.grounding.reading import read
from comporta.text.sentences import sentences

#: What of a folder is read.
SUFFIXES = (".md", ".txt", ".csv", ".json", ".jsonl")
#: Files are looked at for changes so often.
_LOOK_S = 2.0
_PASSAGE_CHARACTERS = 700
#: Larger bases belong into a store of vectors.
_MOST_BYTES = 64 * 1024 * 1024
_K1, _B = 1.2, 0.75

#: Which files there are, and when and how large they were.
_Mark = tuple[tuple[str, int, int], ...]


class Knowledge:
    """The passages of one folder or file. Reading happens on a thread, at the first question and after changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: _Index | None = None
        self._mark: _Mark = ()
        self._looked_s = -math.inf
        self._lock = asyncio.Lock()

    async def search(self, text: str, limit: int) -> Sequence[str]:
        """The passages that share most with a text, best first. Raises Unavailable where the base can't be read."""
        index = await self._current()
        return await asyncio.to_thread(index.search, text, limit)

    async def _current(self) -> _Index:
        async with self._lock:
            now_s = time.monotonic()
            if self._index is None or now_s - self._looked_s >= _LOOK_S:
                self._looked_s = now_s
                await asyncio.to_thread(self._look)
        if self._index is None:
            raise Unavailable(f"The knowledge base at {self.path.name} is not read.", code="knowledge_unavailable")
        return self._index

    def _look(self) -> None:
        try:
            mark = _mark(self.path)
            if self._index is None or mark != self._mark:
                self._index, self._mark = _Index(passages_of(self.path)), mark
        except (OSError, ValueError) as error:
            # What was read before answers on; a base that was never read can't.
            if self._index is None:
                raise Unavailable(
                    f"The knowledge base at {self.path.name} can't be read: {_why(error)}.",
                    code="knowledge_unavailable",
                ) from None


def _why(error: Exception) -> str:
    return (error.strerror or "it can't be opened") if isinstance(error, OSError) else str(error)


def files_of(path: Path) -> list[Path]:
    """The files that make a base: the file itself, or what a folder holds of known sorts, in order."""
    if path.is_file():
        return [path]
    return sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())


def _mark(path: Path) -> _Mark:
    found = []
    for one in files_of(path):
        stat = one.stat()
        found.append((str(one), stat.st_mtime_ns, stat.st_size))
    if not found and not path.exists():
        raise FileNotFoundError(2, "there is no such file or folder")
    if sum(size for _, _, size in found) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES // 1024 // 1024} MiB")
    return tuple(found)


def passages_of(path: Path) -> list[str]:
    """All passages of a base. Raises OSError, and ValueError (a sentence) for a file that is not what it says."""
    return [passage for one in files_of(path) for text in _texts(one) for passage in _passages(text)]


def _texts(file: Path) -> Iterator[str]:
    said = file.read_text(encoding="utf-8-sig", errors="replace")
    suffix = file.suffix.lower()
    try:
        if suffix == ".csv":
            yield from _rows(said)
        elif suffix == ".json":
            yield from _told(json.loads(said))
        elif suffix == ".jsonl":
            for line in filter(str.strip, said.splitlines()):
                yield from _told(json.loads(line))
        else:
            yield said
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f"{file.name} is no {suffix[1:]}: {error}") from None


def _rows(said: str) -> Iterator[str]:
    rows = csv.reader(said.splitlines(), delimiter=";" if said[:2000].count(";") > said[:2000].count(",") else ",")
    heads = next(rows, [])
    for row in rows:
        yield ". ".join(f"{head}: {cell}" for head, cell in zip(heads, row, strict=False) if cell.strip())


def _told(value: Any) -> Iterator[str]:
    """A text for each entry of a list, an object as `name: value` pairs."""
    if isinstance(value, list):
        for one in value:
            yield from _told(one)
    elif isinstance(value, dict):
        yield ". ".join(f"{name}: {_flat(one)}" for name, one in value.items() if one not in (None, "", [], {}))
    elif value is not None:
        yield str(value)


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(one)}" for name, one in value.items())
    return str(value)


def _passages(text: str) -> Iterator[str]:
    """Sentences together up to the size of a passage, the last one again in the next: it may say who `it` is."""
    held: list[str] = []
    size = 0
    for sentence in sentences(text):
        if held and size + len(sentence) > _PASSAGE_CHARACTERS:
            yield " ".join(held)
            held = held[-1:] if len(held[-1]) < _PASSAGE_CHARACTERS // 2 else []
            size = sum(map(len, held))
        held.append(sentence)
        size += len(sentence)
    if held:
        yield " ".join(held)


class _Index:
    """Passages and in which of them each word stands."""

    def __init__(self, passages: list[str]) -> None:
        self.passages = passages
        self._places: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for at, passage in enumerate(passages):
            stems = read(passage).stems
            lengths.append(len(stems))
            for stem, count in Counter(stems).items():
                self._places.setdefault(stem, []).append((at, count))
        mean = sum(lengths) / len(lengths) if lengths else 1.0
        self._damped = [_K1 * (1 - _B + _B * length / max(mean, 1.0)) for length in lengths]

    def search(self, text: str, limit: int) -> list[str]:
        scores: dict[int, float] = {}
        many = len(self.passages)
        for stem in set(read(text).stems):
            places = self._places.get(stem, ())
            rarity = math.log1p((many - len(places) + 0.5) / (len(places) + 0.5))
            for at, count in places:
                scores[at] = scores.get(at, 0.0) + rarity * count * (_K1 + 1) / (count + self._damped[at])
        best = heapq.nsmallest(limit, scores, key=lambda at: (-scores[at], at))
        return [self.passages[at] for at in best]
