"""The far layer: asked in common, never waited for long, written behind, and away without harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import pytest

from comporta.cache.entry import Row
from comporta.cache.far import Far
from comporta.cache.postgres import PostgresStore
from comporta.cache.redis import RedisStore
from comporta.store.database import Database
from support.caching import Bench, Upstream, call_for


class Held:
    """A store in this process that can be slow, failing and deaf to being cancelled."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.questions: list[int] = []
        self.wait_s = 0.0
        self.error: Exception | None = None
        self.stubborn = False

    def may_hold(self, key: bytes) -> bool:
        return True

    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        self.questions.append(len(keys))
        until_s = time.monotonic() + self.wait_s
        while time.monotonic() < until_s:
            try:
                await asyncio.sleep(until_s - time.monotonic())
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        if self.error is not None:
            raise self.error
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def put(self, rows: Sequence[Row]) -> None:
        if self.error is not None:
            raise self.error
        self.rows |= {row.key: row.body for row in rows}

    async def held(self, owner: bytes, after: str | None, limit: int) -> tuple[list[bytes], str | None]:
        return [], None

    async def erase(self, owner: bytes, after: str | None) -> tuple[int, str | None]:
        return 0, None

    async def refresh(self) -> None:
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        return


def row(key: bytes, size: int = 10) -> Row:
    return Row(key, bytes(size), 0.0, 60.0, "red", "r")


async def test_questions_that_come_while_one_is_under_way_go_out_together() -> None:
    store = Held()
    store.wait_s = 0.01
    store.rows = {b"%d" % i: b"body %d" % i for i in range(0, 40, 2)}
    far = Far(store, limit_s=60)
    found = await asyncio.gather(*(far.get(b"%d" % i) for i in range(40)))
    assert found == [store.rows.get(b"%d" % i) for i in range(40)]
    assert len(store.questions) <= 2 and far.failures == 0
    await far.close()


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_slow_store_is_a_miss_within_the_limit_and_is_left_alone_for_a_while(stubborn: bool) -> None:
    store = Held()
    store.wait_s, store.stubborn = 2.0, stubborn
    far = Far(store, limit_s=0.03, rest_s=60)
    started_s = time.monotonic()
    assert await asyncio.gather(*(far.get(b"a") for _ in range(5))) == [None] * 5
    assert time.monotonic() - started_s < 1.9
    asked = len(store.questions)
    assert await far.get(b"a") is None and len(store.questions) == asked
    assert far.failures >= 1
    await far.close()


async def test_a_store_that_came_back_is_asked_again() -> None:
    store = Held()
    store.rows = {b"a": b"body"}
    store.error = OSError("away")
    far = Far(store, limit_s=60, rest_s=1.5)
    assert await far.get(b"a") is None and far.failures == 1
    store.error = None
    assert await far.get(b"a") is None
    await asyncio.sleep(1.6)
    assert await far.get(b"a") == b"body"
    await far.close()


async def test_one_callers_leaving_does_not_cost_another_its_answer() -> None:
    store = Held()
    store.wait_s = 0.01
    store.rows = {b"a": b"body"}
    far = Far(store, limit_s=60)
    one, other = asyncio.create_task(far.get(b"a")), asyncio.create_task(far.get(b"a"))
    await asyncio.sleep(0.002)
    one.cancel()
    assert await other == b"body"
    await far.close()


async def test_entries_are_written_behind_and_what_waits_is_bounded() -> None:
    store = Held()
    far = Far(store)
    for number in range(600):
        far.offer(row(b"%d" % number))
    far.offer(row(b"huge", 17 << 20))
    assert not store.rows and far.lost == 1
    running = asyncio.create_task(far.run())
    async with asyncio.timeout(60):
        while len(store.rows) < 600:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    far.offer(row(b"last"))
    await far.close()
    assert b"last" in store.rows, "what waits at the end is written"


async def test_a_store_that_fails_to_write_loses_entries_and_no_call() -> None:
    store = Held()
    store.error = OSError("full")
    far = Far(store)
    far.offer(row(b"a"))
    await far.flush()
    assert far.lost == 1 and far.failures == 1
    await far.close()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_a_call_is_answered_in_time_while_the_real_store_is_away(kind: str, tmp_path_factory: object) -> None:
    database = Database("postgresql://nobody@127.0.0.1:9/nothing", checkout_s=1.0)
    store = PostgresStore(database) if kind == "postgres" else RedisStore("redis://127.0.0.1:9/0")
    far = Far(store)
    bench = Bench(far=far)
    call = call_for()
    await bench.ask(call, Upstream())
    assert call.cache == "miss"
    assert far.failures == 1
    again = call_for()
    await bench.ask(again, Upstream())
    assert again.cache == "hit", "the layer in memory goes on"
    await far.close()
    await database.close()
