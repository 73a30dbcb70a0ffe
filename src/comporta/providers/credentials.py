"""Credentials of a provider: several keys, from values, variables or files, used in turn, rotated without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

#: How often a file is looked at, at most.
LOOK_EVERY_S = 1.0
_LARGEST_FILE = 64 * 1024


class Credential(Struct, frozen=True):
    """One key. Its name stands in records and headers; the secret shows in no text of it."""

    name: str
    secret: str

    def __repr__(self) -> str:
        return f"Credential(name={self.name!r}, secret=***)"


class Source(Struct, frozen=True):
    """Where a key comes from: exactly one of `value`, `env` and `file`."""

    name: str
    value: str | None = None
    env: str | None = None
    file: Path | None = None
    weight: float = 1.0

    def __repr__(self) -> str:
        return f"Source(name={self.name!r}, env={self.env!r}, file={self.file!r}, weight={self.weight})"


class _FileSource:
    """A file with a key in it, read again when it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self.secret: str | None = None

    def look(self) -> None:
        """A file that can't be read leaves the last key in force: a rotation is often a short absence."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp or status.st_size > _LARGEST_FILE:
                return
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return
        self._stamp = stamp
        if text:
            self.secret = text


class Credentials:
    """The keys of one provider. `pick` is cheap: files are looked at once a second at most."""

    def __init__(
        self, sources: Sequence[Source], environment: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = list(sources)
        self._environment = environment
        self._clock = clock
        self._files = {source.name: _FileSource(source.file) for source in sources if source.file is not None}
        self._due = {source.name: 0.0 for source in sources}
        self._looked_s = float("-inf")
        self._now: tuple[Credential, ...] = ()

    def add(self, name: str, secret: str) -> None:
        """One more key, or another secret for a known name (registered while running)."""
        self._sources = [source for source in self._sources if source.name != name]
        self._sources.append(Source(name, value=secret))
        self._due.setdefault(name, min(self._due.values(), default=0.0))
        self._looked_s = float("-inf")

    def all(self) -> tuple[Credential, ...]:
        """The keys that can be used now."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._now = self._read()
        return self._now

    def missing(self) -> list[tuple[str, str]]:
        """Keys that can't be used now, by name, and where each was looked for."""
        there = {credential.name for credential in self.all()}
        return [
            (source.name, f"the variable {source.env}" if source.env else f"the file {source.file}")
            for source in self._sources
            if source.name not in there and source.value is None
        ]

    def named(self, name: str) -> Credential | None:
        """The key of that name, if it can be used now."""
        for credential in self.all():
            if credential.name == name:
                return credential
        return None

    def pick(self, exclude: Sequence[str] = ()) -> Credential | None:
        """The next key in turn, by weight; None where there is none left."""
        now = self.all()
        if len(now) == 1 and not exclude:
            return now[0]
        free = [credential for credential in now if credential.name not in exclude]
        if not free:
            return None
        chosen = min(free, key=lambda credential: self._due[credential.name])
        self._due[chosen.name] += 1.0 / self._weight(chosen.name)
        return chosen

    def _weight(self, name: str) -> float:
        return next((s.weight for s in self._sources if s.name == name and s.weight > 0), 1.0)

    def _read(self) -> tuple[Credential, ...]:
        old = {(c.name, c.secret): c for c in self._now}
        found = []
        for source in self._sources:
            secret = self._secret(source)
            if secret:
                found.append(old.get((source.name, secret)) or Credential(source.name, secret))
        return tuple(found)

    def _secret(self, source: Source) -> str | None:
        if source.value is not None:
            return source.value
        if source.env is not None:
            return self._environment.get(source.env)
        file = self._files.get(source.name)
        if file is None:
            return None
        file.look()
        return file.secret
