"""The parts of telemetry that run beside a gate: spool, recorder, shipper, scrubbing, metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from comporta.app.folder import Folder
from comporta.app.settings import Settings
from comporta.guardrails.base import Side
from comporta.guardrails.running import Report
from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.telemetry import logs
from comporta.telemetry.capture import Capture, Mode, cleaned, least
from comporta.telemetry.guard_counts import GuardCounts
from comporta.telemetry.metrics import Metrics
from comporta.telemetry.prompt_counts import PromptCounts
from comporta.telemetry.record import CallRecord
from comporta.telemetry.recorder import Recorder
from comporta.telemetry.review_tables import ReviewShipper
from comporta.telemetry.reviews import Reviews
from comporta.telemetry.rollout_counts import TAG, RolloutCounts
from comporta.telemetry.score_shipping import ScoreShipper
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.scores import Scores
from comporta.telemetry.scrubbing import Scrubber
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool
from comporta.types import JSON

#: How long a closing gate tries to ship what is left; the next start takes the rest.
_LAST_SHIPPING_S = 5.0


class Telemetry:
    """Everything that records, put together once per process."""

    def __init__(
        self, folder: Folder, settings: Settings, database: Database, price: Callable[[Call], int | None]
    ) -> None:
        self.scrubber = Scrubber()
        records = settings.records
        self.spool = Spool(folder.spool, max_bytes=records.spool.max_size, on_full=records.spool.on_full)
        self.metrics = Metrics(folder.metrics, totals=self._totals, gauges=self._gauges)
        self._prompts = PromptCounts()
        self._rollouts = RolloutCounts()
        self._guards = GuardCounts()
        self.recorder = Recorder(self.spool, self._capture(settings), price, self._seen)
        self.shipper = Shipper(database, self.spool)
        self._score_spool = ScoreSpool(folder.scores)
        #: What is judged of calls, from wherever it comes.
        self.scores = Scores(self._score_spool, clean=self.scrubber.scrub)
        self.score_shipper = ScoreShipper(database, self._score_spool)
        self._review_spool = ScoreSpool(folder.reviews)
        #: What people are to look at: `review` puts a call up.
        self.reviews = Reviews(
            database, self._review_spool, self.scores, clean=self.scrubber.scrub, joined_soon=self.score_shipper.soon
        )
        self.review_shipper = ReviewShipper(database, self._review_spool)
        #: Totals that other parts of the gate keep, by their names among the metrics.
        self.more: Callable[[], Mapping[str, float]] = dict

    def log_to(self, settings: Settings) -> None:
        """Set up the process's logs, with every secret that is known taken out of them."""
        logs.configure(settings.logging.level, settings.logging.format, self.scrubber)

    def take(self, settings: Settings) -> None:
        """What of a new configuration can change while running."""
        self.recorder.capture = self._capture(settings)

    def know(self, secrets: Iterable[str]) -> None:
        """Values that must stand in no record and no log."""
        self.scrubber.know(secrets)

    async def run(self) -> None:
        """Ship and count until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.shipper.run())
            tasks.create_task(self.score_shipper.run())
            tasks.create_task(self.review_shipper.run())
            tasks.create_task(self.metrics.run())

    async def close(self) -> None:
        shippers = (self.shipper, self.score_shipper, self.review_shipper)
        await asyncio.gather(*(shipper.drain(_LAST_SHIPPING_S) for shipper in shippers))
        self._score_spool.close()
        self._review_spool.close()
        with contextlib.suppress(OSError):
            self.metrics.close()
        self.spool.close()

    def guarded(self, side: Side, report: Report) -> None:
        """Count what guards found."""
        self._guards.looked(side, report.took_us)
        for one in report.found:
            self._guards.found(one.use.name, side, "failed" if one.failed else one.outcome)

    def mode(self, route: str) -> Mode:
        """How much the records of a route keep."""
        return self.recorder.capture.mode(route)

    def review(
        self, call: Call, kind: str, reason: str, payload: JSON, texts: Mapping[str, str] | None = None
    ) -> str | None:
        """Put a call up for review; the review's id, None where there is no room on the disk for it.

        `payload` holds figures, `texts` content by name, of which is kept what the call's route and guards allow.
        """
        target, recorder = call.target, self.recorder
        route = target.route if target else call.model
        mode, kept = recorder.capture.mode(route), recorder.kept(call)
        given = texts or {}
        if kept is not None:
            mode = least(mode, kept.mode)
            given = given if kept.reply is None else cleaned(given, kept.reply)
        shown = recorder.capture.variables(given, mode)
        if shown is not None:
            payload = {**payload, "texts": msgspec.json.decode(shown)}
        return self.reviews.add(
            kind, reason, trace_id=call.trace_id, call_id=call.id, route=route, payload=payload, user=call.user
        )

    def _seen(self, record: CallRecord) -> None:
        self.metrics.note(record)
        if record.prompt_id is not None:
            self._prompts.note(record)
        if TAG in record.tags:
            self._rollouts.note(record)

    def _capture(self, settings: Settings) -> Capture:
        routes = {name: route.content for name, route in settings.routes.items() if route.content is not None}
        return Capture(self.scrubber, settings.records.content, routes)

    def _totals(self) -> dict[str, float]:
        return {
            "records_lost": self.spool.lost,
            "records_stripped": self.spool.stripped,
            "records_quarantined": self.shipper.quarantine.count,
            "records_shipped": self.shipper.shipped,
            "scores_shipped": self.score_shipper.shipped,
            **self.scores.figures(),
            **self._prompts.totals(),
            **self._rollouts.totals(),
            **self._guards.totals(),
            **self.more(),
        }

    def _gauges(self) -> dict[str, float]:
        return {
            "calls_in_flight": self.recorder.in_flight,
            "spool_bytes": self.spool.bytes,
            "score_spool_bytes": self._score_spool.bytes,
        }
