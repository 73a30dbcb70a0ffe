"""The gate as processes: granian's main process, and the workers it starts, each with one `Gate`."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.server import Server

from comporta.app.leaving import AT_ONCE
from comporta.app.process import PARENT, die_with_parent

#: granian counts idle keep-alive connections against it, so it is a guard against floods and no limit on calls.
_BACKPRESSURE = 16384
#: What a worker gets beyond its drain to cut what runs, ship its records and end.
_SLACK_S = 12
#: A worker that lived so long had a good start: the next one comes at once.
_SETTLED_S = 5.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class Keeping(Server):  # type: ignore[misc,valid-type]  # which class it is depends on the interpreter
    """granian's main process, but for one thing: a worker that dies twice in a row does not end the others.

    granian takes a second death within seconds for a loop of crashes and gives up as a whole. Here the worker is
    started again with growing pauses, and the others go on meanwhile.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._pauses_s: dict[int, float] = {}
        self._born_s: dict[int, float] = {}

    def _respawn_workers(self, workers: list[int], *arguments: Any, **settings: Any) -> None:
        now_s = time.monotonic()
        for idx in workers:
            short = now_s - self._born_s.get(idx, -_SETTLED_S) < _SETTLED_S
            pause_s = self._pauses_s.get(idx, 0.0)
            self._pauses_s[idx] = min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S) if short else 0.0
        # Not a sleep: a request to end must not wait for it.
        self.main_loop_interrupt.wait(max(self._pauses_s[idx] for idx in workers))
        super()._respawn_workers(workers, *arguments, **settings)
        self._born_s.update(dict.fromkeys(workers, time.monotonic()))
        # By these it would find the loop.
        self.respawned_wrks.clear()


def main() -> None:
    """Run until SIGTERM. Reads what `serve` put into the environment."""
    die_with_parent(parent=int(os.environ[PARENT]))
    # It comes for the workers, to all of this process's group.
    signal.signal(AT_ONCE, signal.SIG_IGN)
    server = Keeping(
        "comporta.app.worker:create",
        address=os.environ["COMPORTA_HOST"],
        port=int(os.environ["COMPORTA_PORT"]),
        interface=Interfaces.RSGI,
        workers=int(os.environ["COMPORTA_WORKERS"]),
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        backpressure=_BACKPRESSURE,
        log_enabled=False,
        factory=True,
        respawn_failed_workers=True,
        respawn_interval=0.2,
        workers_kill_timeout=math.ceil(float(os.environ["COMPORTA_DRAIN"])) + _SLACK_S,
    )
    # Workers read a changed configuration by themselves; to exchange them all would only break off what runs.
    # Until it listens to signals by itself, a worker that is told to end holds no calls: it may just do so. What it
    # has from us would only tell its copy of us.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    server.on_startup(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    server.serve()


if __name__ == "__main__":
    main()
