"""Where an Ollama runs, on its usual port or as configured, and which models it has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from comporta.app.settings import Settings
from comporta.providers.base import Endpoint
from comporta.providers.ollama import Ollama

#: It is on this machine or it isn't there: a start must not wait for it.
_LIMIT_S = 0.4
#: Where it was named it may be on another machine.
_NAMED_LIMIT_S = 2.0


def ollama_url(environment: Mapping[str, str]) -> str:
    """`OLLAMA_HOST` as Ollama itself reads it, else its usual address."""
    host = environment.get("OLLAMA_HOST", "").strip().rstrip("/") or "127.0.0.1:11434"
    url = host if "://" in host else f"http://{host}"
    url = url.replace("//0.0.0.0", "//127.0.0.1")
    return url if url.count(":") > 1 else f"{url}:11434"


async def ollamas(settings: Settings, environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The models of each Ollama that answers, by the provider's name. Whose models are configured is not asked."""
    usual = ollama_url(environment)
    urls = {
        name: section.base_url or usual
        for name, section in settings.providers.items()
        if (section.kind or name) == "ollama" and not section.models
    }
    if not settings.providers:
        urls["ollama"] = usual
    limit_s = _NAMED_LIMIT_S if settings.providers else _LIMIT_S
    found = await asyncio.gather(*(ollama_models(url, limit_s) for url in urls.values()))
    return {name: models for name, models in zip(urls, found, strict=True) if models is not None}


async def ollama_models(url: str, limit_s: float) -> tuple[str, ...] | None:
    """The names of its models; None where none answers."""
    wire = Ollama()
    request = wire.listing(Endpoint("ollama", url))
    assert request is not None, "Ollama lists its models"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=limit_s)) as session,
            session.request(request.method, request.url) as response,
        ):
            if response.status != 200:
                return None
            return wire.models(await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
