"""Sums of scores by day say what a full count says, whatever happens to scores, and are read instead of them."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import comporta.store.migrations
from comporta.feedback.findings.commenting import version_sums
from comporta.feedback.findings.reads import trends
from comporta.store.database import Connection, Database
from comporta.store.people import Person
from comporta.telemetry import score_days, score_reads, score_tables
from comporta.telemetry.score_people import ScoresOf
from comporta.telemetry.score_reads import COLUMNS, figures

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
KINDS = {"thumbs": "boolean", "rating": "number", "comment": "text", "guard.pii": "text"}
PUT = """
insert into score (owner, id, name, at, kind, number, label, source, who, call_id, joined_at, called_at, route, variant,
    provider, model, key_id, team, environment, feature, prompt_id, prompt_version, user_id, session)
values ('', %(id)s, %(name)s, %(at)s, %(kind)s, %(number)s, %(label)s, %(source)s, '', gen_random_uuid(), %(joined)s,
    %(at)s - interval '1 minute', %(route)s, %(variant)s, 'offline', %(model)s, %(key)s, %(team)s, null, 'chat',
    %(prompt)s, %(version)s, %(user)s, 's')
"""


class Drawn:
    """Draws scores of the last forty days, and what happens to them."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._count = 0

    def score(self, **changes: Any) -> dict[str, Any]:
        draw, name = self._draw, self._draw.choice(list(KINDS))
        self._count += 1
        kind = KINDS[name]
        at = NOW - draw.choice((1, 1, 3, 40)) * draw.random() * DAY
        number = None if kind == "text" else float(draw.randint(0, 1) if kind == "boolean" else draw.randint(1, 5))
        label = draw.choice(("block", "flag", "so " * 40)) if kind == "text" else None
        return {
            "id": f"s{self._count}", "name": name, "at": at, "kind": kind, "number": number, "label": label,
            "source": "guard" if name == "guard.pii" else "user", "joined": draw.choice((at, at, None)),
            "route": draw.choice(("a", "b", None)), "variant": draw.choice(("v1", "v2")),
            "model": draw.choice(("m1", "m2", "")), "key": draw.choice(("k1", "k2")), "team": draw.choice(("t1", None)),
            "prompt": draw.choice(("p", "q", None)), "version": draw.choice(("1.0.0", "2.0.0")),
            "user": draw.choice(("ana", "rui", None)), **changes,
        }  # fmt: skip

    async def happen(self, database: Database) -> None:
        """One thing of those that happen to scores."""
        act = self._draw.choice((self._come, self._come, self._change, self._join, self._erase, self._prune, self._go))
        await act(database)

    async def _come(self, database: Database) -> None:
        await put(database, [self.score() for _ in range(self._draw.randint(1, 60))])

    async def _change(self, database: Database) -> None:
        said = "update score set number = 5 - number, at = at - %s where number is not null and id like %s"
        await run(database, said, [self._draw.choice((0, 1)) * DAY, f"%{self._draw.randint(0, 9)}"])

    async def _join(self, database: Database) -> None:
        await run(database, "update score set joined_at = now(), route = 'late' where joined_at is null and id like %s",
                  [f"%{self._draw.randint(0, 9)}"])  # fmt: skip

    async def _erase(self, database: Database) -> None:
        await ScoresOf(database).erase(Person(self._draw.choice(("ana", "rui")), b""), None)

    async def _prune(self, database: Database) -> None:
        await score_tables.prune(database, self._draw.randint(20, 39))

    async def _go(self, database: Database) -> None:
        await run(database, "delete from score where key_id = 'k2' and id like %s", [f"%{self._draw.randint(0, 9)}"])


async def put(database: Database, scores: Sequence[dict[str, Any]]) -> None:
    async with database.connection() as connection, connection.cursor() as cursor:
        await cursor.executemany(PUT, scores)


async def run(database: Database, statement: str, values: Sequence[object] = ()) -> int:
    async with database.connection() as connection:
        return (await connection.execute(statement.encode(), values)).rowcount


async def one(database: Database, query: str) -> Any:
    async with database.connection() as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row[0]


async def every_score(database: Database) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return await (await cursor.execute("select * from score where joined_at is not null")).fetchall()


def counted(rows: Sequence[dict[str, Any]], group: str | None) -> dict[Any, Any]:
    """What `figures` tells, counted one by one."""
    told: dict[Any, Any] = {}
    for row in rows:
        told.setdefault((row[COLUMNS[group]] if group else None, row["name"]), []).append(row)
    return {place: _told(mine) for place, mine in told.items()}


def _told(rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    numbers = [row["number"] for row in rows if row["number"] is not None]
    labels = [row["label"] for row in rows if row["label"] and len(row["label"]) <= 100]
    return (
        len(rows), max(row["at"] for row in rows), {text: labels.count(text) for text in labels},
        *((sum(numbers), sum(n * n for n in numbers), min(numbers), max(numbers)) if numbers else [None] * 4),
    )  # fmt: skip


async def check(database: Database) -> None:
    """Figures of all windows and groups are those of a full count."""
    rows = await every_score(database)
    for since, until in (
        (None, None), (NOW - 7 * DAY, None), (MIDNIGHT - 30 * DAY, MIDNIGHT), (NOW - 20 * DAY, NOW - 2.5 * DAY),
        (NOW - 3 * DAY, NOW - 2.9 * DAY), (None, MIDNIGHT - DAY),
    ):  # fmt: skip
        inside = [row for row in rows if (not since or row["at"] >= since) and (not until or row["at"] < until)]
        for group in (None, "version", "team", "model", "source"):
            found = await figures(database, group_by=group, since=since, until=until)
            told = {
                (one.group, one.name): (one.n, one.latest, one.labels, one.sum, one.sum_squares, one.least, one.most)
                for one in found
            }
            assert told == counted(inside, group), (since, until, group)
    narrow = await figures(database, filters={"route": "a", "user": "ana"}, names=["rating", "comment"])
    inside = [row for row in rows if row["route"] == "a" and row["user_id"] == "ana"]
    wanted = {name: told for (_, name), told in counted(inside, None).items() if name in ("rating", "comment")}
    assert {one.name: one.n for one in narrow} == {name: told[0] for name, told in wanted.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_figures_are_those_of_a_full_count_whatever_happens_to_scores(database: Database, seed: int) -> None:
    drawn, draw = Drawn(seed), random.Random(seed)
    await put(database, [drawn.score() for _ in range(150)])
    await check(database)
    for _ in range(8):
        await drawn.happen(database)
        if draw.random() < 0.6:
            await score_days.refresh(database)
        if draw.random() < 0.4:
            await check(database)
    await score_days.refresh(database)
    await check(database)
    assert await one(database, "select count(*) from score_stale_day where day < (now() at time zone 'utc')::date") == 0


async def test_days_that_are_over_are_read_from_their_sums(database: Database) -> None:
    drawn = Drawn(4)
    changes = {"joined": NOW, "name": "rating", "kind": "number", "label": None, "source": "user", "route": "a"}
    scores = [
        drawn.score(at=MIDNIGHT - n % 29 * DAY - DAY / 2, number=float(n % 5), prompt="p", **changes)
        for n in range(200)
    ]
    await put(database, scores)
    assert await score_days.refresh(database) == 29

    async def answers() -> list[Any]:
        async with database.connection() as connection:
            versions = await version_sums(connection)
        # Texts of users stand in no sum.
        return [await figures(database), await figures(database, group_by="model"), await trends(database),
                sorted(versions, key=str)]  # fmt: skip

    before = await answers()
    await run(database, "alter table score disable trigger user")
    assert await run(database, "delete from score") == 200
    assert await answers() == before and before[0][0].n == 200


async def test_a_change_that_is_under_way_while_its_day_is_summed_up_counts(database: Database) -> None:
    await put(database, [Drawn(5).score(at=MIDNIGHT - DAY, joined=NOW, name="rating", kind="number", number=1.0)])
    async with await psycopg.AsyncConnection.connect(database.dsn) as other:
        # The day is stale already; the change hangs on the mark that is there.
        await other.execute("update score set number = 4")
        await score_days.refresh(database)
        await other.commit()
        assert [one.sum for one in await figures(database)] == [4.0]
        await score_days.refresh(database)
        assert [one.sum for one in await figures(database)] == [4.0]
        assert await score_days.refresh(database) == 0
        await other.execute("update score set number = 2")
        assert await score_days.refresh(database) == 0, "nothing is stale for anybody else yet"
        await other.commit()
    assert [one.sum for one in await figures(database)] == [2.0]


async def test_two_workers_count_nothing_twice(database: Database) -> None:
    drawn = Drawn(6)
    scores = [drawn.score(at=MIDNIGHT - DAY) for _ in range(60)]
    await put(database, [{**score, "joined": None} for score in scores])

    async def say(connection: Connection) -> None:
        # In one order, as scores are written: whoever locks rows crosswise waits for nobody's sums but for each other.
        await connection.execute("select from score order by id for update")
        said = "update score set joined_at = coalesce(joined_at, now()), number = 3 where number is not null"
        await connection.execute(said.encode())

    async def worker() -> None:
        for _ in range(5):
            async with database.connection() as connection:
                await say(connection)
            await score_days.refresh(database)

    await asyncio.gather(*(worker() for _ in range(4)))
    await score_days.refresh(database)
    await check(database)
    assert await score_days.refresh(database) == 0, "whoever says the same again changes nothing"


async def test_an_erased_users_figures_leave_the_sums_as_they_are(database: Database) -> None:
    rated = {"name": "rating", "kind": "number", "number": 4.0, "label": None}
    await put(database, [Drawn(7).score(at=MIDNIGHT - DAY, joined=NOW, user="ana", **rated)])
    await score_days.refresh(database)
    await ScoresOf(database).erase(Person("ana", b""), None)
    assert await one(database, "select count(*) from score_stale_day") == 0
    await check(database)


async def test_sums_follow_a_table_that_was_written_anew(database: Database) -> None:
    drawn = Drawn(8)
    await put(database, [drawn.score() for _ in range(3000)])
    await score_days.refresh(database)
    size = await one(database, "select pg_total_relation_size('score')")
    assert await score_tables.keep_within(database, size // 2)
    await check(database)
    await score_days.refresh(database)
    await put(database, [drawn.score(at=MIDNIGHT - 2 * DAY, joined=NOW)])
    await check(database)


async def test_a_value_that_no_sum_holds_keeps_its_own_day_stale_alone(database: Database) -> None:
    drawn = Drawn(9)
    await put(database, [drawn.score(at=MIDNIGHT - DAY, joined=NOW, name="rating", kind="number", number=1e300)])
    await put(database, [drawn.score(at=MIDNIGHT - 3 * DAY, joined=NOW)])
    assert await score_days.refresh(database) == 1
    assert await one(database, "select count(distinct day) from score_stale_day") == 1


async def test_what_was_judged_before_there_were_sums_is_summed_up(database: Database) -> None:
    await run(database, "drop table score_day, score_stale_day")
    await run(database, "drop index score_on_day, score_words, score_session")
    await run(database, "drop function score_day_is_stale cascade")
    drawn = Drawn(10)
    await put(database, [drawn.score() for _ in range(100)])
    migration = Path(comporta.store.migrations.__path__[0]) / "0111_score_days.sql"
    await run(database, migration.read_text())
    await check(database)
    assert await score_days.refresh(database) > 5
    await check(database)
    await run(database, "truncate score")
    assert await figures(database) == []


@pytest.mark.parametrize("hours", [-16.1, 15.9, 23.9])
async def test_windows_in_odd_zones_and_at_the_calendars_end_are_answered(database: Database, hours: float) -> None:
    await put(database, [Drawn(11).score(at=MIDNIGHT - DAY, joined=NOW)])
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    assert len(await score_reads.figures(database, since=(NOW - 9 * DAY).astimezone(zone))) == 1
    last = datetime.datetime.max.replace(tzinfo=zone)
    assert await score_reads.figures(database, since=last) == []
    assert len(await score_reads.figures(database, until=last)) == 1
