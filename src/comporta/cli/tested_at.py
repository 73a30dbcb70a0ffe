"""Where `comporta prompts test` asks: the gate of COMPORTA_URL, that on the data folder, or one opened for the run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
from msgspec import Struct

import comporta
from comporta.app.asks import PYTHON
from comporta.app.folder import Folder
from comporta.app.gate import Gate as LocalGate
from comporta.app.guarding import PROMPT_GUARDS
from comporta.cli.gate import Gate, find, part
from comporta.errors import ComportaError, NotFound
from comporta.evaluation.baselines import Registered
from comporta.evaluation.targets import InProcess, OverHTTP, Target
from comporta.prompts.folder import load_bytes
from comporta.prompts.prompt import Prompt
from comporta.telemetry.logs import configure
from comporta.types import JSON, Caller

#: Keeps a run with the registry: id, version, digest, verdict, numbers.
Record = Callable[[str, str, str, str, JSON], Awaitable[None]]


class At(Struct, frozen=True):
    """A target, and the registry beside it; both None where answers are replayed without a gate."""

    target: Target | None = None
    registered: Registered | None = None
    record: Record | None = None
    caller: Caller = Caller(key_id="")


@contextlib.asynccontextmanager
async def opened(config: Path | None, data: Path, *, needed: bool = True) -> AsyncIterator[At]:
    """A gate to ask. Without `needed` only one that is at hand anyway. Raises ComportaError, ConfigError."""
    if os.environ.get("COMPORTA_URL", "").strip() or Folder(data).running() is not None:
        gate = find(data)
        async with OverHTTP(*gate.access) as target:
            yield At(target, _Registry(gate).get, _Registry(gate).record)
    elif needed:
        with _logs_aside():
            async with comporta.open(config, data=data) as local:
                beside = _Beside(local)
                yield At(InProcess(local, PROMPT_GUARDS), beside.get, beside.record, PYTHON)
    else:
        yield At()


@contextlib.contextmanager
def _logs_aside() -> Iterator[None]:
    """Warnings of a gate in this process go to where notes go: the rest would stand between results."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    configure("warning", "console", stream=sys.stderr)
    try:
        yield
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)


class _Registry:
    """A registry over HTTP."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def get(self, id: str, at: str) -> Prompt | None:
        return await asyncio.to_thread(self._get, id, at)

    def _get(self, id: str, at: str) -> Prompt | None:
        found = self._ask("GET", f"/admin/prompts/{part(id)}/versions/{part(at)}")
        if found is None:
            return None
        name = f"{id}@{found['version']}"
        return load_bytes(found["text"].encode(), name, self._get, guards=True).get(id)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return self._gate.ask(method, path, body)
        except ComportaError as error:
            if error.code == "prompt_not_found":
                return None
            raise

    async def record(self, id: str, version: str, digest: str, verdict: str, numbers: JSON) -> None:
        body = {"version": version, "digest": digest, "verdict": verdict, "summary": numbers}
        await asyncio.to_thread(self._gate.ask, "POST", f"/admin/prompts/{part(id)}/tests", body)


class _Beside:
    """The registry of a gate in this process."""

    def __init__(self, gate: LocalGate) -> None:
        self._prompts = gate.prompts

    async def get(self, id: str, at: str) -> Prompt | None:
        try:
            return await self._prompts.get(id, self._prompts.version_at(id, at))
        except NotFound:
            return None

    async def record(self, id: str, version: str, digest: str, verdict: str, numbers: JSON) -> None:
        await self._prompts.record_test(id, version, digest, verdict, numbers, by="comporta prompts test")
