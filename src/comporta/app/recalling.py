"""The semantic cache as a gate has it: put together when some route first has one, and what runs beside the calls."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import mul

import structlog

from comporta.app.judging import Judging
from comporta.app.recall_works import any_semantic, semantic_policy
from comporta.app.settings import Settings
from comporta.cache.clearing import Clearings
from comporta.cache.policy import NO_WISH
from comporta.cache.semantic.asked import THRESHOLD_FACT, Embedded
from comporta.cache.semantic.checks import Checks
from comporta.cache.semantic.comparing import Judge
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.overview import Overview, drop_answer, drop_entry, overview
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.recall import Semantic, text_of
from comporta.cache.semantic.searching import Searching
from comporta.cache.semantic.seeding import Seed, Seeded, Seeding
from comporta.cache.semantic.store import SemanticStore
from comporta.cache.semantic.thresholds import TOPIC, Check, Thresholds
from comporta.cache.semantic.writing import Writing
from comporta.embedding.base import Embedder
from comporta.errors import BadRequest, ComportaError, Conflict
from comporta.gateway.asking import ask
from comporta.pipeline import Call, Next
from comporta.store.database import Database
from comporta.types import Caller, Input, Message, Reply, Target, Text

log = structlog.get_logger("comporta.cache")

#: The stages around a hit that is answered afresh: who asks was admitted, guarded and chosen for when it was a hit.
AFRESH = ("record", "limit", "spend", "attempt")
_REFRESH_S = 1.0
_TELL_EVERY = 60


class Recalling:
    """One per gate. `pipeline` is a call's whole path, `afresh` the path of a check: past guards and caches."""

    def __init__(
        self, settings: Callable[[], Settings], database: Database, embedder: Callable[[str], Embedder],
        pipeline: Callable[[], Next], afresh: Callable[[], Next], leads_to: Callable[[str], str | None],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._database = database
        self._pipeline = pipeline
        self._afresh = afresh
        section = settings().cache.semantic
        embedded = embedder(section.embedder)
        self.clearings = Clearings(database)
        self.thresholds = Thresholds(database, self.policy_of)
        self.vectors = Vectors(embedded, Embedded(embedded.name, section.multilingual))
        store = SemanticStore(database)
        self._searching = Searching(store, self.vectors, lambda: settings().cache.semantic.max_entries)
        writing = Writing(store, self.vectors, self._searching)
        self.checks = Checks(self._ask_afresh, self._note, self._alike, self._judge)
        self.semantic = Semantic(
            store, self.vectors, self._searching, writing, self.thresholds, self.clearings, self.checks, self._judge
        )
        self._seeding = Seeding(self.vectors, writing, self._looked_up)
        self._leads_to = leads_to

    @property
    def topics(self) -> Sequence[tuple[str, Callable[[], Awaitable[object]]]]:
        """What to read anew when others change it."""
        return ((self.clearings.topic, self.clearings.load), (TOPIC, self.thresholds.load))

    def policy_of(self, route: str) -> SemanticPolicy | None:
        """What holds on a route today."""
        return semantic_policy(self._settings(), route)

    def _looked_up(self, route: str) -> str:
        """The name that calls on a route are looked up by. Raises BadRequest where none would be."""
        found = self._leads_to(route)
        if found is None:
            raise BadRequest(f"there is no route or model '{route[:100]}'", param="route")
        if self.policy_of(found) is None:
            raise BadRequest(
                f"'{route[:100]}' has no semantic cache: `cache.semantic.enabled` is off for it", param="route"
            )
        return found

    @property
    def wanted(self) -> bool:
        """Whether any route has it."""
        return any_semantic(self._settings())

    # ---- beside the calls ----

    async def run(self) -> None:
        """Load the model, write what is kept and learn what others stored, until cancelled."""
        await self.vectors.warm()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.semantic.writing.run())
            tasks.create_task(self._refresh_on())

    async def _refresh_on(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(60.0):
                    await self.vectors.mend()
                    await self._searching.refresh()
                    await self.thresholds.flush()
                failures = 0
            except Exception as error:
                if failures % _TELL_EVERY == 0:
                    log.warning("cache.semantic_behind", kind=type(error).__name__, reason=str(error)[:200])
                failures += 1
            await asyncio.sleep(_REFRESH_S)

    async def close(self) -> None:
        """Stop the checks, and write what waits, within a short time."""
        await self.checks.close()
        try:
            async with asyncio.timeout(2.0):
                await self.semantic.writing.flush()
                await self.thresholds.flush()
        except Exception as error:
            log.warning("cache.semantic_unwritten", kind=type(error).__name__)
        self._searching.close()

    def figures(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return self.semantic.figures()

    # ---- for people ----

    async def overview(self) -> Overview:
        """How both caches stand. Raises Unavailable."""
        await self.thresholds.flush()
        settings = self._settings()
        return await overview(self._database, settings.routes, self.policy_of)

    async def seed(self, seeds: Sequence[Seed]) -> Seeded:
        """Store questions with their answers. Raises Conflict where no route would look for them, Unavailable."""
        if not self.wanted:
            raise Conflict(
                "No route has a semantic cache: set `cache.semantic.enabled: true` (and `cache.enabled: true`) first.",
                code="cache_off",
            )
        if not self.vectors.ready:
            await self.vectors.warm()
        return await self._seeding.seed(seeds)

    async def look_up(self, question: str, route: str, threshold: float | None = None) -> str | None:
        """The text of the seeded answer to a question that means the same; None where there is none."""
        policy = self.policy_of(route) or SemanticPolicy()
        if not self.vectors.ready:
            await self.vectors.warm()
        call = Call(
            kind="chat", input=Input(messages=(Message("user", (Text(question),)),)), model=route,
            caller=Caller(key_id="python", admin=True), target=Target(route, "", "", ""),
            facts={} if threshold is None else {THRESHOLD_FACT: threshold},
        )  # fmt: skip
        hit = (await self.semantic.find(call, policy, NO_WISH)).hit
        call.end()
        return None if hit is None else text_of(hit.entry.events)

    async def clear(self, tags: Sequence[str] = (), entry: int | None = None) -> int:
        """Give no more what bears a tag (`*` is everything), or one entry; how many semantic entries went."""
        gone = 0 if entry is None else int(await drop_entry(self._database, entry))
        return gone + (await self.clearings.clear(tags) if tags else 0)

    # ---- what the cache asks ----

    def _judge(self, call: Call) -> Judge:
        async def judge(model: str, system: str, text: str) -> str:
            return await Judging(self._pipeline, lambda: model)(call, system, text)

        return judge

    def _ask_afresh(self, call: Call) -> Awaitable[Reply]:
        return ask(self._afresh(), call)

    async def _note(self, check: Check) -> None:
        try:
            await self.thresholds.note(check)
            if check.wrong:
                await drop_answer(self._database, check.entry)
        except ComportaError as error:
            log.warning("cache.check_lost", route=check.route, code=error.code)

    async def _alike(self, one: str, other: str) -> float | None:
        vectors = [await self.vectors.vector(text) for text in (one, other)]
        if any(vector is None for vector in vectors):
            return None
        first, second = (array("f", vector or b"") for vector in vectors)
        return math.fsum(map(mul, first, second))
