"""How fast the console is over millions of spans, what it costs the gate, and what it takes when nobody looks.

    PYTHONPATH=tests python bench/console.py [--spans 10000000] [--scores 1000000] [--rounds 10] [--json]

A gate with its console is started in a folder of its own. The week of `comporta demo` is multiplied by COPY until there
are so many spans, in sessions of their own; the sums by minute and hour are made of those calls, and stand for four
weeks before as well; scores and reviews are multiplied too, over eight weeks. Then every page is asked again and again,
a trace of 5,000 spans too; records come in at 2,000 calls a second while the live page is asked for; and the gate
answers in pairs of rounds, with and without somebody who reads pages all the time. Times by the clock mean little on a
machine that others use: its load stands beside them, and so does the processor's time that the console took for a page.
"""

# ruff: noqa: T201 (a bench prints, and asks the servers that it started)

from __future__ import annotations

import argparse
import asyncio
import datetime
import http.client
import json
import math
import multiprocessing
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import psycopg

from comporta.store.database import Database
from comporta.telemetry import partitions, score_days, tables
from comporta.telemetry.observability import facets
from comporta.telemetry.record import CallRecord
from comporta.testing.servers import short_folder
from support.filling import Filler
from support.serving import Served, free_port

CONFIG = (
    "providers: {scripted: {}, offline: {}}\nroutes: {support: {model: scripted/echo}}\nlogging: {level: warning}\n"
)
PAGES = (
    "/", "/?range=30d", "/calls", "/calls?outcome=failed", "/calls?route=offers&range=7d", "/sessions", "/costs",
    "/costs?by=user", "/playground", "/prompts", "/prompts/courier-support", "/rollouts", "/guardrails", "/cache",
    "/feedback", "/review", "/alerts", "/keys", "/system",
)  # fmt: skip
TRACE = "5" * 32
#: A table's moments, as they stand in the page.
_AT = re.compile(r"\bat(?:&quot;|\\?\")\s*:\s*([0-9.]{12,})")
_TAIL_PER_S, _TAIL_S, _BATCH = 2000, 12.0, 500
#: A round, how long its reader takes to begin, and how long people look at a page.
_ROUND_S, _WARM_S, _PAUSE_S = 4.0, 1.5, 1.0
_CLIENTS = 4
#: Rows that go out at once.
_ROWS = 1000
_SCORES_TO_A_REVIEW = 50
#: Processes that run when nobody asks anything, by a word of their command lines.
_RESTING = {"console": "console_process", "jobs": "jobs_process", "database": "postgres"}


class Reader:
    """Somebody signed in, who reads pages over one connection."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        form = urllib.parse.urlencode({"name": "admin", "password": password, "next": "/"})
        head = {"content-type": "application/x-www-form-urlencoded", "origin": f"http://127.0.0.1:{port}"}
        self._connection.request("POST", "/sign-in", form, head)
        response = self._connection.getresponse()
        response.read()
        self._cookie = (response.getheader("set-cookie") or "").split(";")[0]

    def get(self, place: str) -> tuple[float, str]:
        """Seconds until the page is there with its first data, and the page."""
        # A connection that rested is closed by the server: each look opens its own, as a first look does.
        self._connection.close()
        begun_s = time.perf_counter()
        self._connection.request("GET", place, headers={"cookie": self._cookie})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise SystemExit(f"{place}: {response.status}")
        return time.perf_counter() - begun_s, text


def multiplied(dsn: str, spans: int, scores: int) -> tuple[int, int]:
    """The week as often as it takes, each time some minutes off and with ids of its own: calls and spans there are."""
    with psycopg.connect(dsn, autocommit=True) as base:
        n = base.execute("select count(*) from span").fetchone()
        times = max(spans // (n[0] if n and n[0] else 1), 1)
        columns = [row[0] for row in base.execute(_COLUMNS, ["call"]).fetchall()]
        # The copies are made from a copy: else each would be copied again.
        base.execute(_WEEK)
        base.execute("create temp table its_spans as select * from span where call_id in (select id from a_week)")
        for name, key in (("call", "id"), ("span", "call_id")):
            _copied(base, name, key, times, columns)
        base.execute(_LONG_CALL, [TRACE])
        base.execute(_LONG_SPANS, [TRACE])
        _rolled_up(base)
        for table, wanted in (("score", scores), ("review", max(scores // _SCORES_TO_A_REVIEW, 1))):
            _again(base, table, wanted)
        # What the database would do by itself in the next minutes, in the midst of what is measured.
        base.execute("vacuum analyze")
        base.execute("checkpoint")
        told = base.execute("select (select count(*) from call), (select count(*) from span)").fetchone()
        assert told is not None
        return told[0], told[1]


_COLUMNS = "select column_name from information_schema.columns where table_name = %s and table_schema = current_schema() order by ordinal_position"  # noqa: E501
#: Not of the running hour: its copies would lie in the future.
_WEEK = "create temp table a_week as select * from call where tags ? 'demo' and started_at < date_trunc('hour', now())"
_LONG_CALL = """
insert into call select (jsonb_populate_record(
    null::call, to_jsonb(c) || jsonb_build_object('id', gen_random_uuid(), 'trace_id', %s::text))).*
from (select * from a_week where outcome = 'ok' order by started_at desc limit 1) as c
"""
_LONG_SPANS = """
insert into span select (jsonb_populate_record(null::span, to_jsonb(s) || jsonb_build_object(
    'call_id', c.id, 'started_at', c.started_at,
    'number', 100 + n, 'start_us', n * 200, 'duration_us', 180, 'name', 'step ' || n %% 50, 'depth', 1 + n %% 8))).*
from (select id, started_at from call where trace_id = %s) as c, generate_series(1, 5000) as n,
    lateral (select * from its_spans limit 1) as s
"""


def _copied(base: psycopg.Connection[Any], name: str, key: str, times: int, columns: list[str]) -> None:
    """By COPY out and in again, ids and times changed on the way."""
    source = "a_week" if name == "call" else "its_spans"
    names = columns if name == "call" else [r[0] for r in base.execute(_COLUMNS, ["span"]).fetchall()]
    with base.cursor() as cursor, cursor.copy(f"copy (select * from {source}) to stdout") as out:
        lines = [bytes(row).decode().rstrip("\n").split("\t") for row in out]
    ids = [names.index(one) for one in (key, "trace_id", "parent_id") if one in names]
    at_time = names.index("started_at")
    at_session = names.index("session") if "session" in names else -1
    for n in range(1, times + 1):
        with base.cursor() as cursor, cursor.copy(f"copy {name} ({', '.join(names)}) from stdin") as into:
            for first in range(0, len(lines), _ROWS):
                some = [_copy(line, n, ids, at_time, at_session) for line in lines[first : first + _ROWS]]
                into.write("".join(some))
        if n % 20 == 0:
            print(f"  {name}: {n} of {times}", file=sys.stderr)


def _copy(line: list[str], n: int, ids: list[int], at_time: int, at_session: int) -> str:
    row = list(line)
    for at in ids:
        if row[at] != "\\N":
            row[at] = _other(row[at], n)
    # Only the minute moves, so that a copy lies in the same day's partition as what it copies.
    hour, _, _ = row[at_time].partition(":")
    row[at_time] = f"{hour}:{n % 60:02}:{(n * 7) % 60:02}{row[at_time][len(hour) + 6 :]}"
    if at_session >= 0 and row[at_session] != "\\N":
        row[at_session] += f"-{n}"
    return "\t".join(row) + "\n"


def _again(base: psycopg.Connection[Any], table: str, wanted: int) -> None:
    """The demo's rows with ids of their own until there are so many, in the order of time, as they would have come."""
    others = {"id": "id || '-' || n", "at": "at - n %% 8 * interval '7 days'"}
    names = [row[0] for row in base.execute(_COLUMNS, [table]).fetchall()]
    shown = ", ".join(others.get(one, one) for one in names)
    told = base.execute(f"select count(*) from {table}").fetchone()
    times = max(wanted // (told[0] if told and told[0] else 1), 1)
    source = f"(select * from {table}) as its, generate_series(1, %s) as n order by {others['at']}"
    base.execute(f"insert into {table} ({', '.join(names)}) select {shown} from {source}", [times])


def _rolled_up(base: psycopg.Connection[Any]) -> None:
    """The sums that shipping would have made of these calls, and the same hours for four weeks before."""
    base.execute("truncate rollup_minute, rollup_hour, facet_minute, facet_hour, facet_day")
    for unit in ("minute", "hour"):
        base.execute(f"with fresh as (select * from call) {tables.rollup(f'rollup_{unit}', unit)}")
    kept = [row[0] for row in base.execute(_COLUMNS, ["rollup_hour"]).fetchall()]
    shown = ", ".join("period - weeks * interval '7 days'" if one == "period" else one for one in kept)
    weeks = "generate_series(1, 4) as weeks"
    base.execute(f"insert into rollup_hour select {shown} from rollup_hour, {weeks} on conflict do nothing")


def _other(id: str, n: int) -> str:
    """Another id, the same for the same two: the first eight digits are what changes."""
    digits = id.replace("-", "")
    front = f"{(int(digits[:8], 16) ^ (n * 2_654_435_761)) & 0xFFFFFFFF:08x}"
    return front + id[8:]


def p(values: list[float], share: float) -> float:
    return sorted(values)[max(math.ceil(len(values) * share) - 1, 0)]


def pages(reader: Reader, times: int) -> dict[str, dict[str, float]]:
    """p50 and p95 of every page and what it takes of the console's core, in milliseconds; a first look warms it."""
    told = {}
    for place in (*PAGES, f"/traces/{TRACE}"):
        reader.get(place)
        before = _used()["console"][0]
        took = [reader.get(place)[0] * 1000 for _ in range(times)]
        core_ms = (_used()["console"][0] - before) * 1000 / os.sysconf("SC_CLK_TCK") / times
        told[place if TRACE not in place else "a trace of 5,000 spans"] = {
            "p50_ms": round(statistics.median(took), 1), "p95_ms": round(p(took, 0.95), 1), "core_ms": round(core_ms, 1)
        }  # fmt: skip
        print(f"{place}: {statistics.median(took):.0f} ms, at most {max(took):.0f}", file=sys.stderr)
    return told


def tail(dsn: str, reader: Reader) -> dict[str, float]:
    """Records by the shipping code at 2,000 a second; how far the live page is behind them, and how fast it answers."""
    stop, shipped = threading.Event(), [0]
    thread = threading.Thread(target=lambda: asyncio.run(_ship(dsn, stop, shipped)))
    begun_s = time.monotonic()
    thread.start()
    lags, took = [], []
    while time.monotonic() - begun_s < _TAIL_S:
        seconds, text = reader.get("/calls?live=1")
        newest = max(map(float, _AT.findall(text)), default=0.0)
        lags.append(time.time() - newest)
        took.append(seconds * 1000)
        time.sleep(1)
    stop.set()
    thread.join()
    length_s = time.monotonic() - begun_s
    return {
        "shipped_per_s": round(shipped[0] / length_s), "lag_p95_s": round(p(lags[1:], 0.95), 2),
        "page_p95_ms": round(p(took, 0.95), 1),
    }  # fmt: skip


async def _ship(dsn: str, stop: threading.Event, shipped: list[int]) -> None:
    filler = Filler(seed=99)
    async with Database(dsn, max_size=2) as database:
        await partitions.ensure_days(database, {datetime.datetime.now(datetime.UTC).date()})
        begun_s = time.monotonic()
        while not stop.is_set():
            records: list[CallRecord] = [filler.call(time.time()) for _ in range(_BATCH)]
            async with database.connection() as connection:
                await tables.insert(connection, records)
            shipped[0] += _BATCH
            ahead_s = shipped[0] / _TAIL_PER_S - (time.monotonic() - begun_s)
            await asyncio.sleep(max(ahead_s, 0))


def beside(served: Served, port: int, password: str, rounds: int) -> dict[str, Any]:
    """The gate's p99 with pages being read against that without, in pairs; the interval is of the median's order."""
    ratios = []
    for n in range(rounds):
        both = {}
        # Which comes first changes: what drifts with time touches both alike.
        for reading in (True, False) if n % 2 else (False, True):
            both[reading] = _round(served, port if reading else 0, password)
        ratios.append(both[True] / both[False])
    ratios.sort()
    rank = max(int(rounds / 2 - 0.98 * rounds**0.5), 0)
    return {"ratio": round(statistics.median(ratios), 3), "low": round(ratios[rank], 3),
            "high": round(ratios[-1 - rank], 3), "rounds": rounds}  # fmt: skip


def _round(served: Served, port: int, password: str) -> float:
    stop = threading.Event()
    took: list[float] = []
    threads = [threading.Thread(target=_calls, args=(served, stop, took)) for _ in range(_CLIENTS)]
    # In a process of its own: whoever reads pages must not hold up whoever measures calls.
    reading = multiprocessing.get_context("spawn").Process(target=_read, args=(port, password)) if port else None
    if reading is not None:
        reading.start()
        time.sleep(_WARM_S)
    for thread in threads:
        thread.start()
    time.sleep(_ROUND_S)
    stop.set()
    for thread in threads:
        thread.join()
    if reading is not None:
        reading.terminate()
        reading.join()
    return p(took, 0.99)


def _calls(served: Served, stop: threading.Event, took: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    body = json.dumps({"model": "support", "messages": [{"role": "user", "content": "hello"}]})
    head = {"authorization": f"Bearer {served.key}", "content-type": "application/json"}
    while not stop.is_set():
        begun_s = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body, head)
        connection.getresponse().read()
        took.append(time.perf_counter() - begun_s)
        # A steady pace, and no race for the last cycle of the machine.
        time.sleep(0.02)


def _read(port: int, password: str) -> None:
    # Whoever reads sits at a machine of their own: here their work must take nothing from the gate's.
    os.nice(19)
    reader, draw = Reader(port, password), random.Random(os.getpid())
    while True:
        reader.get(draw.choice(PAGES))
        time.sleep(_PAUSE_S)


def idle(length_s: float = 20.0) -> dict[str, Any]:
    """What console, job worker and database take when nobody asks anything: of a core, and in megabytes (PSS)."""
    before, begun_s = _used(), time.monotonic()
    time.sleep(length_s)
    after = _used()
    ticks = sum(after[name][0] - before[name][0] for name in _RESTING)
    sizes = {name: round(after[name][1] / 1e6) for name in _RESTING}
    share = ticks / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begun_s)
    return {"core_share": round(share, 4), "pss_mb": sum(sizes.values()), **sizes}


def _used() -> dict[str, tuple[int, int]]:
    """Ticks, and bytes that are theirs alone or theirs in part (PSS), of the processes started by this one."""
    found = dict.fromkeys(_RESTING, (0, 0))
    for folder in _below(os.getpid()):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            name = next((name for name, word in _RESTING.items() if word in words), None)
            if name is None:
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            size = int(re.search(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.M)[1]) * 1024  # type: ignore[index]
        except (OSError, TypeError):
            continue
        found[name] = found[name][0] + int(fields[11]) + int(fields[12]), found[name][1] + size
    return found


def _below(pid: int) -> list[Path]:
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(a): int(b) for a, b in (line.split() for line in told.splitlines())}
    found = {pid}
    while more := {one for one, above in parents.items() if above in found} - found:
        found |= more
    return [Path(f"/proc/{one}") for one in found - {pid}]


def measured(spans: int, scores: int, rounds: int, looks: int) -> dict[str, Any]:
    """Everything, from a gate of its own."""
    port = free_port()
    with short_folder() as folder:
        served = Served(folder, CONFIG, {"COMPORTA_CONSOLE": "1", "COMPORTA_CONSOLE_PORT": str(port)})
        served.start(120)
        try:
            subprocess.run([sys.executable, "-m", "comporta.cli.main", "demo"], env=served.environment, check=True)
            dsn = json.loads((served.data / "run.json").read_text())["dsn"]
            begun_s = time.monotonic()
            calls, there = multiplied(dsn, spans, scores)
            asyncio.run(_summed(dsn))
            print(f"{calls:,} calls, {there:,} spans, in {time.monotonic() - begun_s:.0f} s", file=sys.stderr)
            password = (served.data / "console.password").read_text().strip()
            reader = Reader(port, password)
            found: dict[str, Any] = {
                "calls": calls, "spans": there, "load": os.getloadavg()[0], "cores": os.cpu_count()
            }  # fmt: skip
            for name, part in (
                ("idle", idle), ("pages", lambda: pages(reader, looks)), ("tail", lambda: tail(dsn, reader)),
                ("gate_p99", lambda: beside(served, port, password, rounds)),
            ):  # fmt: skip
                # Told as it comes: all of it takes half an hour.
                found[name] = part()
                print(f"{name}: {json.dumps(found[name])}", file=sys.stderr)
            return found
        finally:
            served.stop()


async def _summed(dsn: str) -> None:
    async with Database(dsn, max_size=2) as database:
        await facets.mark_all(database)
        while await facets.refresh(database, grace_s=0):
            pass
        await score_days.refresh(database)
        async with database.connection() as connection:
            await connection.execute("analyze score_day")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--scores", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--looks", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measured(chosen.spans, chosen.scores, chosen.rounds, chosen.looks)
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['calls']:,} calls, {found['spans']:,} spans; {found['cores']} cores, load {found['load']:.1f}")
    for place, took in found["pages"].items():
        print(f"{place:<34} p50 {took['p50_ms']:>8} ms   p95 {took['p95_ms']:>8} ms   core {took['core_ms']:>7} ms")
    for name in ("tail", "gate_p99", "idle"):
        print(f"{name:<10} {found[name]}")


if __name__ == "__main__":
    main()
