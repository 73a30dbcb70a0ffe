"""Alerts with real processes: two job workers, a webhook, a restart, silence, and the same figures everywhere."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from comporta.app.process import PARENT
from comporta.store.database import Database
from comporta.telemetry.observability import facets
from comporta.testing.servers import short_folder
from support.receiving import Receiver, receiving
from support.serving import Served
from support.talking import ask, chat, until

CONFIG = """
providers:
  scripted: {{}}
  nobody: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none}}
routes:
  echo: {{model: scripted/echo}}
  figures: {{model: scripted/echo}}
retry: {{attempts: 1}}
breaker: {{failures: 1000, share: 100%}}
notify:
  channels:
    ops: {{type: webhook, url: "{url}", secret: planted-secret-0000}}
llm_observability:
  look_every: 1s
  reliability: {{availability: 99%}}
  performance: {{latency_p95: 30s}}
alerts:
  - name: failing
    alert: error_rate > 50%
    window: 1m
    min_calls: 5
    recover_for: 1
    filter: {{route: nobody/x}}
  - {{name: error_rate, enabled: false}}
  - {{name: quiet, metric: calls, alert: < 1, channels: []}}
logging: {{format: json}}
"""


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def served(hook: Receiver) -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, CONFIG.format(url=hook.url))
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output


def job_worker(gate: Served) -> dict[str, str]:
    """The environment of the gate's own job worker."""
    [pid] = until(lambda: [pid for pid, command in gate.processes().items() if "jobs_process" in command])
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {name: value for name, _, value in (pair.decode().partition("=") for pair in pairs if pair)}


@contextmanager
def second_worker(gate: Served) -> Iterator[None]:
    """One more job worker on the same database."""
    environment = {**job_worker(gate), PARENT: str(os.getpid())}
    with (gate.folder / "second.txt").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "comporta.app.jobs_process"], env=environment, cwd=gate.folder, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield
        assert process.poll() is None, (gate.folder / "second.txt").read_text()
    finally:
        process.terminate()
        process.wait(15)


def rule(gate: Served, name: str) -> Any:
    return next(one for one in ask(gate, "/admin/alerts").json["data"] if one["name"] == name)


def kinds(hook: Receiver) -> list[str]:
    return [one.json["kind"] for one in hook.got if one.json["facts"].get("rule") == "failing"]


def fail(gate: Served, times: int) -> None:
    for _ in range(times):
        assert chat(gate, "nobody/x").status >= 500


def cli(gate: Served, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**gate.environment, "COMPORTA_URL": gate.url, "COMPORTA_KEY": gate.key}
    return subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words], env=environment, cwd=gate.folder, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def test_an_event_is_told_once_by_two_workers_survives_a_restart_and_ends(served: Served, hook: Receiver) -> None:
    hook.got.clear()
    with second_worker(served):
        fail(served, 8)
        assert until(lambda: rule(served, "failing")["state"] == "alert"), rule(served, "failing")
        assert until(lambda: kinds(hook)) == ["alert.raised"]
        looked = rule(served, "failing")["looked_at"]
        assert until(lambda: rule(served, "failing")["looked_at"] > looked)
    assert kinds(hook) == ["alert.raised"]
    served.stop()
    served.start()
    assert until(lambda: rule(served, "failing")["looked_at"] > looked)
    assert rule(served, "failing")["state"] == "alert" and kinds(hook) == ["alert.raised"]
    # Its calls leave the window, and the rule has nothing to go by: that ends it.
    grow_old(served)
    assert until(lambda: kinds(hook) == ["alert.raised", "alert.recovered"]), kinds(hook)
    events = ask(served, "/admin/alerts/history?rule=failing").json["data"]
    assert [one["kind"] for one in events] == ["alert.recovered", "alert.raised"]
    assert events[1]["deliveries"] == [{"channel": "ops", "state": "delivered", "attempts": 1, "told": "answered 200"}]


def grow_old(gate: Served) -> None:
    """Make what happened an hour older, instead of waiting for it."""

    async def age() -> None:
        async with Database(job_worker(gate)["COMPORTA_DATABASE_DSN"]) as database:
            async with database.connection() as connection:
                # Windows are read from whichever of them holds them: they must say the same.
                for table in ("rollup_minute", "rollup_hour"):
                    await connection.execute(f"update {table} set period = period - interval '2 hours'")
            await facets.mark_all(database)

    asyncio.run(age())


def test_silence_and_tests_from_the_terminal(served: Served, hook: Receiver) -> None:
    done = cli(served, "alerts", "silence", "failing", "2h", "--reason", "moving house")
    assert done.returncode == 0 and "is silent until" in done.stdout, done.stderr
    silenced = {one["name"]: one["silenced"] for one in ask(served, "/admin/alerts").json["data"]}
    assert silenced["failing"]["reason"] == "moving house" and silenced["cost_per_hour"] is None
    assert "error_rate" not in silenced and "average_response_time" in silenced
    assert ask(served, "/admin/alerts/failing/silence", method="DELETE").json == {"ended": True}
    tested = cli(served, "alerts", "test", "failing")
    assert tested.returncode == 0 and "ops delivered" in tested.stdout, tested.stdout + tested.stderr
    assert hook.got[-1].json["kind"] == "alert.test"
    wrong = cli(served, "alerts", "test", "faling")
    assert wrong.returncode == 1 and "did you mean 'failing'" in wrong.stderr
    assert "failing" in cli(served, "alerts", "list").stdout


def test_the_same_figures_stand_everywhere(served: Served) -> None:
    for number in range(3):
        assert chat(served, "figures", f"Hello {number}").status == 200

    def answered() -> Any:
        found = ask(served, "/metrics/llm?window=1h&group_by=route").json
        # The first of what one answer is read from: what is read behind it is as new or newer.
        return found if found["groups"].get("figures", {}).get("total_requests") == 3 else None

    found = until(answered)
    assert found["metrics_by_group"]["figures"]["calls"] == 3.0
    assert found["metrics"]["latency_p95"] == pytest.approx(found["figures"]["p95"])
    assert found["metrics"]["error_rate"] == pytest.approx(found["figures"]["error_rate"])
    assert {one["name"]: one["target"] for one in found["targets"]} == {
        "availability": ">= 99%",
        "latency_p95": "<= 30s",
    }
    shown = json.loads(cli(served, "metrics", "calls", "p95", "--by", "route", "--json").stdout)
    assert {line["group"]: line["total"]["calls"] for line in shown["lines"]}["figures"] == 3.0
    assert {one["name"] for one in shown["targets"]} == {"availability", "latency_p95"}
    table = cli(served, "metrics", "--window", "1h")
    assert table.returncode == 0 and "availability" in table.stdout and ">= 99%" in table.stdout, table.stderr
    text = until(lambda: (t := ask(served, "/metrics").body.decode()) and 'route="figures"' in t and t)
    assert re.search(r'comporta_metric\{name="calls",route="figures"\} 3', str(text))
    assert 'comporta_target_met{name="latency_p95"} 1' in str(text)
