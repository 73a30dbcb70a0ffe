"""A text as guards look at it: as it came, in one plain form with places led back, and what is hidden inside it."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from hashlib import blake2b

from comporta.guardrails.confusables import FOLDED, INVISIBLE
from comporta.guardrails.hidden import payloads

#: Shorter texts stand for themselves.
_SHORT = 64


class Text:
    """One text under check. What is worked out of it is worked out once, for all guards, and only where one asks.

    `raw` is the text as it came. `plain` has no invisible characters, one form of every character (NFKC) and Latin
    letters in place of those that only look so; its case is kept. `payloads` are texts that were hidden in it by
    base64, hex, rot13, letters apart or numbers for letters. Places in `plain` are led back by `at(start, end)`.
    """

    __slots__ = ("__dict__", "raw")

    def __init__(self, raw: str) -> None:
        self.raw = raw

    @property
    def plain(self) -> str:
        return self._formed[0]

    @cached_property
    def mark(self) -> str | bytes:
        """Stands for the text where verdicts are remembered: long texts would fill the memory, and lie about in it."""
        if len(self.raw) <= _SHORT:
            return self.raw
        return blake2b(self.raw.encode(errors="surrogatepass"), digest_size=20).digest()

    @cached_property
    def low(self) -> str:
        """`plain` in lower case, of the same length: what has no lower case of one letter is left as it is."""
        plain = self.plain
        low = plain.lower()
        if len(low) == len(plain):
            return low
        return "".join([c.lower() if len(c.lower()) == 1 else c for c in plain])

    @cached_property
    def payloads(self) -> tuple[str, ...]:
        """What is hidden in the text, decoded; empty for nearly all."""
        return payloads(self.raw, self.plain)

    def at(self, start: int, end: int) -> tuple[int, int]:
        """Where a piece of `plain` stands in `raw`."""
        places = self._formed[1]
        if places is None:
            return start, end
        whole = len(self.raw)
        first = places[start] if start < len(places) else whole
        # What nobody sees behind the last character goes with it, and so do its accents.
        return first, max(first, places[end] if end < len(places) else whole)

    @cached_property
    def _formed(self) -> tuple[str, list[int] | None]:
        """The plain form, and for each of its characters the place it came from (None: the same place)."""
        raw = self.raw
        if _UNUSUAL.search(raw) is None:
            return raw, None
        kept: list[str] = []
        places: list[int] = []
        changed = False
        for place, character in enumerate(raw):
            if character < "\x7f" and (character >= " " or character in "\n\t\r"):
                kept.append(character)
                places.append(place)
                continue
            plain = _plain(character)
            changed = changed or plain != character
            for one in plain:
                both = unicodedata.normalize("NFC", kept[-1] + one) if kept and unicodedata.combining(one) else ""
                if len(both) == 1 and _plain(both) == both:
                    kept[-1], changed = both, True
                else:
                    kept.append(one)
                    places.append(place)
        return ("".join(kept), places) if changed else (raw, None)


def _plain(character: str) -> str:
    """What stands for a character: none, one or several others, each of which stands for itself."""
    if character in INVISIBLE:
        return ""
    folded = FOLDED.get(character)
    if folded is not None:
        return folded
    if 0xA0 <= ord(character) < 0x250 and character not in _COMPATIBLE:
        # Latin letters with accents stay: Portuguese and Spanish are full of them.
        return character
    if "\ud800" <= character <= "\udfff":
        # Half of a pair stands for nothing, and what looks for patterns can't read it.
        return "\ufffd"
    plain = unicodedata.normalize("NFKC", character)
    return plain if plain == character else "".join(map(_plain, plain))


#: Of the Latin-1 and Latin Extended letters and signs, those whose plain form is another.
_COMPATIBLE = frozenset(c for c in map(chr, range(0xA0, 0x250)) if unicodedata.normalize("NFKC", c) != c)
_LATIN = frozenset(map(chr, range(0xA0, 0x250)))
_CHANGED = sorted(_COMPATIBLE | (_LATIN & INVISIBLE) | (_LATIN & FOLDED.keys()))
#: Anything that may have another plain form than itself: most texts have none of it, and are their own plain form.
_UNUSUAL = re.compile(f"[^\\n\\t\\r -~\u00a0-\u024f]|[{''.join(map(re.escape, _CHANGED))}]")
