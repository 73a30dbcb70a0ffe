"""Tokenizers' own tables, read from folders where somebody has put them; nothing is ever fetched.

A folder may hold `o200k_base.tiktoken` and `cl100k_base.tiktoken` (or the names under which tiktoken keeps them in its
cache), and `<family>.json`, a `tokenizer.json` as the `tokenizers` library reads it, for any family.
"""

from __future__ import annotations

import base64
import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from comporta.text.token_families import NAMES

log = structlog.get_logger("comporta.tokens")

Counting = Callable[[str], int]

_ENDING = r"""(?i:'(?:[sdmt]|ll|ve|re))"""
_NUMBERS_AND_MARKS = r"""\p{N}{1,3}"""
_BLANK = r"""\s*[\r\n]+|\s+(?!\S)|\s+"""
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
#: Where the encodings cut a text before they merge bytes: their definition, without which a table counts wrong.
_CUTS: Mapping[str, str] = {
    "cl100k": "|".join(
        (_ENDING, r"[^\r\n\p{L}\p{N}]?\p{L}+", _NUMBERS_AND_MARKS, r" ?[^\s\p{L}\p{N}]+[\r\n]*", _BLANK)
    ),
    "o200k": "|".join(
        (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDING}?", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDING}?",
         _NUMBERS_AND_MARKS, r" ?[^\s\p{L}\p{N}]+[\r\n/]*", _BLANK)
    ),
}  # fmt: skip
#: What a table may be called; the second is the digest of the address that tiktoken knows it by.
_FILES: Mapping[str, tuple[str, ...]] = {
    "o200k": ("o200k_base.tiktoken", "fb374d419588a4632f3f557e76b4b70aebbca790"),
    "cl100k": ("cl100k_base.tiktoken", "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"),
}
#: A long run without a break would take time that grows with its square.
_LONGEST_RUN = 100_000


class Tables:
    """The tables in `folders`. One is read when its family is first asked for, in a thread; until then there is none.

    A table that can't be read is told once, and its family is estimated.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._files = _found(folders)
        self._ready: dict[str, Counting | None] = {}
        self._lock = threading.Lock()

    @property
    def families(self) -> tuple[str, ...]:
        """The families that a table was found for."""
        return tuple(self._files)

    def of(self, family: str) -> Counting | None:
        """What counts a family's tokens exactly, once it is there; None until then, and where there is no table."""
        if family not in self._files:
            return None
        if family in self._ready:
            return self._ready[family]
        with self._lock:
            if family not in self._ready:
                self._ready[family] = None
                threading.Thread(target=self.load, args=(family,), name=f"tokens-{family}", daemon=True).start()
        return None

    def load(self, family: str) -> Counting | None:
        """The same, read now (half a second for a large table)."""
        path = self._files.get(family)
        if path is None:
            return None
        made = self._ready.get(family)
        if made is None:
            made = self._ready[family] = _read(family, path)
        return made


def _found(folders: Sequence[Path]) -> dict[str, Path]:
    """By family the first file that is there."""
    tiktoken = importlib.util.find_spec("tiktoken") is not None
    found: dict[str, Path] = {}
    for folder in folders:
        for family in NAMES:
            names = (*(_FILES.get(family, ()) if tiktoken else ()), f"{family}.json")
            path = next((folder / name for name in names if _is_file(folder / name)), None)
            if path is not None:
                found.setdefault(family, path)
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _read(family: str, path: Path) -> Counting | None:
    try:
        return _from_json(path) if path.suffix == ".json" else from_ranks(family, path)
    # The tokenizers library raises bare Exceptions of its own.
    except Exception as error:
        log.warning(
            "tokens.table_unreadable", file=str(path), family=family, kind=type(error).__name__,
            then="its tokens are estimated; put a whole table there, or take the file away",
        )  # fmt: skip
        return None


def _from_json(path: Path) -> Counting:
    from tokenizers import Tokenizer  # noqa: PLC0415 (heavy, and most gates have no tables)

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count


def from_ranks(family: str, path: Path) -> Counting:
    """A table in the form of tiktoken: a token in base64 and its rank on each line. Needs tiktoken."""
    import tiktoken  # noqa: PLC0415 (an extra: `comporta[tokens]`)

    ranks = dict(map(_rank, filter(None, path.read_bytes().splitlines())))
    encoding: Any = tiktoken.Encoding(family, pat_str=_CUTS[family], mergeable_ranks=ranks, special_tokens={})

    def count(text: str) -> int:
        return sum(
            len(encoding.encode_ordinary(text[at : at + _LONGEST_RUN])) for at in range(0, len(text), _LONGEST_RUN)
        )

    return count


def _rank(line: bytes) -> tuple[bytes, int]:
    token, rank = line.split()
    return base64.b64decode(token, validate=True), int(rank)
