"""The gate as processes: granian's main process, and the workers it starts, each with one `Gate`."""

from __future__ import annotations

import os

from granian.constants import HTTPModes, Interfaces, Loops
from granian.server import Server

from comporta.app.process import PARENT, die_with_parent

#: granian counts idle keep-alive connections against it, so it is a guard against floods and no limit on calls.
_BACKPRESSURE = 16384
_DRAIN_S = 15


def main() -> None:
    """Run until SIGTERM. Reads what `serve` put into the environment."""
    die_with_parent(parent=int(os.environ[PARENT]))
    Server(
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
        workers_kill_timeout=_DRAIN_S,
    ).serve()


if __name__ == "__main__":
    main()
