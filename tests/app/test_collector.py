"""What a process loaded is left alone by collections, and what it let go of goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import weakref

from comporta.app import collector

#: In a process of its own: what is frozen stays so.
_FROZEN = """
import gc
from comporta.app.collector import leave_what_is_loaded
leave_what_is_loaded()
print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)
"""


class Knot:
    """Refers to itself, so that only a collection ends it."""

    def __init__(self) -> None:
        self.me = self


def test_what_is_loaded_takes_no_part_in_later_collections() -> None:
    told = subprocess.run([sys.executable, "-c", _FROZEN], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["True", "True"]


async def test_what_is_over_is_collected_again_and_again() -> None:
    task = asyncio.create_task(collector.keep_giving_back(0.01))
    try:
        for _ in range(2):
            gone = asyncio.Event()
            over = weakref.finalize(Knot(), gone.set)
            await asyncio.wait_for(gone.wait(), 60)
            assert not over.alive
    finally:
        task.cancel()
