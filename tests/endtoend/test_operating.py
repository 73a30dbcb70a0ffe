"""A gate in operation: what changes while it runs, what its records keep, what its figures say."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

import comporta
from comporta.errors import ComportaError
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from comporta.types import Usage
from support.serving import SECRETS, Fakes, Served
from support.talking import Answer, ask, chat, recorded, until

#: Looks like no key that anybody knows: only its value gives it away.
UNLIKE_A_KEY = "planted.value.of.a.credential"
CONFIG = """
server: {{metrics_key: true}}
providers:
  openai: {{base_url: "{openai}/v1", api_key: "${{OPENAI_API_KEY}}"}}
  rotated:
    kind: openai
    base_url: {openai}/v1
    credentials: [{{name: from-file, file: openai.key}}]
  anthropic: {{base_url: "{anthropic}", api_key: "${{ANTHROPIC_API_KEY}}"}}
  scripted: {{}}
models:
  openai/priced: {{price: {{input: $1, output: $10}}}}
retry: {{attempts: 1}}
breaker: {{failures: 1000, share: 100%}}
logging: {{format: json}}
routes:
  full: {{model: openai/content, content: full}}
  preview: {{model: openai/content, content: preview}}
  hashed: {{model: openai/content, content: hashed}}
  silent: {{model: openai/content, content: off}}
  figures: {{model: openai/priced}}
"""


@pytest.fixture(scope="module")
def running(fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        (folder / "openai.key").write_text(UNLIKE_A_KEY + "\n")
        config = CONFIG.format(openai=fakes.openai.url, anthropic=fakes.anthropic.url)
        served = Served(folder, config, SECRETS)
        served.start()
        yield served
        assert served.stop() == 0
        assert not served.processes()


@contextlib.contextmanager
def configured(gate: Served, old: str, new: str) -> Iterator[None]:
    """The configuration with a piece of it changed, and afterwards as it was."""
    before = gate.config.read_text()
    assert old in before
    gate.config.write_text(before.replace(old, new))
    try:
        yield
    finally:
        gate.config.write_text(before)


def made_key(gate: Served, **fields: Any) -> tuple[str, str]:
    """The id and the secret of a new virtual key."""
    made = ask(gate, "/admin/keys", fields)
    assert made.status == 201, made.body
    return made.json["id"], made.json["secret"]


# ---- the configuration ----------------------------------------------------------------------------------------------


def test_a_changed_file_is_in_force_within_seconds_without_a_restart(running: Served) -> None:
    pids = set(running.processes())
    assert chat(running, "reloaded").status == 404
    with configured(running, "routes:\n", "routes:\n  reloaded: {model: scripted/echo}\n"):
        answered = until(lambda: (a := chat(running, "reloaded", "new here")).status == 200 and a)
        assert answered and answered.text == "new here"
        assert answered.headers["x-comporta-route"] == "reloaded"
    assert until(lambda: chat(running, "reloaded").status == 404)
    assert set(running.processes()) == pids


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("routes:\n", "routes:\n  bad-shape: {modell: scripted/echo}\n", r"routes.bad-shape.modell"),
        ("routes:\n", "routes:\n  bad-name: {model: scriptd/echo}\n", r"there is no provider 'scriptd'"),
        ("routes:\n", "routes:\n  bad-yaml: [\n", "comporta.yaml"),
    ],
    ids=["shape", "name", "YAML"],
)
def test_a_bad_file_is_refused_with_its_line_and_the_old_one_goes_on(
    running: Served, old: str, new: str, told: str
) -> None:
    line = running.config.read_text()[: running.config.read_text().index(old)].count("\n") + 2
    start = len(running.output)
    with configured(running, old, new):
        refusal = until(lambda: next((r for r in logged(running, start) if r["event"] == "config.refused"), None))
        assert refusal is not None
        assert any(told in mistake for mistake in refusal["mistakes"]), refusal
        if "YAML" not in told and "yaml" not in told:
            assert any(f"comporta.yaml:{line}:" in mistake for mistake in refusal["mistakes"]), refusal
        assert chat(running, "full").status == 200
        assert chat(running, "bad-shape").status == chat(running, "bad-name").status == 404
    # What was put right again is taken over without another word.
    assert until(lambda: any(r["event"] == "config.reloaded" for r in logged(running, start)))
    assert chat(running, "full").status == 200


def logged(gate: Served, start: int) -> list[dict[str, Any]]:
    """The log's lines since it was so long."""
    return [json.loads(line) for line in gate.output[start:].splitlines() if line.startswith("{")]


def test_sighup_to_the_supervisor_reads_the_configuration_again(running: Served) -> None:
    start = len(running.output)
    assert running.process is not None
    running.process.send_signal(signal.SIGHUP)
    assert until(lambda: any(r["event"] == "config.reloaded" for r in logged(running, start)))
    assert chat(running, "full").status == 200


def test_a_key_in_a_file_is_rotated_without_a_restart(running: Served, fakes: Fakes) -> None:
    def sent(text: str) -> str:
        """The key that went upstream with a call."""
        assert chat(running, "rotated/keyed", text).status == 200
        seen = next(s for s in reversed(fakes.openai.seen) if s.json.get("model") == "keyed")
        return seen.headers["authorization"].removeprefix("Bearer ")

    file = running.folder / "openai.key"
    assert sent("before") == UNLIKE_A_KEY
    rotated = "another.value.that.nobody.would.know"
    try:
        # As secret stores do it: a new file in the old one's place.
        (running.folder / "new.key").write_text(rotated)
        (running.folder / "new.key").rename(file)
        assert until(lambda: sent("after") == rotated)
        answered = chat(running, "rotated/keyed", f"Please remember {rotated} and {UNLIKE_A_KEY}")
        content = json.dumps(recorded(running, answered.call))
        assert rotated not in content and UNLIKE_A_KEY not in content and "Please remember" in content
    finally:
        file.write_text(UNLIKE_A_KEY)
        assert until(lambda: sent("restored") == UNLIKE_A_KEY)


# ---- keys and models ------------------------------------------------------------------------------------------------


def test_a_key_uses_and_sees_what_it_may_and_nothing_else(running: Served) -> None:
    _, secret = made_key(running, name="narrow", allow=["full", "scripted/*"])
    assert chat(running, "full", key=secret).status == 200
    assert chat(running, "scripted/echo", key=secret).status == 200
    for other in ("preview", "openai/content", "anthropic/x"):
        refused = chat(running, other, key=secret)
        assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
    names = {model["id"] for model in ask(running, "/v1/models", key=secret).json["data"]}
    assert "full" in names and names <= {"full"} | {n for n in names if n.startswith("scripted/")}
    assert ask(running, "/admin/keys", key=secret).status == 403
    listed = [model["id"] for model in ask(running, "/v1/models").json["data"]]
    assert len(listed) == len(set(listed)) and {"full", "preview", "openai/priced"} <= set(listed)


def test_a_revoked_key_is_refused_soon(running: Served) -> None:
    identity, secret = made_key(running, name="short-lived")
    assert chat(running, "full", key=secret).status == 200
    assert ask(running, f"/admin/keys/{identity}/revoke", {}).status == 200
    refused = until(lambda: one if (one := chat(running, "full", key=secret)).status == 401 else None)
    assert refused is not None and refused.json["error"]["code"] == "key_revoked"


def test_a_rotated_secret_replaces_the_old_one(running: Served) -> None:
    identity, old = made_key(running, name="turning")
    new = ask(running, f"/admin/keys/{identity}/rotate", {}).json["secret"]
    assert until(lambda: chat(running, "full", key=new).status == 200)
    assert until(lambda: chat(running, "full", key=old).status == 401)


def test_who_asked_for_what_stands_in_the_record(running: Served) -> None:
    identity, secret = made_key(
        running, name="backend", team="support", environment="prod", feature="chat", tags={"cost_centre": "42"}
    )
    answered = chat(running, "full", key=secret, user="ana", metadata={"session_id": "s-1"}, x_request_id="mine-1")
    record = recorded(running, answered.call)
    call = record["call"]
    assert {name: call[name] for name in ("key_id", "key_name", "team", "environment", "feature", "tags")} == {
        "key_id": identity, "key_name": "backend", "team": "support", "environment": "prod", "feature": "chat",
        "tags": {"cost_centre": "42"},
    }  # fmt: skip
    assert (call["user"], call["session"], call["request_id"]) == ("ana", "s-1", "mine-1")
    assert (call["route"], call["provider"], call["model"], call["status"]) == ("full", "openai", "content", 200)
    by_header = chat(running, "full", key=secret, x_comporta_session="s-2", x_comporta_user="rui")
    call = recorded(running, by_header.call)["call"]
    assert (call["user"], call["session"]) == ("rui", "s-2")
    names = [span["name"] for span in record["spans"]]
    assert names[0] == "record" and {"choose", "request"} <= set(names)
    found = ask(running, "/admin/calls?session=s-2&team=support").json["data"]
    assert [one["id"] for one in found] == [by_header.call]


def test_a_model_is_registered_changed_and_removed_while_running(running: Served, fakes: Fakes) -> None:
    def seen_model() -> str:
        assert chat(running, "registered").status == 200
        return str(fakes.openai.seen[-1].json["model"])

    made = ask(running, "/admin/models", {"name": "registered", "provider": "openai", "model": "first"})
    assert made.status == 201
    assert seen_model() == "first"
    changed = ask(running, "/admin/models/registered", {"provider": "openai", "model": "second"}, method="PUT")
    assert changed.status == 200
    assert seen_model() == "second"
    assert ask(running, "/admin/models/registered", method="DELETE").status == 200
    gone = chat(running, "registered")
    assert (gone.status, gone.json["error"]["code"]) == (404, "model_not_found")


def test_what_the_file_says_is_read_only_in_the_api_and_names_its_line(running: Served) -> None:
    refused = ask(running, "/admin/models", {"name": "full", "provider": "openai", "model": "x"})
    line = running.config.read_text().partition("  full:")[0].count("\n") + 1
    assert refused.status == 409 and f"{running.config} line {line}" in refused.json["error"]["message"]


# ---- what records keep ----------------------------------------------------------------------------------------------


def in_table(gate: Served, call: str) -> tuple[Any, Any, str]:
    """Prompt, reply and mode as they stand in the table."""
    recorded(gate, call)
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select prompt, reply, capture from call where id = %s", [call]).fetchone()
    assert row is not None
    return row


def test_each_route_keeps_as_much_content_as_it_says(running: Served, fakes: Fakes) -> None:
    question, answer = "Where is the sluice? " * 30, "Beside the mill. " * 30
    fakes.openai.script(*[Step(text=answer)] * 4, model="content")
    prompt, reply, mode = in_table(running, chat(running, "full", question).call)
    assert mode == "full" and question in json.dumps(prompt) and answer in json.dumps(reply)
    prompt, reply, mode = in_table(running, chat(running, "preview", question).call)
    assert mode == "preview"
    assert prompt[0] == {"role": "user", "text": question[:200], "length": len(question)}
    assert reply[0] == {"text": answer[:200], "length": len(answer)}
    prompt, reply, mode = in_table(running, chat(running, "hashed", question).call)
    assert mode == "hashed" and "sluice" not in json.dumps(prompt) and "mill" not in json.dumps(reply)
    assert (prompt[0]["sha256"], prompt[0]["length"]) == (hashlib.sha256(question.encode()).hexdigest(), len(question))
    assert reply[0]["sha256"] == hashlib.sha256(answer.encode()).hexdigest()
    assert in_table(running, chat(running, "silent", question).call) == (None, None, "off")


def test_a_call_whose_client_left_is_a_499_that_is_billed_by_estimate(running: Served, fakes: Fakes) -> None:
    """WIRE 8"""
    fakes.openai.script(Step(text="one two three four five six", token_delay_s=1.0), model="priced")
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=90)
    body = {"model": "figures", "stream": True, "messages": [{"role": "user", "content": "Count, please. " * 40}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {running.key}"})
    response = connection.getresponse()
    call = response.headers["x-comporta-call"]
    while b"two" not in response.readline():
        pass
    response.close()
    connection.close()
    found = recorded(running, call)
    assert (found["call"]["status"], found["call"]["outcome"]) == (499, "client_closed")
    usage = found["call"]["usage"]
    assert usage["estimated"] and usage["input"] > 100 and 0 < usage["output"] < 6
    assert found["call"]["cost_microusd"] == usage["input"] + usage["output"] * 10
    assert "one two" in json.dumps(found["reply"]) and "six" not in json.dumps(found["reply"])


def test_planted_secrets_are_in_no_table_no_file_and_no_log(running: Served, fakes: Fakes) -> None:
    _, secret = made_key(running, name="careless")
    planted = [*(SECRETS[name] for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")), UNLIKE_A_KEY, secret, running.key]
    text = "These are my keys, keep them: " + " and ".join(planted)
    fakes.openai.script(
        Step(text=f"I see {text}"), Step(text=f"I see {text}"),
        Step(status=401, message=f"Incorrect API key provided: {SECRETS['OPENAI_API_KEY']}"),
        Step(status=400, message=f"What is {UNLIKE_A_KEY}?"), model="content",
    )  # fmt: skip
    answers: list[Answer] = []
    for stream in (False, True, False, False):
        answers.append(chat(running, "full", text, key=secret, stream=stream, user=secret, metadata={"note": text}))
    assert [a.status for a in answers] == [200, 200, 502, 400]
    for answer in answers:
        recorded(running, answer.call)
    # The banner shows the administrator its key; after it there is none.
    log = running.output.partition("Ctrl-C stops everything.")[2]
    for found in planted:
        assert found not in log
        assert found not in tables(running)
        assert not files_with(found, running.data), found
        assert found.encode() not in answers[2].body


def tables(gate: Served) -> str:
    """Every row of every table, as text."""
    dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
    found = []
    with psycopg.connect(dsn) as connection:
        names = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(names) > 5
        for name in names:
            rows = connection.execute(sql.SQL("select t::text from {} t").format(sql.Identifier(*name))).fetchall()
            found += [text for (text,) in rows]
    return "\n".join(found)


def files_with(text: str, folder: Path) -> list[Path]:
    """What of the data folder holds it, but for PostgreSQL's own files and the file that is made to hold a key."""
    found = []
    for directory, names, files in os.walk(folder):
        names[:] = [name for name in names if name != "postgres"]
        found += [Path(directory) / file for file in files if file != "admin.key"]
    return [file for file in found if file.is_file() and text.encode() in file.read_bytes()]


# ---- figures --------------------------------------------------------------------------------------------------------


def test_the_figures_agree_with_the_calls_that_were_made(running: Served, fakes: Fakes) -> None:
    identity, secret = made_key(running, name="counted", team="counters", environment="test", feature="sums")
    used = Usage(input=1000, output=100)
    fakes.openai.script(*[Step(usage=used)] * 3, Step(status=500), model="priced")
    statuses = [chat(running, "figures", key=secret).status for _ in range(4)]
    assert statuses == [200, 200, 200, 502]
    assert chat(running, "scripted/echo", "one two", key=secret).status == 200

    def figures(query: str, key: str = "admin") -> Any:
        answer = ask(running, f"/metrics/llm?{query}", key=key)
        assert answer.status == 200, answer.body
        return answer.json["figures"]

    mine = until(lambda: (f := figures(f"window=1h&key={identity}"))["total_requests"] == 5 and f)
    assert mine, figures(f"window=1h&key={identity}")
    assert mine["success_rate"] == pytest.approx(0.8)
    assert mine["model_usage"]["priced"] == {"calls": 4, "tokens": 3300}
    assert mine["total_tokens"] == 3300 + mine["model_usage"]["echo"]["tokens"]
    # The model of a script has no price: its cost is unknown, never nothing.
    assert mine["cost_breakdown"]["by_model_usd"] == {"priced": pytest.approx(3 * 0.002), "echo": None}
    assert mine["cost_breakdown"]["unpriced_calls"] == 1
    assert mine["avg_response_time"] > 0 and 0 < mine["p50"] <= mine["p95"] <= mine["p99"]
    for query in ("team=counters", "environment=test", "feature=sums"):
        assert figures(f"window=30d&{query}")["total_requests"] == 5, query
    assert figures(f"window=7d&key={identity}&route=figures")["total_requests"] == 4
    grouped = ask(running, f"/metrics/llm?window=1h&key={identity}&group_by=route").json["groups"]
    assert {name: group["total_requests"] for name, group in grouped.items()} == {"figures": 4, "scripted/echo": 1}
    # Another window of the same calls: nothing of them lies before.
    assert figures(f"window=5m&key={identity}")["total_requests"] == 5
    # Whose key is no administrator's sees its own figures, and those alone.
    assert figures("window=1h", key=secret)["total_requests"] == 5
    assert ask(running, "/metrics/llm?key=python", key=secret).status == 403
    for wrong in ("window=1x", "window=1h&nonsense=1", "group_by=nonsense"):
        assert ask(running, f"/metrics/llm?{wrong}").status == 400
    assert ask(running, "/metrics/llm", key=None).status == 401


def test_metrics_want_a_key_unless_told_otherwise(running: Served) -> None:
    assert ask(running, "/metrics", key=None).status == 401
    team = ask(running, "/admin/keys", {"name": "no-scraper", "team": "red"}).json["secret"]
    scraper = ask(running, "/admin/keys", {"name": "scraper", "allow": ["metrics"]}).json["secret"]
    refused = ask(running, "/metrics", key=team)
    assert refused.status == 403 and "--allow metrics" in refused.json["error"]["message"]
    assert ask(running, "/metrics", key=scraper).status == 200
    assert ask(running, "/v1/chat/completions", {"model": "any", "messages": []}, key=scraper).status >= 400
    shown = ask(running, "/metrics")
    assert shown.status == 200 and shown.headers["content-type"].startswith("text/plain")
    assert b"comporta_calls_total" in shown.body
    with configured(running, "metrics_key: true", "metrics_key: false"):
        assert until(lambda: ask(running, "/metrics", key=None).status == 200)
        assert ask(running, "/metrics/llm", key=None).status == 401
    assert until(lambda: ask(running, "/metrics", key=None).status == 401)


def test_a_second_program_is_refused_while_the_gate_serves(running: Served) -> None:
    async def open_it() -> None:
        async with comporta.open(running.config, data=running.data):
            pass

    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        with pytest.raises(ComportaError, match=f"a gate runs on it at {running.url}"):
            asyncio.run(open_it())
    assert chat(running, "full").status == 200
