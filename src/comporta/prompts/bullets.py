"""Values as a model reads them well: plain numbers, and lists and objects as labelled bullets without what is empty.

Values are JSON's: dict, list, str, int, float, bool and None. Types are asked for exactly, since this runs on calls.
"""

from __future__ import annotations

from typing import Any

_SHORT = 80


def shown(value: Any) -> str:
    """Any value as text; nothing for None."""
    kind = type(value)
    if kind is str:
        text: str = value
        return text
    if kind is dict or kind is list:
        return "\n".join(_lines(value))
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind is float and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def is_empty(value: Any) -> bool:
    """Whether there is nothing to show: 0 and false are something."""
    kind = type(value)
    if kind is str:
        return not value or value.isspace()
    if kind is list:
        return not value or all(map(is_empty, value))
    if kind is dict:
        return not value or all(map(is_empty, value.values()))
    return value is None


def _lines(value: Any) -> list[str]:
    lines: list[str] = []
    if type(value) is dict:
        for key, one in value.items():
            if not is_empty(one):
                _add_labelled(lines, key, one)
        return lines
    for one in value:
        if not is_empty(one):
            _add_entry(lines, one)
    return lines


def _add_labelled(lines: list[str], key: str, value: Any) -> None:
    kind = type(value)
    if kind is list and (line := _one_line(value)) is not None:
        lines.append(f"- {label(key)}: {line}")
    elif kind is dict or kind is list:
        lines.append(f"- {label(key)}:")
        _add_indented(lines, _lines(value))
    else:
        first, *rest = shown(value).strip().splitlines()
        lines.append(f"- {label(key)}: {first}")
        _add_indented(lines, rest)


def _add_entry(lines: list[str], value: Any) -> None:
    if type(value) is dict or type(value) is list:
        first, *rest = _lines(value)
        lines.append(first)
        # The dash of a field stands as that of the whole entry.
        _add_indented(lines, [line.removeprefix("- ") for line in rest])
    else:
        first, *rest = shown(value).strip().splitlines()
        lines.append(f"- {first}")
        _add_indented(lines, rest)


def _one_line(values: list[Any]) -> str | None:
    """A list that reads well on one line; None for others."""
    texts: list[str] = []
    for one in values:
        if type(one) is dict or type(one) is list:
            return None
        text = shown(one).strip()
        if "," in text or len(text) > _SHORT or len(text.splitlines()) > 1:
            return None
        if text:
            texts.append(text)
    return ", ".join(texts)


def _add_indented(lines: list[str], more: list[str]) -> None:
    for line in more:
        lines.append(f"  {line}")


def label(key: str) -> str:
    """`max_price` as `Max price`."""
    words = " ".join(key.replace("_", " ").split())
    return words[:1].upper() + words[1:]
