"""`python bench/cache_speed.py [--json] [--quick]`: how long a look-up by meaning takes, and that tenants stay apart.

100,000 entries of one tenant and route lie in a PostgreSQL of their own and in the worker's index; questions are
looked up as the stage `recall` does it: index, rows of the candidates (at first from the database, then from the
worker's memory), verifier. `with embedding` adds the vector of a
question of 20 tokens. Then 100,000 look-ups of 500 tenants who all asked the same questions count what they find of
each other. On one core: OMP_NUM_THREADS=1 is set before numpy is imported. Ends with 1 where a bound was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from array import array
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy
from numpy.typing import NDArray

from comporta.app.folder import Folder
from comporta.cache.clearing import Clearings
from comporta.cache.entry import Entry, encoded
from comporta.cache.policy import NO_WISH
from comporta.cache.semantic.asked import Asked, Embedded, asked_of
from comporta.cache.semantic.checks import Checks
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.index import Index
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.recall import Semantic, key_of_question
from comporta.cache.semantic.searching import Searching
from comporta.cache.semantic.store import Row, SemanticStore
from comporta.cache.semantic.thresholds import Thresholds
from comporta.cache.semantic.writing import Writing
from comporta.embedding.minilm import DIMENSIONS, NAME, MiniLM
from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.testing.servers import postgres_server
from comporta.types import Caller, Delta, Event, Input, Message, Reply, Target, Text, Usage

#: What is asked for, in milliseconds.
LOOK_UP_MS, WITH_EMBEDDING_MS = 1.0, 3.5
TOKENS_20 = "How do I change the delivery address of an order that was already sent to me by post {n}?"
_SEED = 11
_BATCH = 2_000
_TENANTS = 500
_LOOK_UPS = 300


def question(text: str, team: str = "red") -> Call:
    asked = Input(messages=(Message("user", (Text(text),)),))
    call = Call(kind="chat", input=asked, model="faq", caller=Caller("key", team=team))
    call.target = Target("faq", "v", "openai", "gpt-4o-mini")
    return call


def crowd(rows: int, around: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """Vectors as close to each other as the questions of one product: each near one of the real ones."""
    random = numpy.random.default_rng(_SEED)
    made = around[random.integers(0, len(around), rows)] + random.standard_normal((rows, DIMENSIONS)) / numpy.sqrt(
        DIMENSIONS
    )
    made /= numpy.linalg.norm(made, axis=1, keepdims=True)
    return numpy.asarray(made, numpy.float32)


async def no_answer(call: Call) -> Reply:
    return Reply()


class Rig:
    """One worker's semantic cache over a database."""

    def __init__(self, database: Database, model: MiniLM) -> None:
        self.vectors = Vectors(model, Embedded(NAME))
        self.store = SemanticStore(database)
        self.searching = Searching(self.store, self.vectors, lambda: 200_000)
        self.writing = Writing(self.store, self.vectors, self.searching)
        thresholds = Thresholds(database, lambda route: None)
        checks = Checks(no_answer, thresholds.note, self._alike, self._judge)
        self.semantic = Semantic(
            self.store, self.vectors, self.searching, self.writing, thresholds, Clearings(database), checks,
            self._judge, limit_s=5.0,
        )  # fmt: skip

    async def _alike(self, one: str, other: str) -> float | None:
        return None

    def _judge(self, call: Call) -> Any:
        return None

    async def fill(self, entries: int, around: list[tuple[str, bytes]]) -> None:
        """The real questions, and a crowd about them."""
        asked = asked_of(question("How do I begin with this product?"), self.vectors.embedded)
        assert isinstance(asked, Asked)
        scope = asked.scopes[0]
        real = numpy.stack([numpy.frombuffer(vector, "<f4") for _, vector in around])
        others = crowd(entries - len(around), real)
        every = [*around, *((f"question number {at}", row.tobytes()) for at, row in enumerate(others))]
        body = encoded(Entry(time.time(), (Event((Delta(text="An answer." * 30, finish="stop"),)),), Usage()))
        await self.searching.refresh()
        for begin in range(0, len(every), _BATCH):
            await self.writing.put(
                [self._row(scope, text, vector, body) for text, vector in every[begin : begin + _BATCH]]
            )

    def _row(self, scope: bytes, text: str, vector: bytes, body: bytes) -> Row:
        now_s = time.time()
        return Row(
            key_of_question(scope, text), scope, "team/red", "faq", "key", NAME, text, "en", vector, (), False, None,
            now_s, now_s, 1e6, body,
        )  # fmt: skip


class Timed:
    """Times of one kind: by the clock, and of this process's processors, which a busy machine slows less."""

    def __init__(self) -> None:
        self.clock_s: list[float] = []
        self.cpu_s: list[float] = []

    def __enter__(self) -> None:
        self._begun = (time.perf_counter(), time.process_time())

    def __exit__(self, *_: object) -> None:
        self.clock_s.append(time.perf_counter() - self._begun[0])
        self.cpu_s.append(time.process_time() - self._begun[1])

    def figures(self) -> dict[str, float]:
        """Medians and the 99th percentile, in milliseconds."""
        found, half = sorted(self.clock_s), len(self.clock_s) // 2
        told = {"p50": found[half], "p99": found[int(len(found) * 0.99)], "cpu_p50": sorted(self.cpu_s)[half]}
        return {f"{name}_ms": round(value * 1e3, 3) for name, value in told.items()}


async def look_ups(rig: Rig, asked: list[tuple[str, bytes]]) -> dict[str, Any]:
    """Each question is looked up once with its vector at hand, and once with the embedding."""
    policy = SemanticPolicy(shadow=0.0)
    embedded = rig.vectors.embedded
    searched, alone, whole = Timed(), Timed(), Timed()
    hits = 0
    for text, vector in asked:
        call = question(text)
        found = asked_of(call, embedded)
        assert isinstance(found, Asked)
        with searched:
            await rig.searching.nearest(found.scopes, vector)
        with alone:
            looked = await rig.semantic._look(call, policy, NO_WISH, found, vector)
        hits += looked.hit is not None
        with whole:
            await rig.semantic.find(question(text), policy, NO_WISH)
    return {
        "entries": len(rig.searching), "look_ups": len(asked), "hits": hits, "index": searched.figures(),
        "look_up": alone.figures(), "with_embedding": whole.figures(),
    }  # fmt: skip


def apart(look_ups: int, around: list[tuple[str, bytes]]) -> dict[str, int]:
    """Tenants who hold the same questions: how many look-ups found another tenant's entry, or not their own."""
    index = Index(DIMENSIONS)
    embedded = Embedded(NAME)
    texts = around[:200]
    vectors = b"".join(vector for _, vector in texts)
    scopes = []
    for tenant in range(_TENANTS):
        asked = asked_of(question(texts[0][0], f"team {tenant}"), embedded)
        assert isinstance(asked, Asked)
        scopes.append(asked.scopes[0])
        ids = range(tenant * len(texts), (tenant + 1) * len(texts))
        index.take(ids, [asked.scopes[0]] * len(texts), [9e9] * len(texts), vectors)
    foreign = missed = 0
    for at in range(look_ups):
        tenant, place = at % _TENANTS, at * 7 % len(texts)
        text, vector = texts[place]
        asked = asked_of(question(text, f"team {tenant}"), embedded)
        assert isinstance(asked, Asked)
        found = index.search(asked.scopes, index.vector(vector), 0.92, 8, 0.0)
        foreign += any(id // len(texts) != tenant for id, _ in found)
        missed += all(id != tenant * len(texts) + place for id, _ in found)
    return {"look_ups": look_ups, "tenants": _TENANTS, "foreign": foreign, "missed": missed}


async def measured(entries: int, tenant_look_ups: int) -> dict[str, Any]:
    cache = Folder(Path(os.environ.get("COMPORTA_DATA") or ".comporta")).cache
    cache.mkdir(parents=True, exist_ok=True)
    model = MiniLM(cache)
    await model.warm()
    texts = [TOKENS_20.format(n=number) for number in range(_LOOK_UPS)]
    real = [(text, array("f", (await model.embed([text]))[0]).tobytes()) for text in texts]
    with postgres_server() as server:
        dsn = server.create_database()
        async with Database(dsn) as database:
            async with database.connection() as connection:
                # The workers' index does not need pgvector's, which takes a millisecond a row to build.
                await connection.execute("drop index if exists semantic_entry_likeness")
            rig = Rig(database, model)
            await rig.fill(entries, real)
            async with database.connection() as connection:
                await connection.execute("analyze semantic_entry")
            # Once to have given every answer: what is measured then is a question that is asked often.
            cold = (await look_ups(rig, real))["look_up"]
            figures = await look_ups(rig, real)
            rig.searching.close()
    model.close()
    return {**figures, "first_look_up": cold, "tenants_apart": apart(tenant_look_ups, real)}


def shown(figures: dict[str, Any]) -> str:
    lines = [f"{figures['entries']} entries of one tenant, {figures['look_ups']} look-ups, {figures['hits']} hits"]
    for name, bound in (
        ("index", None),
        ("first_look_up", None),
        ("look_up", LOOK_UP_MS),
        ("with_embedding", WITH_EMBEDDING_MS),
    ):
        one = figures[name]
        wanted = "" if bound is None else f"   (p50 at most {bound} ms)"
        lines.append(
            f"  {name:<16} p50 {one['p50_ms']:7.3f} ms   p99 {one['p99_ms']:7.3f} ms   "
            f"of processors {one['cpu_p50_ms']:6.3f} ms{wanted}"
        )
    told = figures["tenants_apart"]
    lines.append(
        f"{told['look_ups']} look-ups of {told['tenants']} tenants with the same questions: {told['foreign']} found "
        f"another's, {told['missed']} missed their own"
    )
    return "\n".join(lines) + "\n"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--quick", action="store_true", help="a tenth of it")
    given = asked.parse_args()
    share = 10 if given.quick else 1
    figures = asyncio.run(measured(100_000 // share, 100_000 // share))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n" if given.json else shown(figures))
    told = figures["tenants_apart"]
    fast = figures["look_up"]["p50_ms"] <= LOOK_UP_MS and figures["with_embedding"]["p50_ms"] <= WITH_EMBEDDING_MS
    return 0 if fast and not told["foreign"] and not told["missed"] else 1


if __name__ == "__main__":
    sys.exit(main())
