"""Patterns with a bound on their time: a look for one stops after half a second, whatever pattern and text."""

from __future__ import annotations

import asyncio
from typing import Any

import regex

from comporta.config.tree import Path
from comporta.evaluation.base import Unjudged
from comporta.prompts.reading import Reading

LONGEST_PATTERN = 2_000
TIMEOUT_S = 0.5


class Slow(Unjudged):
    """A pattern took longer than its bound: it backtracks without end on this text."""


def compiled(pattern: str, *, ignore_case: bool = False) -> regex.Pattern[str]:
    """A pattern in the words of Python's `re` (and more). Raises ValueError with what is wrong."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"is longer than {LONGEST_PATTERN:,} characters")
    try:
        return regex.compile(pattern, (regex.IGNORECASE if ignore_case else 0) | regex.VERSION0)
    except regex.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    except (RecursionError, OverflowError, MemoryError) as error:
        raise ValueError("is nested deeper, or repeats more often, than a pattern may") from error


def read_pattern(reading: Reading, path: Path, *, ignore_case: bool = False) -> regex.Pattern[str] | None:
    """The pattern at a path; what is wrong with it is noted."""
    text = reading.text(path)
    if not text:
        reading.wrong(path, "needs a regular expression")
        return None
    try:
        return compiled(text, ignore_case=ignore_case)
    except ValueError as error:
        reading.wrong(path, str(error))
        return None


async def search(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    """The first place where the pattern fits. Raises Slow where that takes longer than its bound."""

    def look() -> Any:
        # `concurrent` lets other threads run meanwhile: the loop goes on while a bad pattern burns its half second.
        return pattern.search(text, timeout=TIMEOUT_S, concurrent=True)

    try:
        found: regex.Match[str] | None = await asyncio.to_thread(look)
    except TimeoutError:
        raise Slow(
            f"the pattern took longer than {TIMEOUT_S:g} s on a text of {len(text):,} characters and was stopped; "
            "it repeats what it repeats, such as (a+)+: write it without a repetition inside a repetition"
        ) from None
    return found
