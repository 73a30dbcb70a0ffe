"""The cache as a gate has it: its policies from the configuration, its layers, and what runs beside the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from comporta.app.recalling import Recalling
from comporta.app.settings import Settings
from comporta.cache.exact import ExactCache
from comporta.cache.far import Far, Store, figures
from comporta.cache.memory import Memory
from comporta.cache.policy import CachePolicy, policy_of
from comporta.cache.postgres import PostgresStore
from comporta.cache.redis import RedisStore
from comporta.chains.running import PROVIDER as CHAIN
from comporta.errors import ConfigError
from comporta.pipeline import Call
from comporta.routing.ensemble.plan import PROVIDER as ENSEMBLE
from comporta.store.database import Database

_LOOK_S = 1.0
_MADE_OF_OTHERS = frozenset({CHAIN, ENSEMBLE})


class Caching:
    """The exact cache and its layers. `settings` gives today's configuration: a reload reaches the next call.

    `recalling` is the semantic cache, which is put before the calls once some route has one.
    """

    def __init__(self, settings: Callable[[], Settings], database: Database, recalling: Recalling) -> None:
        self._settings = settings
        self.recalling = recalling
        store = _store(settings(), database)
        #: The layer behind the memory; None where there is none.
        self.far = None if store is None else Far(store)
        self._seen: Settings | None = None
        self._general: CachePolicy | None = None
        self._routes: dict[str, CachePolicy | None] = {}
        self.exact = ExactCache(self._policy, Memory(0, 0), lambda: self.far)
        self.exact.cleared = recalling.clearings.since
        recalling.semantic.forgotten = self.exact.is_forgotten
        self._take(settings())

    async def run(self) -> None:
        """Write and refresh until cancelled, from the moment at which some route has a cache."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_far())
            tasks.create_task(self._run_semantic())

    async def _run_far(self) -> None:
        if self.far is None:
            return
        while not self._is_on():  # noqa: ASYNC110 (a reload may come any time, and tells nobody)
            await asyncio.sleep(_LOOK_S)
        await self.far.run()

    async def _run_semantic(self) -> None:
        while not self.recalling.wanted:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(_LOOK_S)
        self.exact.semantic = self.recalling.semantic
        await self.recalling.run()

    async def close(self) -> None:
        """Write what waits, within a short time."""
        await self.recalling.close()
        if self.far is not None:
            await self.far.close()

    def topics(self, keys: str, prompts: str) -> Iterable[tuple[str, Callable[[], Awaitable[object]]]]:
        """What to read anew when others change it; `keys` and `prompts` are the topics of their changes."""
        yield from self.recalling.topics
        yield keys, self._moved
        yield prompts, self._moved

    async def _moved(self) -> None:
        if self._is_on():
            await self.recalling.clearings.clear_moved()

    def figures(self) -> dict[str, float]:
        """What is counted beside hits and misses."""
        return {**figures(self.far), **self.recalling.figures()}

    def _policy(self, call: Call) -> CachePolicy | None:
        settings = self._settings()
        if settings is not self._seen:
            self._take(settings)
        target = call.target
        policy = self._general if target is None else self._routes.get(target.route, self._general)
        # A chain's steps are looked up each by itself: its answer as a whole would outlive prompts that were changed.
        # So are an ensemble's members: an answer that they did not agree on must not be given again.
        return None if policy is not None and target is not None and target.provider in _MADE_OF_OTHERS else policy

    def _take(self, settings: Settings) -> None:
        general, content = settings.cache, settings.records.content
        self._general = policy_of(general, None, content)
        self._routes = {
            name: policy_of(general, route.cache, route.content or content) for name, route in settings.routes.items()
        }
        self.exact.memory.resize(general.memory, general.memory_entries)
        self._seen = settings

    def _is_on(self) -> bool:
        settings = self._settings()
        if settings is not self._seen:
            self._take(settings)
        return self._general is not None or any(self._routes.values())


def _store(settings: Settings, database: Database) -> Store | None:
    """What lies behind the memory. Raises ConfigError for an address that is none."""
    wanted, url = settings.cache.store, settings.redis.url
    if wanted == "memory":
        return None
    if wanted == "auto" and url is not None:
        try:
            return RedisStore(url.get_secret_value())
        except ValueError:
            raise ConfigError(
                "redis.url is not a Redis address; it looks like redis://host:6379/0 or unix:///path"
            ) from None
    return PostgresStore(database)
