"""What was spent, by whom and on what: sums of the ledger that add up to the micro-dollar.

Most things are read from the sums by the hour. Users and tags stand on the calls alone, which are dropped earlier: what
the ledger still knows and the calls don't is then one row of its own, so that the total stays the ledger's.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from comporta.errors import BadRequest
from comporta.store.database import Connection, Database

#: What costs can be told apart by, beside `tag:<name>`.
DIMENSIONS = ("team", "feature", "environment", "model", "provider", "route", "key", "day", "user")
MOST_DIMENSIONS = 4
MOST_ROWS = 10_000
_TAG = "tag:"
_HIT = "cache like 'hit%%' or cache in ('exact', 'semantic')"
#: In the sums, and on the calls.
_SUMMED: dict[str, sql.Composable] = {
    **{name: sql.Identifier(name) for name in ("team", "feature", "environment", "model", "provider", "route")},
    "key": sql.Identifier("key_id"),
    "day": sql.SQL("to_char(period at time zone 'UTC', 'YYYY-MM-DD')"),
}
_CALLED: dict[str, sql.Composable] = {
    **{
        name: sql.SQL("coalesce({}, '')").format(sql.Identifier(name)) for name in _SUMMED if name not in ("key", "day")
    },
    "key": sql.Identifier("key_id"),
    "day": sql.SQL("to_char(started_at at time zone 'UTC', 'YYYY-MM-DD')"),
    "user": sql.SQL("coalesce(user_id, '')"),
}
_FROM_SUMS = sql.SQL("""
select {dimensions}sum(calls)::bigint as calls, sum(cache_hits)::bigint as cache_hits,
    sum(estimated_calls)::bigint as estimated_calls, sum(unpriced_calls)::bigint as unpriced_calls,
    sum({tokens})::bigint as tokens, sum(cost_microusd)::bigint as cost_microusd
from rollup_hour where period >= %(begin)s and period < %(end)s
{groups} order by cost_microusd desc, calls desc {and_by} limit %(limit)s
""")
_FROM_CALLS = sql.SQL("""
select {dimensions}count(*)::bigint as calls, count(*) filter (where {hit})::bigint as cache_hits,
    count(*) filter (where estimated)::bigint as estimated_calls,
    count(*) filter (where cost_microusd is null and input_tokens is not null)::bigint as unpriced_calls,
    coalesce(sum({tokens}) filter (where not ({hit})), 0)::bigint as tokens,
    coalesce(sum(cost_microusd), 0)::bigint as cost_microusd
from call where started_at >= %(begin)s and started_at < %(end)s
{groups} order by cost_microusd desc, calls desc {and_by} limit %(limit)s
""")
_NAMES = "select id, name from virtual_key where id = any(%s)"
_BUCKETS = ("input", "cached", "cache_write", "audio_in", "image_in", "output", "reasoning", "audio_out")
_FIGURES = ("calls", "cache_hits", "estimated_calls", "unpriced_calls", "tokens", "cost_microusd")
#: Rows and total are of one moment: a batch of records may come in between.
_AT_ONE_MOMENT = "set transaction isolation level repeatable read"
_FIRST_CALL = "select min(started_at) from call"


class CostRow(Struct, frozen=True):
    """What the calls of one group came to. `by` has a value for each dimension; empty where calls have none.

    `unpriced_calls` used tokens whose price nobody knows: they are not in the cost. `kept` is False for the one row of
    calls that are no longer there to be told apart.
    """

    by: dict[str, str]
    calls: int
    cache_hits: int
    estimated_calls: int
    unpriced_calls: int
    tokens: int
    cost_microusd: int
    kept: bool = True


class Costs(Struct, frozen=True):
    """The rows, the dearest first, and the ledger's total that they add up to."""

    begin: datetime.datetime
    end: datetime.datetime
    by: tuple[str, ...]
    rows: list[CostRow]
    total: CostRow
    #: Names of keys by id.
    keys: dict[str, str] = {}
    #: What whoever reads it must know.
    notes: tuple[str, ...] = ()


def dimensions_of(text: str) -> tuple[str, ...]:
    """`team,feature` as dimensions. Raises BadRequest."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for one in found:
        known = one in DIMENSIONS or (one.startswith(_TAG) and 0 < len(one) - len(_TAG) <= 100)
        if not known:
            raise BadRequest(
                f"Costs can't be told apart by '{one[:50]}'; there are {', '.join(DIMENSIONS)} and tag:<name>.",
                param="by",
            )
    if len(found) > MOST_DIMENSIONS:
        raise BadRequest(f"by: at most {MOST_DIMENSIONS} at a time.", param="by")
    return found


def month_of(text: str) -> tuple[datetime.datetime, datetime.datetime]:
    """Begin and end of `2026-11`, UTC. Raises BadRequest."""
    try:
        begin = datetime.datetime.strptime(text, "%Y-%m").replace(tzinfo=datetime.UTC)
        return begin, (begin + datetime.timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise BadRequest("month: write it as 2026-11.", param="month") from None


def moment_of(text: str, param: str) -> datetime.datetime:
    """`2026-11-03` or `2026-11-03T14:00Z`, a full hour. Raises BadRequest."""
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{param}: write a day as 2026-11-03, or an hour as 2026-11-03T14:00Z.", param=param) from None
    at = at.replace(tzinfo=datetime.UTC) if at.tzinfo is None else at.astimezone(datetime.UTC)
    if (at.minute, at.second, at.microsecond) != (0, 0, 0):
        raise BadRequest(f"{param}: the ledger is kept by the hour; give a full hour, UTC.", param=param)
    return at


def span_of(
    month: str | None, begin: str | None, end: str | None, now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """What is asked for: a month, or from one moment (included) to another (not), or this month. Raises BadRequest."""
    if month is not None and (begin is not None or end is not None):
        raise BadRequest("Give a month, or from and to, not both.", param="month")
    if begin is None and end is None:
        return month_of(f"{now:%Y-%m}" if month is None else month)
    upto = now.replace(minute=0, second=0, microsecond=0) + datetime.timedelta(hours=1)
    first = month_of(f"{now:%Y-%m}")[0] if begin is None else moment_of(begin, "from")
    last = upto if end is None else moment_of(end, "to")
    if first >= last:
        raise BadRequest("from must lie before to.", param="from")
    return first, last


async def costs(
    database: Database, by: Sequence[str], begin: datetime.datetime, end: datetime.datetime, limit: int = MOST_ROWS
) -> Costs:
    """Costs from one full hour (included) to another (not), told apart. Raises BadRequest for what can't be."""
    by = dimensions_of(",".join(by))
    finely = any(one == "user" or one.startswith(_TAG) for one in by)
    async with database.reading() as connection:
        await connection.execute(_AT_ONE_MOMENT)
        total = (await _rows(connection, _FROM_SUMS, (), begin, end, 1))[0]
        rows = await _rows(connection, _FROM_CALLS if finely else _FROM_SUMS, by, begin, end, limit + 1)
        notes = _cut(rows, limit)
        if finely:
            first: Any = await (await connection.execute(_FIRST_CALL)).fetchone()
            notes += _unkept(rows, total, by, begin, first[0])
        elif len(rows) == limit:
            notes += _unkept(rows, total, by, begin, None)
        keys = await _keys(connection, rows)
    return Costs(begin, end, by, rows, total, keys, tuple(notes))


async def _rows(
    connection: Connection, statement: sql.SQL, by: Sequence[str], begin: datetime.datetime, end: datetime.datetime,
    limit: int,
) -> list[CostRow]:  # fmt: skip
    known = _CALLED if statement is _FROM_CALLS else _SUMMED
    parts = [sql.SQL("{} as {}").format(_of(one, known), sql.Identifier(f"by{at}")) for at, one in enumerate(by)]
    numbers = sql.SQL(", ").join([sql.Literal(at + 1) for at in range(len(by))])
    asked = statement.format(
        dimensions=sql.SQL("").join([part + sql.SQL(", ") for part in parts]),
        groups=sql.SQL("group by {}").format(numbers) if by else sql.SQL(""),
        and_by=sql.SQL(", {}").format(numbers) if by else sql.SQL(""),
        tokens=sql.SQL(" + ").join([_tokens(bucket) for bucket in _BUCKETS]),
        hit=sql.SQL(_HIT),
    )
    cursor = connection.cursor(row_factory=dict_row)
    found = await (await cursor.execute(asked, {"begin": begin, "end": end, "limit": limit})).fetchall()
    return [
        _row({one: str(row[f"by{at}"]) for at, one in enumerate(by)}, [row[name] or 0 for name in _FIGURES])
        for row in found
    ]


def _row(by: dict[str, str], figures: Sequence[int], kept: bool = True) -> CostRow:
    return CostRow(by, *[int(figure) for figure in figures], kept=kept)  # type: ignore[misc,arg-type]


def _of(dimension: str, known: dict[str, sql.Composable]) -> sql.Composable:
    if dimension.startswith(_TAG):
        return sql.SQL("coalesce(tags ->> {}, '')").format(sql.Literal(dimension.removeprefix(_TAG)))
    return known[dimension]


def _tokens(bucket: str) -> sql.Composable:
    return sql.SQL("coalesce({}, 0)").format(sql.Identifier(f"{bucket}_tokens"))


def _cut(rows: list[CostRow], limit: int) -> list[str]:
    if len(rows) <= limit:
        return []
    del rows[limit:]
    return [f"Only the {limit} dearest groups are listed; the others stand together in the last row."]


def _unkept(
    rows: list[CostRow], total: CostRow, by: Sequence[str], begin: datetime.datetime, first: datetime.datetime | None
) -> list[str]:
    """What the ledger knows beyond the rows becomes a row, so that they add up."""
    left = [getattr(total, name) - sum(getattr(row, name) for row in rows) for name in _FIGURES]
    if not any(left):
        return []
    rows.append(_row(dict.fromkeys(by, ""), left, kept=False))
    if first is None or first <= begin:
        return []
    return [
        f"Calls are kept from {first:%Y-%m-%d %H:%M} UTC on (records.keep, records.max_size): what was spent before "
        f"can't be told apart by {', '.join(by)}, and stands together in the last row."
    ]


async def _keys(connection: Connection, rows: Sequence[CostRow]) -> dict[str, str]:
    ids = sorted({row.by["key"] for row in rows if "key" in row.by})
    if not ids:
        return {}
    return {str(id): str(name) for id, name in await (await connection.execute(_NAMES, [ids])).fetchall()}
