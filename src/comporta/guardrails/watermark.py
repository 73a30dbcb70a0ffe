"""A watermark for plain text: signs that nobody sees, behind words that only the key's holder can name.

Behind about one word in four, chosen by a keyed hash of the word and the one before it, stands a zero-width sign.
Whoever holds the key counts how many of a text's signs stand where they should, each pair of words once. In a text
that this key did not mark, a sign stands in a right place with a chance of one in four, so the binomial tail bounds
the false alarms, whatever the text.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import AsyncIterator

from msgspec import Struct, structs

from comporta.types import Delta, Event, Input

#: ZERO WIDTH SPACE would break lines; this one joins.
SIGN = "\u2060"
#: One word in so many.
_ONE_IN = 4
#: The chance of a false alarm that is allowed: ten signs, all in their places.
FALSE_ALARMS = 1e-6
_FENCE = "```"


class Marker:
    """Marks one text as it comes, in pieces of any size; nothing is held back."""

    __slots__ = ("_before", "_fenced", "_key", "_word")

    def __init__(self, key: str) -> None:
        self._key = key.encode("utf-8", "replace")
        self._word: list[str] = []
        self._before = ""
        self._fenced = False

    def mark(self, text: str) -> str:
        """The next piece, marked. Code between fences is left as it is."""
        parts: list[str] = []
        for sign in text:
            if sign.isspace():
                if self._ends():
                    parts.append(SIGN)
            else:
                self._word.append(sign)
            parts.append(sign)
        return "".join(parts)

    def _ends(self) -> bool:
        """A word is over: whether a sign stands behind it."""
        word, self._word = "".join(self._word), []
        if not word:
            return False
        before, self._before = self._before, word
        if word.startswith(_FENCE) or word.endswith(_FENCE):
            self._fenced = not self._fenced
            return False
        return not self._fenced and is_place(self._key, before, word)


def is_place(key: bytes, before: str, word: str) -> bool:
    """Whether a sign belongs behind this word. Words with other signs in them (paths, code) have none."""
    if not word.strip(".,;:!?¿¡()\"'«»“”").isalpha():
        return False
    said = f"{before}\n{word}".encode("utf-8", "replace")
    return hmac.new(key, said, hashlib.sha256).digest()[0] % _ONE_IN == 0


class Detected(Struct, frozen=True):
    """What a text says of its origin. `chance` is that of so many signs in their places by chance, without this key."""

    marked: bool
    signs: int
    in_place: int
    chance: float


def detect(text: str, key: str) -> Detected:
    """Whether a text, or a good part of it, was marked with this key.

    At most one text in a million that was not is said to be, whatever it holds. Measured on random prose, 500 texts
    each: of marked texts of 40, 60, 80, 100 and 120 words 25, 78, 96, 99.8 and 100 % are found. A text whose signs were
    taken out, as many editors and websites do, is not found at all.
    """
    secret = key.encode("utf-8", "replace")
    signs = in_place = 0
    before = ""
    counted: set[tuple[str, str]] = set()
    for raw in text.split():
        word = raw.replace(SIGN, "")
        if not word:
            continue
        # A pair that comes again says nothing new: its place is the same one.
        if SIGN in raw and (before, word) not in counted:
            counted.add((before, word))
            signs += 1
            in_place += raw.endswith(SIGN) and is_place(secret, before, word)
        before = word
    chance = _tail(signs, in_place)
    return Detected(chance < FALSE_ALARMS, signs, in_place, chance)


def _tail(signs: int, in_place: int) -> float:
    """The chance of at least so many out of so many, at one in four each."""
    p = 1 / _ONE_IN
    if in_place == 0:
        return 1.0
    logs = [
        math.lgamma(signs + 1) - math.lgamma(n + 1) - math.lgamma(signs - n + 1) + n * math.log(p)
        + (signs - n) * math.log1p(-p)
        for n in range(in_place, signs + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))


def may_be_marked(input: Input) -> bool:
    """Whether the answer is prose: where JSON was asked for, a program reads it."""
    form = input.response_format
    return form is None or form.kind == "text"


class Watermarked:
    """The events of an answer with its text marked; tool calls and reasoning stay as they are."""

    def __init__(self, events: AsyncIterator[Event], key: str) -> None:
        self._events = events
        self._key = key
        self._markers: dict[int, Marker] = {}

    def __aiter__(self) -> Watermarked:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.__anext__()
        deltas = tuple(self._marked(delta) for delta in event.deltas)
        changed = any(new is not old for new, old in zip(deltas, event.deltas, strict=True))
        return event.edit(deltas=deltas) if changed else event

    async def aclose(self) -> None:
        """Close what is below."""
        aclose = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()

    def _marked(self, delta: Delta) -> Delta:
        if not delta.text:
            return delta
        marker = self._markers.get(delta.index)
        if marker is None:
            marker = self._markers[delta.index] = Marker(self._key)
        text = marker.mark(delta.text)
        # What providers say of single tokens no longer fits the text.
        return delta if text == delta.text else structs.replace(delta, text=text, logprobs=None)
