"""Answers that give away the instructions they were given."""

from __future__ import annotations

import re
import zlib

from msgspec import Struct

from comporta.errors import ConfigError
from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.hidden import payloads
from comporta.guardrails.looking import Text
from comporta.text.normal import normalise, without_accents
from comporta.text.stopwords import STOP_WORDS

_WORD = re.compile(r"[^\W_]+")
#: Words in a row that are alike: a run of this length by chance is rare, and instructions have few that short.
_RUN = 6
#: So many words of instructions in a row are a leak whatever their share.
_LONG_RUN = 25
_MOST_CHARACTERS = 60_000


class LeakSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Texts that must not be told, beside the system's instructions of the call."""

    secrets: tuple[str, ...] = ()
    #: Marks put into instructions for this purpose: one of them in an answer is a leak.
    canaries: tuple[str, ...] = ()


class _Told:
    """Instructions as words in rows, by which copies are known."""

    def __init__(self, text: str) -> None:
        self.words = tuple(word for word, _, _ in placed(text[:_MOST_CHARACTERS]))
        self.runs = frozenset(runs(self.words))
        self.content = frozenset(word for word in self.words if word not in STOP_WORDS)


def system_prompt_leak(settings: LeakSettings, tools: Tools) -> Guard:
    """Finds what repeats the system's instructions: as they are, turned over a little, or encoded."""
    if any(not one.strip() for one in settings.canaries):
        raise ConfigError("system_prompt_leak: a canary must not be empty")
    canaries = tuple(normalise(one) for one in settings.canaries)
    own = tuple(_Told(one) for one in settings.secrets)
    last: list[tuple[str, _Told]] = []

    async def guard(text: Text, context: Context) -> Verdict:
        told = [*own]
        if context.system.strip():
            # The next piece of a stream comes with the same instructions.
            if not last or last[0][0] != context.system:
                last[:] = [(context.system, _Told(context.system))]
            told.append(last[0][1])
        asked = frozenset(runs(tuple(word for word, _, _ in placed(context.question[:_MOST_CHARACTERS]))))
        best = PASS
        for said, encoded in ((text, False), *((Text(hidden), True) for hidden in _hidden(text))):
            for verdict in (_of_canaries(said, canaries), *(_of_runs(said, one, asked) for one in told)):
                if verdict.confidence > best.confidence:
                    best = _encoded(verdict) if encoded else verdict
        return best

    return guard


def _hidden(text: Text) -> tuple[str, ...]:
    """What is hidden in it, and the text read backwards."""
    return (*text.payloads, *payloads(text.raw[::-1], text.plain[::-1]), text.plain[::-1])


def _encoded(verdict: Verdict) -> Verdict:
    facts = {**(verdict.facts or {}), "encoded": True}
    return Verdict("flag", verdict.severity, f"{verdict.reason}, encoded", (), verdict.confidence, facts=facts)


def placed(text: str) -> list[tuple[str, int, int]]:
    """The words of a text without case and accents, with their places."""
    return [(without_accents(m.group().lower()), m.start(), m.end()) for m in _WORD.finditer(text)]


def runs(words: tuple[str, ...]) -> list[int]:
    """A mark for every row of words; rows of nothing but small words say nothing and are left out."""
    found = []
    for at in range(len(words) - _RUN + 1):
        row = words[at : at + _RUN]
        if sum(word not in STOP_WORDS for word in row) >= 2:
            found.append(zlib.crc32(" ".join(row).encode("utf-8", "replace")))
    return found


def _of_canaries(said: Text, canaries: tuple[str, ...]) -> Verdict:
    plain = normalise(said.plain) if canaries else ""
    if any(one in plain for one in canaries):
        return Verdict("flag", "critical", "it holds a mark of the instructions", confidence=1.0)
    return PASS


def _of_runs(said: Text, told: _Told, asked: frozenset[int]) -> Verdict:
    """How much of the instructions stands in a text. What the user said first is no leak."""
    words = placed(said.plain[:_MOST_CHARACTERS])
    row = tuple(word for word, _, _ in words)
    hit = [False] * len(words)
    found: set[int] = set()
    for at in range(len(row) - _RUN + 1):
        part = row[at : at + _RUN]
        if not (told.content.intersection(part)):
            continue
        mark = zlib.crc32(" ".join(part).encode("utf-8", "replace"))
        if mark in told.runs and mark not in asked:
            found.add(mark)
            hit[at : at + _RUN] = [True] * _RUN
    if not found:
        return PASS
    spans, longest = _stretches(hit, words, said)
    share = min(1.0, len(found) / max(1, len(told.runs)))
    sure = min(1.0, max(longest / _LONG_RUN, 2.5 * share, 0.2))
    facts = {"share": round(share, 3), "longest": longest}
    return Verdict("flag", "critical", "it repeats the instructions it was given", spans, round(sure, 4), facts=facts)


def _stretches(hit: list[bool], words: list[tuple[str, int, int]], said: Text) -> tuple[tuple[Match, ...], int]:
    spans, longest, begun = [], 0, -1
    for at in range(len(hit) + 1):
        here = at < len(hit) and hit[at]
        if here and begun < 0:
            begun = at
        elif not here and begun >= 0:
            longest = max(longest, at - begun)
            spans.append(Match(*said.at(words[begun][1], words[at - 1][2]), "INSTRUCTIONS"))
            begun = -1
    return tuple(spans), longest


KINDS = (
    Kind("system_prompt_leak", system_prompt_leak, LeakSettings, sides=("output",), places=("assistant",),
         severity="critical", needs="sentence", alone=False, aliases=("prompt_leak",),
         about="Finds answers that repeat the system's instructions, also encoded or backwards."),
)  # fmt: skip
