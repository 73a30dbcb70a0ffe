"""Check of Ollama: whether it runs, and whether its models fit into this machine."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import aiohttp

from comporta.app.ollama import ollama_url
from comporta.cli.checks.gpus import Gpu, read_gpus
from comporta.cli.checks.here import read_memory
from comporta.cli.checks.site import Finding, Site, failed, gib, ok, skipped, warning
from comporta.config.secret import without_password

#: What a model needs beside its weights: context and buffers.
_OVERHEAD = 1.2
_SMALL = "ollama pull llama3.2:1b"


async def ollama(site: Site) -> list[Finding]:
    url, configured = _place(site)
    shown = without_password(url)
    try:
        async with asyncio.timeout(3), site.http.get(f"{url}/api/tags") as response:
            answer = await response.json(content_type=None)
            models = [(str(one["name"]), int(one["size"])) for one in answer["models"]]
    except (aiohttp.ClientError, TimeoutError, OSError):
        return _away(shown, configured)
    except (ValueError, KeyError, TypeError):
        return failed("ollama", f"what answers at {shown} is no Ollama", "curl -s " + shown)
    if not models:
        return warning("ollama", f"answers at {shown} and has no model", _SMALL)
    total, _ = await asyncio.to_thread(read_memory)
    cards = await read_gpus()
    found = ok("ollama", f"answers at {shown} with {len(models)} models")
    return [*found, *(fits(name, size, total, cards) for name, size in models)]


def _place(site: Site) -> tuple[str, bool]:
    for provider in (site.known.providers if site.known else {}).values():
        if provider.row.name == "ollama":
            return provider.bare.base_url.rstrip("/").removesuffix("/v1"), True
    return ollama_url(site.environment), bool(site.environment.get("OLLAMA_HOST"))


def _away(url: str, configured: bool) -> list[Finding]:
    if configured:
        return failed("ollama", f"none answers at {url}", "ollama serve")
    if shutil.which("ollama"):
        return warning("ollama", f"it is installed and none answers at {url}", "ollama serve")
    return skipped("ollama", f"none at {url}")


def fits(name: str, size: int, total: int | None, cards: list[Gpu]) -> Finding:
    """Whether a model fits into the GPUs, else into memory."""
    title, needed = f"ollama {name}", size * _OVERHEAD
    on_gpu: Any = sum(card.total for card in cards)
    if on_gpu and needed <= on_gpu:
        return Finding(title, "ok", f"needs about {gib(needed)}; the GPU has {gib(on_gpu)}")
    if total is None:
        return Finding(title, "skipped", f"needs about {gib(needed)}; this system does not tell its memory")
    if needed > total:
        return Finding(title, "warning", f"needs about {gib(needed)}; this machine has {gib(total)}", _SMALL)
    slow = "it does not fit into the GPU, so part of it runs slowly" if on_gpu else "without a GPU it is slow"
    return Finding(title, "ok", f"needs about {gib(needed)} of {gib(total)} memory; {slow}")
