"""One worker of the gate: opens a `Gate` when granian starts it, answers requests, closes it at the end."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

from comporta.app.collector import leave_what_is_loaded
from comporta.app.doors import make_server
from comporta.app.folder import Folder
from comporta.app.gate import Gate
from comporta.app.leaving import Leaving
from comporta.app.loaded import Places, load_settings, once_it_holds
from comporta.app.process import die_with_parent
from comporta.gateway.server import Server


class Worker:
    """granian's RSGI application with its start and its end."""

    def __init__(self) -> None:
        self._gate: Gate | None = None
        self._server: Server | None = None
        self._leaving: Leaving | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        die_with_parent()
        loop.run_until_complete(self._open())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._leaving is not None:
            self._leaving.over()
        if self._gate is not None:
            loop.run_until_complete(self._gate.close())

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        assert self._server is not None, "granian calls __rsgi_init__ first"
        await self._server(scope, proto)

    async def _open(self) -> None:
        environment = os.environ
        folder = Folder(Path(environment["COMPORTA_DATA"]))
        places = Places(Path(config) if (config := environment["COMPORTA_CONFIG"]) else None, folder)
        dsn = environment["COMPORTA_DATABASE_DSN"]
        # What only the rooms together find wrong, the gate says when it is made.
        self._gate = once_it_holds("gate's worker", lambda: Gate(folder, load_settings(places, environment), dsn))
        self._gate.telemetry.log_to(self._gate.loaded.value)
        await self._gate.open()
        self._gate.watch(places)
        self._server = make_server(self._gate)
        self._leaving = self._leaves(self._gate, self._server)
        _rest_the_collector()

    def _leaves(self, gate: Gate, server: Server) -> Leaving:
        def drain() -> None:
            gate.draining = True

        leaving = Leaving(
            server.answering, gate.loaded.value.server.drain, drain=drain, settle=gate.metering.close, close=gate.close
        )
        leaving.listen_to_signals(asyncio.get_running_loop())
        return leaving


def _rest_the_collector() -> None:
    """Calls leave few cycles behind."""
    leave_what_is_loaded()
    gc.set_threshold(20_000, 20, 50)


def create() -> Worker:
    """What granian calls in every worker process."""
    return Worker()
