"""Live quality: the means of the scores that decide something, read in the background and held in memory."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Mapping

import structlog

from comporta.errors import ComportaError
from comporta.routing.task.deciding import Quality
from comporta.routing.task.rows import Member, Row, Tables
from comporta.routing.task.settings import QualitySection
from comporta.store.database import Database
from comporta.telemetry.score_reads import Figures, figures

log = structlog.get_logger("comporta.routing")

#: Route, variant and score; the route is empty for all calls of a model, the variant is then the provider's name of it.
_Key = tuple[str, str, str]


class Qualities:
    """What is known of the quality of models. Where PostgreSQL is away the last means stay, until they are too old."""

    def __init__(
        self, database: Database, settings: Callable[[], QualitySection], tables: Callable[[], Tables],
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:  # fmt: skip
        self._database = database
        self._settings = settings
        self._tables = tables
        self._clock = clock
        self._means: Mapping[_Key, Quality] = {}
        self._read_at: datetime.datetime | None = None
        self._told = False

    def of(self, row: Row, member: Member) -> Quality | None:
        """The mean of the row's own calls at that model, else of all its calls; None where too few were judged."""
        if not self._means:
            return None
        target, score = member.target, row.quality_score
        own = self._means.get((target.route, target.variant, score))
        return own or self._means.get(("", target.model, score))

    async def load(self) -> None:
        """Read all means anew. Raises ComportaError where the database is away."""
        settings, found = self._settings(), dict[_Key, Quality]()
        since = self._clock() - datetime.timedelta(seconds=settings.window)
        watched = self._tables().watched()
        names = sorted({name for scores in watched.values() for name in scores})
        if names:
            for one in await figures(self._database, names=names, group_by="model", since=since):
                _add(found, "", one, settings, "model")
            for route, scores in watched.items():
                read = await figures(
                    self._database, names=sorted(scores), group_by="variant", filters={"route": route}, since=since
                )
                for one in read:
                    _add(found, route, one, settings, "row")
        self._means, self._read_at = found, self._clock()

    async def run(self) -> None:
        """Keep reading, until cancelled."""
        while True:
            if self._tables().watched():
                await self._look()
            await asyncio.sleep(self._settings().refresh)

    async def _look(self) -> None:
        try:
            await self.load()
            self._told = False
        except ComportaError as error:
            if not self._told:
                log.warning("route_quality_not_read", code=error.code)
                self._told = True
            window = datetime.timedelta(seconds=self._settings().window)
            if self._read_at is not None and self._clock() - self._read_at > window:
                self._means = {}


def _add(found: dict[_Key, Quality], route: str, one: Figures, settings: QualitySection, of: str) -> None:
    if one.mean is None or one.group is None or one.n < settings.min_scores:
        return
    mean = one.mean if one.kind == "boolean" else one.mean / settings.out_of
    kind = "row" if of == "row" else "model"
    found[route, one.group, one.name] = Quality(one.name, min(max(mean, 0.0), 1.0), one.n, kind)  # type: ignore[arg-type]
