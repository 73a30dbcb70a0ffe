"""Texts and values cut short for the sentence that says why an assertion passed or failed."""

from __future__ import annotations

from typing import Any

import msgspec

_MOST = 120


def quoted(text: str, most: int = _MOST) -> str:
    """The text on one line in quotes, cut where it is long."""
    line = " ".join(text.split())
    return f"«{line}»" if len(line) <= most else f"«{line[:most]}…» ({len(text):,} characters)"


def value(found: Any, most: int = _MOST) -> str:
    """A JSON value as JSON, cut where it is long."""
    try:
        line = msgspec.json.encode(found).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        line = repr(found)
    return line if len(line) <= most else f"{line[:most]}…"
