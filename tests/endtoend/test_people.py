"""All that is held of one user, exported and erased by the command line, on one worker and on two with a Redis."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from comporta.testing.servers import redis_server, short_folder
from comporta.testing.upstream import Step
from support.serving import CONFIG, SECRETS, Fakes, Served
from support.talking import Answer, ask, chat, recorded, until

MORE = """
cache: {enabled: true, ttl: 1h}
limits:
  - {per: user, name: ana@example.org, requests_per_minute: 10000}
"""
ANA, RUI = "ana@example.org", "rui@example.org"


@pytest.fixture(scope="module", params=["one worker", "two workers and a Redis"])
def served(request: pytest.FixtureRequest, fakes: Fakes) -> Iterator[Served]:
    config = MORE + CONFIG.format(
        openai=fakes.openai.url, anthropic=fakes.anthropic.url, gemini=fakes.gemini.url, ollama=fakes.ollama.url
    )
    with short_folder() as folder, redis_server() as redis_url:
        if request.param != "one worker":
            config += f"redis: {{url: '{redis_url}'}}\nserver: {{workers: 2}}\n"
        gate = Served(folder, config, SECRETS)
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output


def typed(gate: Served, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words], env=gate.environment, cwd=gate.folder, text=True,
        capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip


def exported(gate: Served, user: str) -> dict[str, list[Any]]:
    """What `comporta user export` writes, by kind."""
    done = typed(gate, "user", "export", user)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        # Lists by the hour are made once a minute: a user may stand in them already or not yet.
        if row["kind"] != "tops":
            found.setdefault(row["kind"], []).append(row)
    return found


def said(gate: Served, model: str, text: str, user: str) -> Answer:
    answer = chat(gate, model, text, user=user)
    assert answer.status == 200, answer.body
    return answer


def spent(gate: Served) -> Any:
    return ask(gate, "/admin/summary").json["figures"]["cost_breakdown"]["total_usd"]


def test_a_user_is_exported_and_erased_and_the_bill_stays(served: Served, fakes: Fakes, tmp_path: Path) -> None:
    fakes.anthropic.script(Step(text="Kept for Ana."), Step(text="Kept for Rui."), model="people")
    fakes.openai.script(*[Step(text="Hello Ana")] * 8, model="gpt-4o-mini")
    calls = [said(served, "openai/gpt-4o-mini", f"My name is Ana Maria {n}", ANA).call for n in range(3)]
    his = said(served, "openai/gpt-4o-mini", "My name is Rui Costa", RUI).call
    for user, text in ((ANA, "I am Ana Maria."), (RUI, "I am Rui Costa.")):
        body = {"model": "anthropic/people", "input": text, "user": user}
        answer = ask(served, "/v1/responses", body)
        assert answer.status == 200, answer.body
        calls += [answer.call] if user == ANA else []
    for call in (*calls, his):
        recorded(served, call)
    before = until(lambda: spent(served))
    assert before

    hers = exported(served, ANA)
    assert sorted(row["call"]["id"] for row in hers["calls"]) == sorted(calls)
    assert "Ana Maria" in json.dumps([row["prompt"] for row in hers["calls"]])
    assert len(hers["cache"]) == 4 and len(hers["limits"]) == 1
    assert [row["response"]["output"][0]["content"][0]["text"] for row in hers["responses"]] == ["Kept for Ana."]
    assert "Rui" not in json.dumps(hers)

    refused = typed(served, "user", "erase", ANA)
    assert refused.returncode == 1 and "--yes" in refused.stderr
    done = typed(served, "user", "erase", ANA, "--yes")
    assert done.returncode == 0, done.stderr
    assert re.match(r"Removed 1 responses, 4 cache, 4 calls(, \d+ tops)?\.\n", done.stdout)
    assert "comporta.yaml line" in done.stdout and ANA not in done.stdout

    assert set(exported(served, ANA)) == {"limits"}, "what stands in the configuration is the operator's"
    for call in calls:
        found = recorded(served, call)
        assert found["call"]["user"] is None and found["call"]["capture"] == "erased"
        assert found["prompt"] is None and found["reply"] is None and found["call"]["usage"]["input"] > 0
    assert spent(served) == before and recorded(served, his)["call"]["user"] == RUI
    hit = until(lambda: said(served, "openai/gpt-4o-mini", "My name is Ana Maria 0", RUI).headers["x-comporta-cache"])
    assert hit == "miss", "no worker gives her old answer again"
    again = typed(served, "user", "erase", ANA, "--yes", "--json")
    assert json.loads(again.stdout)["removed"] == dict.fromkeys(
        (
            "responses",
            "cache",
            "semantic_cache",
            "calls",
            "waiting",
            "limits",
            "tops",
            "spending",
            "scores",
            "reviews",
            "findings",
            "problems",
            "trace_spans",
            "file_lines",
            "batch_rows",
        ),
        0,
    )
    listed = typed(served, "user", "erasures", "--json").stdout
    digest = json.loads(again.stdout)["user_sha256"]
    removed = [one["removed"] for one in json.loads(listed) if one["user_sha256"] == digest]
    hers_alone = [{kind: count for kind, count in one.items() if kind != "tops"} for one in removed]
    assert hers_alone == [{}, {"responses": 1, "cache": 4, "calls": 4}]
    assert ANA not in listed and "user_erased" in served.output and ANA not in served.output.replace("limits", "")


def test_calls_under_way_and_records_not_shipped_are_anonymous_when_they_arrive(served: Served, fakes: Fakes) -> None:
    def under_way(user: str, delay_s: float) -> str | None:
        """The call that was, while its user was erased; a busy machine may take longer over that than over the call."""
        fakes.openai.script(Step(text="Here is a slow answer.", delay_s=delay_s), model=f"slow-{user}")
        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(said, served, f"openai/slow-{user}", "I am Eva Dias", user)
            assert until(lambda: any(seen.json.get("model") == f"slow-{user}" for seen in list(fakes.openai.seen)))
            erased = ask(served, "/admin/users/erase", {"user": user})
            late = begun.done()
            assert erased.status == 200
            call = begun.result(90).call
        return None if late else call

    user, call = next((user, call) for n in range(8) if (call := under_way(user := f"eva-{n}", 1.5 + 2 * n)))
    found = recorded(served, call)
    assert found["call"]["user"] is None and found["prompt"] is None and found["call"]["capture"] == "erased"
    assert exported(served, user) == {}


def test_an_export_goes_to_a_file_for_its_owner_alone(served: Served, tmp_path: Path) -> None:
    call = said(served, "scripted/echo", "into a file", "file-user").call
    recorded(served, call)
    place = tmp_path / "export.jsonl"
    done = typed(served, "user", "export", "file-user", "--out", str(place))
    assert done.returncode == 0 and done.stdout == "" and "1 calls" in done.stderr
    assert place.stat().st_mode & 0o777 == 0o600 and call in place.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["export.jsonl"]
    failed = typed(served, "user", "export", "file-user", "--out", str(tmp_path / "nowhere" / "x"))
    assert failed.returncode == 1 and "can't be written" in failed.stderr


def test_only_administrators_may_ask_and_wrong_bodies_are_told(served: Served) -> None:
    made = ask(served, "/admin/keys", {"name": f"no-admin-{time.time()}"}).json
    for path in ("/admin/users/export", "/admin/users/erase"):
        answer = ask(served, path, {"user": "x"}, key=made["secret"])
        assert answer.status in (401, 403), "the key may be too new for the other worker"
        for body in ({}, {"user": ""}, {"user": 3}, {"user": "x", "after": "nowhere"}, {"user": "x", "more": 1}):
            wrong = ask(served, path, body)
            assert wrong.status == 400 and wrong.json["error"]["param"] in ("user", "after", "more"), wrong.body
