"""What rooms have the job worker do: by the clock, and all the time beside it. One row for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec import Struct

from comporta.app.alerting import make_tops, sum_up, watch_alerts
from comporta.app.around import Around, Work
from comporta.app.batches import hand_over, prune_batches, run_batches
from comporta.app.budget_watch import watch_budgets
from comporta.app.findings import act_on_findings, go_over_comments, look_for_drift, prune_findings
from comporta.app.jobs import Periodic
from comporta.app.listening import find_follow_ups, keep_problems
from comporta.app.otlp import export, take_in, take_in_over_grpc
from comporta.app.recall_works import hear_feedback, sweep_semantic
from comporta.errors import Unavailable

log = structlog.get_logger("comporta.jobs")

_PAUSE_S = 5.0


class ByClock(Struct, frozen=True):
    """Work that comes up by the clock, once for all workers together; see `Periodic`."""

    name: str
    cron: str
    work: Work
    retry: int = 0


BY_CLOCK: tuple[ByClock, ...] = (
    ByClock("batches", "41 3 * * *", prune_batches, retry=3),
    ByClock("follow_ups", "* * * * *", find_follow_ups),
    ByClock("problems", "* * * * *", keep_problems),
    ByClock("semantic_cache", "*/5 * * * *", sweep_semantic, retry=3),
    ByClock("semantic_feedback", "* * * * *", hear_feedback),
    ByClock("drift", "*/2 * * * *", look_for_drift),
    ByClock("comments", "9-59/10 * * * *", go_over_comments),
    ByClock("finding_acts", "* * * * *", act_on_findings),
    ByClock("findings", "53 3 * * *", prune_findings, retry=3),
    ByClock("tops", "* * * * *", make_tops),
)

#: What runs until it is cancelled, in every job worker: where only one of them may, it takes a lock in the database.
ALL_THE_TIME: tuple[Work, ...] = (
    watch_budgets,
    watch_alerts,
    sum_up,
    export,
    take_in,
    take_in_over_grpc,
    run_batches,
    hand_over,
)


def by_clock(around: Around, rows: Sequence[ByClock] = BY_CLOCK) -> tuple[Periodic, ...]:
    """The rows with what they work with."""

    def bound(work: Work) -> Callable[[], Awaitable[None]]:
        async def done() -> None:
            await work(around)

        return done

    return tuple(Periodic(row.name, row.cron, bound(row.work), row.retry) for row in rows)


async def all_the_time(around: Around, works: Sequence[Work] = ALL_THE_TIME) -> None:
    """Run all of them; one that fails is begun again a little later, and the others don't hear of it."""
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(_run(work, around))


async def _run(work: Work, around: Around) -> None:
    while True:
        try:
            await work(around)
            return
        except Exception as error:
            expected = isinstance(error, Unavailable)
            log.warning(
                "work_failed", work=work.__name__, kind=type(error).__name__, again_in_s=_PAUSE_S,
                exc_info=None if expected else error,
            )  # fmt: skip
            await asyncio.sleep(_PAUSE_S)
