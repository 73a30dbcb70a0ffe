"""Parts that die by SIGKILL under load: no answered call is lost from the records, no limit and no budget gives way."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from comporta.testing.servers import short_folder
from support.redis import KillableRedis, killable_redis
from support.serving import Served
from support.talking import Answer, ask, chat, until

CONFIG = """
server: {{workers: 2}}
redis: {{url: "{redis}"}}
providers: {{scripted: {{}}}}
models:
  # A thousand micro-dollars for a token.
  scripted/echo: {{price: {{input: $1000, output: $1000}}}}
  scripted/free: {{price: {{input: $0, output: $0}}}}
routes:
  echo: {{model: scripted/echo}}
  free: {{model: scripted/free}}
  limited: {{model: scripted/free}}
  shared:
    variants:
      - {{name: most, model: scripted/free, weight: 3}}
      - {{name: rest, model: scripted/free, weight: 1}}
limits:
  - {{per: route, name: limited, requests_per_minute: 50}}
budgets:
  - {{name: paid, feature: paid, period: month, limit: $0.16}}
  - {{name: used, feature: used, period: month, limit: $0.03}}
logging: {{format: json}}
"""
#: What a call of `said` holds: 20 tokens, 13 of them bytes of its input and frame, at 1,000 micro-dollars each.
HELD = 20_000
SAID = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 7}


@pytest.fixture(scope="module")
def redis() -> Iterator[KillableRedis]:
    with killable_redis() as made:
        yield made


@pytest.fixture(scope="module")
def pair(redis: KillableRedis) -> Iterator[Served]:
    """Two workers that share a Redis."""
    with short_folder() as folder:
        served = Served(folder, CONFIG.format(redis=redis.url))
        served.start()
        yield served
        assert served.stop() == 0, served.output
        assert not served.processes()


def new_key(gate: Served, feature: str) -> str:
    made = ask(gate, "/admin/keys", {"name": f"{feature}-{time.monotonic_ns()}", "feature": feature})
    assert made.status == 201, made.body
    secret: str = made.json["secret"]
    assert until(lambda: all(chat(gate, "free", key=secret).status == 200 for _ in range(6)))
    return secret


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def persistently(gate: Served, model: str, **more: Any) -> Answer:
    """The answer to a call: connections that wait in the queue of a worker that was just killed are reset."""
    answer = until(lambda: tried(gate, model, **more))
    assert answer is not None
    return answer


def tried(gate: Served, model: str, **more: Any) -> Answer | None:
    try:
        return chat(gate, model, "hello", **more)
    except (OSError, http.client.HTTPException):
        return None


def workers_of(gate: Served) -> set[int]:
    mains = [pid for pid, command in gate.processes().items() if "comporta.app.gate_process" in command]
    return {child for pid in mains for child in children(pid) if child in mains}


def both_serve(gate: Served) -> set[int]:
    """Wait for two workers that are open: each then writes its counts; one that only starts answers nobody yet."""
    found = until(lambda: two if len(two := workers_of(gate)) == 2 and all(serves(gate, w) for w in two) else None)
    assert found
    return found


def serves(gate: Served, worker: int) -> bool:
    return any((gate.data / "metrics").glob(f"{worker}-*.counts"))


def connections_of(pid: int) -> int:
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(entry.readlink()).startswith("socket:")
    return found


def recorded(gate: Served) -> set[str]:
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute("SELECT id::text FROM call")}


class Load:
    """Callers that ask again and again, each time on a connection of its own, until they are told to stop."""

    def __init__(self, gate: Served, **body: Any) -> None:
        self._url = f"{gate.url}/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {gate.key}"}
        self._body = {**SAID, **body}
        self._over = asyncio.Event()
        self.answered: set[str] = set()
        self.statuses: list[int] = []
        self.broken = 0

    async def run(self, callers: int, for_s: float) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
            asyncio.get_running_loop().call_later(for_s, self._over.set)
            await asyncio.gather(*(self._ask(session) for _ in range(callers)))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        while not self._over.is_set():
            try:
                async with session.post(self._url, json=self._body, headers=self._headers) as response:
                    await response.read()
                    self.statuses.append(response.status)
                    if response.status == 200:
                        self.answered.add(response.headers["x-comporta-call"])
            except (aiohttp.ClientError, OSError):
                # It was under way in the worker that died.
                self.broken += 1
                await asyncio.sleep(0.02)


def test_shares_converge_and_a_caller_stays_put_whichever_worker_answers(pair: Served) -> None:
    def variant(**who: str) -> str:
        answer = chat(pair, "shared", "hello", **who)
        assert answer.status == 200
        return answer.headers["x-comporta-variant"]

    both_serve(pair)
    with ThreadPoolExecutor(4) as pool:
        by_session = list(pool.map(lambda n: variant(x_comporta_session=f"s-{n}"), range(160)))
        again = list(pool.map(lambda n: variant(x_comporta_session=f"s-{n}", user="other"), range(160)))
        by_user = list(pool.map(lambda n: variant(user=f"s-{n}"), range(40)))
        drawn = list(pool.map(lambda _: variant(), range(160)))
    assert by_session == again and by_user == by_session[:40]
    # A quarter of 160, within five standard deviations.
    for found in (by_session, drawn):
        assert 40 - 28 <= found.count("rest") <= 40 + 28


@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_killed_under_load_loses_no_answered_call_and_the_other_one_goes_on(
    pair: Served, stream: bool
) -> None:
    before = await asyncio.to_thread(both_serve, pair)
    load = Load(pair, model="free", stream=stream, script={"token_delay": 0.01})
    running = asyncio.create_task(load.run(callers=16, for_s=2.5))
    await asyncio.sleep(0.8)
    victim = before.pop()
    os.kill(victim, signal.SIGKILL)
    killed_at = len(load.statuses)
    await running
    assert set(load.statuses) == {200}, pair.output[-3000:]
    assert len(load.statuses) - killed_at > 50, "the other one goes on"
    assert load.broken <= 200
    assert await asyncio.to_thread(until, lambda: load.answered <= recorded(pair))
    assert victim not in await asyncio.to_thread(both_serve, pair)


def money(redis: KillableRedis) -> dict[str, tuple[int, int]]:
    """What each budget's hash says was spent and is held."""
    found = {}
    for key in (line.decode() for line in redis.ask("KEYS", "*:m:*") if line.startswith(b"{")):
        values = redis.ask("HMGET", key, "spent", "held")
        numbers = [int(line) for line in values if line.lstrip(b"-").isdigit()]
        found[key] = (numbers[0], numbers[1] if len(numbers) > 1 else 0)
    return found


def held_in(redis: KillableRedis) -> int:
    return sum(held for _, held in money(redis).values())


def age(redis: KillableRedis, seconds: int) -> None:
    """Let so much time pass for all that is held."""
    script = """
    for _, key in ipairs(redis.call('KEYS', '*:x:*')) do
        for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
            redis.call('ZINCRBY', key, -tonumber(ARGV[1]) * 1000, id)
        end
    end"""
    redis.ask("EVAL", script, "0", str(seconds))


async def test_what_a_killed_worker_held_of_a_budget_lapses_and_nothing_more_is_spent_meanwhile(
    pair: Served, redis: KillableRedis
) -> None:
    """WIRE 29: the budget has room for eight such calls, and never for a ninth."""
    await asyncio.to_thread(both_serve, pair)
    key = await asyncio.to_thread(new_key, pair, "paid")
    idle = {pid: connections_of(pid) for pid in workers_of(pair)}
    headers = {"Authorization": f"Bearer {key}"}
    stalled = {**SAID, "model": "echo", "script": {"first_delay": 60}}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        calls = [
            asyncio.create_task(session.post(f"{pair.url}/v1/chat/completions", json=stalled, headers=headers))
            for _ in range(8)
        ]
        assert await asyncio.to_thread(until, lambda: held_in(redis) == 8 * HELD), (money(redis), calls)
        assert (await asyncio.to_thread(chat, pair, "echo", "hello", key=key, max_tokens=7)).status == 402
        victim = max(idle, key=lambda pid: connections_of(pid) - idle[pid])
        os.kill(victim, signal.SIGKILL)
        dead = [call for call in calls if await ended(call)]
        assert dead, "the one that had most connections had at least one"
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    # Those of the living worker are given back, those of the dead one are still held.
    assert await asyncio.to_thread(until, lambda: held_in(redis) == len(dead) * HELD)
    age(redis, 61)
    answers = [await asyncio.to_thread(persistently, pair, "echo", key=key, max_tokens=7) for _ in range(8)]
    assert answers[0].status == 200 and {answer.status for answer in answers} <= {200, 402}
    assert await asyncio.to_thread(until, lambda: held_in(redis) == 0)
    assert 0 < sum(spent for spent, _ in money(redis).values()) <= 8 * HELD


async def ended(call: asyncio.Task[Any]) -> bool:
    """Whether its connection broke."""
    await asyncio.wait([call], timeout=5)
    return call.done() and call.exception() is not None


async def test_redis_killed_and_back_lets_no_budget_be_overspent_and_stops_no_other_call(
    pair: Served, redis: KillableRedis
) -> None:
    await asyncio.to_thread(both_serve, pair)
    used = await asyncio.to_thread(new_key, pair, "used")
    assert (await asyncio.to_thread(chat, pair, "echo", "hello", key=used, max_tokens=7)).status == 200
    refused = await asyncio.to_thread(chat, pair, "echo", "hello", key=used, max_tokens=17)
    assert (refused.status, refused.json["error"]["code"]) == (402, "budget_exceeded")
    load = Load(pair, model="free")
    running = asyncio.create_task(load.run(callers=4, for_s=3))
    await asyncio.sleep(0.3)
    redis.kill()
    try:
        await asyncio.to_thread(assert_careful_without_redis, pair, used)
    finally:
        redis.start()
    await running
    assert set(load.statuses) == {200}, "what hangs on no counter goes on all the while"
    assert load.broken == 0
    await asyncio.to_thread(assert_knows_again, pair, used)
    assert '"redis_away"' in pair.output and '"redis_back"' in pair.output
    assert await asyncio.to_thread(until, lambda: load.answered <= recorded(pair))


def assert_careful_without_redis(gate: Served, used: str) -> None:
    # The first one may have to notice; after that each is refused at once.
    for _ in range(6):
        away = chat(gate, "echo", "hello", key=used, max_tokens=7)
        assert (away.status, away.json["error"]["code"]) == (503, "budgets_unavailable")
        assert int(away.headers["retry-after"]) >= 1
    # Each of two workers keeps half of the limit by itself: together they never let more than all of it through.
    statuses = [chat(gate, "limited").status for _ in range(60)]
    assert statuses.count(200) <= 50 and set(statuses) == {200, 429}
    assert gate.ready()


def assert_knows_again(gate: Served, used: str) -> None:
    """A Redis that forgot everything is told again by the ledger what was spent."""
    assert until(lambda: chat(gate, "echo", "hello", key=used, max_tokens=17).status == 402)
    shown = ask(gate, "/admin/budgets").json["data"]
    spent = next(one["spent_microusd"] for one in shown if one["name"] == "used")
    assert 0 < spent <= 30_000
