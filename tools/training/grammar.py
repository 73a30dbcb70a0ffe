"""Texts of many forms from a grammar file: `{a|b}` is one of several, `<name>` what the file says of a name.

A file has parts: `= name` (what may stand for it), `+ technique` (attacks) and `- kind` (harmless look-alikes); each
further line of a part is one way to say it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

_HOLE = re.compile(r"<([a-z]+)>")
_CHOICE = re.compile(r"\{([^{}]*)\}")
#: Braces and bars of JSON and of chat templates stand for themselves where no choice is meant.
_LITERAL = (("<|", "\x01"), ("|>", "\x02"), ('{"role', '\x03"role'), ("{ total", "\x03 total"), ("i }", "i \x04"))
_BACK = {"\x01": "<|", "\x02": "|>", "\x03": "{", "\x04": "}"}


class Grammar:
    """One language's file."""

    def __init__(self, path: Path) -> None:
        self._names: dict[str, list[str]] = {}
        self.attacks: dict[str, list[str]] = {}
        self.harmless: dict[str, list[str]] = {}
        part: list[str] = []
        for line in path.read_text("utf-8").splitlines():
            if not line.strip():
                continue
            if line[0] in "=+-" and line[1] == " ":
                owner = {"=": self._names, "+": self.attacks, "-": self.harmless}[line[0]]
                part = owner.setdefault(line[2:].strip(), [])
            else:
                part.append(line)

    def many(self, forms: list[str], count: int, rng: random.Random) -> Iterator[str]:
        """So many different texts, or as many as the forms give."""
        seen: set[str] = set()
        for at in range(count * 4):
            text = self.one(forms[at % len(forms)], rng)
            if text not in seen and len(text) > 8:
                seen.add(text)
                yield text
                if len(seen) == count:
                    return

    def one(self, form: str, rng: random.Random) -> str:
        """A text of one form: every choice is drawn."""
        for sign, other in _LITERAL:
            form = form.replace(sign, other)
        while True:
            drawn = _CHOICE.sub(lambda found: rng.choice(found.group(1).split("|")), form)
            drawn = _HOLE.sub(lambda found: self._named(found.group(1), rng), drawn)
            if drawn == form:
                break
            form = drawn
        for sign, other in _BACK.items():
            form = form.replace(sign, other)
        return _tidy(form.replace("\\n", "\n"))

    def _named(self, name: str, rng: random.Random) -> str:
        # A tag of HTML, and a hole for someone else to fill, are no names of this grammar.
        return rng.choice(self._names[name]) if name in self._names else f"<{name}>"


def _tidy(text: str) -> str:
    text = re.sub(r" +", " ", text)
    text = re.sub(r" ([.,;:!?])", r"\1", text)
    return text.strip()


def dressed(text: str, rng: random.Random) -> str:
    """The same with the carelessness of people: capitals, no full stop, no accents, a typing error."""
    chance = rng.random()
    if chance < 0.35:
        text = text[:1].upper() + text[1:]
    elif chance < 0.41:
        text = text.upper()
    elif chance < 0.5:
        text = text.lower()
    elif chance < 0.55 and len(text) > 20:
        at = rng.randrange(5, len(text) - 5)
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text.rstrip(".") if rng.random() < 0.2 else text
