"""What rooms have the job worker do: by the clock, and all the time beside it. One row for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from comporta.app.folder import Folder
from comporta.app.jobs import Periodic
from comporta.app.loopback import Loopback
from comporta.app.settings import Settings
from comporta.notify.notifier import Notifier
from comporta.store.database import Database


class Around(Struct, frozen=True):
    """What work is done with. `settings` gives today's, `gate` asks the gate, which alone asks models."""

    database: Database
    settings: Callable[[], Settings]
    notifier: Notifier
    gate: Loopback
    folder: Folder


Work = Callable[[Around], Awaitable[None]]


class ByClock(Struct, frozen=True):
    """Work that comes up by the clock, once for all workers together; see `Periodic`."""

    name: str
    cron: str
    work: Work
    retry: int = 0


BY_CLOCK: tuple[ByClock, ...] = ()

#: What runs until it is cancelled, in every job worker: where only one of them may, it takes a lock in the database.
ALL_THE_TIME: tuple[Work, ...] = ()


def by_clock(around: Around, rows: Sequence[ByClock] = BY_CLOCK) -> tuple[Periodic, ...]:
    """The rows with what they work with."""

    def bound(work: Work) -> Callable[[], Awaitable[None]]:
        async def done() -> None:
            await work(around)

        return done

    return tuple(Periodic(row.name, row.cron, bound(row.work), row.retry) for row in rows)


async def all_the_time(around: Around, works: Sequence[Work] = ALL_THE_TIME) -> None:
    """Run all of them; the first that fails ends the others."""
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(_run(work, around))


async def _run(work: Work, around: Around) -> None:
    await work(around)
