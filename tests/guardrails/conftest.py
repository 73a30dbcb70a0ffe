"""A guard of the tests' own: it finds a word, so that what rooms do with a finding can be tested by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from comporta.guardrails.base import PASS, Context, Guard, Kind, Match, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.policy import Kinds, Policy, versioned


class WordSettings(Struct, frozen=True, forbid_unknown_fields=True):
    word: str = "secret"
    sure: float = 1.0
    fails: bool = False
    waits_s: float = 0.0


def word_guard(settings: WordSettings, tools: Tools) -> Guard:
    pattern = re.compile(re.escape(settings.word) + r"\w*", re.IGNORECASE)

    async def guard(text: Text, context: Context) -> Verdict:
        if settings.fails:
            raise RuntimeError("broken")
        if settings.waits_s:
            await asyncio.sleep(settings.waits_s)
        spans = tuple(Match(*text.at(m.start(), m.end()), "WORD", settings.sure) for m in pattern.finditer(text.plain))
        return Verdict("flag", reason="holds the word", spans=spans, confidence=settings.sure) if spans else PASS

    return guard


WORD = Kind("word", word_guard, WordSettings, places=("system", "user", "assistant", "tool", "name"))
SLOW = Kind("slow_word", word_guard, WordSettings, slow=True)
SENTENCE = Kind("sentence_word", word_guard, WordSettings, needs="sentence")
WHOLE = Kind("whole_word", word_guard, WordSettings, needs="whole")

MakePolicy = Callable[..., Policy]


@pytest.fixture
def kinds() -> Kinds:
    return Kinds((WORD, SLOW, SENTENCE, WHOLE), Tools())


@pytest.fixture
def policy(kinds: Kinds) -> MakePolicy:
    def make(input: Any = (), output: Any = (), **more: Any) -> Policy:
        return versioned(Policy(kinds.uses(input, "input"), kinds.uses(output, "output"), **more))

    return make
