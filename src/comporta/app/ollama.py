"""Whether an Ollama runs on its usual port, and which models it has."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from comporta.providers.base import Endpoint
from comporta.providers.ollama import Ollama

#: It is on this machine or it isn't there: a start must not wait for it.
_LIMIT_S = 0.4


def ollama_url(environment: Mapping[str, str]) -> str:
    """`OLLAMA_HOST` as Ollama itself reads it, else its usual address."""
    host = environment.get("OLLAMA_HOST", "").strip().rstrip("/") or "127.0.0.1:11434"
    url = host if "://" in host else f"http://{host}"
    url = url.replace("//0.0.0.0", "//127.0.0.1")
    return url if url.count(":") > 1 else f"{url}:11434"


async def ollama_models(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names of its models; None where none answers."""
    wire = Ollama()
    request = wire.listing(Endpoint("ollama", ollama_url(environment)))
    assert request is not None, "Ollama lists its models"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_LIMIT_S)) as session,
            session.request(request.method, request.url) as response,
        ):
            if response.status != 200:
                return None
            return wire.models(await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
