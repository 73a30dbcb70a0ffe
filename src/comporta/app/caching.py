"""The cache as a gate has it: its policies from the configuration, its layers, and what runs beside the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from comporta.app.settings import Settings
from comporta.cache.exact import ExactCache
from comporta.cache.far import Far, Store, figures
from comporta.cache.memory import Memory
from comporta.cache.policy import CachePolicy, policy_of
from comporta.cache.postgres import PostgresStore
from comporta.cache.redis import RedisStore
from comporta.chains.model import PROVIDER
from comporta.errors import ConfigError
from comporta.pipeline import Call
from comporta.store.database import Database

_LOOK_S = 1.0


class Caching:
    """The exact cache and its layers. `settings` gives today's configuration: a reload reaches the next call."""

    def __init__(self, settings: Callable[[], Settings], database: Database) -> None:
        self._settings = settings
        store = _store(settings(), database)
        #: The layer behind the memory; None where there is none.
        self.far = None if store is None else Far(store)
        self._seen: Settings | None = None
        self._general: CachePolicy | None = None
        self._routes: dict[str, CachePolicy | None] = {}
        self.exact = ExactCache(self._policy, Memory(0, 0), lambda: self.far)
        self._take(settings())

    async def run(self) -> None:
        """Write and refresh until cancelled, from the moment at which some route has a cache."""
        if self.far is None:
            return
        while not self._is_on():  # noqa: ASYNC110 (a reload may come any time, and tells nobody)
            await asyncio.sleep(_LOOK_S)
        await self.far.run()

    async def close(self) -> None:
        """Write what waits, within a short time."""
        if self.far is not None:
            await self.far.close()

    def figures(self) -> dict[str, float]:
        """What is counted beside hits and misses."""
        return figures(self.far)

    def _policy(self, call: Call) -> CachePolicy | None:
        settings = self._settings()
        if settings is not self._seen:
            self._take(settings)
        target = call.target
        policy = self._general if target is None else self._routes.get(target.route, self._general)
        # A chain's steps are looked up each by itself: its answer as a whole would outlive prompts that were changed.
        return None if policy is not None and target is not None and target.provider == PROVIDER else policy

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
