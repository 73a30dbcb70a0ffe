"""The data folder: what lies where, who holds it, and what a running gate says of itself there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from comporta.errors import ComportaError


class Running(Struct, frozen=True):
    """What a running gate writes into `run.json` (mode 600), for the command line on the same machine."""

    url: str
    pid: int
    dsn: str


class Folder:
    """`COMPORTA_DATA`: the database, the spool, the metrics' files, the admin key."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.spool = self.path / "spool"
        self.scores = self.path / "scores"
        #: Batches of spans that applications sent, until a job has read them.
        self.traces = self.path / "traces"
        self.reviews = self.path / "reviews"
        self.metrics = self.path / "metrics"
        self.cache = self.path / "cache"
        self.admin_key = self.path / "admin.key"
        self.run = self.path / "run.json"
        #: Written to make every worker read the configuration again (`ask_reload`).
        self.reload = self.path / "reload" / "asked"

    def make(self) -> None:
        """Create it, for its owner only. Raises ComportaError that says what stands in the way."""
        try:
            # Root's PostgreSQL runs as another user, who must be able to pass through; what lies inside stays private.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            for below in (self.spool, self.metrics, self.cache, self.reload.parent):
                below.mkdir(mode=0o700, exist_ok=True)
            self.reload.touch(mode=0o600)
        except OSError as error:
            raise ComportaError(
                f"The data folder {self.path} can't be used: {error.strerror}. Set COMPORTA_DATA to a folder that "
                "this user may write to.",
                code="data_folder",
            ) from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process alone. Raises ComportaError naming who holds it now."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ComportaError(self._taken(), code="data_folder_in_use") from None
            yield
        finally:
            os.close(descriptor)

    def _taken(self) -> str:
        running = self.running()
        who = f"a gate runs on it at {running.url} (pid {running.pid})" if running else "another process holds it"
        return (
            f"The data folder {self.path} is in use: {who}. Stop that one, talk to it over HTTP, "
            "or set COMPORTA_DATA to another folder."
        )

    def ask_reload(self) -> None:
        """Make every worker read the configuration again."""
        self.reload.write_text(str(time.time_ns()))

    def write_running(self, running: Running) -> None:
        temporary = self.run.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"url": running.url, "pid": running.pid, "dsn": running.dsn}, file)
        temporary.replace(self.run)

    def running(self) -> Running | None:
        """The gate that runs on this folder, if one does."""
        try:
            running = Running(**json.loads(self.run.read_text()))
            os.kill(running.pid, 0)
        except (OSError, ValueError, TypeError):
            return None
        return running
