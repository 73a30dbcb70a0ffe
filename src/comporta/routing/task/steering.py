"""Where a call goes by its task: which row it is of, which models are fit, and what is done when they fail.

While no route has a strategy, a balance or a cascade a call pays one look at `live`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, structs

from comporta.cache.semantic.asked import THRESHOLD_FACT
from comporta.errors import BadRequest
from comporta.pipeline import Call
from comporta.routing.choose import Plan
from comporta.routing.pinned import PINNED
from comporta.routing.task.balance import ordered
from comporta.routing.task.deciding import Decided, Facts, Quality, Seen, decide, targets
from comporta.routing.task.estimate import cost_of, tokens_in, tokens_out
from comporta.routing.task.guess import Examples, Guess, asked_of, complexity_of, guess
from comporta.routing.task.live import Live, Speed
from comporta.routing.task.names import Complexity, is_default, plain, usual_of
from comporta.routing.task.needs import needs_of
from comporta.routing.task.rows import Cascade, Member, Policies, Pool, Row, Tables, Way
from comporta.types import JSON, Target

#: The header, and the key of `metadata`, by which a caller names the task.
HEADER, FIELD = "x-comporta-task", "task"
#: The name of the note on the record.
NOTE = "route"
By = Literal["caller", "route", "only", "classifier", "example", "default"]


class Task(Struct, frozen=True):
    """Which row a call is of, and how that is known; `sure` is given for guesses, the taken and the others."""

    row: Row
    by: By
    name: str
    usual: str | None = None
    sure: float | None = None
    complexity: Complexity | None = None


class Course(Struct, frozen=True):
    """What the stage `choose` must know of a steered call beside its plan."""

    said: JSON
    policies: Policies = Policies(on_quality_drop=None)
    superior: tuple[Target, ...] = ()
    cascade: Cascade | None = None
    #: Look for an old answer before any model is asked.
    kept: bool = False


class Steering:
    """`tables` change with the configuration. `quality` and `rests` answer from memory."""

    def __init__(
        self, live: Live, quality: Callable[[Row, Member], Quality | None], rests: Callable[[Target], bool],
        rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.speeds = live
        self.tables = Tables()
        #: Whether any call needs a look.
        self.live = False
        self._rng = rng or random.Random()
        self._rests = rests
        self._facts = Facts(self._speed, quality, lambda member: rests(member.target))
        self._examples = Examples({})

    def take(self, tables: Tables) -> None:
        """Put these in force."""
        self.tables, self.live = tables, tables.live
        self.speeds.keep_s = tables.figures_for_s
        self._examples = Examples(tables.examples)

    def plan(self, call: Call, plan: Plan) -> tuple[Plan, Course | None]:
        """The plan with the models that are fit, the best first, and what else there is to know.

        Raises BadRequest for a task that there is not, and where no model can answer such a call.
        """
        route = plan.targets[0].route
        if call.kind != "chat" or PINNED in call.facts:
            return plan, None
        way = self.tables.ways.get(route)
        if way is not None:
            return self._by_task(call, plan, way)
        pool = self.tables.pools.get(route)
        if pool is not None:
            return self._balanced(call, plan, pool)
        cascade = self.tables.cascades.get(route)
        if cascade is None:
            return plan, None
        others = tuple(target for target in plan.targets if target not in cascade.models)
        said = {"strategy": "cascade", "candidates": [{"model": one.variant} for one in cascade.models]}
        return structs.replace(plan, targets=(*cascade.models, *others)), Course(said, cascade=cascade)

    # ---- by task ----

    def _by_task(self, call: Call, plan: Plan, way: Way) -> tuple[Plan, Course]:
        task = self.task_of(call, way)
        row = task.row
        decided = self.decided(call, task)
        if row.similarity is not None:
            call.facts[THRESHOLD_FACT] = row.similarity
        order = targets(decided.order)
        policies = row.policies
        if policies.default_reply is None and plan.last_resort is not None:
            policies = structs.replace(policies, default_reply=plan.last_resort)
        mine = {member.target.variant for one in way.rows for member in one.members}
        others = tuple(target for target in plan.targets if target.variant not in mine)
        course = Course(_said(way, task, decided, call.stream), policies, targets(decided.superior), kept=decided.kept)
        return structs.replace(plan, targets=(*order, *others)), course

    def decided(self, call: Call, task: Task) -> Decided:
        """The decision for a call of that task, with nothing done about it."""
        usual = task.row.usual or task.usual
        seen = Seen(call.input, call.stream, needs_of(call.input), tokens_in(call.input), usual)
        return decide(task.row, seen, self._facts, self._rng)

    def task_of(self, call: Call, way: Way) -> Task:
        """The row of a call: as its caller says, as its route says, else by a guess. Raises BadRequest."""
        given = self._given(call)
        if given is not None:
            return self._named(way, *given)
        if way.task is not None:
            row = way.named(way.task) or way.default
            return Task(row, "route", row.task, row.usual)
        if not way.guesses or len(way.rows) == 1:
            row = way.default
            return Task(row, "only" if len(way.rows) == 1 else "default", row.task, row.usual)
        return self._guessed(call, way)

    @staticmethod
    def _given(call: Call) -> tuple[str, str] | None:
        """The task that the caller names, and where."""
        header = call.headers.get(HEADER)
        if header and header.strip():
            return header, HEADER
        metadata = call.input.metadata
        value = metadata.get(FIELD) if metadata else None
        return (value, f"metadata.{FIELD}") if isinstance(value, str) and value.strip() else None

    def _named(self, way: Way, name: str, param: str) -> Task:
        row = way.named(name)
        if row is not None:
            return Task(row, "caller", row.task, row.usual)
        usual = self.tables.like.get(plain(name)) or usual_of(name)
        if usual is None and not is_default(name) and plain(name) not in self.tables.like:
            known = ", ".join(row.task for row in way.rows)
            raise BadRequest(
                f"There is no task '{name[:100]}' in the strategy '{way.strategy}'; it has {known}.",
                code="unknown_task", param=param,
            )  # fmt: skip
        row = (way.usual(usual, None) if usual else None) or way.default
        return Task(row, "caller", plain(name), usual)

    def _guessed(self, call: Call, way: Way) -> Task:
        tables = self.tables
        found = self._guess(call)
        if found.by == "example":
            row = way.named(found.task)
            if row is not None:
                return Task(row, "example", row.task, row.usual, found.sure, found.complexity)
        elif found.sure >= tables.sure_at:
            row = way.usual(found.task, found.complexity)
            if row is not None:
                return Task(row, "classifier", found.task, found.task, found.sure, found.complexity)
        usual = found.task if found.by == "classifier" and found.sure >= tables.sure_at else None
        return Task(way.default, "default", found.task, usual, found.sure, found.complexity)

    def _guess(self, call: Call) -> Guess:
        """By an example of the operator's own where one is near, else by the classifier."""
        if self._examples:
            _, text = asked_of(call.input)
            near = self._examples.nearest(text)
            if near is not None and near[1] >= self.tables.like_at:
                like = self.tables.like.get(near[0]) or ""
                return Guess(near[0], round(near[1], 3), complexity_of(text, like), "example")
        return guess(call.input)

    # ---- pools ----

    def _balanced(self, call: Call, plan: Plan, pool: Pool) -> tuple[Plan, Course]:
        """The variants with a weight, in the order of the balance; the others take over behind them."""
        read = tokens_in(call.input) if pool.balance == "cheapest" else 0
        written = tokens_out(call.input, None, read)

        def cost(member: Member) -> int | None:
            return cost_of(member.facts, read, written) if read else None

        rest = [member for member in pool.members if self._rests(member.target)]
        fit = [member for member in pool.members if member not in rest]
        order = ordered(
            fit, lambda one: one, pool.balance, lambda one: self._speed(one).of(call.stream),
            lambda one: self.speeds.busy(one.place), cost, self._rng,
        )  # fmt: skip
        first = [member.target for member in (*order, *rest)]
        others = [target for target in plan.targets if target not in first]
        said: JSON = {
            "strategy": pool.balance, "chosen": first[0].variant,
            "candidates": [self._told(member, call.stream, cost(member), member in rest) for member in pool.members],
        }  # fmt: skip
        return structs.replace(plan, targets=(*first, *others)), Course(said)

    def _told(self, member: Member, stream: bool, cost: int | None, rests: bool) -> JSON:
        speed = self._speed(member)
        latency = speed.of(stream)
        told: JSON = {
            "model": member.name, "latency_ms": None if latency is None else round(latency, 1),
            "in_flight": speed.in_flight,
        }  # fmt: skip
        if cost is not None:
            told["cost_microusd"] = cost
        if rests:
            told["left_out"] = "rests after failures"
        return told

    def _speed(self, member: Member) -> Speed:
        return self.speeds.speed(member.place)


def _said(way: Way, task: Task, decided: Decided, stream: bool) -> JSON:
    """The decision as it stands on the record."""
    said: dict[str, Any] = {
        "strategy": way.strategy, "task": task.name, "by": task.by, "row": task.row.task,
        "chosen": decided.order[0].name, "why": decided.why,
        "candidates": [one.told(stream) for one in decided.candidates],
    }  # fmt: skip
    if task.sure is not None:
        said["sure"] = task.sure
    if task.complexity is not None:
        said["complexity"] = task.complexity
    return said
