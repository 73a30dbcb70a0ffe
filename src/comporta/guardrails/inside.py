"""Texts that lie inside other parts: files of plain text, and what only one wire understands (search results)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from comporta.types import JSON, File

#: Where in a part a text lies: names and numbers.
Path = tuple[int | str, ...]

#: What such parts say for a model to read. Everything else in them are names, ids and data.
_SAID = frozenset({
    "text", "title", "context", "content", "source", "output", "arguments", "input", "query", "queries", "refusal",
    "transcript", "summary", "code", "stdout", "stderr", "logs", "filename", "file_name", "thinking",
})  # fmt: skip
_READABLE = ("text/", "application/json", "application/xml", "application/x-yaml", "application/yaml")


def text_of(file: File) -> str | None:
    """What stands in a file of plain text; None for every other."""
    if file.data is None or not (file.media_type is None or file.media_type.lower().startswith(_READABLE)):
        return None
    try:
        data = b64decode(file.data)
        # Without a type, what is no text can't be read as one.
        return data.decode(errors="strict" if file.media_type is None else "replace")
    except (ValueError, binascii.Error):
        return None


def data_of(text: str) -> str:
    """A text as a file holds it."""
    return b64encode(text.encode(errors="replace")).decode()


def texts_in(value: Any, said: bool = False, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The texts of a part that is kept in its wire's own words."""
    if isinstance(value, str):
        if said:
            yield path, value
    elif isinstance(value, Mapping):
        plain = value.get("type") == "text"
        for name, inner in value.items():
            yield from texts_in(inner, name in _SAID or (plain and name == "data"), (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from texts_in(inner, said, (*path, at))


def with_texts_in(value: Any, texts: Mapping[Path, str], path: Path = ()) -> Any:
    """The same with other texts in some places."""
    if isinstance(value, str):
        return texts.get(path, value)
    if isinstance(value, Mapping):
        changed: JSON = {name: with_texts_in(inner, texts, (*path, name)) for name, inner in value.items()}
        return changed
    if isinstance(value, list):
        return [with_texts_in(inner, texts, (*path, at)) for at, inner in enumerate(value)]
    return value
