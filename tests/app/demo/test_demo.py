"""The demo's week: drawn the same from the same seed, put in by the shipping code, taken away without a trace."""

from __future__ import annotations

import collections
import datetime
import time

from comporta.app.demo.filling import fill, has_demo, take_away
from comporta.app.demo.texts import prompt_file
from comporta.app.demo.week import DAYS, TAG, Key, Week, drawn
from comporta.keys.keys import Keys
from comporta.prompts.folder import load_bytes
from comporta.store.database import Database
from comporta.telemetry.record import CallRecord
from comporta.telemetry.series import series
from support.filling import Filler
from support.filling import fill as filled

NOW_S = 1_780_000_000.0
KEYS = (Key("k1", "demo-care-chat", "care", "chat"), Key("k2", "demo-growth", "growth", "offers"))


def within(week: Week, now_s: float) -> bool:
    return all(now_s - DAYS * 86_400 <= one.started_us / 1e6 <= now_s for one in week.calls)


def test_the_same_seed_draws_the_same_week_and_another_another() -> None:
    first, again, other = (drawn(KEYS, 300, seed, NOW_S) for seed in (7, 7, 8))
    assert first == again
    assert [one.id for one in first.calls] != [one.id for one in other.calls]


def test_a_week_has_what_a_product_has() -> None:
    week = drawn(KEYS, 4000, 7, NOW_S)
    assert within(week, NOW_S) and len(week.calls) >= 4000
    assert all(one.tags[TAG] == "true" for one in week.calls)
    assert {one.cache for one in week.calls} == {"miss", "exact", "semantic", "bypass"}
    assert {one.outcome for one in week.calls} == {"ok", "upstream_error", "timeout", "rate_limit", "guardrail_blocked"}
    assert {one.prompt_version for one in week.calls} == {None, "1.2.0", "1.3.0"}
    assert any(one.parent_id for one in week.calls) and any(one.session for one in week.calls)
    assert {one.source for one in week.scores} == {"user", "judge", "guard"} and week.reviews


def test_no_customer_asks_for_all_and_nobodys_card_is_answered_from_a_cache() -> None:
    week = drawn(KEYS, 4000, 7, NOW_S)
    most = collections.Counter(one.user for one in week.calls).most_common(1)[0][1]
    assert most < 0.08 * len(week.calls)
    cards = [one for one in week.calls if "4111" in str(one.prompt)]
    assert cards and all(one.cache != "semantic" and "card" in (one.reply or "card") for one in cards)


def test_the_evening_of_the_outage_stands_out() -> None:
    week = drawn(KEYS, 12_000, 7, NOW_S)
    began, ended = week.outage

    def failing(calls: list[CallRecord]) -> float:
        return sum(one.outcome_class == "upstream" or one.outcome == "timeout" for one in calls) / len(calls)

    inside = [one for one in week.calls if began <= one.started_us / 1e6 < ended]
    outside = [one for one in week.calls if not began <= one.started_us / 1e6 < ended]
    assert failing(inside) > 0.2 > 0.03 > failing(outside)


def test_the_prompt_can_be_read_in_all_its_versions() -> None:
    for version in ("1.2.0", "1.3.0", "1.4.0"):
        (prompt,) = load_bytes(prompt_file(version, "offline/extractive").encode(), "courier-support.yaml")
        assert prompt.version == version and [one.name for one in prompt.variables] == ["question", "name"]


async def test_a_demo_is_put_in_and_taken_away_and_what_was_there_stays(database: Database) -> None:
    filler = Filler(seed=3)
    own = [filler.call(time.time() - 60 * n) for n in range(1, 20)]
    await filled(database, own, filler)
    row, _ = await Keys(database).create(name="demo-care-chat", tags={TAG: "true"}, by="test")
    assert await has_demo(database)
    week = drawn([Key(row.id, row.name, "care", "chat")], 300, 7)
    shares: list[float] = []
    await fill(database, week, shares.append)
    assert shares[-1] == 1.0 and shares == sorted(shares)
    assert await calls(database) == len(own) + len(week.calls)
    assert await take_away(database, shares.append) == len(week.calls)
    assert await calls(database) == len(own)
    assert await counted(database, "call") == len(own)
    assert await counted(database, "review") == 0 and await counted(database, "alert_event") == 0
    assert await counted(database, "score where id like 'demo/%'") == 0


async def calls(database: Database) -> float:
    """As the figures say."""
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=8)
    found = await series(database, ("calls",), since=since)
    return found.lines[0].total["calls"] or 0.0


async def counted(database: Database, what: str) -> int:
    async with database.reading() as connection:
        row = await (await connection.execute(f"select count(*) from {what}".encode())).fetchone()
    assert row is not None
    return int(row[0])
