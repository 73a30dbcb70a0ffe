"""Keeps the configuration in force up to date: reads it again on a change or on request, and refuses a bad one.

Folders are watched rather than files, so that editors which replace a file by renaming, links that are swapped and
overlays that appear later are all seen. What counts as a change is the files' content.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel
from watchfiles import awatch

from comporta.config.loading import Loaded
from comporta.config.parsing import LARGEST_FILE
from comporta.errors import ConfigError

T = TypeVar("T", bound=BaseModel)

#: A burst of writes to one file is one change.
_SETTLE_MS = 100
#: However well the system tells of changes, contents are compared this often: network folders tell of none.
_LOOK_MS = 2_000
_RETRY_S = 5.0

Subscriber = Callable[[Loaded[T]], Awaitable[None]]
Fingerprint = tuple[tuple[str, bytes], ...]


class Log(Protocol):
    """The part of a structlog logger that is used here."""

    def info(self, event: str, /, **fields: Any) -> object: ...

    def error(self, event: str, /, **fields: Any) -> object: ...


def fingerprint(files: Iterable[Path]) -> Fingerprint:
    """What the files hold now; one that isn't there holds nothing."""
    return tuple((str(file), _digest(file)) for file in files)


def _digest(file: Path) -> bytes:
    try:
        if not file.is_file():
            return b""
        with file.open("rb") as opened:
            return hashlib.sha256(opened.read(LARGEST_FILE + 1)).digest()
    except (OSError, ValueError):
        return b"unreadable"


def _folders(files: Iterable[Path]) -> list[Path]:
    """The folders of the files, and of what they are links to."""
    found = {folder for file in files for folder in (file.absolute().parent, file.resolve().parent)}
    return sorted(folder for folder in found if folder.is_dir())


async def _looks(folders: list[Path], log: Log) -> AsyncGenerator[None]:
    """Something may have changed: at once where the system tells, else now and then."""
    changes = awatch(
        *folders,
        recursive=False,
        watch_filter=None,
        debounce=4 * _SETTLE_MS,
        step=_SETTLE_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        async with aclosing(changes):
            async for _ in changes:
                yield
    except (OSError, RuntimeError) as error:
        # Out of inotify watches, or a folder vanished: contents are still compared, only later.
        log.error("config.watch_failed", reason=str(error), retry_s=_RETRY_S)
        await asyncio.sleep(_RETRY_S)
        yield


async def watch(
    files: Callable[[], Iterable[Path]], on_change: Callable[[], Awaitable[object]], log: Log, seen: Fingerprint
) -> None:
    """Calls `on_change` whenever the content of the files differs from what was `seen` last, until cancelled.

    `files` is asked anew every time: a change may add files.
    """
    while True:
        folders = await asyncio.to_thread(_folders, files())
        async with aclosing(_looks(folders, log)) as looks:
            async for _ in looks:
                now = await asyncio.to_thread(fingerprint, files())
                if now != seen:
                    seen = now
                    await on_change()
                if await asyncio.to_thread(_folders, files()) != folders:
                    break


class Watched(Generic[T]):
    """The configuration in force, and who wants to know when another one takes its place."""

    def __init__(
        self,
        first: Loaded[T],
        load: Callable[[], Loaded[T]],
        log: Log,
        accept: Callable[[Loaded[T]], Awaitable[None]] | None = None,
        seen: Fingerprint | None = None,
    ) -> None:
        """`accept` looks at a new configuration as a whole and raises ConfigError where it can't be put in force."""
        self._current = first
        self._load = load
        self._log = log
        self._accept = accept
        self._subscribers: list[Subscriber[T]] = []
        self._requested = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._seen = fingerprint(first.watched) if seen is None else seen
        #: Why the newest files are not in force; None where they are.
        self.refusal: str | None = None

    @property
    def current(self) -> Loaded[T]:
        return self._current

    def subscribe(self, subscriber: Subscriber[T]) -> Callable[[], None]:
        """Calls with every new configuration, in the order of subscription; gives back how to end it."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def request(self) -> None:
        """Asks for a reload from a signal's callback; `run` carries it out."""
        self._requested.set()

    async def run(self) -> None:
        """Follows the files and the requests until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(lambda: self._current.watched, self.reload, self._log, self._seen))
            tasks.create_task(self._follow_requests())

    async def _follow_requests(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self.reload()

    async def reload(self) -> bool:
        """Reads the files again. A configuration that does not hold is refused, logged, and changes nothing."""
        async with self._one_at_a_time:
            new = await self._read()
            if new is None:
                return False
            self._current, self.refusal = new, None
            self._log.info("config.reloaded", files=[str(file) for file in new.files])
            for subscriber in tuple(self._subscribers):
                await self._tell(subscriber, new)
            return True

    async def _read(self) -> Loaded[T] | None:
        try:
            new = await asyncio.to_thread(self._load)
            if self._accept is not None:
                await self._accept(new)
        except ConfigError as error:
            self.refusal = error.message
        except Exception as error:
            # A check that fails in an unforeseen way must not end the reloading; its text could hold a secret.
            self.refusal = f"the configuration could not be checked ({type(error).__name__})"
        else:
            return new
        self._log.error("config.refused", mistakes=self.refusal.splitlines(), in_force="the old one")
        return None

    async def _tell(self, subscriber: Subscriber[T], new: Loaded[T]) -> None:
        try:
            await subscriber(new)
        except Exception as error:
            # The others must still learn of it, or the parts would run on different configurations.
            self._log.error("config.not_applied", part=_name(subscriber), error=type(error).__name__)


def _name(subscriber: object) -> str:
    return getattr(subscriber, "__qualname__", type(subscriber).__name__)
