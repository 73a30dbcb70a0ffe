"""Masks in place of what was found, and the way back: the same value always gets the same mask in a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import re2
from msgspec import Struct

from comporta.guardrails.base import Match

Style = Literal["label", "numbered", "stars"]

_MASK = re.compile(r"\[[A-Z][A-Z0-9_]{1,30}_\d{1,5}\]")
#: The longest mask there is: so much of a stream is held back where one may have begun.
LONGEST_MASK = 40
_OPENED = re.compile(r"\[[A-Z0-9_]{0,37}\Z")


class MaskSettings(Struct, frozen=True):
    """How masks look: `[CPF]`, `[CPF_1]` (told apart, and led back where that is configured), or stars."""

    style: Style = "label"


class Masks:
    """The masks of one call. `put` sets them, `back` leads from masks to values, `again` from values to masks."""

    def __init__(self, style: Style = "label", taken: str = "", *, lead_back: bool = False) -> None:
        self._style: Style = "numbered" if lead_back else style
        self._lead_back = lead_back
        self._of: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        #: What finds every masked value at once, and of how many values it knows.
        self._known: tuple[int, Any] | None = None
        #: Masks that stand in the conversation as it came: they are somebody's words, and stay what they are.
        self._taken = frozenset(_MASK.findall(taken))

    @property
    def reversible(self) -> bool:
        """Whether there is a value that a mask can be led back to."""
        return bool(self._values)

    @property
    def used(self) -> bool:
        """Whether there is a mask at all."""
        return bool(self._of)

    def put(self, text: str, matches: Sequence[Match], *, own: bool = True) -> str:
        """The text with a mask in place of each match. Matches are disjoint and in order."""
        parts, done = [], 0
        for match in matches:
            parts += [text[done : match.start], self.mask(text[match.start : match.end], match.kind, own=own)]
            done = match.end
        return "".join((*parts, text[done:]))

    def mask(self, value: str, kind: str, *, own: bool = True) -> str:
        """The mask of one value; the same one each time. Only the client's `own` values are ever led back to."""
        known = self._of.get(value)
        if known is None:
            known = self._of[value] = self._new(value, kind)
            if self._lead_back and own:
                self._values[known] = value
        return known

    def back(self, text: str) -> str:
        """The text with the values that its masks stand for."""
        return _MASK.sub(lambda found: self._values.get(found.group(), found.group()), text)

    def values_in(self, text: str, start: int, end: int, *, json: bool) -> list[tuple[int, int, str]]:
        """Where masks that can be led back stand, and their values; `json`: as JSON writes them."""
        return [
            (found.start(), found.end(), _inside(value) if json else value)
            for found in _MASK.finditer(text, start, end)
            if (value := self._values.get(found.group())) is not None
        ]

    def again(self, text: str) -> str:
        """A text (or JSON text) in which masked values stand, with their masks instead: what is kept of an answer."""
        if not self._of:
            return text
        masks = {form: mask for value, mask in self._of.items() for form in (value, _inside(value)) if _encodable(form)}
        if not _encodable(text):
            for form in sorted(masks, key=len, reverse=True):
                text = text.replace(form, masks[form])
            return text
        if self._known is None or self._known[0] != len(self._of):
            self._known = len(self._of), _any_of(masks)
        found: str = self._known[1].sub(lambda one: masks[one.group()], text)
        return found

    def kept(self) -> dict[str, Any]:
        """All of it as JSON values, from which `restored` makes it again."""
        return {
            "style": self._style, "lead_back": self._lead_back, "of": self._of, "values": self._values,
            "counts": self._counts, "taken": sorted(self._taken),
        }  # fmt: skip

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> Masks:
        """The masks that `kept` told."""
        made = cls(kept["style"], lead_back=kept["lead_back"])
        made._of, made._values, made._counts = dict(kept["of"]), dict(kept["values"]), dict(kept["counts"])
        made._taken = frozenset(kept["taken"])
        return made

    def _new(self, value: str, kind: str) -> str:
        if self._style == "stars":
            return "*" * min(max(len(value), 4), 12)
        if self._style == "label":
            return f"[{kind}]"
        while True:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            mask = f"[{kind}_{self._counts[kind]}]"
            if mask not in self._taken:
                return mask


def _any_of(forms: Iterable[str]) -> Any:
    """Finds any of thousands of values in one pass: one pass for each would hold everybody up for seconds."""
    options = re2.Options()
    options.longest_match = True
    options.max_mem = 256 << 20
    return re2.compile("|".join(map(re2.escape, forms)), options)


def _inside(value: str) -> str:
    return msgspec.json.encode(value)[1:-1].decode() if _encodable(value) else value


def _encodable(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def may_have_begun(text: str) -> int:
    """Where at a text's end a mask may have begun that is not whole yet; its length where none has."""
    found = _OPENED.search(text, max(0, len(text) - LONGEST_MASK))
    return len(text) if found is None else found.start()
