"""The gate itself: every room put together, for the workers of `comporta serve` and for use inside a Python program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from comporta.app.asks import PYTHON, Asks
from comporta.app.caching import Caching
from comporta.app.chains import Chained, Chaining
from comporta.app.checking import Checking
from comporta.app.embedders import embedder_named
from comporta.app.ensembles import Ensembling
from comporta.app.folder import Folder
from comporta.app.followups import FollowUps
from comporta.app.guard_tools import posts_over
from comporta.app.guarding import Guarding, mistake_in, scores_of
from comporta.app.health import breaker_limits, health_of
from comporta.app.judging import Judging
from comporta.app.keyless import tell_missing_keys
from comporta.app.known import DEFAULT_ROUTE, Found, Known, build
from comporta.app.listening import Listening
from comporta.app.loaded import Places, load_settings, waiting
from comporta.app.metering import Metering
from comporta.app.notifying import notifier_of, transport_of
from comporta.app.observing import Observing
from comporta.app.ollama import ollamas
from comporta.app.people import Heard, people_of
from comporta.app.pricing import Pricing
from comporta.app.recalling import AFRESH, Recalling
from comporta.app.rewording import Rewording
from comporta.app.rollouts import RollingOut
from comporta.app.settings import Settings
from comporta.app.sparing import Sparing
from comporta.app.tasking import Tasking
from comporta.app.telemetry import Telemetry
from comporta.budget.budgets import Budgets
from comporta.config.loading import Loaded
from comporta.config.watch import Watched, fingerprint, watch
from comporta.errors import ComportaError, NotFound
from comporta.gateway.attempt import Attempt, Reached
from comporta.gateway.attempts import Attempts
from comporta.gateway.fallback import Choose
from comporta.gateway.fetching import fetch
from comporta.gateway.images import ImagesPolicy, images_stage
from comporta.gateway.prompting import Prompting
from comporta.gateway.reach import reach
from comporta.guardrails.base import Side, Tools
from comporta.guardrails.running import Report
from comporta.keys.keys import Keys
from comporta.pipeline import STAGES, Call, Only, Stage, compose
from comporta.prompts.registry import Registry
from comporta.providers.catalogue import Catalogue
from comporta.providers.rows import detect
from comporta.providers.wires import Speakers
from comporta.routing.choose import plan_of
from comporta.routing.registered import RegisteredModels
from comporta.routing.retry import Retry
from comporta.store.changes import Changes
from comporta.store.database import Database
from comporta.store.people import TOPIC as ERASURE
from comporta.types import Target

log = structlog.get_logger("comporta.gate")

#: How long the spool is emptied before the ledger is asked what was spent.
_DRAIN_S = 5.0


class Gate(Asks):
    """A gate on a data folder and a database: `open` it, ask it, `close` it.

    In a program: `async with comporta.open("comporta.yaml") as gate: await gate.chat("Hello")`.
    """

    def __init__(self, folder: Folder, loaded: Loaded[Settings], dsn: str) -> None:
        settings = loaded.value
        self.folder = folder
        self.database = Database(dsn, max_size=settings.database.max_connections)
        self.keys = Keys(self.database)
        self.budgets = Budgets(self.database)
        self.registered = RegisteredModels(self.database)
        #: Prompts by version and label: `await gate.prompts.push(Path("prompts"), by="ana")`.
        self.prompts = self._registry()
        self.catalogue = Catalogue.shipped()
        self.speakers = Speakers(folder.cache)
        self.transport = transport_of(settings.outgoing)
        self.loaded = loaded
        self.pricing = Pricing(lambda: self.known, lambda: self.registered.models)
        #: What this process started on.
        self._begun = loaded
        # Taken now: what changes while the gate opens must not pass for what was read.
        self._seen = fingerprint(loaded.watched)
        self._seen_request = fingerprint([folder.reload])
        self.found = Found(rows=tuple(row.name for row in detect(loaded.environment)))
        self.chaining = Chaining(lambda: self.pipeline, self.prompts, lambda route: self.telemetry.mode(route))
        #: What must not go in, and what must not come out.
        self.guarding = self._guards()
        self.ensembling = Ensembling(self, self.speakers.embedder)
        self.known: Known = self._build(loaded)
        #: Credentials that records and logs are kept free of.
        self._secrets: set[str] = set()
        #: Keys that were told to be missing.
        self._keyless: frozenset[str] = frozenset()
        #: Seconds that calls of a registered model get, as this program said when it registered it.
        self._given_s: dict[str, float] = {}
        #: Whether this gate takes no new calls any more.
        self.draining = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._changes = Changes(dsn)
        self._begin_beside()
        self._begin_path()

    def _begin_beside(self) -> None:
        """What looks at calls, and what people ask about them."""
        folder, settings = self.folder, self.loaded.value
        self.health = health_of(settings)
        self.telemetry = Telemetry(folder, settings, self.database, self.pricing.cost)
        self.telemetry.recorder.kept = self.guarding.kept
        #: Guards asked by themselves.
        self.checking = Checking(self.guarding, self._around_checks, self._verdicts)
        self.caching = Caching(lambda: self.loaded.value, self.database, self._recalling())
        self.telemetry.more = lambda: {
            **self.caching.figures(), **self.rolling.totals(), **self.sparing.totals(), **self.listening.totals()
        }  # fmt: skip
        #: Tells people of what happens by itself; the process of the jobs delivers.
        self.notifier = notifier_of(self.database, lambda: self.loaded.value, self.transport)
        self.rolling = RollingOut(
            self.database, self.prompts, self.budgets, lambda: self.notifier, lambda: self.known, lambda: self.loaded,
            lambda: self.pipeline,
        )  # fmt: skip
        #: Rollouts and experiments: `await gate.rollouts.status("support")`.
        self.rollouts = self.rolling.releases
        #: Fewer tokens: counts, shortened prompts, providers' own caches.
        self.sparing = Sparing(
            lambda: self.loaded, lambda: self.known, self.pricing.price, self.speakers.embedder, lambda: self.pipeline,
            self.telemetry.scores.add, lambda: self.notifier,
        )  # fmt: skip
        #: Which model answers which task.
        self.tasking = Tasking(
            self.database, lambda: self.health, lambda: self.known, lambda: self.pipeline, self.pricing.price,
            self.catalogue, self.telemetry.mode,
        )  # fmt: skip
        #: Figures with their targets, and alerts.
        self.observing = Observing(
            self.database, lambda: self.loaded.value, self.budgets, lambda: self.health, lambda: self.notifier
        )
        #: What people say of answers, and what is found out about live ones.
        self.listening = Listening(
            self.database, self.telemetry, lambda: self.loaded, lambda: self.pipeline, lambda: self.metering,
            self.speakers.embedder,
        )  # fmt: skip
        self.judged = self.listening.judged
        #: What people are to look at: `await gate.reviews.list(filters={"state": "waiting"})`.
        self.reviews = self.telemetry.reviews
        #: What is held of users: exported and erased.
        self.people = people_of(self.database, folder.spool, self._drain_all, self.caching, lambda: self.loaded)

    def _begin_path(self) -> None:
        """What stands around every call, in one order."""
        self.prompting = Prompting(self.prompts, lambda: self.known, self.rolling.overlay)
        self.followups = FollowUps(
            lambda: self.known, lambda: self.loaded.value, self.telemetry, self.database, self.transport
        )
        self.metering = Metering(
            self.loaded, self.database, self.keys, self.budgets, lambda: self.known, self.pricing.price, self._drain,
            lambda: self.notifier,
        )  # fmt: skip
        last = self.metering.toll(Attempt(self.reach, self.transport))
        self.stages = stages = self._stages()
        self.pipeline = compose(stages, last)
        #: How the cache asks a chosen variant again, to see whether an old answer still holds.
        self._afresh = compose([stage for stage in stages if stage[0] in AFRESH], last)

    def _registry(self) -> Registry:
        return Registry(
            self.database, settings=lambda: self.loaded.value.prompts,
            guards=lambda side, guard: mistake_in(self.guarding.kinds, side, guard),
        )  # fmt: skip

    def _guards(self) -> Guarding:
        return Guarding(
            Tools(embedder=self.speakers.embedder, post=posts_over(self.transport)), self._verdicts,
            Rewording(lambda: self.pipeline, lambda: self.loaded.value.guardrails.reword_with),
            Judging(lambda: self.pipeline, lambda: self.loaded.value.guardrails.judge), self._redirect,
        )  # fmt: skip

    def _recalling(self) -> Recalling:
        return Recalling(
            lambda: self.loaded.value, self.database,
            lambda name: embedder_named(name, self.speakers.embedder, lambda: self.pipeline), lambda: self.pipeline,
            lambda: self._afresh, lambda name: self.known.leads_to(name),
        )  # fmt: skip

    # ---- life ----

    async def open(self) -> None:
        """Load what lies in the database and start what runs beside the calls."""
        await self.database.open()
        self.found = await self._find(self.loaded)
        await self.keys.load()
        await self.budgets.load()
        await self.registered.load()
        await self.prompts.load()
        self._swap(self.loaded)
        await self.rollouts.load()
        for topic, load in (
            (self.keys.topic, self.keys.load),
            (self.budgets.topic, self.budgets.load),
            (self.registered.topic, self._reload_models),
            (self.rollouts.rollouts.topic, self.rollouts.load),
            (self.prompts.topic, self.prompts.load),
            (ERASURE, Heard(self.database, self.caching).load),
            *self.caching.topics(self.keys.topic, self.prompts.topic),
        ):
            self._changes.subscribe(topic, load)
        self.listening.subscribe(self._changes)
        if not self.loaded.value.providers and self.known.routes[DEFAULT_ROUTE].variants[0].provider == "offline":
            # Where providers are configured hardly anybody asks it, and every start would pay for its warmth.
            self._run(self.speakers.warm())
        self._run(self._changes.run())
        await self._rebuild_counters()
        await self.health.open()
        for part in (
            self.telemetry, self.metering, self.caching, self.health, self.tasking, self.listening, self.rollouts
        ):  # fmt: skip
            self._run(part.run())

    def watch(self, places: Places) -> None:
        """Follow the configuration's files and SIGHUP: a good change is taken over, a bad one told and left aside."""
        watched = Watched(self.loaded, lambda: load_settings(places, os.environ), log, self._accept, self._seen)
        watched.subscribe(self.take)
        reload = [self.folder.reload]
        self._run(watched.run())
        chains = self.chaining.files
        self._run(watch(lambda: chains(self.loaded), watched.reload, log, fingerprint(chains(self.loaded))))
        self._run(watch(lambda: reload, watched.reload, log, self._seen_request))

    async def close(self) -> None:
        """Ship what the spool holds (within a few seconds; the rest waits for the next start) and let go."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for part in (
            self.rolling, self.sparing, self.listening, self.caching, self.metering, self.health, self.telemetry,
            self.speakers, self.transport, self.database,
        ):  # fmt: skip
            await part.close()

    async def take(self, loaded: Loaded[Settings]) -> None:
        """Take over a new configuration. Raises ConfigError, and keeps the old one, where it does not hold together.

        Calls on their way finish on what they began with.
        """
        if parts := waiting(self._begun, loaded):
            log.warning("config.needs_restart", changed=parts)
        self.found = await self._find(loaded)
        self._swap(loaded)
        self.telemetry.take(loaded.value)
        self.listening.take(loaded.value)
        self.metering.take(loaded)
        self.health.limits = breaker_limits(loaded.value)

    async def _rebuild_counters(self) -> None:
        """What was spent before stands in the ledger, and in what dead processes left in the spool."""
        try:
            await self.metering.purses.level_all()
        except ComportaError as error:
            # Calls under a budget ask again, and are refused until it can be told.
            log.warning("budgets_not_levelled", code=error.code)

    async def _drain(self) -> None:
        await self.telemetry.shipper.drain(_DRAIN_S)

    async def _drain_all(self) -> None:
        await self._drain()
        await self.telemetry.score_shipper.drain(_DRAIN_S)
        await self.telemetry.review_shipper.drain(_DRAIN_S)

    async def _find(self, loaded: Loaded[Settings]) -> Found:
        """What is there without being configured: what the environment has keys for, and Ollama."""
        rows = tuple(row.name for row in detect(loaded.environment))
        ollama = await ollamas(loaded.value, loaded.environment)
        return Found(rows=(*rows, *(name for name in ollama if name not in rows)), ollama=ollama)

    async def _accept(self, loaded: Loaded[Settings]) -> None:
        self._build(loaded)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(coroutine))

    def _build(self, loaded: Loaded[Settings], chained: Chained | None = None) -> Known:
        self.guarding.read(loaded)
        chains = self.chaining.read(loaded) if chained is None else chained
        return build(loaded, self.found, self.catalogue, self.speakers, lambda: self.registered.models, chains,
                     self.ensembling.now())  # fmt: skip

    async def _reload_models(self) -> None:
        await self.registered.load()
        # A rollout may lead to a registered model.
        self.rollouts.retake()

    def _swap(self, loaded: Loaded[Settings]) -> None:
        chained = self.chaining.read(loaded)
        self.known = self._build(loaded, chained)
        self.tasking.take(self.known)
        self.chaining.take(chained)
        self.guarding.take(loaded)
        self.loaded = loaded
        self.rollouts.retake()
        self._keyless = tell_missing_keys(self.known.providers, self._keyless)
        self.telemetry.know(loaded.secrets)
        for provider in self.known.providers.values():
            self._keep_secret(c.secret for c in provider.credentials.all())

    @property
    def database_state(self) -> str:
        """`connected` while notices of changes come in, else `away`: the gate then lives on its snapshots and spool."""
        return "connected" if self._changes.connected else "away"

    # ---- the path of a call ----

    def _stages(self) -> list[tuple[str, Stage]]:
        """The stages that exist, in the order of STAGES; the other places are still empty."""
        filled: dict[str, Stage] = {
            "record": self.telemetry.recorder.stage,
            "allocate": Only(self.metering.budgeting.allocating.applies, self.metering.budgeting.allocating.stage),
            "limit": self.metering.admission.limit,
            "spend": self.metering.admission.spend,
            "follow": Only(self.followups.follow.applies, self.followups.follow.stage),
            "score": Only(self.listening.live.applies, self.listening.live.stage),
            "model": Only(self.prompting.nameless, self.prompting.name),
            "prompt": Only(self.prompting.applies, self.prompting.stage),
            "choose": Choose(
                lambda: self.known,
                lambda route: self.known.total_s(route),
                lambda target: self.known.can_continue(target),
                self.rolling.overlay,
                self.metering.economy,
                self.tasking.by_task,
            ),
            "shorten": self.sparing.stage,
            "images": images_stage(self._images_policy, fetch, self._needs_image_data),
        }
        filled["attempt"] = Attempts(lambda name: self.known.providers.get(name), self.health, self._retry)
        filled["recall"] = self.caching.exact.stage
        filled["guard"] = Only(self.guarding.applies, self.guarding.stage.stage)
        return [(name, filled[name]) for name in STAGES if name in filled]

    def _around_checks(self) -> list[tuple[str, Stage]]:
        """The stages that hold for a look by guards without a model."""
        return [("record", self.telemetry.recorder.stage), ("limit", self.metering.admission.limit)]

    def _verdicts(self, call: Call, side: Side, report: Report) -> None:
        """What guards found: counted, and scores of the call."""
        self.telemetry.guarded(side, report)
        for score in scores_of(call, side, report):
            self.telemetry.scores.add(score)

    def _redirect(self, call: Call, name: str) -> Target | None:
        """Where a call goes that a guard leads to another model; the operator chose it, whatever the key may name."""
        try:
            return plan_of(self.known, name, PYTHON, call.session or call.user).targets[0]
        except NotFound:
            return None

    def _retry(self, call: Call) -> Retry:
        return self.known.retry(call.target.route if call.target else "")

    def reach(self, call: Call) -> Reached:
        known = self.known
        reached = reach(call, known.providers.get, known.timeouts)
        if reached.model is self.chaining.model:
            return self.chaining.bound(call, reached)
        if reached.model is self.ensembling.model:
            return self.ensembling.bound(call, reached)
        secret = reached.endpoint.secret
        if secret is not None and secret not in self._secrets:
            # A file's key was rotated: what is sent from now on must stand in no record either.
            self._keep_secret([secret])
        return self.sparing.reached(call, reached)

    def _keep_secret(self, secrets: Iterable[str]) -> None:
        new = set(secrets) - self._secrets
        self._secrets |= new
        self.telemetry.know(new)

    def _images_policy(self, call: Call) -> ImagesPolicy:
        return self.known.images(call.target.route if call.target else "")

    def _needs_image_data(self, call: Call) -> bool:
        """Whether the chosen provider takes no image by URL."""
        provider = self.known.providers.get(call.target.provider) if call.target else None
        return provider is not None and not provider.row.image_urls
