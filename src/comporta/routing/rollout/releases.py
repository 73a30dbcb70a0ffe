"""Rollouts and experiments as a gate has them: started, changed, shown, decided on, and ended where they are held."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec
import structlog
from msgspec import structs

from comporta.budget.budgets import Budgets
from comporta.errors import BadRequest, ComportaError, Conflict, NotFound, Unavailable
from comporta.pipeline import new_id
from comporta.prompts.registry import Registry
from comporta.routing.choose import Known
from comporta.routing.rollout import asking, moves
from comporta.routing.rollout.asking import Wanted, agrees, plan_json
from comporta.routing.rollout.before import before
from comporta.routing.rollout.courses import course_of
from comporta.routing.rollout.deciding import Decider, kept
from comporta.routing.rollout.deploys import Deploys
from comporta.routing.rollout.evidence import begin
from comporta.routing.rollout.experiment import ExperimentEvidence
from comporta.routing.rollout.overlay import Overlay
from comporta.routing.rollout.planning import experiment_from, plan_from
from comporta.routing.rollout.rows import DEPLOY_TAGS, EventRow, Kind, RolloutRow
from comporta.routing.rollout.status import RolloutStatus, told
from comporta.routing.rollout.store import GATE, Rollouts
from comporta.routing.rollout.telling import notice_of
from comporta.store.database import Connection, Database
from comporta.types import JSON

log = structlog.get_logger("comporta.rollout")

Act = Literal["pause", "resume", "promote", "abort"]
Send = Callable[..., Awaitable[Any]]
Look = Callable[[], Awaitable[None]]
#: Says what somebody should do about one, for people; None where there is nothing to do.
Hint = Callable[[RolloutRow], str | None]

LOOK_EVERY_S = 1.0
#: Deploys are read anew from the records each time, which is more work.
DEPLOYS_EVERY_S = 3.0
_TIDY_EVERY_S = 60.0
#: Codes of what another worker, or somebody by hand, has done in the same moment.
_MEANWHILE = frozenset({"rollout_state", "prompt_moved"})
#: What can't be finished (a label that wants an approval) is tried again so seldom.
_AGAIN_S = 30.0


class Releases:
    """Put together once per process. `send` takes a notice, and the connection that it is part of."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        budgets: Budgets,
        send: Send,
        known: Callable[[], Known],
        overlay: Overlay,
        *,
        hint: Hint = lambda row: None,
        wrong_params: Callable[[JSON], list[str]] = lambda params: [],
    ) -> None:
        self._database = database
        self._registry = registry
        self._budgets = budgets
        self._send = send
        self._known = known
        self._hint = hint
        self._wrong_params = wrong_params
        self.overlay = overlay
        self.rollouts = Rollouts(database, tell=self._tell)
        self.rollouts.changed = self.retake
        self._decider = Decider(database, self.rollouts, lambda: overlay.problems)
        self._deploys = Deploys(database, registry, send)
        self._tried_s: dict[str, float] = {}
        self._failing = False

    # ---- asked by people ----

    def rollout_plan(self, said: Mapping[str, Any]) -> tuple[JSON, float]:
        """The plan that is said, with defaults for the rest, and the share of its first stage. Raises BadRequest."""
        plan = plan_from(said)
        return plan_json(plan), plan.stages[0].share

    def experiment_plan(self, said: Mapping[str, Any]) -> tuple[JSON, float]:
        """The plan of an experiment that is said, with defaults for the rest, and B's share. Raises BadRequest."""
        plan = experiment_from(said)
        return plan_json(plan), plan.share

    async def start(self, wanted: Wanted, why: str = "") -> RolloutRow:
        """Begin. Raises BadRequest, NotFound, and Conflict where one is live there or a rule forbids."""
        if wrong := self._wrong_params(wanted.to.params):
            raise BadRequest(f"to.params: {wrong[0]}.", param="to.params")
        wanted = await self._completed(wanted)
        row = structs.replace(asking.row_of(self._known(), wanted), id=new_id())
        figures = await self._begun(row)
        row = await self._with_budget(row)
        try:
            return await self.rollouts.start(row, figures, why=why)
        except ComportaError:
            await self._end_budget(row)
            raise

    async def act(
        self, which: str, act: Act, *, by: str, why: str = "", kind: Kind | None = None, whole: bool = False
    ) -> RolloutRow:
        """Pause, resume, promote or abort. Raises NotFound, Conflict."""
        row = await self.rollouts.find(which, kind)
        todo: dict[Act, Callable[[], Awaitable[RolloutRow]]] = {
            "pause": lambda: self.rollouts.pause(row.id, by=by, why=why),
            "resume": lambda: self.rollouts.resume(row.id, by=by, why=why),
            "promote": lambda: self.rollouts.promote(row.id, by=by, why=why, whole=whole),
            "abort": lambda: self.rollouts.abort(row.id, by=by, why=why),
        }
        new = await todo[act]()
        await self._settle(new)
        return new

    async def status(self, which: str, kind: Kind | None = None) -> RolloutStatus:
        """How one stands. Raises NotFound."""
        row = await self.rollouts.find(which, kind)
        async with self._database.reading() as connection:
            found = await kept(connection, row.id)
        a, b = course_of(row, found.figures).sides
        sides = {"a": told(a), "b": told(b)}
        if row.shadow is not None:
            sides["shadow"] = told(found.shadow)
        problem = row.problem or self.overlay.problems.get(row.id)
        row = structs.replace(row, problem=problem if row.live else None)
        return RolloutStatus(row, sides, found.last, found.looked_at_s, self._hint(row))

    async def list(self, kind: Kind | None = None, *, live: bool = False, limit: int = 100) -> list[RolloutRow]:
        """The live ones first, then the newest first."""
        return await self.rollouts.list(kind, live=live, limit=limit)

    async def events(self, which: str, kind: Kind | None = None, *, limit: int = 200) -> builtins.list[EventRow]:
        """What was done and decided, the newest first. Raises NotFound."""
        row = await self.rollouts.find(which, kind)
        return await self.rollouts.events(row.id, limit=limit)

    # ---- by itself ----

    async def load(self) -> None:
        await self.rollouts.load()

    def retake(self) -> None:
        """Make the overlay anew: routes or rollouts have changed."""
        self.overlay.take(self._known(), self.rollouts.held.values())

    async def run(self) -> None:
        """Look, decide and finish until cancelled. While the database is away nothing moves."""
        task = asyncio.current_task()
        assert task is not None, "it runs as a task"
        due_s: dict[Look, float] = {self._deploys.look: 0.0, self._decider.tidy: 0.0}
        # The driver may turn a cancellation in the middle of a statement into an error of its own.
        while not task.cancelling():
            try:
                await self._round(due_s)
                self._failing = False
            except Exception as error:
                # Whatever it is, the figures wait in the database: this task must not end.
                self._note(error)
            if not task.cancelling():
                await asyncio.sleep(LOOK_EVERY_S)

    async def _round(self, due_s: dict[Look, float]) -> None:
        clock = asyncio.get_running_loop().time
        for row in [*self.rollouts.held.values()]:
            await self._tend(row, clock())
        for look, every_s in ((self._deploys.look, DEPLOYS_EVERY_S), (self._decider.tidy, _TIDY_EVERY_S)):
            if clock() >= due_s[look]:
                await look()
                due_s[look] = clock() + every_s

    def _note(self, error: Exception) -> None:
        if self._failing:
            return
        self._failing = True
        away = isinstance(error, Unavailable)
        log.warning("rollouts_wait", reason=type(error).__name__, exc_info=None if away else error)

    async def _tend(self, row: RolloutRow, now_s: float) -> None:
        decided = await self._decider.look(row.id)
        if decided is not None:
            with suppress(Unavailable):
                await self.rollouts.load()
            await self._settle(decided)
            row = decided
        if (
            row.kind == "rollout"
            and row.state in ("running", "paused", "standing")
            and self._tried_s.get(row.id, 0.0) <= now_s
        ):
            await self._finish(row, now_s)

    async def _finish(self, row: RolloutRow, now_s: float) -> None:
        """End what is no longer needed, since configuration or label lead all calls to B by themselves."""
        try:
            if row.route is not None:
                if row.kind == "rollout" and agrees(self._known(), row):
                    await self.rollouts.finish(row.id, by=GATE, why="The configuration leads all calls to B by itself.")
                elif row.id in self.overlay.problems:
                    await self.rollouts.trouble(row, self.overlay.problems[row.id])
            else:
                await self._finish_label(row)
        except Conflict as error:
            if error.code in _MEANWHILE:
                return
            # The environment asks for something: an approval, a test.
            self._tried_s[row.id] = now_s + _AGAIN_S
            await self.rollouts.trouble(row, error.message)

    async def _finish_label(self, row: RolloutRow) -> None:
        assert row.prompt is not None and row.label is not None and row.change.prompt is not None
        wanted = row.change.prompt.partition("@")[2]
        label = self._registry.label(row.prompt, row.label)
        if label is None or label.version not in (wanted, row.variant):
            # A move of just before the start may not have come here yet.
            await self._registry.load()
            label = self._registry.label(row.prompt, row.label)
        if row.kind == "rollout" and label is not None and label.version == wanted:
            await self.rollouts.finish(row.id, by=GATE, why=f"The label {row.label} points at {row.change.prompt}.")
        elif label is None or label.version != row.variant:
            there = "gone" if label is None else f"at {label.version}"
            why = f"The label {row.label} was moved meanwhile: it is {there}, not at {row.variant}."
            await self.rollouts.abort(row.id, by=GATE, why=why)
        elif row.state == "standing":
            why = f"rollout {row.name}: held at 100 %"
            await self._registry.deploy(
                row.prompt, wanted, row.label, GATE, why, row.tags, replacing=row.variant, force=True
            )
            # At once: who rolls the label back from here on must not find it moved again.
            await self.rollouts.finish(row.id, by=GATE, why=f"The label {row.label} points at {row.change.prompt}.")

    async def _settle(self, row: RolloutRow) -> None:
        """The copies' budget goes with the copies."""
        if row.shadow is not None and "shadow" not in (row.state, row.paused_from):
            await self._end_budget(row)

    # ---- within ----

    async def _begun(self, row: RolloutRow) -> str:
        """The figures to begin with, as they are kept: a rollout knows what side A was until now."""
        if row.kind == "experiment":
            return msgspec.json.encode(ExperimentEvidence()).decode()
        plan = moves.plan_of(row)
        async with self._database.connection() as connection:
            figures = await before(
                connection, plan.guards, variant=row.variant or "", route=row.route, prompt=row.prompt, label=row.label
            )
        return msgspec.json.encode(begin(plan, figures)).decode()

    async def _completed(self, wanted: Wanted) -> Wanted:
        """With what the registry knows: side A of a label, the tags of a version's push."""
        known: dict[str, str | None] = {}
        if wanted.to.prompt is not None:
            id, _, version = wanted.to.prompt.partition("@")
            pushed = await self._registry.version(id, version)
            known = {"commit_sha": pushed.commit_sha, "author": pushed.author, "model_version": pushed.model}
        if wanted.to.model is not None:
            known["model_version"] = wanted.to.model
        elif not known.get("model_version") and wanted.route is not None:
            known["model_version"] = self._model_of(wanted)
        tags = {name: value for name in DEPLOY_TAGS if (value := known.get(name))} | dict(wanted.tags)
        wanted = structs.replace(wanted, tags=tags)
        return wanted if wanted.prompt is None or wanted.label is None else await self._of_label(wanted)

    def _model_of(self, wanted: Wanted) -> str | None:
        """The model of side B, where it is another variant or has other parameters."""
        route = self._known().route(wanted.route or "")
        if route is None:
            return None
        name = wanted.to.variant or wanted.variant
        found = [v for v in route.variants if v.name == name] or [max(route.variants, key=lambda v: v.weight)]
        return f"{found[0].provider}/{found[0].model}" if found[0].provider else None

    async def _of_label(self, wanted: Wanted) -> Wanted:
        """Side A is what the label points at. Raises Conflict where the environment's rules say no."""
        assert wanted.prompt is not None and wanted.label is not None
        label = self._registry.label(wanted.prompt, wanted.label)
        if label is None:
            raise NotFound(
                f"{wanted.prompt} has no version in {wanted.label} yet, nothing to roll from: deploy it there.",
                code="prompt_not_found", param="label",
            )  # fmt: skip
        version = (wanted.to.prompt or "").partition("@")[2]
        if label.version == version:
            raise BadRequest(f"{wanted.label} points at {wanted.to.prompt} already.", param="to.prompt")
        plan = await self._registry.plan(wanted.prompt, version, wanted.label, wanted.tags, force=True)
        if plan.missing:
            raise Conflict(" ".join(plan.missing), code="rollout_not_allowed")
        return structs.replace(wanted, variant=label.version, tags=dict(plan.tags))

    async def _with_budget(self, row: RolloutRow) -> RolloutRow:
        shadow = row.shadow
        if shadow is None:
            return row
        budget = await self._budgets.create(
            name=f"shadow {row.name[:70]} {row.id[-8:]}", scope="feature", value=f"shadow:{row.id}", period="day",
            limit_microusd=shadow.daily_limit_microusd, by=row.started_by,
        )  # fmt: skip
        return structs.replace(row, shadow=structs.replace(shadow, budget=budget.id))

    async def _end_budget(self, row: RolloutRow) -> None:
        if row.shadow is not None and row.shadow.budget:
            with suppress(NotFound):
                await self._budgets.delete(row.shadow.budget)

    async def _tell(self, connection: Connection, row: RolloutRow, event: EventRow) -> None:
        notice = notice_of(row, event)
        if notice is not None:
            await self._send(notice, connection=connection)
