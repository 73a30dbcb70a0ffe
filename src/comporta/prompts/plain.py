"""Texts with `{name}` placeholders, cut apart once; a value is put between the cuts and never looked at again.

Every brace that is no placeholder stays as it is, so JSON in a prompt needs no doubling. A literal `{name}` is written
`\\{name}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set

from comporta.prompts.bullets import shown
from comporta.types import Image, Part, Text

_PLACEHOLDER = re.compile(r"(\\?)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LOOKALIKE = re.compile(r"\{\{-?\s*[A-Za-z_][\w.|\s()'\"]*-?\}\}|\{%-?\s*(?:if|for|set|else|elif|end\w+)\b")
_DOTTED = re.compile(r"(?<![\\{])\{([A-Za-z_]\w*)(?:\.|\[|\|)[\w.\[\]|'\"]*\}")
_SPACED = re.compile(r"(?<![\\{])\{ +([A-Za-z_]\w*) *\}|(?<![\\{])\{([A-Za-z_]\w*) +\}")


class Untemplatable(Exception):
    """A text is no template of its kind; the message says why and what to write."""


class Plain:
    """One text made ready."""

    def __init__(self, text: str, literal: bool = False) -> None:
        self._cuts, self._slots = ((text,), ()) if literal else _cut(text)
        self.names: Set[str] = frozenset(name for _, name in self._slots)

    def text(self, values: Mapping[str, object]) -> str:
        """The text with the values in it; all of them are texts."""
        slots = self._slots
        if not slots:
            return self._cuts[0]
        filled: list[str] = list(self._cuts)
        for at, name in slots:
            filled[at] = values[name]  # type: ignore[call-overload]  # texts, as the compiler of the prompt sees to
        return "".join(filled)

    def parts(self, values: Mapping[str, object]) -> tuple[Part, ...]:
        """The same as parts of a message, with an image where its placeholder stands."""
        filled: list[object] = list(self._cuts)
        for at, name in self._slots:
            filled[at] = values[name]
        return tuple(_joined(filled))


def _cut(text: str) -> tuple[tuple[str, ...], tuple[tuple[int, str], ...]]:
    cuts: list[str] = []
    slots: list[tuple[int, str]] = []
    end, held = 0, ""
    for match in _PLACEHOLDER.finditer(text):
        held += text[end : match.start()]
        end = match.end()
        if match[1]:
            held += match[0][1:]
            continue
        cuts += [held, ""]
        slots.append((len(cuts) - 1, match[2]))
        held = ""
    return (*cuts, held + text[end:]), tuple(slots)


def _joined(filled: list[object]) -> Iterator[Part]:
    held: list[str] = []
    for one in filled:
        if isinstance(one, Image):
            if text := "".join(held).strip():
                yield Text(text)
            held = []
            yield one
        else:
            held.append(shown(one))
    if text := "".join(held):
        yield Text(text)


def check_plain(text: str) -> None:
    """Raises Untemplatable for what was meant as the other kind of template and would be sent as it stands."""
    if match := _LOOKALIKE.search(text):
        sign = "{%" if match[0].startswith("{%") else "{{"
        raise Untemplatable(
            f"holds {sign} as jinja has it: say template: jinja, or write {{name}} for a value and \\{{name}} for the "
            "word itself"
        )


def near_placeholders(text: str) -> Iterator[str]:
    """What looks like a placeholder and is none, each with what to write."""
    for match in _DOTTED.finditer(text):
        yield (
            f"{match[0][:60]} is sent as it stands: a placeholder is one name, such as {{{match[1]}}}; for a field or "
            "a filter say template: jinja"
        )
    for match in _SPACED.finditer(text):
        yield f"{match[0][:60]} is sent as it stands: a placeholder has no space, {{{match[1] or match[2]}}}"
