"""Scores as they are listed and summed up: pages by key, and figures by route, variant, prompt version and more."""

from __future__ import annotations

import base64
import datetime
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.store.fields import in_utc
from comporta.telemetry import score_days

MAX_LIMIT = 500
#: A text's figures name its commonest words.
_LABELS = 20
_MOST_GROUPS = 1000

#: What scores can be filtered and grouped by, and the column behind each.
COLUMNS = {
    "name": "name", "source": "source", "who": "who", "route": "route", "variant": "variant", "provider": "provider",
    "model": "model", "prompt": "prompt_id", "version": "prompt_version", "key": "key_id", "team": "team",
    "environment": "environment", "feature": "feature", "user": "user_id", "session": "session", "trace": "trace_id",
    "call": "call_id",
}  # fmt: skip
#: What figures can be told apart by: few enough values to list.
GROUPS = tuple(name for name in COLUMNS if name not in ("user", "session", "trace", "call", "who"))

_SHOWN = (
    "owner", "id", "name", "at", "kind", "number", "label", "source", "who", "reason", "trace_id", "call_id",
    "reply_id", "joined_at", "route", "variant", "provider", "model", "prompt_id", "prompt_version", "key_id", "team",
    "environment", "feature", "user_id", "session",
)  # fmt: skip
LIST = sql.SQL("select {shown} from score where true {where} order by at desc, owner desc, id desc, name desc limit %s")
#: Figures are of scores whose call is known: of the others nobody can tell yet whether they may count.
FIGURES = sql.SQL("""
select {group} name, kind, sum(n)::bigint as n, sum(total) as sum, sum(squares) as sum_squares,
    min(least) as least, max(most) as most, max(latest) as latest
from {sums} where true {where}
group by {by} name, kind order by {by} name, kind limit {most}
""")
LABELS = sql.SQL("""
select {group} name, label, sum(n)::bigint as n from {words} where label is not null {where}
group by {by} name, label order by n desc, label limit {most}
""")
#: Scores one by one in the shape of sums, for questions that no sum by day answers.
EACH = sql.SQL("""(
    select *, 1 as n, number as total, number * number as squares, number as least, number as most, at as latest
    from score where joined_at is not null {within}
) as summed""")
#: What was said in few words: of guards as it is summed up, of the others one by one.
WORDS = sql.SQL("""(
    select {columns}, label, n from {sums} where label is not null
    union all
    select {columns}, label, 1 from score
    where joined_at is not null and kind = 'text' and source <> 'guard' and length(label) <= 100 {within}
) as said""")
EACH_WORD = sql.SQL("""(
    select *, 1 as n from score where joined_at is not null and kind = 'text' and length(label) <= 100 {within}
) as said""")


class ScoreRow(Struct, frozen=True):
    """A score with what is known of its call; `joined` says whether its call was found yet."""

    id: str
    name: str
    value: float | bool | str
    source: str
    who: str
    reason: str | None
    at: datetime.datetime
    trace_id: str | None
    call_id: str | None
    reply_id: str | None
    joined: bool
    route: str | None
    variant: str | None
    provider: str | None
    model: str | None
    prompt: str | None
    version: str | None
    key_id: str | None
    team: str | None
    environment: str | None
    feature: str | None
    user: str | None
    session: str | None


class ScorePage(Struct, frozen=True):
    """Scores, the newest first; `next` is what to ask for as `after` to see older ones, None at the end."""

    scores: list[ScoreRow]
    next: str | None


class Figures(Struct, frozen=True):
    """Sums of one score's values in one group. Of booleans `mean` is the share of true; texts have `labels` alone.

    `sum` and `sum_squares` are what running tests need: their mean is `sum / n`, their variance follows.
    """

    name: str
    kind: str
    n: int
    #: The group's value; None where the calls had none, and where figures are not grouped.
    group: str | None = None
    sum: float | None = None
    sum_squares: float | None = None
    mean: float | None = None
    least: float | None = None
    most: float | None = None
    latest: datetime.datetime | None = None
    #: How often each text was said, the commonest first.
    labels: dict[str, int] = {}


async def list_scores(
    database: Database,
    *,
    filters: Mapping[str, str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    after: str | None = None,
    limit: int = 50,
) -> ScorePage:
    """One page. `filters` are names of COLUMNS; raises BadRequest for others, and for an `after` that is not ours."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"A page holds 1 to {MAX_LIMIT} scores.", param="limit")
    where, values = _where(filters or {})
    where += score_days.within(in_utc(since), in_utc(until))
    if after is not None:
        where += sql.SQL(" and (at, owner, id, name) < (%s, %s, %s, %s)")
        values += _after(after)
    query = LIST.format(shown=sql.SQL(", ").join(map(sql.Identifier, _SHOWN)), where=where)
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(query, [*values, limit + 1])).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return ScorePage([score_row(row) for row in rows], _cursor(rows[-1]) if more else None)


async def scores_of_trace(database: Database, trace_id: str) -> list[ScoreRow]:
    """Every score of a trace and its calls, the newest first; at most 500."""
    return (await list_scores(database, filters={"trace": trace_id}, limit=MAX_LIMIT)).scores


async def scores_of_call(database: Database, call_id: str) -> list[ScoreRow]:
    """Every score of one call, the newest first; at most 500."""
    return (await list_scores(database, filters={"call": call_id}, limit=MAX_LIMIT)).scores


async def figures(
    database: Database,
    *,
    names: Sequence[str] | None = None,
    group_by: str | None = None,
    filters: Mapping[str, str] | None = None,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> list[Figures]:
    """n, sum and mean of every score (or of these `names`), told apart by one of GROUPS where one is given.

    `since` and `until` are of the judgement's time. What waits for its call's record counts nowhere yet. Raises
    BadRequest for a filter or a group that there is none of.
    """
    if group_by is not None and group_by not in GROUPS:
        raise BadRequest(f"Scores can't be grouped by '{group_by[:50]}'; there are {', '.join(GROUPS)}.",
                         param="group_by")  # fmt: skip
    where, values = _where(filters or {})
    if names is not None:
        where += sql.SQL(" and name = any(%s)")
        values.append(list(names))
    # What a question about them is read from, beside what every answer has.
    asked = {COLUMNS[name] for name in (*(filters or {}), *([group_by] if group_by else ()))} | {"name", "kind"}
    sums, words = _read_from(asked, in_utc(since), in_utc(until))
    async with database.reading() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = await (await cursor.execute(_grouped(FIGURES, group_by, where, sums=sums), values)).fetchall()
        labels = []
        if any(row["kind"] == "text" for row in rows):
            labels = await (await cursor.execute(_grouped(LABELS, group_by, where, words=words), values)).fetchall()
    return [_figures(row, labels) for row in rows]


def _read_from(
    asked: Set[str], since: datetime.datetime | None, until: datetime.datetime | None
) -> tuple[sql.Composed, sql.Composed]:
    """Figures and words: by days as far as there are sums of what is asked, else one by one."""
    within = score_days.within(since, until)
    if not asked <= score_days.SUMMED:
        return EACH.format(within=within), EACH_WORD.format(within=within)
    sums = score_days.sums(asked, since, until)
    return sums, WORDS.format(columns=score_days.listed(asked - {"kind"}), sums=sums, within=within)


async def sums_by_variant(
    database: Database,
    route: str,
    names: Sequence[str],
    since: datetime.datetime,
    until: datetime.datetime | None = None,
) -> dict[str, dict[str, Figures]]:
    """Figures of a route's scores, by variant and then by name: what rollouts and experiments compare.

    `since` is of the judgement: a score that comes late counts where its call was answered, by the call's variant.
    """
    found = await figures(database, names=names, group_by="variant", filters={"route": route}, since=since, until=until)
    told: dict[str, dict[str, Figures]] = {}
    for one in found:
        if one.kind != "text":
            told.setdefault(one.group or "", {})[one.name] = one
    return told


def score_row(row: Mapping[str, Any]) -> ScoreRow:
    plain = {
        name: row[name]
        for name in ("id", "name", "source", "who", "reason", "at", "trace_id", "reply_id", "route", "variant",
                     "provider", "model", "key_id", "team", "environment", "feature", "session")
    }  # fmt: skip
    return ScoreRow(
        value=_value(row), call_id=str(row["call_id"]) if row["call_id"] else None,
        joined=row["joined_at"] is not None, prompt=row["prompt_id"], version=row["prompt_version"],
        user=row["user_id"], **plain,
    )  # fmt: skip


def _value(row: Mapping[str, Any]) -> float | bool | str:
    if row["kind"] == "text":
        return str(row["label"])
    return bool(row["number"]) if row["kind"] == "boolean" else float(row["number"])


def _figures(row: Mapping[str, Any], labels: Sequence[Mapping[str, Any]]) -> Figures:
    group = row.get("grouped")
    mine = [one for one in labels if one.get("grouped") == group and one["name"] == row["name"]]
    n, total = int(row["n"]), row["sum"]
    return Figures(
        name=row["name"], kind=row["kind"], n=n, group=group, sum=total, sum_squares=row["sum_squares"],
        mean=None if total is None else total / n, least=row["least"], most=row["most"], latest=row["latest"],
        labels={one["label"]: int(one["n"]) for one in mine[:_LABELS]} if row["kind"] == "text" else {},
    )  # fmt: skip


def _grouped(query: sql.SQL, group_by: str | None, where: sql.Composable, **source: sql.Composable) -> sql.Composed:
    column = None if group_by is None else sql.Identifier(COLUMNS[group_by])
    return query.format(
        group=sql.SQL("") if column is None else sql.SQL("{} as grouped,").format(column),
        by=sql.SQL("") if column is None else sql.SQL("{},").format(column),
        where=where, most=sql.Literal(_MOST_GROUPS), **source,
    )  # fmt: skip


def _where(filters: Mapping[str, str]) -> tuple[sql.Composed, list[Any]]:
    where, values = sql.Composed([]), list[Any]()
    for name, value in filters.items():
        if name not in COLUMNS:
            raise BadRequest(
                f"Scores can't be filtered by '{name[:50]}'; there are {', '.join(COLUMNS)}.", param=name[:50]
            )
        # What is no id names no call, instead of failing.
        where += sql.SQL(" and {}::text = %s" if name == "call" and not _is_uuid(value) else " and {} = %s").format(
            sql.Identifier(COLUMNS[name])
        )
        values.append(value)
    return where, values


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _cursor(row: Mapping[str, Any]) -> str:
    place = (row["at"], row["owner"], row["id"], row["name"])
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _after(text: str) -> list[Any]:
    try:
        kind = tuple[datetime.datetime, str, str, str]
        return list(msgspec.json.decode(base64.urlsafe_b64decode(text), type=kind))
    except (ValueError, msgspec.MsgspecError):
        raise BadRequest("`after` must be the `next` of an earlier page.", param="after") from None
