"""Watches deploys of prompts for a while: where errors rise, the version before comes back by itself.

Everything is read anew from the records at each look, so a restart forgets nothing and any worker may look; the
registry undoes a deploy once, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from comporta.errors import ComportaError, Conflict
from comporta.notify.notice import Notice
from comporta.prompts.kept import Deploy
from comporta.prompts.registry import Registry
from comporta.routing.rollout.collecting import FAULTS, SIDE_FAULTS
from comporta.routing.rollout.rows import plain
from comporta.routing.rollout.store import GATE
from comporta.routing.rollout.watch import Watch, Watched, verdict, watched, watching
from comporta.store.database import Connection, Database
from comporta.types import JSON

log = structlog.get_logger("comporta.rollout")

#: Errors may rise by so much: one percentage point.
MARGIN = 0.01
#: How far back before a deploy calls are counted, at most.
_BACK_S = 86_400.0
_HIT = "(cache like 'hit%%' or cache in ('exact', 'semantic'))"
_FAILED = "(outcome_class = any(%(faults)s) or outcome = any(%(side_faults)s))"
_SAYS = f"not {_HIT} and (outcome_class = 'ok' or {_FAILED})"
BEFORE = f"""
select count(*), count(*) filter (where {_FAILED}) from call
where prompt_id = %(id)s and prompt_version = %(version)s and prompt_label = %(label)s and {_SAYS}
    and started_at >= to_timestamp(%(at_s)s - %(back_s)s) and started_at < to_timestamp(%(at_s)s)
"""
#: In pieces of ten seconds and in the order of time: that is how the test reads them.
SINCE = f"""
select count(*), count(*) filter (where {_FAILED}) from call
where prompt_id = %(id)s and prompt_version = %(version)s and prompt_label = %(label)s and {_SAYS}
    and started_at >= to_timestamp(%(at_s)s)
group by floor(extract(epoch from started_at) / 10) order by floor(extract(epoch from started_at) / 10)
"""

#: Any constant that nothing else in the database uses.
LOCK = "select pg_try_advisory_xact_lock(6033414052020)"

Send = Callable[[Notice], Any]


class Deploys:
    """`look` at all deploys whose window still runs. `send` takes a notice."""

    def __init__(self, database: Database, registry: Registry, send: Send) -> None:
        self._database = database
        self._registry = registry
        self._send = send

    async def look(self) -> None:
        """One look. Raises Unavailable."""
        watched = [one for one in await self._registry.watched() if one.before not in (None, one.version)]
        if not watched:
            return
        found: list[tuple[Deploy, Watched]] = []
        async with self._database.connection() as connection:
            if await self._alone(connection):
                found = [(deploy, verdict(await watch_of(connection, deploy), MARGIN)) for deploy in watched]
        for deploy, one in found:
            if one.risen:
                await self._undo(deploy, one)

    async def _alone(self, connection: Connection) -> bool:
        """Whether no other worker reads the same at this moment: it is the same for all."""
        row = await (await connection.execute(LOCK)).fetchone()
        return row is not None and bool(row[0])

    async def _undo(self, deploy: Deploy, found: Watched) -> None:
        what = f"{deploy.id}@{deploy.version} in {deploy.environment}"
        try:
            done = await self._registry.rollback(
                deploy.id, deploy.environment, GATE, found.reason, expecting=deploy.number
            )
        except Conflict as error:
            # Somebody moved it meanwhile, another worker perhaps.
            log.info("deploy.not_undone", deploy=what, code=error.code)
            return
        log.warning("deploy.undone", deploy=what, back_to=done.version, reason=found.reason)
        facts: JSON = {
            "prompt": deploy.id,
            "environment": deploy.environment,
            "from": deploy.version,
            "to": done.version,
        }
        facts |= {"before": found.before, "now": found.now, "calls": found.calls, **deploy.tags}
        await self._told(
            Notice(
                f"prompt-deploy-{deploy.number}-undone", "prompt.rolled_back",
                f"{what} was taken back: errors rose", f"{done.version} is back. {found.reason}", "critical",
                facts=plain(facts),
            )
        )  # fmt: skip

    async def _told(self, notice: Notice) -> None:
        try:
            await self._send(notice)
        except ComportaError as error:
            log.error("notice.not_sent", notice=notice.id, code=error.code)


async def watch_of(connection: Connection, deploy: Deploy) -> Watch:
    """What the records say of a deploy: calls before it, and those since."""
    values = {
        "id": deploy.id, "label": deploy.environment, "version": deploy.before, "at_s": deploy.at_s,
        "back_s": _BACK_S, "faults": sorted(FAULTS), "side_faults": sorted(SIDE_FAULTS),
    }  # fmt: skip
    row = await (await connection.execute(BEFORE, values)).fetchone()
    assert row is not None, "an aggregate always has a row"
    watch = watching(row[0], row[1])
    for calls, errors in await _since(connection, values | {"version": deploy.version}):
        watch = watched(watch, calls, errors)
    return watch


async def _since(connection: Connection, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
    return await (await connection.execute(SINCE, values)).fetchall()
