"""Keys that ask a great many questions of one form, as somebody does who copies a model by its answers."""

from __future__ import annotations

import time
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from msgspec import Struct

from comporta.config.values import parse_duration
from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.text.normal import normalise

#: Minhash: Broder, "On the resemblance and containment of documents" (1997). Of two texts, the share of equal marks is
#: about the share of rows of words that they have in common; so many of them make two texts nearly alike.
_MARKS, _ALIKE = 16, 5
_SEEDS = tuple((2 * n + 1) * 0x9E3779B1 & 0xFFFFFFFF for n in range(_MARKS))
_SHINGLE = 3
_MOST_CHARACTERS = 1_500
_MOST_KEYS = 5_000


class TheftSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many questions of one form, within which time, are suspicious. Counted per key, in each worker by itself."""

    window: str = "10m"
    #: Questions that are nearly alike (a form filled in with other words), but not the same again.
    alike: int = 40
    #: Of all questions of the key in that time, the share that must be of such forms.
    share: float = 0.6
    #: Questions that are kept per key.
    kept: int = 500


class _Seen(Struct):
    """What a key asked lately: when and what, each by a number that stands for its words."""

    asked: deque[tuple[float, int, tuple[int, ...]]]
    #: The questions that have a mark, and how often each question was asked word for word.
    marked: dict[int, set[int]]
    same: dict[int, int]


class Watch:
    """The questions of keys within a window of time. Bounded: keys that have not asked for longest are forgotten."""

    def __init__(self, window_s: float, kept: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._kept = kept
        self._clock = clock
        self._keys: OrderedDict[str, _Seen] = OrderedDict()

    def asked(self, key: str, text: str) -> tuple[int, int]:
        """Take in a question: how many earlier ones are nearly like it, and how many different ones there are."""
        seen = self._keys.setdefault(key, _Seen(deque(), {}, {}))
        self._keys.move_to_end(key)
        if len(self._keys) > _MOST_KEYS:
            self._keys.popitem(last=False)
        now_s = self._clock()
        while seen.asked and (seen.asked[0][0] < now_s - self._window_s or len(seen.asked) >= self._kept):
            _forget(seen)
        plain = normalise(text[:_MOST_CHARACTERS])
        question, marks = zlib.crc32(plain.encode("utf-8", "replace")), marks_of(plain)
        counted = Counter(other for mark in marks for other in seen.marked.get(mark, ()))
        for mark in marks:
            seen.marked.setdefault(mark, set()).add(question)
        seen.same[question] = seen.same.get(question, 0) + 1
        seen.asked.append((now_s, question, marks))
        # The same question again teaches nobody anything: a program that retries or polls is no thief.
        alike = sum(count >= _ALIKE for other, count in counted.items() if other != question)
        return alike, len(seen.same)


def _forget(seen: _Seen) -> None:
    _, question, marks = seen.asked.popleft()
    seen.same[question] -= 1
    if seen.same[question]:
        return
    del seen.same[question]
    for mark in marks:
        seen.marked[mark].discard(question)
        if not seen.marked[mark]:
            del seen.marked[mark]


def marks_of(plain: str) -> tuple[int, ...]:
    """Marks of a text, of which texts that are nearly alike share many. Words in rows, in bounded time."""
    words = plain.split()
    if len(words) < _SHINGLE:
        return ()
    rows = {
        zlib.crc32(" ".join(words[at : at + _SHINGLE]).encode("utf-8", "replace"))
        for at in range(len(words) - _SHINGLE + 1)
    }
    least = [min((row ^ seed) * 0x85EBCA6B & 0xFFFFFFFF for row in rows) for seed in _SEEDS]
    return tuple({at << 32 | mark for at, mark in enumerate(least)})


def model_theft(settings: TheftSettings, tools: Tools) -> Guard:
    """Finds the next question of a long row of questions of one form. Raises ConfigError."""
    try:
        window_s = parse_duration(settings.window)
    except ValueError as error:
        raise ConfigError(f"model_theft: window {error}") from None
    if settings.alike < 2 or not 0 < settings.share <= 1 or settings.kept < settings.alike:
        raise ConfigError("model_theft: alike must be at least 2 and at most `kept`, and share over 0 and at most 1")
    watch = Watch(window_s, settings.kept)

    async def guard(text: Text, context: Context) -> Verdict:
        if context.caller is None:
            return PASS
        alike, all_of_them = watch.asked(context.caller.key_id, text.raw)
        share = alike / max(1, all_of_them - 1)
        if alike < settings.alike / 2 or share < settings.share:
            return PASS
        facts = {"alike": alike, "asked": all_of_them, "window_s": window_s}
        reason = f"the key asked {alike} questions of this form within {settings.window}"
        return Verdict("flag", reason=reason, confidence=min(1.0, alike / (2 * settings.alike)), facts=facts)

    return guard


KINDS = (
    Kind("model_theft", model_theft, TheftSettings, sides=("input",), places=("user",), action="warn",
         severity="warning", needs="whole", alone=False, aliases=("extraction",),
         about="Finds keys that ask many questions of one form, as somebody does who copies a model."),
)  # fmt: skip
