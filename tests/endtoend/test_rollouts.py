"""Rollouts with real processes: two workers, the command line, kills in mid-stage, a database that restarts."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from comporta.testing.servers import redis_server, short_folder
from support.receiving import Receiver, receiving
from support.serving import Served
from support.talking import Answer, ask, chat, recorded, until

CONFIG = """
server: {{workers: 2}}
redis: {{url: "{redis}"}}
providers: {{scripted: {{}}}}
models:
  scripted/echo: {{price: {{input: $1, output: $1}}}}
routes:
  good: {{model: scripted/echo}}
  harmed: {{model: scripted/echo}}
  killed: {{model: scripted/echo}}
  scored: {{model: scripted/echo}}
  copied: {{model: scripted/echo}}
  tried: {{model: scripted/echo}}
  parcels:
    variants: [{{model: scripted/echo, prompt: parcels}}]
  returns:
    variants: [{{model: scripted/echo, prompt: returns}}]
retry: {{attempts: 1}}
breaker: {{failures: 100000, share: 100%}}
notify:
  channels:
    ops: {{type: webhook, url: "{url}", secret: planted-secret-0000}}
logging: {{format: json}}
"""
TAGS = ("--commit-sha", "c0ffee1", "--author", "ana")
PROMPT = """
id: {id}
version: {version}
system_prompt: You are version {version}.
user_prompt_template: "{{question}}"
variables: [{{name: question}}{more}]
"""


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def gate(hook: Receiver) -> Iterator[Served]:
    """Two workers; each test has a route of its own."""
    with redis_server() as redis, short_folder() as folder:
        served = Served(folder, CONFIG.format(redis=redis, url=hook.url))
        served.start()
        yield served
        assert served.stop() == 0, served.output
        assert not served.processes()


def comporta(gate: Served, *words: str, code: int = 0) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words], env=gate.environment, cwd=gate.folder,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def status(gate: Served, which: str, kind: str = "rollouts") -> Any:
    answer = ask(gate, f"/admin/{kind}/{which}")
    assert answer.status == 200, answer.body
    return answer.json


def state(gate: Served, which: str) -> str:
    return str(status(gate, which)["state"])


def events(gate: Served, which: str) -> list[Any]:
    return list(reversed(ask(gate, f"/admin/rollouts/{which}/events").json["data"]))


def tried(gate: Served, model: str, user: str, **more: Any) -> Answer | None:
    try:
        return chat(gate, model, "hello", user=user, **more)
    except (OSError, http.client.HTTPException):
        return None


@contextmanager
def callers(gate: Served, model: str, prefix: str, **more: Any) -> Iterator[list[Answer]]:
    """Users that ask one after the other until the block ends."""
    over, answers = threading.Event(), []

    def asking() -> None:
        number = 0
        while not over.is_set():
            answer = tried(gate, model, f"{prefix}-{number % 300}", **more)
            if answer is not None:
                answers.append(answer)
            number += 1

    thread = threading.Thread(target=asking)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(30)


def sides_of(gate: Served, model: str, users: list[str]) -> dict[str, str]:
    """Which variant answers each user."""
    return {user: chat(gate, model, "hi", user=user).headers["x-comporta-variant"] for user in users}


def everywhere(gate: Served, model: str, variant: str) -> bool:
    """Whether every worker sends everybody there."""
    return all(chat(gate, model, "hi").headers["x-comporta-variant"] == variant for _ in range(6))


def test_a_harmless_side_goes_through_its_stages_by_itself_and_says_which_line_to_change(gate: Served) -> None:
    told = comporta(
        gate, "rollout", "start", "good", "--to-model", "scripted/echo", "--param", "temperature=0.1", "--stages",
        "20%,50%,100%", "--min-calls", "10", "--min-time", "0s", *TAGS, "--guard", "errors:20pp", "--why", "cooler",
    )  # fmt: skip
    assert "started at 20%" in told
    with callers(gate, "good", "u"):
        assert until(lambda: state(gate, "good") == "standing"), status(gate, "good")
    acts = [(one["act"], one["share"]) for one in events(gate, "good")]
    assert acts == [("start", 0.2), ("stage", 0.5), ("stage", 1.0), ("held", 1.0)]
    row = status(gate, "good")
    assert "comporta.yaml line 8" in row["hint"] and "temperature: 0.1" in row["hint"]
    assert row["tags"] == {"commit_sha": "c0ffee1", "author": "ana", "model_version": "scripted/echo"}
    proof = next(one for one in events(gate, "good") if one["share"] == 1.0)["numbers"]
    assert proof["cause"] == "proven" and proof["findings"][0]["values_b"] > 10
    shown = comporta(gate, "rollout", "status", "good")
    assert "standing" in shown and "side A stays ready" in shown and "p95" in shown
    assert "proven" not in comporta(gate, "rollout", "list") and "good" in comporta(gate, "rollout", "list", "--live")
    comporta(gate, "rollout", "abort", "good", "--why", "back")
    assert until(lambda: everywhere(gate, "good", "scripted/echo"))


def test_a_side_that_fails_is_rolled_back_and_no_caller_is_lost(gate: Served, hook: Receiver) -> None:
    comporta(
        gate, "rollout", "start", "harmed", "--to-model", "scripted/echo?error_rate=1", "--stages", "30%,100%", *TAGS
    )
    with callers(gate, "harmed", "v") as answers:
        assert until(lambda: state(gate, "harmed") == "rolled_back"), status(gate, "harmed")
        assert until(lambda: everywhere(gate, "harmed", "scripted/echo"))
    assert {answer.status for answer in answers} == {200}, "side A answered for side B"
    last = events(gate, "harmed")[-1]
    assert (last["act"], last["by"]) == ("roll_back", "comporta")
    # Whichever of the two sees it first.
    assert last["numbers"]["cause"] in ("burst", "harm") and status(gate, "harmed")["sides"]["b"]["errors"] >= 5
    rescued = next(answer for answer in answers if answer.headers["x-comporta-retries"] != "0")
    record = recorded(gate, rescued.call)
    tags = record["call"]["tags"]
    assert (tags["rollout_side"], tags["rollout_failed"], tags["commit_sha"]) == ("b", "fallback", "c0ffee1")
    choose = next(span for span in record["spans"] if span["name"] == "choose")
    assert choose["attributes"]["author"] == "ana" and choose["attributes"]["rollout_side"] == "b"
    metrics = until(lambda: [line for line in ask(gate, "/metrics").body.decode().splitlines() if _counts(line)])
    assert metrics, "the counts tell side and deploy"
    assert until(lambda: [got for got in hook.got if _tells(got.json, "rollout.rolled_back", "harmed")])


def _counts(line: str) -> bool:
    parts = ('route="harmed"', 'side="b"', 'outcome="fallback"', 'commit_sha="c0ffee1"', 'author="ana"')
    return line.startswith("comporta_rollout_calls_total{") and all(part in line for part in parts)


def _tells(notice: Any, kind: str, route: str) -> bool:
    return bool(notice["kind"] == kind and notice["facts"]["name"] == route)


def test_scores_decide_too(gate: Served) -> None:
    comporta(
        gate, "rollout", "start", "scored", "--to-model", "scripted/echo?tokens=3", "--stages", "50%,100%",
        "--min-calls", "100000", "--guard", "score:helpful:0.1", *TAGS,
    )  # fmt: skip
    assert until(lambda: len(set(sides_of(gate, "scored", [f"s-{n}" for n in range(20)]).values())) == 2)
    deadline_s = time.monotonic() + 150
    number = 0
    while state(gate, "scored") == "running" and time.monotonic() < deadline_s:
        for _ in range(20):
            number += 1
            answer = chat(gate, "scored", "hi", user=f"s-{number}")
            good = answer.headers["x-comporta-variant"] == "scripted/echo"
            said = {"call_id": answer.call, "name": "helpful", "value": good}
            assert ask(gate, "/v1/feedback", said).status in (200, 202)
    row = until(lambda: one if (one := status(gate, "scored"))["state"] == "rolled_back" else None)
    assert row, status(gate, "scored")
    assert "score:helpful" in events(gate, "scored")[-1]["why"]
    assert row["sides"]["a"]["scores"]["score:helpful"]["mean"] == 1.0


def test_a_kill_of_every_worker_in_mid_stage_and_a_restart_of_the_database_change_nothing(gate: Served) -> None:
    comporta(
        gate, "rollout", "start", "killed", "--to-model", "scripted/echo?tokens=2", "--stages", "40%,100%",
        "--min-calls", "60", "--min-time", "0s", "--guard", "errors:20pp", *TAGS,
    )  # fmt: skip
    users = [f"k-{n}" for n in range(30)]
    before = until(lambda: found if len(set((found := sides_of(gate, "killed", users)).values())) == 2 else None)
    assert before
    kill(gate, "comporta.app.gate_process")
    assert until(lambda: tried(gate, "killed", "k") is not None)
    assert until(lambda: sides_of(gate, "killed", users) == before), "callers stay where they were"
    kill(gate, "postgres")
    assert sides_of(gate, "killed", users) == before, "shares stay as they are while the database is away"
    assert until(lambda: ask(gate, "/health/ready").json["database"] == "connected")
    assert sides_of(gate, "killed", users) == before
    with callers(gate, "killed", "k"):
        assert until(lambda: state(gate, "killed") == "standing"), status(gate, "killed")
    acts = [one["act"] for one in events(gate, "killed")]
    assert acts == ["start", "stage", "held"], "each was decided once"
    # What was answered is counted, each call once: those of before the kill too.
    assert until(lambda: counted(gate, "killed") == calls_of(gate, "killed"))


def counted(gate: Served, route: str) -> int:
    """The calls that the figures of a rollout hold."""
    sides = status(gate, route)["sides"]
    return int(sides["a"]["calls"] + sides["b"]["calls"])


def kill(gate: Served, part: str) -> None:
    for pid, command in gate.processes().items():
        if part in command:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def calls_of(gate: Served, route: str) -> int:
    """The records that the figures of a route's rollout are made from."""
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select count(*) from call where route = %s and tags ? 'rollout' and outcome_class = 'ok'", [route]
        ).fetchone()
    return int(row[0]) if row else 0


def test_copies_are_answered_by_b_paid_by_the_rollout_and_seen_by_nobody(gate: Served) -> None:
    comporta(
        gate, "rollout", "start", "copied", "--param", "temperature=0.1", "--shadow", "100%", "--shadow-limit", "$5",
        *TAGS,
    )  # fmt: skip
    made = ask(gate, "/admin/keys", {"name": "copied", "feature": "shop"}).json
    assert until(lambda: ask(gate, "/admin/budgets").json["data"])
    assert until(lambda: chat(gate, "copied", "hello", key=made["secret"]).status == 200)
    assert until(lambda: _copied(gate, made["secret"])), status(gate, "copied")
    row = status(gate, "copied")
    assert (row["state"], row["share"]) == ("shadow", 0.0)
    assert row["sides"]["shadow"]["calls"] >= 1 and row["sides"]["b"]["calls"] == 0
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        copies = connection.execute(
            "select c.key_name, c.variant, c.feature, c.parent_id = p.id, c.trace_id = p.trace_id from call c"
            " join call p on p.id = c.parent_id where c.route = 'copied'"
        ).fetchall()
    assert copies and all(copy == copies[0] for copy in copies)
    assert copies[0] == ("shadow copied", "scripted/echo+temperature", f"shadow:{row['id']}", True, True)
    budget = next(one for one in ask(gate, "/admin/budgets").json["data"] if one["value"] == f"shadow:{row['id']}")
    assert until(lambda: _spent(gate, budget["id"]) > 0)
    told = comporta(gate, "rollout", "promote", "copied")
    assert "running, with 1% on B" in told
    assert until(lambda: not [one for one in ask(gate, "/admin/budgets").json["data"] if one["id"] == budget["id"]])
    comporta(gate, "rollout", "abort", "copied")


def _copied(gate: Served, key: str) -> bool:
    answer = chat(gate, "copied", "one two three", key=key)
    assert answer.text == "one two three", "the caller sees side A alone"
    return bool(status(gate, "copied")["sides"]["shadow"]["calls"])


def _spent(gate: Served, budget: str) -> int:
    return int(ask(gate, f"/admin/budgets/{budget}").json["spent_microusd"])


def test_an_experiment_tells_its_verdict_and_moves_nothing(gate: Served) -> None:
    comporta(
        gate, "experiment", "start", "tried", "--to-model", "scripted/echo?error_rate=0.9", "--metric", "errors:5pp",
        "--min-calls", "20", *TAGS,
    )  # fmt: skip
    with callers(gate, "tried", "e"):
        found = until(lambda: one if (one := _verdict(gate)) and one["outcome"] != "not_enough_data" else None)
    assert found and found["outcome"] == "winner" and found["winner"] == "a", found
    row = status(gate, "tried", "experiments")
    assert (row["state"], row["share"]) == ("running", 0.5)
    assert "A is better" in comporta(gate, "experiment", "status", "tried")
    comporta(gate, "experiment", "stop", "tried")
    assert until(lambda: everywhere(gate, "tried", "scripted/echo"))


def _verdict(gate: Served) -> Any:
    return status(gate, "tried", "experiments")["decision"]


# ---- prompts --------------------------------------------------------------------------------------------------------


def push(gate: Served, id: str, version: str, more: str = "") -> None:
    text = PROMPT.format(id=id, version=version, more=more)
    files = [{"name": f"{id}.yaml", "text": text, "author": "ana", "commit_sha": "c0ffee1"}]
    pushed = ask(gate, "/admin/prompts/push", {"files": files})
    assert pushed.status in (200, 201), pushed.body


def deploy(gate: Served, id: str, version: str) -> None:
    tags = {"commit_sha": "c0ffee1", "author": "ana", "model_version": "m1"}
    body = {"version": version, "environment": "production", "why": "t", "tags": tags}
    deployed = ask(gate, f"/admin/prompts/{id}/deploy", body)
    assert deployed.status in (200, 201), deployed.body


def asked(gate: Served, route: str, user: str = "x") -> Answer:
    body = {"model": route, "messages": [], "prompt": {"variables": {"question": "Where?"}}, "user": user}
    return ask(gate, "/v1/chat/completions", body)


def history(gate: Served, id: str) -> list[Any]:
    found: list[Any] = ask(gate, f"/admin/prompts/{id}/history?environment=production").json["data"]
    return found


def test_the_label_of_a_prompt_moves_once_the_new_version_has_held(gate: Served) -> None:
    push(gate, "parcels", "1.0.0")
    deploy(gate, "parcels", "1.0.0")
    push(gate, "parcels", "1.1.0")
    assert until(lambda: asked(gate, "parcels").status == 200), asked(gate, "parcels").body
    comporta(
        gate, "rollout", "start", "--prompt", "parcels@1.1.0", "--env", "production", "--stages", "50%,100%",
        "--min-calls", "10", "--min-time", "0s", "--guard", "errors:30pp", "--model-version", "m1",
    )  # fmt: skip
    versions: set[str] = set()
    deadline_s = time.monotonic() + 150
    number = 0
    while state(gate, "parcels@production") != "done" and time.monotonic() < deadline_s:
        for _ in range(10):
            number += 1
            answer = asked(gate, "parcels", f"p-{number % 200}")
            assert answer.status == 200, answer.body
            versions.add(answer.headers["x-comporta-prompt"])
    assert versions == {"parcels@1.0.0", "parcels@1.1.0"}
    assert state(gate, "parcels@production") == "done", status(gate, "parcels@production")
    last = history(gate, "parcels")[0]
    assert (last["version"], last["by"], last["tags"]["commit_sha"]) == (
        "1.1.0",
        "comporta",
        "c0ffee1",
    )


def test_a_deploy_after_which_errors_rise_is_taken_back_by_the_gate(gate: Served, hook: Receiver) -> None:
    push(gate, "returns", "3.0.0")
    deploy(gate, "returns", "3.0.0")
    assert until(lambda: asked(gate, "returns").headers.get("x-comporta-prompt") == "returns@3.0.0")
    for number in range(60):
        assert asked(gate, "returns", f"d-{number}").status == 200
    # The new version wants a value that no application sends yet.
    push(gate, "returns", "3.1.0", ", {name: language}")
    deploy(gate, "returns", "3.1.0")
    found = until(lambda: asked(gate, "returns").status == 400 or None)
    assert found
    assert until(lambda: asked(gate, "returns").status == 200), "the old version is back"
    last = history(gate, "returns")[0]
    assert (last["kind"], last["version"], last["by"]) == ("rollback", "3.0.0", "comporta")
    assert "Errors:" in last["why"]
    assert until(lambda: [got for got in hook.got if got.json["kind"] == "prompt.rolled_back"])
