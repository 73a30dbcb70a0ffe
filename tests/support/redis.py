"""A Redis that can be killed and started again at the same address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comporta.testing.servers import ask_redis, redis_binary, short_folder


class KillableRedis:
    """A Redis server on a Unix socket, without persistence: what it knew is gone when it dies."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self._folder = folder
        self._password = password
        self.path = folder / "redis.sock"
        self.url = f"unix://{'' if password is None else f':{password}@'}{self.path}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [str(redis_binary()), "--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no",
             "--dir", str(self._folder), *(() if self._password is None else ("--requirepass", self._password))],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            try:
                if ask_redis(self.path, "PING").startswith((b"+PONG", b"-NOAUTH")):
                    return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        """SIGKILL: nothing is said to anybody."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def ask(self, *words: str) -> list[bytes]:
        """The lines of an answer to one command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.path))
            said = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
            connection.sendall(b"*%d\r\n" % len(words) + said + b"*1\r\n$4\r\nPING\r\n")
            answer = b""
            while not answer.endswith(b"+PONG\r\n"):
                answer += connection.recv(65536)
        return answer.split(b"\r\n")[:-2]


@contextmanager
def killable_redis() -> Iterator[KillableRedis]:
    """One that runs, in a folder of its own."""
    with short_folder() as folder:
        redis = KillableRedis(folder)
        redis.start()
        yield redis
        redis.kill()
