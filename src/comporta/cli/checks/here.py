"""Checks of this machine: configuration, data folder, disk, memory, port, the gate itself, the embedding model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import socket
import stat
from pathlib import Path

import aiohttp

from comporta.cli.checks.gpus import read_gpus
from comporta.cli.checks.site import Finding, Site, failed, gib, ok, skipped, warning
from comporta.embedding.minilm import missing_model, model_folder

_DISK_LOW = 1024**3
_DISK_OUT = 200 * 1024**2
_MEMORY_LOW = 512 * 1024**2
_MEMORY_OUT = 192 * 1024**2


async def configuration(site: Site) -> list[Finding]:
    if site.mistakes is not None:
        return [
            Finding("configuration", "failed", line, "comporta config check") for line in site.mistakes.splitlines()
        ]
    assert site.loaded is not None, "without mistakes there is a configuration"
    files = ", ".join(map(str, site.loaded.files))
    return ok("configuration", f"holds ({files or 'no file: defaults and environment'})")


async def data_folder(site: Site) -> list[Finding]:
    path = site.folder.path
    if not path.exists():
        parent = _nearest(path)
        if os.access(parent, os.W_OK | os.X_OK):
            return ok("data folder", f"{path} will be made at the first start")
        return failed(
            "data folder", f"{path} can't be made: {parent} is not writable", "export COMPORTA_DATA=~/.comporta"
        )
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return failed("data folder", f"{path} is no folder that this user may write to", f"ls -ld {_typed(path)}")
    if path.stat().st_mode & 0o066:
        return warning("data folder", f"{path} can be read or written by other users", f"chmod go-rw {_typed(path)}")
    return ok("data folder", f"{path} is writable, and private")


async def admin_key(site: Site) -> list[Finding]:
    file = site.folder.admin_key
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        if site.running is None:
            return skipped("admin key", f"{file} is made at the first start")
        return failed("admin key", f"{file} is missing; a restart of the gate makes a new one", "comporta serve")
    if mode & 0o077:
        return failed("admin key", f"{file} has mode {mode:o}: others can read it", f"chmod 600 {_typed(file)}")
    return ok("admin key", f"{file} is there, for its owner alone")


async def disk(site: Site) -> list[Finding]:
    usage = await asyncio.to_thread(shutil.disk_usage, _nearest(site.folder.path))
    text = f"{gib(usage.free)} of {gib(usage.total)} free under the data folder"
    mend = f"du -xsh {_typed(site.folder.path)}/*"
    if usage.free < _DISK_OUT:
        return failed("disk", f"{text}: PostgreSQL stops when it is full", mend)
    if usage.free < _DISK_LOW:
        return warning("disk", text, mend)
    return ok("disk", text)


async def spool(site: Site) -> list[Finding]:
    """Records that wait here for the database. Some always do while calls are answered."""
    folder = site.folder.spool
    files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else []
    size = 0
    for file in files:
        # The shipper deletes what it has shipped, perhaps just now.
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    text = f"{size / 1024**2:.1f} MiB of records wait for the database"
    most = None if site.loaded is None else site.loaded.value.records.spool.max_size
    if most is not None and size > most * 7 // 8:
        refuse = site.loaded is not None and site.loaded.value.records.spool.on_full == "refuse"
        end = "calls are refused" if refuse else "content is dropped, and then records"
        mend = "comporta doctor --json | grep -A3 database"
        return failed("spool", f"{text}, of at most {most / 1024**2:.0f}: {end}", mend)
    if site.running is None and size > 1024**2:
        return warning("spool", f"{text}; they are shipped at the next start", "comporta serve")
    if size > 64 * 1024**2:
        return warning("spool", f"{text}: is it slow, or away?", "comporta doctor --json | grep -A3 database")
    return ok("spool", text)


async def memory(site: Site) -> list[Finding]:
    total, available = await asyncio.to_thread(read_memory)
    if total is None or available is None:
        return skipped("memory", "this system does not tell")
    text = f"{gib(available)} of {gib(total)} available"
    if available < _MEMORY_OUT:
        return failed("memory", f"{text}; a gate needs about 200 MiB", "ps aux --sort=-rss | head")
    if available < _MEMORY_LOW:
        return warning("memory", text, "ps aux --sort=-rss | head")
    return ok("memory", text)


async def gpu(site: Site) -> list[Finding]:
    cards = await read_gpus()
    if not cards:
        return skipped("gpu", "none (nvidia-smi is not there or lists none)")
    return [Finding("gpu", "ok", f"{c.name}: {gib(c.free)} of {gib(c.total)} free") for c in cards]


async def gate(site: Site) -> list[Finding]:
    if site.running is None:
        return skipped("gate", f"none runs on {site.folder.path}", "comporta serve")
    url = site.running.url
    try:
        async with site.http.get(f"{url}/health/ready") as response:
            text = (await response.text())[:200].replace("\n", " ")
            if response.status == 200:
                return ok("gate", f"answers at {url} (pid {site.running.pid})")
            return failed("gate", f"{url} says {response.status}: {text}", "comporta serve")
    except (aiohttp.ClientError, TimeoutError) as error:
        return failed(
            "gate", f"process {site.running.pid} runs and {url} does not answer ({type(error).__name__})",
            f"kill {site.running.pid}; comporta serve",
        )  # fmt: skip


async def port(site: Site) -> list[Finding]:
    place = f"{site.host}:{site.port}"
    if site.running is not None:
        return skipped("port", f"the running gate has it ({site.running.url})")
    family = socket.AF_INET6 if ":" in site.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((site.host, site.port))
    except OSError as error:
        free = f"comporta serve --port {site.port + 1 if site.port < 65535 else site.port - 1}"
        return failed("port", f"{place} can't be listened on: {error.strerror}", free)
    return ok("port", f"{place} is free")


async def embedding(site: Site) -> list[Finding]:
    folder = model_folder()
    if folder is None:
        what, _, command = missing_model().message.partition(" Install it")
        return warning("embedding", f"{what} The offline model and local embeddings need it.", command.split(": ")[-1])
    return [*ok("embedding", f"all-MiniLM-L6-v2 lies in {folder}"), *_languages(site)]


def _languages(site: Site) -> list[Finding]:
    """What the semantic cache does with other languages than English, and the lines that change it."""
    if site.loaded is None:
        return []
    cache, routes = site.loaded.value.cache, site.loaded.value.routes.values()
    wanted = cache.semantic.enabled or any(
        route.cache is not None and route.cache.semantic is not None and route.cache.semantic.enabled
        for route in routes
    )
    if not wanted:
        return []
    if cache.semantic.multilingual:
        return ok("semantic cache", f"all languages, by {cache.semantic.embedder}")
    return warning(
        "semantic cache",
        "English questions alone: for others it is off. Under `cache: semantic:` write "
        "`embedder: openai/text-embedding-3-small` (or another that knows your languages) and `multilingual: true`",
        "comporta config check",
    )


def read_memory() -> tuple[int | None, int | None]:
    """Total and available bytes, of the container where that is less."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        total, available = found["MemTotal"], found["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        return None, None
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text("ascii"))
        if limit < total:
            return limit, min(available, max(0, limit - used))
    return total, available


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next((one for one in (path, *path.parents) if one.exists()), Path("/"))


def _typed(path: Path) -> str:
    return shlex.quote(str(path))
