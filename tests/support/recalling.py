"""The semantic cache under test: an embedder whose vectors a test knows, and a worker on a real database."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Sequence

from comporta.cache.clearing import Clearings
from comporta.cache.exact import ExactCache
from comporta.cache.memory import Memory
from comporta.cache.policy import CachePolicy
from comporta.cache.semantic.asked import Embedded
from comporta.cache.semantic.checks import Checks
from comporta.cache.semantic.comparing import Judge
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.recall import Semantic
from comporta.cache.semantic.searching import Searching
from comporta.cache.semantic.seeding import Seeding
from comporta.cache.semantic.store import SemanticStore
from comporta.cache.semantic.thresholds import Thresholds
from comporta.cache.semantic.writing import Writing
from comporta.errors import ComportaError
from comporta.pipeline import Call, Next, compose, reply_of
from comporta.store.database import Database
from comporta.types import Caller, Delta, Event, Input, Message, Reply, Target, Text, Usage

#: Questions that mean the same, and one that does not.
RESET, RESET_TOO = "How do I reset my password?", "How can I reset my password?"
HOURS = "Where is the nearest bus station to the harbour?"
SEMANTIC = CachePolicy(semantic=SemanticPolicy(shadow=0.0))


class Spread:
    """An embedder: the words of a text, each with a direction of its own, added up."""

    def __init__(self, name: str = "spread", dimensions: int = 64) -> None:
        self.name = name
        self.dimensions = dimensions
        self.ready = True
        self.error: Exception | None = None
        self.gap_s = 0.0
        self.asked = 0
        self.size = dimensions

    async def warm(self) -> None:
        if self.error is not None:
            raise self.error

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.asked += 1
        await asyncio.sleep(self.gap_s)
        if self.error is not None:
            raise self.error
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> tuple[float, ...]:
        total = [0.0] * self.size
        for word in text.lower().split():
            drawn = random.Random(hashlib.sha256(word.encode()).digest())
            # Small words say little of what a text means.
            weight = 0.3 if len(word) < 4 else 1.0
            for at in range(self.size):
                total[at] += weight * drawn.gauss(0, 1)
        length = math.sqrt(math.fsum(one * one for one in total)) or 1.0
        return tuple(one / length for one in total)


def question(
    text: str = RESET, *, team: str | None = "red", key: str = "key", user: str | None = "ana", system: str = "",
    earlier: Sequence[str] = (), stream: bool = False, door: str = "openai.chat", target: Target | None = None,
    headers: dict[str, str] | None = None, **more: object,
) -> Call:  # fmt: skip
    messages = [Message("system", (Text(system),))] if system else []
    messages += [Message("user" if at % 2 == 0 else "assistant", (Text(one),)) for at, one in enumerate(earlier)]
    asked = Input(messages=(*messages, Message("user", (Text(text),))), **more)  # type: ignore[arg-type]
    call = Call(
        kind="chat", input=asked, model="r", caller=Caller(key, team=team), user=user, stream=stream, door=door,
        headers=headers or {},
    )  # fmt: skip
    call.target = target or Target("r", "v", "p", "m")
    return call


def answer(text: str = "By the link on the page.", finish: str = "stop") -> tuple[Event, ...]:
    return (
        Event(
            (Delta(text=text, finish=finish),), usage=Usage(input=3, output=1), id="x", model="m",  # type: ignore[arg-type]
            wire="openai.chat", raw=b'{"id":"x"}', whole=True,
        ),
    )  # fmt: skip


class Worker:
    """One worker's stage with everything around it, on a database that others may share."""

    def __init__(
        self, database: Database, embedder: Spread | None = None, *, multilingual: bool = False, most: int = 100_000
    ) -> None:
        self.database = database
        self.policy: CachePolicy | None = SEMANTIC
        self.embedder = embedder or Spread()
        self.vectors = Vectors(self.embedder, Embedded(self.embedder.name, multilingual), limit_s=60.0)
        self.clearings = Clearings(database)
        self.thresholds = Thresholds(database, lambda route: self.policy.semantic if self.policy else None)
        self.store = SemanticStore(database)
        self.searching = Searching(self.store, self.vectors, lambda: most)
        self.writing = Writing(self.store, self.vectors, self.searching)
        self.fresh: str | ComportaError = "By the link on the page."
        self.asked_afresh: list[Call] = []
        self.judged: list[tuple[str, str, str]] = []
        self.verdict = "SAME"
        self.drawn = 0.0
        self.checks = Checks(self._afresh, self.thresholds.note, self._alike, self._judge, drawn=lambda: self.drawn)
        self.semantic = Semantic(
            self.store, self.vectors, self.searching, self.writing, self.thresholds, self.clearings, self.checks,
            self._judge, limit_s=60.0,
        )  # fmt: skip
        self.cache = ExactCache(lambda call: self.policy, Memory(1 << 20, 1000), lambda: None)
        self.cache.semantic = self.semantic
        self.cache.cleared = self.clearings.since
        self.semantic.forgotten = self.cache.is_forgotten
        self.seeding = Seeding(self.vectors, self.writing, lambda route: route)

    async def open(self) -> Worker:
        await self.searching.refresh()
        return self

    async def ask(self, call: Call, upstream: Next, cost_microusd: int | None = 100) -> str:
        """The text of the answer, the call ended as a door does it, and what it left written."""
        error: ComportaError | None = None
        text = ""
        try:
            async for event in await compose([("recall", self.cache.stage)], upstream)(call):
                text += "".join(delta.text for delta in event.deltas)
            if call.cost_microusd is None:
                call.cost_microusd = cost_microusd
        except ComportaError as failure:
            error = failure
            raise
        finally:
            await call.close_events()
            call.end(error)
        await self.writing.flush()
        return text

    async def _afresh(self, call: Call) -> Reply:
        self.asked_afresh.append(call)
        if isinstance(self.fresh, ComportaError):
            raise self.fresh
        return reply_of(Event((Delta(text=self.fresh, finish="stop"),), whole=True))

    async def _alike(self, one: str, other: str) -> float | None:
        return None

    def _judge(self, call: Call) -> Judge:
        async def judge(model: str, system: str, text: str) -> str:
            self.judged.append((model, system, text))
            return self.verdict

        return judge

    def close(self) -> None:
        self.searching.close()
