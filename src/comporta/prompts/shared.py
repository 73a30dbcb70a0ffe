"""The sign for a shared piece in a text, `{include: tone@1.2.0}`, and the piece put in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

INCLUDE = re.compile(r"\{\s{0,9}include:\s{0,9}([^{}\s]{0,200})\s{0,9}\}")


def included(text: str) -> Iterator[str]:
    """What a text includes, as it was written."""
    return (match[1] for match in INCLUDE.finditer(text))


def expanded(text: str, pieces: Mapping[str, str]) -> str:
    """The text with its pieces in place; a piece's own braces are those of a template too."""
    if "include:" not in text:
        return text
    return INCLUDE.sub(lambda match: pieces.get(match[1], match[0]), text)
