"""The caches of a replay: today's keys, today's decisions and the order in time, with entries that hold no answers.

What a call would have been answered with is decided by the code that decides it live: `cache.key` for the very same
question, `cache.semantic.asked` and `cache.agreement` for one that means the same. An entry is there from the moment
on at which its call ended.
"""

from __future__ import annotations

import array
import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from operator import mul
from typing import Literal

from msgspec import Struct

from comporta.app.settings import Settings
from comporta.app.simulating.recorded import Recorded
from comporta.cache.agreement import FLOOR, Decision, decide, question_of
from comporta.cache.entry import Entry
from comporta.cache.key import key_of
from comporta.cache.measuring import CANDIDATES
from comporta.cache.policy import CachePolicy, policy_of
from comporta.cache.semantic.asked import THRESHOLD_FACT, Asked, asked_of
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.index import Index
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.recall import VERIFIED, is_fit, key_of_question
from comporta.chains.running import PROVIDER as CHAIN
from comporta.pipeline import Call
from comporta.routing.ensemble.plan import PROVIDER as ENSEMBLE

_MADE_OF_OTHERS = frozenset({CHAIN, ENSEMBLE})
_READ_QUESTIONS = 16_384
_DECISIONS = 32_768
_KEPT_VECTORS = 32_768
#: Rows of an index that have expired are taken out when there are so many more than live ones.
_SPARE_ROWS = 20_000
#: What an entry holds beside its answer's text.
_FRAME_BYTES = 200

Kind = Literal["exact", "semantic", "shared", "miss", "off"]
#: The least a threshold is on a route: what was learnt there, and never less than is configured.
ThresholdOf = Callable[[str, float], float]


class Found(Struct, frozen=True):
    """What a look came to. `doubtful` is a miss that a judge would have been asked about; `saved_microusd` is known
    of hits alone."""

    kind: Kind
    similarity: float = 0.0
    doubtful: bool = False
    reason: str = ""
    #: Of a semantic hit: what the question means whose answer was given, where that is known.
    meaning: str = ""


class Embedding:
    """Vectors by text, those used lately kept: a text that comes again is not embedded again."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._read = lru_cache(_READ_QUESTIONS)(question_of)
        self._decide = lru_cache(_DECISIONS)(self._decided)
        self.made = 0

    def decide(self, asked: Asked, kept: _Question, similarity: float, threshold: float) -> Decision:
        """As live; what two questions come to is the same in every lane."""
        return self._decide((asked.text, asked.language), (kept.text, kept.language), similarity, threshold)

    def _decided(
        self, asked: tuple[str, str], kept: tuple[str, str], similarity: float, threshold: float
    ) -> Decision:  # fmt: skip
        verified = self.vectors.embedded.name == VERIFIED
        return decide(similarity, self._read(*asked), self._read(*kept), threshold, verifier=verified)

    async def of(self, text: str) -> bytes | None:
        """None where the model could not say."""
        found = self._kept.get(text)
        if found is not None:
            self._kept.move_to_end(text)
            return found
        made = await self.vectors.vector(text)
        if made is not None:
            self.made += 1
            self._kept[text] = made
            if len(self._kept) > _KEPT_VECTORS:
                self._kept.popitem(last=False)
        return made


def cache_policies(settings: Settings) -> Callable[[Call], CachePolicy | None]:
    """What holds for a call, as a gate of that configuration sees it."""
    content = settings.records.content
    general = policy_of(settings.cache, None, content)
    routes = {
        name: policy_of(settings.cache, one.cache, one.content or content) for name, one in settings.routes.items()
    }

    def policy(call: Call) -> CachePolicy | None:
        target = call.target
        if target is None or target.provider in _MADE_OF_OTHERS:
            return None
        return routes.get(target.route, general)

    return policy


class _Question(Struct, frozen=True):
    """An entry of the semantic cache."""

    id: int
    scope: bytes
    text: str
    language: str
    vector: bytes
    stored_s: float
    ttl_s: float
    meaning: str = ""


class _Meaning:
    """The questions that may be answered again, with the index that finds them."""

    def __init__(self, embedding: Embedding, threshold_of: ThresholdOf, most: int) -> None:
        self._embedding = embedding
        self._threshold_of = threshold_of
        self._most = most
        self._index: Index | None = None
        self._rows = 0
        self._kept: OrderedDict[bytes, _Question] = OrderedDict()
        self._by_id: dict[int, bytes] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def asked(self, call: Call) -> Asked | str:
        vectors = self._embedding.vectors
        found = asked_of(call, vectors.embedded)
        if found != "language_unknown":
            return found
        english = await vectors.english(call.input.messages[-1].text[:1_000])
        return asked_of(call, vectors.embedded, english) if english else "language"

    async def look(self, call: Call, asked: Asked, policy: SemanticPolicy, now_s: float) -> tuple[Found, bytes | None]:
        vector = await self._embedding.of(asked.text)
        if vector is None:
            return Found("miss", reason="embedder"), None
        target = call.target
        least = call.facts.get(THRESHOLD_FACT, policy.threshold)
        threshold = self._threshold_of(target.route if target else "", least)
        doubtful, reason = False, ""
        for similarity, kept in self._near(asked, vector, policy, now_s):
            verdict = self._embedding.decide(asked, kept, similarity, threshold)
            if verdict.hit:
                return Found("semantic", similarity, meaning=kept.meaning), vector
            doubtful = doubtful or verdict.doubtful
            reason = reason or verdict.reason
        return Found("miss", doubtful=doubtful and policy.judge is not None, reason=reason), vector

    def _near(self, asked: Asked, vector: bytes, policy: SemanticPolicy, now_s: float) -> list[tuple[float, _Question]]:
        if self._index is None:
            return []
        near = self._index.search(asked.scopes, self._index.vector(vector), FLOOR, CANDIDATES, now_s)
        numbers, found = array.array("f", vector), []
        for id, _ in near:
            kept = self._kept[self._by_id[id]]
            if kept.stored_s > now_s - min(kept.ttl_s, policy.ttl_s):
                found.append((math.fsum(map(mul, numbers, array.array("f", kept.vector))), kept))
        return sorted(found, key=lambda pair: -pair[0])

    def keep(self, asked: Asked, vector: bytes, policy: SemanticPolicy, now_s: float, meaning: str) -> None:
        scope = asked.scopes[0]
        key = key_of_question(scope, asked.text)
        self._drop(key)
        self._last += 1
        self._kept[key] = _Question(self._last, scope, asked.text, asked.language, vector, now_s, policy.ttl_s, meaning)
        self._by_id[self._last] = key
        self._put([self._kept[key]])
        while len(self._kept) > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            del self._by_id[old.id]
            if self._index is not None:
                self._index.remove(old.scope, old.id)

    def sweep(self, now_s: float) -> None:
        """Forget what has expired, and make the index anew where most of its rows are of the past."""
        for key in [key for key, one in self._kept.items() if one.stored_s + one.ttl_s <= now_s]:
            self._drop(key)
        if self._rows > 2 * len(self._kept) + _SPARE_ROWS:
            self._index, self._rows = None, 0
            self._put([*self._kept.values()])

    def _put(self, rows: list[_Question]) -> None:
        if not rows:
            return
        if self._index is None:
            self._index = Index(len(rows[0].vector) // 4)
        self._rows += len(rows)
        self._index.take(
            [one.id for one in rows], [one.scope for one in rows], [one.stored_s + one.ttl_s for one in rows],
            b"".join([one.vector for one in rows]),
        )  # fmt: skip


class _Waiting(Struct, frozen=True):
    """What will be kept when its call has ended."""

    key: bytes
    policy: CachePolicy
    asked: Asked | None = None
    vector: bytes | None = None
    kept: bool = True
    meaning: str = ""


_SWEEP_EVERY = 2_000


class CacheReplay:
    """One cache over all calls of a replay, in the order of time. `embedding` None compares none by meaning."""

    def __init__(
        self, policy: Callable[[Call], CachePolicy | None], embedding: Embedding | None, threshold_of: ThresholdOf,
        most: int,
    ) -> None:  # fmt: skip
        self._policy = policy
        self._meaning = None if embedding is None else _Meaning(embedding, threshold_of, most)
        self._kept: dict[bytes, float] = {}
        self._longest_s = 0.0
        self._flying: dict[bytes, float] = {}
        self._waiting: list[tuple[float, int, _Waiting]] = []
        self._count = 0

    async def take(self, recorded: Recorded, call: Call, cost_microusd: int | None) -> Found:
        """Whether a call is answered from memory; where it is not, its answer is kept from its end on."""
        now_s = recorded.at_s
        self._settle(now_s)
        policy = self._policy(call)
        if policy is None:
            return Found("off")
        key = key_of(call)
        if key is None:
            return Found("off", reason="form")
        stored_s = self._kept.get(key)
        if stored_s is not None and stored_s > now_s - policy.ttl_s:
            return Found("exact")
        found, asked, vector = await self._look_alike(call, policy, now_s)
        if found.kind == "semantic":
            return found
        if policy.share and self._flying.get(key, 0.0) > now_s:
            return Found("shared")
        self._follow(recorded, call, policy, key, cost_microusd, asked, vector)
        return found

    async def _look_alike(
        self, call: Call, policy: CachePolicy, now_s: float
    ) -> tuple[Found, Asked | None, bytes | None]:  # fmt: skip
        if policy.semantic is None or self._meaning is None:
            return Found("miss"), None, None
        asked = await self._meaning.asked(call)
        if isinstance(asked, str):
            return Found("miss", reason=asked), None, None
        found, vector = await self._meaning.look(call, asked, policy.semantic, now_s)
        return found, asked, vector

    def _follow(
        self, recorded: Recorded, call: Call, policy: CachePolicy, key: bytes, cost: int | None, asked: Asked | None,
        vector: bytes | None,
    ) -> None:  # fmt: skip
        """Keep the answer when it is there."""
        ends_s = recorded.at_s + recorded.took_s
        if policy.share:
            self._flying[key] = ends_s
        size = _FRAME_BYTES + sum(len(one.text) for one in recorded.choices)
        worth = not policy.min_cost_microusd or (cost or 0) >= policy.min_cost_microusd
        kept = recorded.is_complete and worth and size <= policy.max_entry_bytes
        meaning = policy.semantic
        if kept and meaning is not None and asked is not None and vector is not None:
            entry = Entry(ends_s, recorded.events, recorded.usage, cost)
            if not is_fit(call, meaning, entry):
                asked = None
        waiting = _Waiting(key, policy, asked, vector, kept, recorded.meaning)
        self._count += 1
        heapq.heappush(self._waiting, (ends_s, self._count, waiting))

    def _settle(self, now_s: float) -> None:
        """What ended meanwhile is there."""
        while self._waiting and self._waiting[0][0] <= now_s:
            ended_s, count, one = heapq.heappop(self._waiting)
            if self._flying.get(one.key) == ended_s:
                del self._flying[one.key]
            if not one.kept:
                continue
            self._kept[one.key] = ended_s
            self._longest_s = max(self._longest_s, one.policy.ttl_s)
            semantic = one.policy.semantic
            if self._meaning is not None and semantic is not None and one.asked is not None and one.vector is not None:
                self._meaning.keep(one.asked, one.vector, semantic, ended_s, one.meaning)
            if count % _SWEEP_EVERY == 0:
                self._sweep(now_s)

    def _sweep(self, now_s: float) -> None:
        """Forget what has expired, so that memory holds no more than the cache would."""
        self._kept = {key: at_s for key, at_s in self._kept.items() if at_s > now_s - self._longest_s}
        if self._meaning is not None:
            self._meaning.sweep(now_s)
