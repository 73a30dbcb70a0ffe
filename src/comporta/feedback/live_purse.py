"""What judges of live answers may cost in a day: held before they are asked, in one place for all gates."""

from __future__ import annotations

import datetime

import structlog
from msgspec import Struct

from comporta.errors import Unavailable
from comporta.store.database import Database

log = structlog.get_logger("comporta.feedback")

HOLD = """
insert into live_quality_day as d (route, day, cost_microusd, asked)
select %(route)s, %(day)s, %(held)s, 1 where %(held)s <= %(most)s
on conflict (route, day) do update set cost_microusd = d.cost_microusd + %(held)s, asked = d.asked + 1
where d.cost_microusd + %(held)s <= %(most)s
returning 1
"""
SETTLE = """
update live_quality_day set cost_microusd = greatest(cost_microusd + %(more)s, 0)
where (route, day) = (%(route)s, %(day)s)
"""
SPENT = "select cost_microusd from live_quality_day where (route, day) = (%s, %s)"
DROP = "delete from live_quality_day where day < current_date - 400"


class Held(Struct, frozen=True):
    """Money that is held of a route's day (UTC)."""

    route: str
    day: datetime.date
    microusd: int


class Purse:
    """Holds and settles. While the database is away nothing is held, and so no judge is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(self, route: str, microusd: int, most_microusd: int, now_s: float) -> Held | None:
        """Hold that much; None where the day's money does not reach. Raises Unavailable."""
        day = datetime.datetime.fromtimestamp(now_s, datetime.UTC).date()
        values = {"route": route, "day": day, "held": microusd, "most": most_microusd}
        async with self._database.connection() as connection:
            row = await (await connection.execute(HOLD, values)).fetchone()
        return None if row is None else Held(route, day, microusd)

    async def settle(self, held: Held, spent_microusd: int | None) -> None:
        """Put what was spent in place of what was held; unknown costs count as what was held."""
        more = 0 if spent_microusd is None else spent_microusd - held.microusd
        if not more:
            return
        try:
            async with self._database.connection() as connection:
                await connection.execute(SETTLE, {"route": held.route, "day": held.day, "more": more})
        except Unavailable:
            # More is counted than was spent then: the day ends a little early.
            log.info("live_quality.not_settled", route=held.route)

    async def spent(self, route: str, day: datetime.date) -> int:
        """Micro-dollars, held ones included. Raises Unavailable."""
        async with self._database.reading() as connection:
            row = await (await connection.execute(SPENT, [route, day])).fetchone()
        return 0 if row is None else int(row[0])
