"""The gate as processes: granian's main process, and the workers it starts, each with one `Gate`."""

from __future__ import annotations

import math
import os
import signal

from granian.constants import HTTPModes, Interfaces, Loops
from granian.server import Server

from comporta.app.leaving import AT_ONCE
from comporta.app.process import PARENT, die_with_parent

#: granian counts idle keep-alive connections against it, so it is a guard against floods and no limit on calls.
_BACKPRESSURE = 16384
#: What a worker gets beyond its drain to cut what runs, ship its records and end.
_SLACK_S = 12


def main() -> None:
    """Run until SIGTERM. Reads what `serve` put into the environment."""
    die_with_parent(parent=int(os.environ[PARENT]))
    # It comes for the workers, to all of this process's group.
    signal.signal(AT_ONCE, signal.SIG_IGN)
    server = Server(
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
    server.on_startup(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    server.serve()


if __name__ == "__main__":
    main()
