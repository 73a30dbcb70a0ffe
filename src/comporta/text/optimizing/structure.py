"""Which lines of a text are prose, and which are code, data or a table whose every character counts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal["prose", "kept"]

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,}|\"\"\"|''')")
_TAG = re.compile(r"<(code|pre|examples?|verbatim|quote|blockquote|script|style)\b[^>]*>", re.IGNORECASE)
_TABLE = re.compile(r"\s*\|.*\|\s*\Z|[\s:|+=-]*[|+][\s:|+=-]*\Z")
_GAP = re.compile(r"(?<=\S)(?: {2,}|\t+)(?=\S)")
_PAIR = re.compile(r"\s*(?:- )?[\"']?[\w.@/-]+[\"']?\s*[:=](?:\s.*)?\Z")
_BRACKETS = re.compile(r"\s*[\[\]{}(),;]+\s*\Z")
_CODE = re.compile(
    r".*[;{}\\]\s*\Z|\s*(?:def|class|import|from|return|if|elif|else|for|while|try|except|func|fn|let|const|var|public"
    r"|private|SELECT|INSERT|UPDATE|DELETE|CREATE|FROM|WHERE)\b.*[:;({=,]\s*\Z|\s*(?:#include|//|/\*|\$ |@\w+)"
)
_INDENTED = re.compile(r"(?: {4,}|\t)\S")
_QUOTED_LINE = re.compile(r"\s*>")
_LIST = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")


class Stretch(Struct, frozen=True):
    """Lines that belong together, with their line ends; the stretches of a text put together are the text."""

    kind: Kind
    text: str


def stretches(text: str) -> tuple[Stretch, ...]:
    """The text as stretches of prose and of what is kept as it is."""
    found: list[tuple[Kind, list[str]]] = []
    for kind, lines in _blocks(text.splitlines(keepends=True)):
        if found and found[-1][0] == kind:
            found[-1][1].extend(lines)
        else:
            found.append((kind, [*lines]))
    return tuple(Stretch(kind, "".join(lines)) for kind, lines in found)


def fences(text: str) -> tuple[tuple[int, int], ...]:
    """Where code between fences begins and ends, in characters."""
    if "```" not in text and "~~~" not in text:
        return ()
    lines = text.splitlines(keepends=True)
    found, at, place = [], 0, 0
    while at < len(lines):
        end = _fenced(lines, at)
        size = sum(map(len, lines[at : end or at + 1]))
        if end:
            found.append((place, place + size))
        at, place = end or at + 1, place + size
    return tuple(found)


def _blocks(lines: Sequence[str]) -> Iterator[tuple[Kind, Sequence[str]]]:
    at = 0
    while at < len(lines):
        end = _fenced(lines, at) or _tagged(lines, at)
        if end:
            yield "kept", lines[at:end]
            at = end
            continue
        end = at
        while end < len(lines) and lines[end].strip() and not _opens(lines[end]):
            end += 1
        if end == at:
            # A blank line, which is prose whatever stands around it.
            end = at + 1
        yield _kind(lines[at:end]), lines[at:end]
        at = end


def _opens(line: str) -> bool:
    return bool(_FENCE.match(line) or _TAG.search(line))


def _fenced(lines: Sequence[str], at: int) -> int:
    """Where the fence that opens here ends; one that is never closed holds to the end. 0 where none opens."""
    mark = _FENCE.match(lines[at])
    if mark is None:
        return 0
    if mark[1] in lines[at][mark.end() :]:
        return at + 1
    for end in range(at + 1, len(lines)):
        closing = _FENCE.match(lines[end])
        closed = closing is not None and closing[1].startswith(mark[1])
        if closed or (mark[1][0] in "\"'" and mark[1] in lines[end]):
            return end + 1
    return len(lines)


def _tagged(lines: Sequence[str], at: int) -> int:
    mark = _TAG.search(lines[at])
    if mark is None:
        return 0
    closing = f"</{mark[1].lower()}"
    for end in range(at, len(lines)):
        if closing in lines[end].lower():
            return end + 1
    return len(lines)


def _kind(lines: Sequence[str]) -> Kind:
    """Of lines without a blank one among them."""
    bare = [line.rstrip("\r\n") for line in lines]
    if _is_aligned(bare) or any(
        _TABLE.match(line) or _INDENTED.match(line) or _QUOTED_LINE.match(line) for line in bare
    ):
        return "kept"
    if bare[0].lstrip()[:1] in ("{", "[") and bare[-1].rstrip()[-1:] in ("}", "]", ","):
        return "kept"
    structured = sum(bool(_PAIR.match(line) or _BRACKETS.match(line) or _CODE.match(line)) for line in bare)
    nested = any(line[:1] in " \t" and not _LIST.match(line) for line in bare)
    if structured >= 2 and (structured * 2 > len(bare) or nested):
        return "kept"
    return "kept" if len(bare) == 1 and _CODE.match(bare[0]) else "prose"


def _is_aligned(lines: Sequence[str]) -> bool:
    """Whether the words of neighbouring lines stand below each other, or behind tabs: a table without lines."""
    gaps = [[*_GAP.finditer(line)] for line in lines]
    if sum(any("\t" in gap[0] for gap in found) for found in gaps) >= 2:
        return True
    ends = [{gap.end() for gap in found} for found in gaps]
    return any(above & below for above, below in itertools.pairwise(ends))
