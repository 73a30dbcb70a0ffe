"""A gateway as the bench sees it: where it answers, what it is asked, what it uses."""

from __future__ import annotations

import itertools
import sys
import urllib.error
import urllib.request
from pathlib import Path

from gauge.installing import BENCH
from gauge.processes import LOAD_CORE, Started, cpu_s, free_port, rss_mb, wait_for
from gauge.words import PLAIN, SAME, Ask, Check, asking

PATH = "/v1/chat/completions"
HERE = {"PYTHONPATH": str(BENCH)}


class Gateway:
    """A gateway that answers at `port`. `prefix` stands before the names of models, `note` under the table."""

    def __init__(
        self, name: str, port: int, process: Started, *, path: str = PATH, prefix: str = "", key: str = "sk-none",
        note: str = "",
    ) -> None:  # fmt: skip
        self.name = name
        self.port = port
        self.note = note
        self.process = process
        self.key = key
        self._path, self._prefix = path, prefix
        self._numbers = itertools.count(1)
        #: Right answers so far, and how many of them came from its cache.
        self.answered = 0
        self.hits = 0

    def request(self, model: str, *, same: bool = False) -> Ask:
        """Requests that all differ, over the whole life of the gateway; with `same`, one again and again."""
        numbers = itertools.repeat(SAME) if same else self._numbers
        return asking(self.port, self._prefix + model, numbers, self._path, self.key)

    def check(self, model: str, *, hit: bool = False) -> Check:
        """What its answers must be like."""
        return Check(model)

    @property
    def rss_mb(self) -> float:
        """Of its largest process: the one that answers."""
        return max(map(rss_mb, self.process.tree()), default=0.0)

    def cpu_s(self) -> tuple[float, float]:
        """CPU used so far: by its processes, and by its database's."""
        return cpu_s(self.process.tree()), cpu_s(self.process.postgres())

    def idle(self) -> bool:
        """Whether nothing of what it was asked is still to be done."""
        return True


def answers(gateway: Gateway, *, same: bool = False) -> bool:
    """Whether a call comes through, rightly answered."""
    head, _, body = gateway.request(PLAIN, same=same)().partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    url = f"http://127.0.0.1:{gateway.port}{head.split()[1].decode()}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=10) as answer:
            right = Check(PLAIN)(b"HTTP/1.1 %d" % answer.status, answer.read())
    except (urllib.error.URLError, OSError):
        return False
    gateway.answered += right
    return right


def ready(gateway: Gateway, within_s: float) -> Gateway:
    """The gateway, once it answers. Raises RuntimeError where it doesn't in time."""
    wait_for(lambda: answers(gateway), gateway.process, within_s)
    return gateway


def mock(folder: Path) -> Gateway:
    """The upstream, which is measured itself as `direct`."""
    port = free_port()
    process = Started([sys.executable, "-m", "gauge.mock", str(port)], LOAD_CORE, folder, "mock", HERE)
    return ready(Gateway("direct", port, process), 10)
