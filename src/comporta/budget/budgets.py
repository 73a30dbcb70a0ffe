"""Budgets: whose spending, over which period, up to how much; rows made by the API, and those of the configuration."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs
from psycopg.types.json import Jsonb

from comporta.budget.acts import Acts
from comporta.budget.periods import PERIODS, Period, period_of
from comporta.errors import BadRequest, Conflict, NotFound
from comporta.pipeline import new_id
from comporta.store.database import Database
from comporta.store.fields import checked_name
from comporta.store.rows import Rows

Scope = Literal["key", "team", "environment", "feature", "user", "tag", "all"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
#: A tag stands in a value as `name=value`.
_VALUE_CHARS = {"user": 256, "tag": 360}

TOPIC = "budgets"
#: A thousand million dollars; more is a slip (micro-dollars counted twice).
LIMIT_CEILING_MICROUSD = 10**15

SELECT = """
select id, name, scope, value, period, limit_microusd, extract(epoch from created_at)::float8, created_by, also, per,
    acts
from budget order by created_at, id
"""
INSERT = """
insert into budget (id, name, scope, value, period, limit_microusd, created_at, created_by, also, per, acts)
values (%(id)s, %(name)s, %(scope)s, %(value)s, %(period)s, %(limit_microusd)s, to_timestamp(%(now_s)s), %(by)s,
    %(also)s, %(per)s, %(acts)s)
returning id
"""
UPDATE = """
update budget set name = %(name)s, scope = %(scope)s, value = %(value)s, period = %(period)s,
    limit_microusd = %(limit_microusd)s, also = %(also)s, per = %(per)s, acts = %(acts)s
where id = %(id)s returning id
"""
DELETE = "delete from budget where id = %(id)s returning id"


class Budget(Struct, frozen=True):
    """At most `limit_microusd` in each `period` for the calls that its conditions are true of, or for all calls."""

    id: str
    name: str
    scope: Scope
    #: Whose: the key's id, the name of the team, environment, feature or user, a tag as `name=value`; None for all.
    value: str | None
    period: Period
    limit_microusd: int
    #: 0 where it stands in the configuration.
    created_at_s: float
    created_by: str
    #: What must be true of a call as well, by scope.
    also: dict[str, str] = {}
    #: `user`: each user has a budget of its own.
    per: Literal["user"] | None = None
    acts: Acts = Acts()

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """All that must be true of a call: scope and value."""
        first = () if self.value is None else ((self.scope, self.value),)
        return (*first, *sorted(self.also.items()))

    def of_user(self, user: str) -> Budget:
        """What one user has of a budget that each user has."""
        return structs.replace(self, per=None, also={**self.also, "user": user})

    @property
    def whose(self) -> str:
        """In words: `team support, environment prod`, `each user`, `all calls`."""
        parts = [f"{scope} {value}" for scope, value in self.conditions]
        if self.per is not None:
            parts.append(f"each {self.per}")
        return ", ".join(parts) or "all calls"


#: What was spent under a budget from one point in time to another, in micro-dollars.
Spent = Callable[[Budget, float, float], Awaitable[int]]
#: The same of a budget that each user has: by the hash of each user that is asked for and spent anything.
SpentByUsers = Callable[[Budget, float, float, Sequence[str]], Awaitable[Mapping[str, int]]]


class Budgets:
    """All budgets, held in memory; `load` fills it, at start and on each notice of a change."""

    topic = TOPIC

    def __init__(
        self, database: Database, *, spent: Spent | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._rows: Rows[Budget] = Rows(
            database, topic=TOPIC, select=SELECT, read=_read, key=lambda budget: budget.id
        )  # fmt: skip
        self._spent = spent
        self._clock = clock
        self._in_file: dict[str, Budget] = {}
        self._merged: tuple[object, Mapping[str, Budget]] = (None, {})

    def declare(self, budgets: Sequence[Budget]) -> None:
        """Take over the configuration's budgets; `created_by` says where each stands."""
        self._in_file = {budget.id: budget for budget in budgets}
        self._merged = (None, {})

    @property
    def all(self) -> Mapping[str, Budget]:
        """All budgets by id; another mapping after each change."""
        held = self._rows.held
        if self._merged[0] is not held:
            self._merged = (held, {**self._in_file, **held})
        return self._merged[1]

    async def load(self) -> None:
        await self._rows.load()

    def list(self) -> list[Budget]:
        """All budgets, those of the configuration first, then oldest first, as of the last load."""
        return [*self.all.values()]

    def get(self, budget_id: str) -> Budget:
        budget = self.all.get(budget_id)
        if budget is None:
            raise _unknown(budget_id)
        return budget

    async def create(
        self, *, name: str, scope: str, period: str, limit_microusd: int, value: str | None = None, by: str = "",
        also: dict[str, str] | None = None, per: str | None = None, acts: Acts = Acts(),
    ) -> Budget:  # fmt: skip
        """Raises BadRequest, naming the field, and Conflict for a name that is taken."""
        given: tuple[Any, ...] = (name, scope, value, period, limit_microusd, self._clock(), by, also or {}, per, acts)
        budget = _checked(Budget(new_id(), *given))
        return await self._write(INSERT, budget)

    async def update(
        self,
        budget_id: str,
        *,
        name: str | UnsetType = UNSET,
        scope: str | UnsetType = UNSET,
        value: str | UnsetType | None = UNSET,
        period: str | UnsetType = UNSET,
        limit_microusd: int | UnsetType = UNSET,
        also: dict[str, str] | UnsetType = UNSET,
        per: str | UnsetType | None = UNSET,
        acts: Acts | UnsetType = UNSET,
    ) -> Budget:
        """Change what is given and leave the rest."""
        given: dict[str, Any] = {
            "name": name, "scope": scope, "value": value, "period": period, "limit_microusd": limit_microusd,
            "also": also, "per": per, "acts": acts,
        }  # fmt: skip
        await self.load()
        self._check_ours(budget_id)
        changed = {field: new for field, new in given.items() if new is not UNSET}
        return await self._write(UPDATE, _checked(structs.replace(self.get(budget_id), **changed)))

    async def delete(self, budget_id: str) -> None:
        self._check_ours(budget_id)
        if await self._rows.write(DELETE, {"id": budget_id}, taken="") is None:
            raise _unknown(budget_id)

    async def spent(self, budget: Budget, now_s: float) -> int | None:
        """Micro-dollars spent in the period that holds `now_s`; None where nobody keeps records."""
        if self._spent is None:
            return None
        begin_s, end_s = period_of(budget.period, now_s)
        return await self._spent(budget, begin_s, end_s)

    def _check_ours(self, budget_id: str) -> None:
        found = self._in_file.get(budget_id)
        if found is not None:
            raise Conflict(f"The budget {found.name} stands in {found.created_by}; change it there.", param="id")

    async def _write(self, statement: str, budget: Budget) -> Budget:
        values = structs.asdict(budget) | {
            "now_s": budget.created_at_s, "by": budget.created_by, "also": Jsonb(budget.also),
            "acts": Jsonb(msgspec.to_builtins(budget.acts)),
        }  # fmt: skip
        taken = f"A budget named {budget.name} exists already; choose another name, or change that one."
        if await self._rows.write(statement, values, taken=taken) is None:
            raise _unknown(budget.id)
        return self._rows.held.get(budget.id, budget)


def _read(row: Sequence[Any]) -> Budget:
    given: tuple[Any, ...] = (*row[:-1], msgspec.convert(row[-1], Acts))
    return Budget(*given)


def _checked(budget: Budget) -> Budget:
    checked_name(budget.name, "name")
    if budget.scope not in SCOPES:
        raise BadRequest(f"scope must be one of {', '.join(SCOPES)}.", param="scope")
    if budget.period not in PERIODS:
        raise BadRequest(f"period must be one of {', '.join(PERIODS)}.", param="period")
    if budget.scope == "all" and budget.value is not None:
        raise BadRequest("value must be left out where the scope is all.", param="value")
    if budget.scope != "all":
        _check_value(budget.scope, budget.value, "value")
    _check_also(budget)
    _check_limit(budget.limit_microusd)
    return budget


def _check_value(scope: str, value: object, param: str) -> None:
    text = checked_name(value, param, _VALUE_CHARS.get(scope, 100))
    if scope == "tag" and not all(part.strip() for part in text.partition("=")):
        raise BadRequest(f"{param} must be name=value where the scope is tag.", param=param)


def _check_also(budget: Budget) -> None:
    for scope, value in budget.also.items():
        if scope not in SCOPES or scope == "all":
            raise BadRequest(f"also: '{scope[:50]}' is none of {', '.join(SCOPES[:-1])}.", param="also")
        if scope == budget.scope and scope != "tag":
            raise BadRequest(f"also: {scope} stands in scope already.", param="also")
        _check_value(scope, value, f"also.{scope}")
    if budget.scope == "all" and budget.also:
        raise BadRequest("also: there is no scope; write the first condition as scope and value.", param="also")
    if budget.per not in (None, "user"):
        raise BadRequest("per must be user, or be left out.", param="per")
    if budget.per is not None and "user" in (budget.scope, *budget.also):
        raise BadRequest("per: the budget is one user's already.", param="per")


def _check_limit(limit_microusd: object) -> None:
    if isinstance(limit_microusd, bool) or not isinstance(limit_microusd, int):
        raise BadRequest("limit_microusd must be a whole number of micro-dollars.", param="limit_microusd")
    if not 0 < limit_microusd <= LIMIT_CEILING_MICROUSD:
        raise BadRequest(
            f"limit_microusd must lie between 1 and {LIMIT_CEILING_MICROUSD} (a thousand million dollars).",
            param="limit_microusd",
        )


def _unknown(budget_id: str) -> NotFound:
    return NotFound(f"There is no budget with the id {budget_id!r}.", param="id")
