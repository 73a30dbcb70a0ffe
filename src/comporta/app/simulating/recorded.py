"""Recorded calls as a replay needs them, read in the order of time, a page at a time."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.cache.entry import is_complete
from comporta.cache.key import PROMPT_FACT
from comporta.guardrails.call import VERDICTS
from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.telemetry.record import BUCKETS, PROMPTED, Prompted
from comporta.types import JSON, Caller, Choice, Delta, Event, Input, Target, ToolDelta, Usage

_PAGE = 500
_LIMIT_S = 120.0
#: What a client can be billed for; counts and looks by guards cost nothing.
_KINDS = ("chat", "embed")
#: Outcomes of calls that never came to the cache: refused before it, or found wrong on the way.
_BEFORE = ("refused", "unavailable", "internal")
_COLUMNS = (
    "id", "started_at", "duration_us", "first_us", "parent_id", "door", "kind", "stream", "asked", "route", "variant",
    "provider", "model", "key_id", "team", "environment", "feature", "tags", "user_id", "session", "cost_microusd",
    "cache", "outcome_class", "malformed_frames", "capture", "prompt", "reply", "prompt_id", "prompt_version",
    "prompt_label", "variables", "notes", "estimated", *(f"{bucket}_tokens" for bucket in BUCKETS),
)  # fmt: skip
_WINDOW = "started_at >= %(since)s and started_at < %(until)s and kind = any(%(kinds)s)"
COUNT = sql.SQL("select count(*) from call where " + _WINDOW + "{routes}")
PAGE = sql.SQL(
    "select {columns}, exists (select from score where score.call_id = call.id and score.source = 'guard') as guarded"
    " from call where " + _WINDOW + "{routes} and (started_at, id) > (%(at)s, %(id)s)"
    " order by started_at, id limit %(most)s"
)
_ROUTES = sql.SQL(" and route = any(%(routes)s)")


class Recorded(Struct, frozen=True):
    """One call of the past. `full_microusd` is what it costs without any cache of ours; None where nobody knows.

    `asked` None is a call whose prompt was not kept whole: it is counted, and not replayed.
    """

    id: str
    at_s: float
    took_s: float
    first_s: float | None
    caller: Caller
    kind: str
    door: str
    stream: bool
    model: str
    target: Target | None
    asked: Input | None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    full_microusd: int | None = None
    paid_microusd: int | None = None
    inner: bool = False
    user: str | None = None
    session: str | None = None
    tags: Mapping[str, str] = {}
    prompted: Prompted | None = None
    guarded: bool = False
    #: Whether it came as far as the cache, and whether an answer came whole.
    reached: bool = True
    whole: bool = True
    #: By which cache it was answered then; empty for none.
    hit: str = ""
    #: What is asked, where somebody knows: calls of one meaning may have one answer. Empty for real traffic.
    meaning: str = ""

    @property
    def events(self) -> tuple[Event, ...]:
        """Its answer as one event, as far as a cache looks at answers."""
        deltas = tuple(
            Delta(one.index, one.text, finish=one.finish, tools=tuple(map(_tool, range(len(one.tools)))))
            for one in self.choices
        )
        return (Event(deltas=deltas, usage=self.usage, whole=True, vectors=((0.0,),) if self.kind == "embed" else ()),)

    def call(self, target: Target, asked: Input) -> Call:
        """The call as the stages behind the guards saw it."""
        call = Call(
            kind="embed" if self.kind == "embed" else "chat", input=asked, model=self.model, caller=self.caller,
            stream=self.stream, door=self.door, id=self.id, depth=int(self.inner), session=self.session,
            user=self.user, tags=dict(self.tags), started_s=self.at_s,
        )  # fmt: skip
        call.target = target
        call.usage, call.cost_microusd = self.usage, self.full_microusd
        if self.prompted is not None:
            call.facts[PROMPTED] = self.prompted
            call.facts[PROMPT_FACT] = f"{self.prompted.id}@{self.prompted.version}"
        if self.guarded:
            call.facts[VERDICTS] = True
        return call

    @property
    def is_complete(self) -> bool:
        """Whether a cache would have kept its answer."""
        choices = self.asked.n if self.asked is not None and self.kind == "chat" else 1
        return self.whole and is_complete(self.events, choices)


def _tool(index: int) -> ToolDelta:
    return ToolDelta(index=index)


class Window(Struct, frozen=True):
    """Which calls: from `since` to before `until`, of some routes or of all."""

    since: datetime.datetime
    until: datetime.datetime
    routes: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "until": self.until,
            "routes": list(self.routes),
            "kinds": list(_KINDS),
            "most": _PAGE,
        }

    def query(self, one: sql.SQL) -> sql.Composed:
        columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
        return one.format(columns=columns, routes=_ROUTES if self.routes else sql.SQL(""))


async def count(database: Database, window: Window) -> int:
    """How many calls there are. Raises Unavailable."""
    async with database.reading(_LIMIT_S) as connection:
        row = await (await connection.execute(window.query(COUNT), window.values())).fetchone()
    return 0 if row is None else int(row[0])


async def pages(database: Database, window: Window) -> AsyncIterator[list[Recorded]]:
    """All of them, the oldest first. Each page is a query of its own: nothing is held open meanwhile.

    Raises Unavailable.
    """
    at: Any = {"at": window.since, "id": uuid.UUID(int=0)}
    query = window.query(PAGE)
    while True:
        async with database.reading(_LIMIT_S) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = await (await cursor.execute(query, {**window.values(), **at})).fetchall()
        if rows:
            at = {"at": rows[-1]["started_at"], "id": rows[-1]["id"]}
            yield [recorded_of(row) for row in rows]
        if len(rows) < _PAGE:
            return


def recorded_of(row: Mapping[str, Any]) -> Recorded:
    """A row of the table `call`."""
    hit = _hit(row["cache"])
    saved = ((row["notes"] or {}).get("cache") or {}).get("saved_microusd") if hit else None
    ok = row["outcome_class"] == "ok"
    return Recorded(
        id=str(row["id"]), at_s=row["started_at"].timestamp(), took_s=row["duration_us"] / 1e6,
        first_s=None if row["first_us"] is None else row["first_us"] / 1e6, caller=_caller(row), kind=row["kind"],
        door=row["door"], stream=row["stream"], model=row["asked"], target=_target(row), asked=_asked(row),
        choices=_choices(row), usage=_usage(row), full_microusd=saved if hit else row["cost_microusd"],
        paid_microusd=row["cost_microusd"], inner=row["parent_id"] is not None, user=row["user_id"],
        session=row["session"], tags=row["tags"], prompted=_prompted(row), guarded=row["guarded"],
        reached=row["outcome_class"] not in _BEFORE, whole=ok and not row["malformed_frames"], hit=hit,
    )  # fmt: skip


def _hit(cache: str) -> str:
    if cache == "semantic":
        return "semantic"
    return "exact" if cache.startswith("hit") or cache == "exact" else ""


def _caller(row: Mapping[str, Any]) -> Caller:
    return Caller(
        row["key_id"], team=row["team"], environment=row["environment"], feature=row["feature"], tags=row["tags"]
    )


def _target(row: Mapping[str, Any]) -> Target | None:
    if row["route"] is None or row["provider"] is None:
        return None
    return Target(row["route"], row["variant"] or "", row["provider"], row["model"] or "")


def _usage(row: Mapping[str, Any]) -> Usage | None:
    if row["input_tokens"] is None:
        return None
    return Usage(**{bucket: row[f"{bucket}_tokens"] for bucket in BUCKETS}, estimated=row["estimated"])


def _asked(row: Mapping[str, Any]) -> Input | None:
    """None for what was kept by half, and for what a version of another form has written."""
    if row["capture"] != "full" or row["prompt"] is None:
        return None
    try:
        return msgspec.convert(row["prompt"], Input)
    except (msgspec.ValidationError, TypeError):
        return None


def _choices(row: Mapping[str, Any]) -> tuple[Choice, ...]:
    if row["capture"] != "full" or row["reply"] is None:
        return ()
    try:
        return msgspec.convert(row["reply"], tuple[Choice, ...])
    except (msgspec.ValidationError, TypeError):
        return ()


def _prompted(row: Mapping[str, Any]) -> Prompted | None:
    if row["prompt_id"] is None or row["prompt_version"] is None:
        return None
    values: JSON = row["variables"] if isinstance(row["variables"], dict) else {}
    return Prompted(row["prompt_id"], row["prompt_version"], row["prompt_label"], None, values)
