"""The script that pages take from the gate: as it is written, without what only its readers need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import msgspec

#: Spaces that mean nothing, on lines without texts in them.
_SPACES = re.compile(r" *(=>|&&|\|\||[={}(),?:<>]) *")
_HOLDS_TEXT = re.compile(r"[\"'`]")


@lru_cache(8)
def script(methods: tuple[str, ...]) -> bytes:
    """`/feedback.js` for a gate that collects by these methods (the configuration's names)."""
    written = (files("comporta.feedback") / "feedback.js").read_text("utf-8")
    return _short(written).replace("__METHODS__", msgspec.json.encode(methods).decode()).encode()


def _short(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(_spaceless(line) for line in lines if line and not line.startswith("//"))


def _spaceless(line: str) -> str:
    return line if _HOLDS_TEXT.search(line) else _SPACES.sub(r"\1", line)


def methods_of(explicit: Sequence[str], implicit: Sequence[str]) -> tuple[str, ...]:
    """What of the configured methods a page can do."""
    return (*explicit, *implicit)
