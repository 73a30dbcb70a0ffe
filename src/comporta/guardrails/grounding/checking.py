"""An answer held against what it should rest on: claim by claim, by words, by meaning, in doubt by a judge."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from msgspec import Struct

from comporta.embedding.base import Embedder
from comporta.errors import Unavailable
from comporta.guardrails.base import PASS, Context, Match, Tools, Verdict
from comporta.guardrails.grounding.heads import Heads, shipped
from comporta.guardrails.grounding.judging import MOST_SHOWN, Ask, judged_support
from comporta.guardrails.grounding.meaning import Meanings
from comporta.guardrails.grounding.measures import Claim, measured
from comporta.guardrails.grounding.passages import Passages
from comporta.text.language import guess_language
from comporta.text.sentences import sentences

#: A judge is asked `in_doubt` (near the threshold, and where words alone can't tell), `always` or `never`.
Judge = Literal["in_doubt", "always", "never"]
#: So near to the threshold it is in doubt.
_DOUBTFUL = 0.2
#: Passages of so many characters are read on a thread.
_LONG = 6_000
#: Claims of so many words say enough to be judged also by themselves.
_SAYS_ENOUGH = 15
#: Shorter claims have no meaning to compare.
_FEW_WORDS = 5
#: So many claims of one answer are judged; an answer of more is judged by these.
_MOST_CLAIMS = 60
_KEPT = 64

#: The passages that matter for a claim.
Given = Callable[[str], Awaitable[Sequence[str]]]


def asking(tools: Tools, context: Context, judge: Judge) -> Ask | None:
    """How the judge is asked here; None where none is configured. Raises Unavailable where one must be and can't."""
    if tools.judge is None or judge == "never":
        return None
    if context.ask is None and judge == "always":
        raise Unavailable("There is no call for which a judge model could be asked.", code="judge_unavailable")
    return context.ask


class Doubt(Struct, frozen=True):
    """How sure it is that one claim is not supported, and by what that was found: `words`, `meaning` or `judge`."""

    claim: str
    doubt: float
    method: str


class Grounding:
    """Judges answers against passages. `embedder` None: by words alone."""

    def __init__(self, embedder: Embedder | None) -> None:
        self._meanings = None if embedder is None else Meanings(embedder)
        self._kept: OrderedDict[tuple[str, ...], Passages] = OrderedDict()
        self._heads: Heads | None = None

    async def doubts(
        self, text: str, question: str, given: Given, *, threshold: float, ask: Ask | None, judge: Judge
    ) -> list[Doubt]:  # fmt: skip
        """Each claim of an answer with the doubt about it. `question` counts where the answer is one claim."""
        claims = claims_of(text)
        asked = question if len(claims) == 1 else ""
        found = []
        for claim in claims[:_MOST_CLAIMS]:
            texts = await given(claim if not asked else f"{asked} {claim}")
            passages = await self.prepared(texts)
            doubt = await self._doubt(Claim(claim, asked), passages)
            if ask is not None and _to_be_judged(doubt, threshold, judge, asked, passages):
                said = await judged_support(ask, claim, asked or question, _shown(claim, texts, passages))
                doubt = Doubt(claim, said.doubt, "judge")
            found.append(doubt)
        return found

    async def prepared(self, texts: Sequence[str]) -> Passages:
        """The passages, read; those of the last answers are kept."""
        key = tuple(texts)
        known = self._kept.get(key)
        if known is None:
            long = sum(map(len, texts)) > _LONG
            known = await asyncio.to_thread(Passages, texts) if long else Passages(texts)
            self._kept[key] = known
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return known

    async def _doubt(self, claim: Claim, passages: Passages) -> Doubt:
        if not claim.reading.stems:
            return Doubt(claim.text, 0.0, "words")
        long = len(passages.run) > _LONG // 6
        figures = await asyncio.to_thread(measured, claim, passages) if long else measured(claim, passages)
        method = "words"
        says = claim.asked is None and len(claim.reading.run) >= _FEW_WORDS
        if self._meanings is not None and says and is_english(claim, passages):
            try:
                figures |= await self._meanings.measured(claim, passages)
                method = "meaning"
            except Unavailable:
                # Without the model words alone have to do; they are what other languages have too.
                pass
        heads = self._heads = self._heads or shipped()
        doubt = heads.doubt(figures)
        if claim.asked is not None and len(claim.reading.run) >= _SAYS_ENOUGH:
            alone = measured(Claim(claim.text), passages)
            doubt = (doubt + heads.doubt(alone)) / 2
        return Doubt(claim.text, doubt, method)


def claims_of(text: str) -> list[str]:
    """The sentences that state something: no questions, and nothing without words."""
    return [one for one in sentences(text) if not one.rstrip("\"'”’») ").endswith("?")]


def is_english(claim: Claim, passages: Passages) -> bool:
    """Whether claim and passages are in the language that the embedder reads."""
    near = " ".join(passages.sentences[at] for at in passages.best(claim.reading.stems, 2))
    return all(guess_language(text).code == "en" for text in (f"{claim.text} {near}", near or claim.text))


def _to_be_judged(doubt: Doubt, threshold: float, judge: Judge, asked: str, passages: Passages) -> bool:
    if judge != "in_doubt":
        return judge == "always"
    # Words can't tell the right name in a passage from another one that stands there too.
    short = bool(asked) and doubt.doubt < threshold
    return abs(doubt.doubt - threshold) <= _DOUBTFUL or short


def _shown(claim: str, texts: Sequence[str], passages: Passages) -> Sequence[str]:
    """The passages, or of long ones the sentences nearest to the claim and their neighbours."""
    if sum(map(len, texts)) <= MOST_SHOWN:
        return texts
    best = passages.best(Claim(claim).reading.stems, 30)
    places = sorted({near for at in best for near in (at - 1, at, at + 1) if 0 <= near < len(passages)})
    return ["\n".join(passages.sentences[at] for at in places)]


def verdict_of(raw: str, doubts: Sequence[Doubt], threshold: float, resting_on: str) -> Verdict:
    """The verdict on an answer: as sure as about its most doubtful claim, with the claims that are in doubt marked."""
    worst = max(doubts, key=lambda one: one.doubt, default=None)
    if worst is None or worst.doubt <= 0.0:
        return PASS
    lost = [one for one in doubts if one.doubt >= threshold]
    facts = {"claims": len(doubts), "unsupported": len(lost), "method": worst.method}
    reason = f"{max(1, len(lost))} of {len(doubts)} claims are not supported by {resting_on}"
    return Verdict("flag", reason=reason, confidence=round(worst.doubt, 4), spans=_spans(raw, lost), facts=facts)


def _spans(raw: str, lost: Sequence[Doubt]) -> tuple[Match, ...]:
    found, after = [], 0
    for one in lost:
        start = raw.find(one.claim, after)
        if start >= 0:
            after = start + len(one.claim)
            found.append(Match(start, after, "UNSUPPORTED", round(one.doubt, 4)))
    return tuple(found)
