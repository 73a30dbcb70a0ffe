"""What a check is given and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import aiohttp
from msgspec import Struct

from comporta.app.folder import Folder, Running
from comporta.app.known import Known
from comporta.app.settings import Settings
from comporta.config.loading import Loaded

State = Literal["ok", "warning", "failed", "skipped"]


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing looked at: how it is, what that means, and the command to type to mend it."""

    name: str
    state: State
    text: str
    mend: str | None = None


class Site(Struct, frozen=True):
    """The machine and the gate on it. `loaded` and `known` are None where the configuration has mistakes."""

    folder: Folder
    environment: Mapping[str, str]
    http: aiohttp.ClientSession
    #: The mistakes in the configuration, one a line.
    mistakes: str | None = None
    loaded: Loaded[Settings] | None = None
    known: Known | None = None
    running: Running | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    #: Whether to send each provider a call of one token to see its rate limits.
    ask: bool = False

    @property
    def database_url(self) -> str | None:
        """Of a server of the operator's own."""
        url = None if self.loaded is None else self.loaded.value.database.url
        return None if url is None else url.get_secret_value()

    @property
    def redis_url(self) -> str | None:
        url = None if self.loaded is None else self.loaded.value.redis.url
        return None if url is None else url.get_secret_value()


Check = Callable[[Site], Awaitable[Sequence[Finding]]]


def ok(name: str, text: str) -> list[Finding]:
    return [Finding(name, "ok", text)]


def warning(name: str, text: str, mend: str | None = None) -> list[Finding]:
    return [Finding(name, "warning", text, mend)]


def failed(name: str, text: str, mend: str | None = None) -> list[Finding]:
    return [Finding(name, "failed", text, mend)]


def skipped(name: str, text: str, mend: str | None = None) -> list[Finding]:
    return [Finding(name, "skipped", text, mend)]


def gib(size: float) -> str:
    return f"{size / 1024**3:.1f} GiB"
