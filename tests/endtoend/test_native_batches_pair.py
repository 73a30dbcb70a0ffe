"""Native batches of a gate with two workers that share a Redis: either takes any step, and both count together."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from openai import OpenAI

from support.native import House, begin, costs, ended, native_house, read, row, spoken
from support.redis import KillableRedis, killable_redis
from support.talking import Answer, ask, until

T = TypeVar("T")

#: So many connections of their own reach both workers, but for one time in a thousand.
_EACH = 10


@pytest.fixture(scope="module")
def redis() -> Iterator[KillableRedis]:
    with killable_redis() as made:
        yield made


@pytest.fixture(scope="module")
def shared(redis: KillableRedis) -> Iterator[House]:
    with native_house(f'server: {{workers: 2}}\nredis: {{url: "{redis.url}"}}\n') as made:
        yield made


@pytest.fixture
def house(shared: House) -> House:
    return shared.fresh()


def client_of(house: House, team: str, **more: Any) -> OpenAI:
    """A key that both workers know: each hears of it by itself."""
    made = house.client(team, **more)
    assert until(lambda: all(tried(house, "/v1/models", key=made.api_key) == 200 for _ in range(_EACH)))
    return made


def tried(house: House, path: str, body: Any = None, **more: Any) -> int:
    """The status; 0 where the connection waited for a worker that was killed."""
    try:
        return ask(house.gate, path, body, **more).status
    except (OSError, http.client.HTTPException):
        return 0


def asked(house: House, client: OpenAI, body: Any) -> Answer:
    return ask(house.gate, "/v1/chat/completions", body, key=client.api_key)


def workers(house: House) -> set[int]:
    """The two processes that answer, which their main process has started."""
    found = set()
    for pid in house.pids("comporta.app.gate_process"):
        with contextlib.suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if parent in house.pids("comporta.app.gate_process"):
                found.add(pid)
    return found


def test_batches_are_handed_over_once_and_every_row_is_booked_once_whichever_worker_takes_a_step(house: House) -> None:
    fake = house.fakes.openai
    clients = [client_of(house, f"both-{n}") for n in range(3)]
    batches = [begin(client, [row(n, text="Both") for n in range(30)]) for client in clients]
    for client, batch in zip(clients, batches, strict=True):
        found = ended(client, batch, 120)
        assert (found.request_counts.completed, found.comporta["handed_over"]) == (30, 30)
        assert len(read(client, found.output_file_id)) == 30
    assert len(fake.batches.all) == 3 and spoken(fake, "/v1/files") == 3 and spoken(fake, "/v1/chat/completions") == 0
    for n in range(3):
        calls = house.calls(f"both-{n}", 30)
        assert costs(calls) == [175] * 30 and len({call["id"] for call in calls}) == 30
        spent = "select sum(cost_microusd)::bigint from rollup_hour where team = %s"
        assert until(lambda: house.sql(spent, f"both-{n}") == [(30 * 175,)])  # noqa: B023 (called at once)


def test_a_budget_is_held_for_both_workers_outlives_each_of_them_and_is_let_go_at_the_end(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.hold = True
    client = client_of(house, "purse")
    body = {"name": "purse", "scope": "team", "value": "purse", "period": "month", "limit_microusd": 5_000_000}
    path = f"/admin/budgets/{ask(house.gate, '/admin/budgets', body).json['id']}"
    rows = [row(n, text="Purse", max_tokens=1000) for n in range(4)]
    batch = begin(client, rows)
    assert until(lambda: fake.batches.all)
    # Four rows hold 1,200 for their answers: a fifth has no room, whichever worker is asked.
    assert ask(house.gate, path, {"limit_microusd": 1200}, method="PATCH").status == 200
    assert until(lambda: {asked(house, client, rows[0]["body"]).status for _ in range(_EACH)} == {402})
    first = workers(house)
    assert len(first) == 2
    for pid in first:
        # One at a time: the other one has the next step meanwhile, and knows nothing but what is written down.
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: len(workers(house) - first) and len(workers(house)) == 2)
        assert until(lambda: all(tried(house, "/health/ready", key=None) == 200 for _ in range(_EACH)))
    assert not workers(house) & first
    house.hurry()
    statuses = {tried(house, "/v1/chat/completions", rows[0]["body"], key=client.api_key) for _ in range(_EACH)}
    assert statuses == {402}, "the hold of those who died is there"
    fake.batches.hold = False
    house.hurry()
    assert ended(client, batch, 120).request_counts.completed == 4
    assert until(lambda: {state for state, _ in house.handovers(batch)} == {"closed"})
    assert costs(house.calls("purse", 4)) == [175] * 4 and len(fake.batches.all) == 1
    # 700 are spent and nothing is held: what costs at most 500 has room, and what costs more has none.
    assert until(lambda: ask(house.gate, path).json["spent_microusd"] == 700)
    small, large = ({**rows[0]["body"], "max_tokens": most} for most in (600, 1000))
    assert {asked(house, client, large).status for _ in range(_EACH)} == {402}
    assert asked(house, client, small).status == 200


def test_money_is_held_again_in_a_redis_that_came_back_empty_and_rows_wait_for_one_that_is_away(
    house: House, redis: KillableRedis
) -> None:
    fake = house.fakes.openai
    fake.batches.hold = True
    client = client_of(house, "forgot")
    body = {"name": "forgot", "scope": "team", "value": "forgot", "period": "month", "limit_microusd": 1500}
    assert ask(house.gate, "/admin/budgets", body).status == 201
    rows = [row(n, text="Forgot", max_tokens=1000) for n in range(4)]
    assert until(lambda: {budgets(house, "forgot") for _ in range(_EACH)} == {1})
    redis.kill()
    batch = begin(client, rows)
    assert until(lambda: house.sql("select 1 from batch_row where batch_id = %s and state = 'waiting'", batch))
    assert not fake.batches.all, "without Redis nobody knows whether there is room"
    redis.start()
    house.hurry()
    assert until(lambda: hurried(house, lambda: fake.batches.all))
    redis.kill()
    redis.start()
    # What it knew is gone, and the next look at the provider holds it again: until then a call finds room.
    passed: list[int] = []

    def refused() -> bool:
        got = [asked(house, client, rows[0]["body"]).status for _ in range(_EACH)]
        passed.extend(status for status in got if status == 200)
        return set(got) == {402}

    assert until(refused)
    fake.batches.hold = False
    assert until(lambda: hurried(house, lambda: completed(client, batch))) == 4
    assert len(fake.batches.all) == 1 and spoken(fake, "/v1/chat/completions") == len(passed)
    paid = "select cost_microusd from call where team = 'forgot' and cost_microusd > 0 order by 1"
    want = [175] * 4 + [350] * len(passed)
    assert until(lambda: [cost for (cost,) in house.sql(paid)] == want), house.sql(paid)


def budgets(house: House, name: str) -> int:
    return sum(one["name"] == name for one in ask(house.gate, "/admin/budgets").json["data"])


def hurried(house: House, look: Callable[[], T]) -> T:
    """What waits is due at once, however long its pause has grown."""
    house.hurry()
    return look()


def completed(client: OpenAI, batch: str) -> int | None:
    """Its rows with an answer once it has ended."""
    found = client.batches.retrieve(batch)
    if found.status != "completed" or found.request_counts is None:
        return None
    return found.request_counts.completed


def test_rows_and_calls_count_together_against_a_limit_at_either_worker(house: House) -> None:
    fake = house.fakes.openai
    for attempt in range(4):
        fake.batches.all.clear()
        fake.batches.hold = True
        client = client_of(house, f"limited-{attempt}", requests_per_minute=40)
        # Asking for models counts against no limit; rows do, while they are stopped before their provider.
        begun_s = time.monotonic()
        batch = begin(client, [row(n, text="Limited") for n in range(30)])
        assert until(lambda: sum(len(one.rows) for one in fake.batches.all.values()) == 30)
        statuses = [asked(house, client, row(0)["body"]).status for _ in range(25)]
        took_s = time.monotonic() - begun_s
        fake.batches.hold = False
        assert ended(client, batch).request_counts.completed == 30
        if took_s < 55:
            assert statuses.count(200) == 10 and statuses.count(429) == 15
            return
    raise AssertionError("the machine took more than a minute for 30 rows and 25 calls, four times")
