"""What changed in a stretch of time: deployments, rollouts and alerts, as marks over charts and as a list."""

from __future__ import annotations

import datetime

from msgspec import Struct

from comporta.store.database import Database

#: Each kind by itself, newest first: none of many can crowd out another.
SELECT = """
(select at, 'deploy', prompt_id || '@' || environment, kind || ' ' || version, by from prompt_deploy
    where at >= %(since)s and at < %(until)s order by number desc limit %(most)s)
union all
(select event.at, 'rollout', coalesce(route, prompt || '@' || label), event.act, event.by
    from rollout_event as event join rollout on rollout.id = event.rollout
    where event.at >= %(since)s and event.at < %(until)s order by event.at desc limit %(most)s)
union all
(select at, case when state in ('alert', 'warning') then 'alert' else 'calm' end, rule, state, '' from alert_event
    where at >= %(since)s and at < %(until)s and state <> state_before order by at desc, id desc limit %(most)s)
order by 1 desc
"""
MOST = 40


class Happening(Struct, frozen=True):
    """`kind`: deploy, rollout, alert, calm (an alert that is over); `act` is what was done or how it stands since."""

    at: datetime.datetime
    kind: str
    subject: str
    act: str
    by: str

    @property
    def tone(self) -> str:
        return {"alert": "bad", "calm": "good", "deploy": "info"}.get(self.kind, "violet")


async def happenings(database: Database, since: datetime.datetime, until: datetime.datetime) -> list[Happening]:
    """The newest first, at most 40 of each kind."""
    async with database.reading() as connection:
        rows = await (await connection.execute(SELECT, {"since": since, "until": until, "most": MOST})).fetchall()
    return [Happening(*row) for row in rows]
