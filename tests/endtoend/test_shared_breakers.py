"""An outage seen by two real workers that share a Redis: what reaches the dead upstream, and how soon it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comporta.testing.servers import redis_server, short_folder
from comporta.testing.upstream import Seen, Step
from support.serving import Fakes, Served
from support.talking import ask, until

CONFIG = """
providers:
  openai:
    base_url: {openai}/v1
    credentials:
      - {{name: first, key: sk-first}}
      - {{name: second, key: sk-second}}
  single:
    kind: openai
    base_url: {openai}/v1
    api_key: sk-single
retry: {{attempts: 1}}
breaker: {{failures: 5, rest: 1s, longest_rest: 2s}}
redis: {{url: '{redis}'}}
server: {{workers: 2}}
"""


class Upstream:
    """What reaches one model of the fake: when, with which key, and how many at the same time."""

    def __init__(self) -> None:
        self.answer = Step()
        self.refused_key = ""
        self.seen: list[tuple[float, str]] = []

    def __call__(self, seen: Seen) -> Step:
        key = seen.headers["authorization"].removeprefix("Bearer ")
        self.seen.append((time.monotonic(), key))
        return Step(status=401) if key == self.refused_key else self.answer

    def since(self, at_s: float) -> list[float]:
        return [seen_s for seen_s, _ in self.seen if seen_s >= at_s]


@pytest.fixture
def upstreams(fakes: Fakes) -> Iterator[dict[str, Upstream]]:
    """An upstream for each model, made at its first call."""
    made: dict[str, Upstream] = {}
    before = fakes.openai.default

    def answer(seen: Seen) -> Step:
        return made.setdefault(str(seen.json.get("model")), Upstream())(seen)

    fakes.openai.default = answer
    yield made
    fakes.openai.default = before


@pytest.fixture(scope="module")
def pair(fakes: Fakes) -> Iterator[Served]:
    with redis_server() as redis, short_folder() as folder:
        served = Served(folder, CONFIG.format(openai=fakes.openai.url, redis=redis))
        served.start()
        # Workers hear of each other from their first look at Redis on.
        assert until(lambda: all(one["kept"] == "redis" for one in resting(served)))
        yield served
        served.stop()
        assert "breakers_not_shared" not in served.output, served.output


def resting(served: Served) -> list[dict[str, Any]]:
    """What workers say that rests: twelve connections reach both of two."""
    with ThreadPoolExecutor(12) as pool:
        return list(pool.map(lambda _: ask(served, "/admin/status").json["breakers"], range(12)))


def all_know(served: Served, model: str, state: str) -> bool:
    """Whether every worker says that of a model at this moment."""
    found = [{one["state"] for one in seen["resting"] if one["model"] == model} for seen in resting(served)]
    return all(states == {state} for states in found)


async def calls(served: Served, model: str, count: int, at_once: int = 8) -> Counter[int]:
    """The statuses of calls, each on a connection of its own, so many at a time."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {served.key}"}
    room = asyncio.Semaphore(at_once)

    async def one() -> int:
        url = f"{served.url}/v1/chat/completions"
        async with room, aiohttp.request("POST", url, json=body, headers=headers) as response:
            await response.read()
            return response.status

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


async def test_wire_18_in_an_outage_one_probe_at_a_time_reaches_the_upstream_from_all_workers(
    pair: Served, upstreams: dict[str, Upstream]
) -> None:
    assert await calls(pair, "single/o-dead", 30) == {200: 30}
    dead = upstreams["o-dead"]
    dead.answer = Step(status=500, delay_s=0.5)
    died_s = time.monotonic()
    assert set(await calls(pair, "single/o-dead", 40, at_once=2)) == {502, 503}
    # Five open it, of both workers together; what is on its way in that moment can't be called back.
    assert 5 <= len(dead.since(died_s)) < 10
    assert await asyncio.to_thread(until, lambda: all_know(pair, "o-dead", "open")), resting(pair)
    probed_s = time.monotonic()
    while len(probes := dead.since(probed_s)) < 3:
        assert time.monotonic() < probed_s + 90, probes
        assert set(await calls(pair, "single/o-dead", 40)) <= {502, 503}
    # After one second, and then every two, however many ask.
    assert all(after - before > 1.5 for before, after in pairwise(probes)), probes
    dead.answer = Step()
    back_s = time.monotonic()
    while await calls(pair, "single/o-dead", 40) != {200: 40}:
        assert time.monotonic() < back_s + 90


async def test_wire_18_a_worker_killed_while_it_probes_hides_no_recovery(
    pair: Served, upstreams: dict[str, Upstream]
) -> None:
    upstreams["o-killed"] = dead = Upstream()
    dead.answer = Step(status=500)
    await calls(pair, "single/o-killed", 20)
    dead.answer = Step(delay_s=120)
    opened = len(dead.seen)
    probing = [asyncio.create_task(calls(pair, "single/o-killed", 12))]
    while len(dead.seen) == opened:
        # One of those that ask when its rest is over is let through.
        await asyncio.sleep(0.3)
        probing.append(asyncio.create_task(calls(pair, "single/o-killed", 2)))
    dead.answer = Step()
    for pid in workers(pair):
        os.kill(pid, signal.SIGKILL)
    killed_s = time.monotonic()
    await asyncio.gather(*probing, return_exceptions=True)
    while True:
        assert time.monotonic() < killed_s + 90, "the claim of a dead worker holds"
        try:
            if (await calls(pair, "single/o-killed", 8)) == {200: 8}:
                break
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)


async def test_wire_17_a_key_refused_to_one_worker_rests_on_all(pair: Served, upstreams: dict[str, Upstream]) -> None:
    upstreams["o-refused"] = upstream = Upstream()
    upstream.refused_key = "sk-first"
    while not any(key == "sk-first" for _, key in upstream.seen):
        assert await calls(pair, "openai/o-refused", 1) == {200: 1}
    assert await asyncio.to_thread(until, lambda: all("first" in refused_keys(seen) for seen in resting(pair)))
    asked = len(upstream.seen)
    assert await calls(pair, "openai/o-refused", 40) == {200: 40}
    assert {key for _, key in upstream.seen[asked:]} == {"sk-second"}


def refused_keys(seen: dict[str, Any]) -> set[str | None]:
    return {one["credential"] for one in seen["resting"] if one["state"] == "refused"}


async def test_wire_15_an_upstream_that_asks_one_worker_to_wait_is_left_alone_by_all(
    pair: Served, upstreams: dict[str, Upstream]
) -> None:
    upstreams["o-asked"] = upstream = Upstream()
    upstream.answer = Step(status=429, headers={"Retry-After": "12"})
    assert await calls(pair, "single/o-asked", 1) == {429: 1}
    upstream.answer = Step()
    asked_s = time.monotonic()
    assert await asyncio.to_thread(until, lambda: all_know(pair, "o-asked", "asked")), resting(pair)
    assert set(await calls(pair, "single/o-asked", 40)) == {503}
    assert len(upstream.seen) == 1
    while await calls(pair, "single/o-asked", 20) != {200: 20}:
        assert time.monotonic() < asked_s + 90
    assert min(upstream.since(asked_s)) > asked_s + 11


def workers(served: Served) -> list[int]:
    """The processes that answer calls: children of granian's own."""
    found = served.processes()
    main = [pid for pid, command in found.items() if "gate_process" in command]
    return [pid for pid in found if parent_of(pid) in main and "postgres" not in found[pid]]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
