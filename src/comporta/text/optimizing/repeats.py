"""What a text says a second time, taken out of it: whole documents, passages, and instructions."""

from __future__ import annotations

import re

from comporta.text.normal import normalise
from comporta.text.optimizing.documents import tagged
from comporta.text.optimizing.structure import stretches
from comporta.text.sentences import sentences

_BREAK = re.compile(r"(\n[ \t]*(?:\n[ \t]*)+)")
#: `User: …`, `Q: …`: what stands behind such a word belongs to an example, where lines come again.
_LABELLED = re.compile(r"\s*[-*]?\s*(?:\w[\w ]{0,20}:\s+\S|[<>])")
#: Rules and lone brackets mean something every time they stand there.
_SIGNS_ALONE = re.compile(r"[\W_]*\Z")
_LONG_WORDS = 8
_INSTRUCTION_WORDS = 4


class Seen:
    """What was said so far. Of what comes again the first stays."""

    def __init__(self, fewest_words: int = _INSTRUCTION_WORDS) -> None:
        self._fewest_words = fewest_words
        self._documents: set[str] = set()
        self._passages: set[str] = set()

    def rest(self, text: str, *, instructions: bool = False) -> str:
        """The text without passages (and documents in tags) that were said before.

        `instructions` drops single lines and sentences too. Code, data, tables, quotes and examples stay.
        """
        parts, at = [], 0
        for document in tagged(text):
            parts.append(self._prose(text[at : document.start], instructions))
            # What stands inside a document belongs to it.
            parts.append("" if self._is_known(document.text) else document.text)
            at = document.end
        rest = "".join((*parts, self._prose(text[at:], instructions)))
        return rest if rest == text or text[-1:].isspace() else rest.rstrip()

    def _is_known(self, document: str) -> bool:
        key = normalise(re.sub(r"<[^>]*>", " ", document))
        known = key in self._documents
        self._documents.add(key)
        return known

    def _prose(self, text: str, instructions: bool) -> str:
        return "".join(s.text if s.kind == "kept" else self._paragraphs(s.text, instructions) for s in stretches(text))

    def _paragraphs(self, text: str, instructions: bool) -> str:
        parts = _BREAK.split(text)
        kept: list[str] = []
        for at in range(0, len(parts), 2):
            rest = self._paragraph(parts[at], instructions)
            if rest.strip() or not parts[at].strip():
                kept += [rest, *parts[at + 1 : at + 2]]
        return "".join(kept)

    def _paragraph(self, paragraph: str, instructions: bool) -> str:
        key = normalise(paragraph)
        words = key.count(" ") + 1
        if words >= _LONG_WORDS and not _LABELLED.match(paragraph):
            if key in self._passages:
                return ""
            self._passages.add(key)
        if not instructions:
            return paragraph
        return "".join(self._line(line) for line in paragraph.splitlines(keepends=True))

    def _line(self, line: str) -> str:
        key = normalise(line)
        if _SIGNS_ALONE.match(line) or _LABELLED.match(line) or '"' in line or "“" in line or "`" in line:
            return line
        if self._was_said(key):
            return ""
        found = sentences(line)
        return line if len(found) < 2 else self._sentences(line, found)

    def _was_said(self, key: str) -> bool:
        if key.count(" ") + 1 < self._fewest_words:
            return False
        known = f"\0{key}" in self._passages
        self._passages.add(f"\0{key}")
        return known

    def _sentences(self, line: str, found: tuple[str, ...]) -> str:
        for sentence in found:
            if sentence in line and self._was_said(normalise(sentence)):
                at = line.rindex(sentence)
                line = line[:at] + line[at + len(sentence) :].lstrip(" ")
        return line
