"""The passages in a text that a question is to be answered from: documents in tags, between rules, or paragraphs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from msgspec import Struct

from comporta.text.optimizing.structure import fences, stretches

_NAMES = "document|doc|passage|context|chunk|source|article|search_result|result|snippet|excerpt|page"
#: The innermost of nested ones.
_TAGGED = re.compile(
    rf"<({_NAMES})\b[^>]*>(?:(?!</?(?:{_NAMES})\b).)*</\1\s*>[ \t]*\n?", re.DOTALL | re.IGNORECASE
)  # fmt: skip
_RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,}|_{3,}|#{3,})[ \t]*$\n?", re.MULTILINE)
_LABEL = re.compile(
    r"^[ \t]*(?:\[\d{1,3}\][ :]|(?:#+ )?(?:Document|Passage|Source|Chunk|Excerpt|Result|Documento|Trecho|Fonte|Pasaje"
    r"|Fuente|Fragmento)\s+#?\d{1,3}\b)", re.MULTILINE | re.IGNORECASE,
)  # fmt: skip
_PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*(?:\n|\Z))+")
_FEWEST_WORDS = 8
_OPENS_QUOTE = ("\"", "“", "«", "‘", "„", "'")  # fmt: skip


class Passage(Struct, frozen=True):
    """Where it stands in its text, and what it says. Without it the text still reads."""

    start: int
    end: int
    text: str


def tagged(text: str) -> tuple[Passage, ...]:
    """Documents in tags, such as `<document>…</document>`; a tag that code speaks of is none."""
    if "</" not in text:
        return ()
    code = fences(text)
    return tuple(
        Passage(found.start(), found.end(), found[0])
        for found in _TAGGED.finditer(text)
        if not any(start <= found.start() < end for start, end in code)
    )


def passages(text: str, *, loose: bool) -> tuple[Passage, ...]:
    """Documents in tags, else what stands under labels or between rules.

    `loose` takes paragraphs as well where there is none of these, but the first and the last, which may say what is to
    be done with the others.
    """
    found = tagged(text) or tuple(_labelled(text)) or tuple(_ruled(text))
    return found or (tuple(_paragraphs(text)) if loose else ())


def has_code(passage: Passage) -> bool:
    """Whether it holds code or other text whose every character counts."""
    return bool(fences(passage.text)) or "`" in passage.text


def without(text: str, dropped: tuple[Passage, ...]) -> str:
    """The text without some of its passages."""
    kept, at = [], 0
    for passage in dropped:
        kept.append(text[at : passage.start])
        at = passage.end
    return "".join((*kept, text[at:]))


def _labelled(text: str) -> Iterator[Passage]:
    """From one label to the next; the last ends with its paragraph, since a question may follow it."""
    starts = [found.start() for found in _LABEL.finditer(text)]
    if len(starts) < 2 or any(start <= at < end for at in starts for start, end in fences(text)):
        return
    for at, end in itertools.pairwise(starts):
        yield Passage(at, end, text[at:end])
    blank = re.compile(r"\n[ \t]*\n").search(text, starts[-1])
    end = len(text) if blank is None else blank.start() + 1
    yield Passage(starts[-1], end, text[starts[-1] : end])


def _ruled(text: str) -> Iterator[Passage]:
    """Between rules; what stands before the first and after the last is none of them."""
    rules = [*_RULE.finditer(text)]
    if len(rules) < 3 or any(start <= rule.start() < end for rule in rules for start, end in fences(text)):
        return
    for before, after in itertools.pairwise(rules):
        if _is_long(text[before.end() : after.start()]):
            yield Passage(before.end(), after.end(), text[before.end() : after.end()])


def _paragraphs(text: str) -> Iterator[Passage]:
    at = 0
    found = []
    for stretch in stretches(text):
        if stretch.kind == "prose":
            found += [(at + one.start(), at + one.end(), one[0]) for one in _PARAGRAPH.finditer(stretch.text)]
        at += len(stretch.text)
    # The first and the last paragraph of the text, whatever is kept between them.
    inner = [one for one in found if text[: one[0]].strip() and text[one[1] :].strip()]
    for start, end, said in inner:
        if _is_long(said) and not said.lstrip().startswith(_OPENS_QUOTE):
            blank = re.compile(r"[ \t\n]*\n|").match(text, end)
            yield Passage(start, end if blank is None else blank.end(), said)


def _is_long(text: str) -> bool:
    return len(text.split()) >= _FEWEST_WORDS
