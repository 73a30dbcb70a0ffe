"""Child processes that end with their parent, whatever ends it."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


#: Tells a child which process it belongs to: by the time it can look, that one may be gone.
PARENT = "COMPORTA_PARENT"


def die_with_parent(number: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Ask the kernel to send `number` to this process when its parent dies, even by SIGKILL (Linux).

    `parent` is its pid where that is known; a process whose parent died while it was starting ends at once.
    """
    parent = os.getppid() if parent is None else parent
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
