"""A rollout or an experiment as it stands in the database, and the statements that read and change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from comporta.types import JSON

Kind = Literal["rollout", "experiment"]
#: `shadow`: B answers copies only; `standing`: all calls go to B, and the configuration does not say so yet.
State = Literal["shadow", "running", "paused", "standing", "done", "rolled_back", "aborted", "stopped"]
LIVE: frozenset[str] = frozenset({"shadow", "running", "paused", "standing"})
TOPIC = "rollouts"
#: What every deploy says of itself: on records, metrics and spans.
DEPLOY_TAGS = ("commit_sha", "author", "model_version")


class Change(Struct, frozen=True, omit_defaults=True):
    """What side B asks instead of side A: another variant of the route, another model, prompt version or parameters.

    What is left out is as on side A. `prompt` is `id@version`; `params` go over those of A.
    """

    variant: str | None = None
    model: str | None = None
    prompt: str | None = None
    params: JSON = {}


class Shadow(Struct, frozen=True, omit_defaults=True):
    """Copies of a share of A's calls, answered by B and shown to nobody."""

    share: float
    #: What they may cost in a day (UTC).
    daily_limit_microusd: int
    #: The budget that holds them to it.
    budget: str = ""


class RolloutRow(Struct, frozen=True):
    """One rollout or experiment. `share` of A's calls goes to B; `plan` is the JSON of its plan."""

    id: str
    kind: Kind
    name: str
    #: The route and its variant A; or else the prompt, its label, and as `variant` its version on side A.
    route: str | None
    variant: str | None
    prompt: str | None
    label: str | None
    change: Change
    #: What side B came to at the start: provider, model, params, prompt; None of a prompt's label.
    target: JSON | None
    plan: JSON
    shadow: Shadow | None
    tags: dict[str, str]
    state: State
    paused_from: State | None
    paused_at_s: float | None
    stage: int
    share: float
    stage_at_s: float
    started_at_s: float
    started_by: str
    ended_at_s: float | None
    problem: str | None

    @property
    def live(self) -> bool:
        """Whether it still says where calls go."""
        return self.state in LIVE

    @property
    def about(self) -> str:
        """What it is about, in words."""
        return f"route '{self.route}'" if self.route is not None else f"prompt '{self.prompt}' in {self.label}"


class EventRow(Struct, frozen=True):
    """One thing that was done or decided, with the numbers that decided it."""

    id: str
    at_s: float
    by: str
    act: str
    why: str
    before_share: float | None
    share: float | None
    stage: int | None
    numbers: JSON | None


COLUMNS = """
id::text, kind, name, route, variant, prompt, label, change, target, plan, shadow, tags, state, paused_from,
extract(epoch from paused_at)::float8, stage, share,
extract(epoch from stage_at)::float8, extract(epoch from started_at)::float8, started_by,
extract(epoch from ended_at)::float8, problem
"""
SELECT_LIVE = f"select {COLUMNS} from rollout where ended_at is null order by started_at, id"
SELECT_ONE = f"select {COLUMNS} from rollout where id = %(id)s"
#: Held against other changes until the transaction ends.
LOCK_ONE = f"select {COLUMNS} from rollout where id = %(id)s for update"
LIST = f"""
select {COLUMNS} from rollout
where (%(kind)s::text is null or kind = %(kind)s) and (not %(live)s or ended_at is null)
order by ended_at is not null, started_at desc, id limit %(limit)s
"""
FIND = f"""
select {COLUMNS} from rollout
where (id::text = %(which)s or name = %(which)s or route = %(which)s or prompt || '@' || label = %(which)s)
    and (%(kind)s::text is null or kind = %(kind)s)
order by id::text = %(which)s desc, ended_at is not null, started_at desc limit 1
"""
INSERT = """
insert into rollout (id, kind, name, route, variant, prompt, label, change, target, plan, shadow, tags, state, stage,
                     share, stage_at, started_at, started_by)
values (%(id)s, %(kind)s, %(name)s, %(route)s, %(variant)s, %(prompt)s, %(label)s, %(change)s, %(target)s, %(plan)s,
        %(shadow)s, %(tags)s, %(state)s, %(stage)s, %(share)s, to_timestamp(%(stage_at_s)s),
        to_timestamp(%(started_at_s)s), %(started_by)s)
"""
UPDATE = """
update rollout set state = %(state)s, paused_from = %(paused_from)s, paused_at = to_timestamp(%(paused_at_s)s),
    stage = %(stage)s, share = %(share)s, stage_at = to_timestamp(%(stage_at_s)s),
    ended_at = to_timestamp(%(ended_at_s)s), problem = %(problem)s, shadow = %(shadow)s
where id = %(id)s
"""
INSERT_FIGURES = "insert into rollout_figures (rollout, figures) values (%(id)s, %(figures)s::jsonb)"
FIGURES = """
select figures::text, shadow::text, last, extract(epoch from looked_at)::float8 from rollout_figures
where rollout = %(id)s
"""
UPDATE_FIGURES = """
update rollout_figures set figures = %(figures)s::jsonb, shadow = %(shadow)s::jsonb, last = %(last)s::jsonb,
    looked_at = to_timestamp(%(now_s)s)
where rollout = %(id)s
"""
INSERT_EVENT = """
insert into rollout_event (id, rollout, at, by, act, why, before_share, share, stage, numbers)
values (%(id)s, %(rollout)s, to_timestamp(%(at_s)s), %(by)s, %(act)s, %(why)s, %(before_share)s, %(share)s, %(stage)s,
        %(numbers)s)
"""
EVENTS = """
select id::text, extract(epoch from at)::float8, by, act, why, before_share, share, stage, numbers
from rollout_event where rollout = %(id)s order by number desc limit %(limit)s
"""


def read_row(row: Sequence[Any]) -> RolloutRow:
    """A row of COLUMNS."""
    values = dict(zip(RolloutRow.__struct_fields__, row, strict=True))
    values["change"] = msgspec.convert(values["change"], Change)
    values["shadow"] = None if values["shadow"] is None else msgspec.convert(values["shadow"], Shadow)
    return RolloutRow(**values)


def read_event(row: Sequence[Any]) -> EventRow:
    return EventRow(*row)


def plain(value: Any) -> Any:
    """A value as JSON knows it: what is no number there (an infinity) is null."""
    return msgspec.json.decode(msgspec.json.encode(value))


def sql_of(row: RolloutRow) -> dict[str, Any]:
    """A row as the driver takes it."""
    values: dict[str, Any] = {name: getattr(row, name) for name in row.__struct_fields__}
    values["change"] = Jsonb(msgspec.to_builtins(row.change))
    values["shadow"] = None if row.shadow is None else Jsonb(msgspec.to_builtins(row.shadow))
    values["target"] = None if row.target is None else Jsonb(row.target)
    values["plan"], values["tags"] = Jsonb(row.plan), Jsonb(row.tags)
    return values
