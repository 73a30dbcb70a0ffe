"""Child processes of `comporta serve`: started, watched, started again with a pause, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from comporta.app.leaving import AT_ONCE
from comporta.app.process import PARENT

#: A child that ran for so long had a good start: the next failure is waited for from the beginning again.
_SETTLED_S = 30.0
_LONGEST_PAUSE_S = 10.0
#: What a child gets that is to end at once: the last words of its calls, and their records.
AT_ONCE_S = 4.0


class Child:
    """One Python module run as a process in a group of its own, so that Ctrl-C reaches only its parent."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self.name = name
        self._module = module
        self._environment = environment
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def keep(self) -> None:
        """Run it, and again whenever it ends by itself, until `stop`."""
        pause_s = 0.2
        environment = {**self._environment, PARENT: str(os.getpid())}
        while not self._stopping.is_set():
            started_s = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self._module, env=environment, stdin=asyncio.subprocess.DEVNULL,
                process_group=0,
            )  # fmt: skip
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            pause_s = 0.2 if time.monotonic() - started_s > _SETTLED_S else min(pause_s * 2, _LONGEST_PAUSE_S)
            self._tell(f"{self.name} ended ({_ending(code)}); starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)

    async def stop(self, within_s: float, hurry: asyncio.Event | None = None) -> None:
        """Ask it to end; kill it (with its group) when it does not within `within_s` seconds.

        Once `hurry` is set its group is told to end at once, and gets a few seconds for that.
        """
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        ended = asyncio.create_task(process.wait())
        if await _first(ended, within_s, hurry):
            return
        if hurry is not None and hurry.is_set():
            _send_group(process.pid, AT_ONCE)
            if await _first(ended, AT_ONCE_S):
                return
        else:
            self._tell(f"{self.name} did not end within {within_s:g} s; killing it")
        _send_group(process.pid, signal.SIGKILL)
        await ended


async def _first(ended: asyncio.Task[int], within_s: float, hurry: asyncio.Event | None = None) -> bool:
    """Whether it has ended; False after that time, or once haste is asked for."""
    hurried = asyncio.create_task(hurry.wait()) if hurry is not None else None
    waited: list[asyncio.Task[Any]] = [ended] if hurried is None else [ended, hurried]
    await asyncio.wait(waited, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    if hurried is not None:
        hurried.cancel()
    return ended.done()


def _send_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
