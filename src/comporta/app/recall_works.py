"""What the job worker does for the semantic cache, and what a configuration says of it per route."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from comporta.app.around import Around
from comporta.app.settings import Settings
from comporta.cache.policy import policy_of
from comporta.cache.semantic.policy import SemanticPolicy
from comporta.cache.semantic.sweeping import hear, sweep
from comporta.config.loading import Loaded

log = structlog.get_logger("comporta.cache")


def semantic_policy(settings: Settings, route: str) -> SemanticPolicy | None:
    """The semantic cache of a route under a configuration."""
    section = settings.routes.get(route)
    content = (section.content if section is not None else None) or settings.records.content
    policy = policy_of(settings.cache, section.cache if section is not None else None, content)
    return None if policy is None else policy.semantic


def any_semantic(settings: Settings) -> bool:
    """Whether any route, or any without a section, has a semantic cache."""
    policy = partial(semantic_policy, settings)
    return policy("") is not None or any(policy(route) is not None for route in settings.routes)


def cache_mistakes(loaded: Loaded[Settings], leads: Callable[[str], bool]) -> list[str]:
    """What is wrong with the models that the semantic cache asks, each with its file and line."""
    settings = loaded.value
    general = settings.cache.semantic
    named: list[tuple[tuple[str, ...], str | None]] = [(("cache", "semantic", "judge"), general.judge)]
    if general.enabled or any_semantic(settings):
        own = None if general.embedder.partition("/")[0] == "local" else general.embedder
        named.append((("cache", "semantic", "embedder"), own))
    for name, route in settings.routes.items():
        semantic = None if route.cache is None else route.cache.semantic
        named.append((("routes", name, "cache", "semantic", "judge"), None if semantic is None else semantic.judge))
    text = "names no route, and no `provider/model` of a provider that there is: '{}'"
    return [loaded.mistake(path, text.format(name)) for path, name in named if name is not None and not leads(name)]


async def sweep_semantic(around: Around) -> None:
    """Delete what has expired, and the oldest of what is too much."""
    section = around.settings().cache.semantic
    gone = await sweep(around.database, section.max_entries, section.max_size)
    if gone:
        log.info("cache.semantic_swept", entries=gone)


async def hear_feedback(around: Around) -> None:
    """Take what people say of semantic hits as checks of them."""
    settings = around.settings()
    if any_semantic(settings) and (heard := await hear(around.database, partial(semantic_policy, settings))):
        log.info("cache.wrong_hits_reported", hits=heard)
