"""Memory of a process that runs for months: what stays is left alone, and what is over goes back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import gc

EVERY_S = 60.0
#: Young objects, and how often those that live a little; the whole heap by `keep_giving_back` alone.
_PARTS_ONLY = (20_000, 20, 1_000_000)


def leave_what_is_loaded() -> None:
    """Take everything that is there out of later collections; once, when a process is about to answer.

    A full collection of a console takes 300 ms without, in which every page waits, and 80 ms with it.
    """
    gc.collect()
    gc.freeze()


def collect_in_parts() -> None:
    """Leave full collections to `keep_giving_back`: for processes whose heap grows with those who look at them.

    Python collects fully whenever the heap has grown by a quarter. A console that was asked for eight pages a second
    stood still for 2.5 s every ten seconds then.
    """
    gc.set_threshold(*_PARTS_ONLY)


def give_back() -> None:
    """Collect what is over, and hand free memory to the system, which the C library keeps else (glibc's does).

    A job worker that has embedded some texts and let the model go stands at 142 MB before and at 97 MB after.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_giving_back(every_s: float = EVERY_S) -> None:
    """Do so again and again until cancelled: for processes that work by fits and starts."""
    while True:
        await asyncio.sleep(every_s)
        give_back()
