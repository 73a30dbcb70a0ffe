"""The second half of the stage `recall`: an answer that was given to a question that means the same.

Whatever fails here (the embedder, the index, the database, a judge) makes a miss, told once and counted: the exact
cache and the call itself know nothing of it.
"""

from __future__ import annotations

import array
import asyncio
import functools
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from operator import mul

import structlog
from msgspec import Struct

from comporta.cache.agreement import decide, question_of
from comporta.cache.clearing import ENTRY, Clearings
from comporta.cache.entry import Entry, decoded, encoded
from comporta.cache.policy import Wish
from comporta.cache.semantic.asked import THRESHOLD_FACT, Asked, asked_of, tenant_of
from comporta.cache.semantic.checks import Checks, Given
from comporta.cache.semantic.comparing import Judge, one_answer_does
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.recent import Recent
from comporta.cache.semantic.searching import Searching
from comporta.cache.semantic.store import Kept, Row, SemanticStore
from comporta.cache.semantic.thresholds import Thresholds
from comporta.cache.semantic.writing import Writing
from comporta.guardrails.call import MASKS, REFUSED, VERDICTS
from comporta.pipeline import Call, Gathered
from comporta.types import Event

log = structlog.get_logger("comporta.cache")

#: A database that takes longer to give an entry is as good as away.
_LIMIT_S = 0.25
_TELL_EVERY_S = 60.0
#: Questions that were read lately: reading one takes longer than comparing two.
_READ_QUESTIONS = 4_096
#: In the call's facts: the route's fixed reply stood in for an answer.
LAST_RESORT = "last_resort"
#: The name of the embedder that the verifier was trained with.
VERIFIED = "all-minilm-l6-v2"


class Hit(Struct, frozen=True):
    """An old answer that will do: the entry, its number, how alike the questions are, and how sure it is."""

    entry: Entry
    id: int
    similarity: float
    confidence: float
    seeded: bool


class Looked(Struct, frozen=True):
    """What a look-up came to: a hit, or why there is none; and what keeping the answer will need."""

    told: str
    hit: Hit | None = None
    asked: Asked | None = None
    vector: bytes | None = None


class _Rules(Struct, frozen=True):
    """What holds for one look-up."""

    call: Call
    semantic: SemanticPolicy
    wish: Wish
    asked: Asked
    vector: bytes
    threshold: float


class Semantic:
    """Looks up, and keeps. `forgotten` says which users were erased a short while ago, and when."""

    def __init__(
        self, store: SemanticStore, vectors: Vectors, searching: Searching, writing: Writing, thresholds: Thresholds,
        clearings: Clearings, checks: Checks, judge: Callable[[Call], Judge], *,
        clock: Callable[[], float] = time.time, limit_s: float = _LIMIT_S,
    ) -> None:  # fmt: skip
        self._recent = Recent(store.get)
        searching.changed = self._recent.forget
        self.vectors = vectors
        self.searching = searching
        self.writing = writing
        self.thresholds = thresholds
        self.checks = checks
        self._clearings = clearings
        self._judge = judge
        self._clock = clock
        self._limit_s = limit_s
        self._read = functools.lru_cache(_READ_QUESTIONS)(question_of)
        self._told_s = -_TELL_EVERY_S
        self.forgotten: Callable[[bytes | None, float], bool] = lambda owner, at_s: False
        #: Look-ups with a hit, refused by the verifier, that could not be made, and that failed.
        self.hits = 0
        self.refused = 0
        self.skipped = 0
        self.failures = 0

    async def find(self, call: Call, semantic: SemanticPolicy, wish: Wish) -> Looked:
        """An old answer, or why there is none. Never raises."""
        asked = await self._asked(call)
        if isinstance(asked, str):
            self.skipped += 1
            return Looked(f"semantic=off; reason={asked}")
        if not wish.read:
            return Looked("", asked=asked)
        vector = await self.vectors.vector(asked.text)
        if vector is None:
            self.skipped += 1
            return Looked("semantic=off; reason=embedder", asked=asked)
        try:
            return await self._look(call, semantic, wish, asked, vector)
        except Exception as error:
            self._failed(error)
            return Looked("semantic=off; reason=store", asked=asked, vector=vector)

    async def _asked(self, call: Call) -> Asked | str:
        embedded = self.vectors.embedded
        found = asked_of(call, embedded)
        if found != "language_unknown":
            return found
        english = await self.vectors.english(call.input.messages[-1].text[:1_000]) if self.vectors.ready else False
        return asked_of(call, embedded, english) if english else "language"

    async def _look(self, call: Call, semantic: SemanticPolicy, wish: Wish, asked: Asked, vector: bytes) -> Looked:
        rules = _Rules(call, semantic, wish, asked, vector, self._threshold(call, semantic))
        async with asyncio.timeout(self._limit_s):
            near = await self.searching.nearest(asked.scopes, vector)
        held = self._recent.held(near[0][0]) if near else None
        if held is not None and (looked := self._weighed(rules, [held])[0]).hit is not None:
            return looked
        async with asyncio.timeout(self._limit_s):
            kept = await self._recent.get([id for id, _ in near]) if near else []
        self._forget_missing(asked.scopes, near, kept)
        looked, doubt = self._weighed(rules, kept)
        if doubt is not None and semantic.judge is not None:
            looked = await self._judged(rules, semantic.judge, looked, *doubt)
        self.refused += looked.hit is None and bool(looked.told)
        return looked

    def _threshold(self, call: Call, semantic: SemanticPolicy) -> float:
        least = call.facts.get(THRESHOLD_FACT, semantic.threshold)
        return self.thresholds.of(call.target.route if call.target else "", least)

    def _weighed(self, rules: _Rules, kept: Sequence[Kept]) -> tuple[Looked, tuple[float, Kept] | None]:
        """The first candidate that the verifier takes, or why there is none; and the first that it doubts."""
        asked, doubt, told = rules.asked, None, ""
        question = self._read(asked.text, asked.language)
        for similarity, one in self._allowed(rules, kept):
            verdict = decide(
                similarity, question, self._read(one.question, one.language), rules.threshold,
                verifier=self.vectors.embedded.name == VERIFIED,
            )  # fmt: skip
            if verdict.hit and (hit := _hit(one, similarity, verdict.confidence)) is not None:
                self._recent.used(one)
                return self._given(rules, hit), None
            if verdict.doubtful and doubt is None:
                doubt = (similarity, one)
            told = told or f"semantic=refused; similarity={similarity:.3f}; reason={_word(verdict.reason)}"
        return Looked(told, asked=asked, vector=rules.vector), doubt

    async def _judged(self, rules: _Rules, model: str, looked: Looked, similarity: float, one: Kept) -> Looked:
        """A hit where the judge takes the doubtful candidate's question for the same."""
        same = await one_answer_does(rules.asked.text, one.question, self._judge(rules.call), model)
        rules.call.note("cache", judged=same)
        hit = _hit(one, similarity, rules.threshold) if same else None
        return looked if hit is None else self._given(rules, hit)

    def _given(self, rules: _Rules, hit: Hit) -> Looked:
        self.hits += 1
        call, asked = rules.call, rules.asked
        route = call.target.route if call.target else ""
        self.thresholds.hit(route)
        if not hit.seeded:
            text = text_of(hit.entry.events)
            given = Given(hit.id, route, hit.confidence, rules.threshold, asked.text, text)
            self.checks.after(call, given, rules.semantic)
        return Looked(f"semantic; similarity={hit.similarity:.3f}", hit, asked, rules.vector)

    def _allowed(self, rules: _Rules, kept: Sequence[Kept]) -> list[tuple[float, Kept]]:
        """Entries that may be given, with their exact similarity, the most alike first."""
        now_s, vector, asked = self._clock(), rules.vector, rules.asked
        numbers = array.array("f", vector)
        found = []
        for one in kept:
            # A seed lives as long as it says; what was answered, as long as the route says today.
            ttl_s = math.inf if one.seeded else rules.semantic.ttl_s
            if one.scope not in asked.scopes or one.expires_s <= now_s or len(one.vector) != len(vector):
                continue
            if one.stored_s <= now_s - min(ttl_s, rules.wish.max_age_s) or self.forgotten(one.owner, one.stored_s):
                continue
            if not self._clearings.since((*one.tags, f"{ENTRY}{one.id}"), one.stored_s):
                found.append((math.fsum(map(mul, numbers, array.array("f", one.vector))), one))
        return sorted(found, key=lambda pair: -pair[0])

    def _forget_missing(self, scopes: Sequence[bytes], near: Sequence[tuple[int, float]], kept: Sequence[Kept]) -> None:
        """What was deleted by others need not be found again."""
        if len(kept) < len(near):
            there = {one.id for one in kept}
            for id, _ in near:
                if id not in there:
                    for scope in scopes:
                        self.searching.remove(scope, id)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            log.warning(
                "cache.semantic_away", kind=type(error).__name__, failures=self.failures, effect="exact answers only"
            )

    def keep(self, call: Call, semantic: SemanticPolicy, looked: Looked, entry: Entry) -> None:
        """Keep a complete answer for questions that mean the same, where it is fit for that. No I/O."""
        asked, target = looked.asked, call.target
        if asked is None or target is None or not is_fit(call, semantic, entry):
            return
        scope = asked.scopes[0]
        self.writing.offer(
            Row(
                key=key_of_question(scope, asked.text), scope=scope, tenant=tenant_of(call), route=target.route,
                key_id=call.caller.key_id, embedder=self.vectors.embedded.name, question=asked.text,
                language=asked.language, vector=looked.vector or b"", tags=entry.tags, seeded=False,
                owner=entry.owner, begun_s=call.started_s, stored_s=entry.stored_s, ttl_s=semantic.ttl_s,
                body=encoded(entry),
            )
        )  # fmt: skip

    def figures(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return {
            "semantic_hits": self.hits, "semantic_refused": self.refused, "semantic_skipped": self.skipped,
            "semantic_failures": self.failures + self.vectors.failures, "semantic_lost": self.writing.lost,
            "semantic_checks": self.checks.done, "semantic_wrong": self.checks.wrong,
            "semantic_checks_left_out": self.checks.left_out,
        }  # fmt: skip


def key_of_question(scope: bytes, text: str) -> bytes:
    """The same question in the same scope has one entry."""
    return blake2b(scope + " ".join(text.split()).encode("utf-8", "replace"), digest_size=32).digest()


def is_fit(call: Call, semantic: SemanticPolicy, entry: Entry) -> bool:
    """Not what guards blocked, changed or warned of, nor a fixed reply, nor tool calls unless they are wanted."""
    facts = call.facts
    if facts.get(REFUSED) or facts.get(VERDICTS) or facts.get(MASKS) or facts.get(LAST_RESORT):
        return False
    if semantic.min_cost_microusd and (entry.cost_microusd or 0) < semantic.min_cost_microusd:
        return False
    return semantic.tools or not any(delta.tools for event in entry.events for delta in event.deltas)


def _hit(one: Kept, similarity: float, confidence: float) -> Hit | None:
    entry = decoded(one.body)
    return None if entry is None else Hit(entry, one.id, min(1.0, similarity), confidence, one.seeded)


def text_of(events: Sequence[Event]) -> str:
    """What an answer's first choice says."""
    gathered = Gathered()
    for event in events:
        gathered.add(event)
    return gathered.reply().text


def _word(reason: str) -> str:
    """What kind of reason it is, without the words of the questions."""
    return re.sub(r"[^a-z]+", "_", reason.partition(":")[0].strip().lower())[:40] or "unlike"
