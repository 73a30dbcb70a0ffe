"""Files and batches with the official SDK, real processes, a killed worker, another team's key."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

from comporta.app.folder import Folder
from comporta.testing.servers import short_folder
from support.serving import Served
from support.talking import ask, until

CONFIG = """
providers:
  scripted: {}
routes:
  echo: {model: scripted/echo}
  slow: {model: "scripted/echo?first_delay=0.3"}
batches: {concurrency: 4}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, CONFIG)
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output


def client_of(gate: Served, team: str) -> OpenAI:
    made = ask(gate, "/admin/keys", {"name": f"{team}-{time.monotonic_ns()}", "team": team}).json
    return OpenAI(base_url=f"http://127.0.0.1:{gate.port}/v1", api_key=made["secret"], max_retries=0)


def row(number: int, model: str = "echo", **changes: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"Question {number}?"}], "user": f"user-{number}"}
    return {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | changes


def upload(client: OpenAI, rows: list[Any]) -> str:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)
    return client.files.create(file=("in.jsonl", io.BytesIO(text.encode())), purpose="batch").id


def begin(client: OpenAI, rows: list[Any]) -> str:
    return client.batches.create(
        input_file_id=upload(client, rows), endpoint="/v1/chat/completions", completion_window="24h",
        metadata={"job": "night"},
    ).id  # fmt: skip


def ended(client: OpenAI, batch: str, within_s: float = 40) -> Any:
    def look() -> Any:
        found = client.batches.retrieve(batch)
        return found if found.status in ("completed", "failed", "cancelled", "expired") else None

    found = until(look, within_s)
    assert found, client.batches.retrieve(batch)
    return found


def read(client: OpenAI, file: str | None) -> dict[str, Any]:
    assert file is not None
    return {one["custom_id"]: one for one in map(json.loads, client.files.content(file).text.splitlines())}


def cut_leases(gate: Served) -> None:
    running = Folder(gate.data).running()
    assert running is not None
    with psycopg.connect(running.dsn, autocommit=True) as connection:
        connection.execute("update batch_row set lease_until = now() where state = 'running'")


def test_a_batch_answers_every_row_and_tells_those_that_failed_apart(served: Served) -> None:
    client = client_of(served, "retail")
    batch = begin(client, [*(row(n) for n in range(20)), row(99, model="no-such-model")])
    found = ended(client, batch)
    assert (found.status, found.metadata) == ("completed", {"job": "night"})
    counts = found.request_counts
    assert (counts.total, counts.completed, counts.failed) == (21, 20, 1)
    answers = read(client, found.output_file_id)
    assert len(answers) == 20
    first = answers["r-7"]["response"]
    assert first["status_code"] == 200 and "Question 7?" in first["body"]["choices"][0]["message"]["content"]
    (failed,) = read(client, found.error_file_id).values()
    assert failed["custom_id"] == "r-99" and failed["response"]["status_code"] == 404
    assert next(iter(client.batches.list(limit=1))).id == batch

    calls = until(lambda: ask(served, "/admin/calls?team=retail&limit=100").json["data"])
    assert {call["notes"]["batch"]["id"] for call in calls} == {batch}
    assert {call["user"] for call in calls} >= {"user-3"}


def test_a_file_with_mistakes_fails_with_all_of_them(served: Served) -> None:
    client = client_of(served, "desk")
    rows = [row(1), row(1), "no json", row(2, url="/v1/embeddings"), row(3, custom_id=7), row(4, body={"stream": True})]
    found = ended(client, begin(client, rows))
    assert found.status == "failed" and found.errors is not None and found.errors.data is not None
    assert [(one.code, one.line) for one in found.errors.data] == [
        ("duplicate_custom_id", 2), ("invalid_json_line", 3), ("mismatched_endpoint", 4), ("missing_custom_id", 5),
        ("missing_model", 6),
    ]  # fmt: skip


def test_files_and_batches_are_their_teams_alone(served: Served) -> None:
    ours, theirs = client_of(served, "ours"), client_of(served, "theirs")
    file = upload(ours, [row(1)])
    batch = begin(ours, [row(1)])
    assert client_of(served, "ours").files.retrieve(file).bytes > 0
    for ask_for in (
        lambda: theirs.files.retrieve(file), lambda: theirs.files.content(file), lambda: theirs.files.delete(file),
        lambda: theirs.batches.retrieve(batch), lambda: theirs.batches.cancel(batch),
        lambda: theirs.batches.create(
            input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
        ),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            ask_for()
    assert not list(theirs.files.list()) and not list(theirs.batches.list())
    assert ours.files.delete(file).deleted
    with pytest.raises(NotFoundError):
        ours.files.retrieve(file)


def test_a_cancelled_batch_asks_nothing_more(served: Served) -> None:
    client = client_of(served, "fickle")
    batch = begin(client, [row(n, model="slow") for n in range(60)])
    assert until(lambda: client.batches.retrieve(batch).status == "in_progress")
    client.batches.cancel(batch)
    found = ended(client, batch)
    assert found.status == "cancelled"
    assert found.request_counts.completed < 60
    with pytest.raises(ConflictError):
        client.batches.cancel(batch)


def test_a_revoked_keys_rows_are_refused(served: Served) -> None:
    made = ask(served, "/admin/keys", {"name": "soon-gone", "team": "gone"}).json
    client = OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=made["secret"], max_retries=0)
    other = client_of(served, "gone")
    batch = begin(client, [row(n, model="slow") for n in range(40)])
    assert until(lambda: client.batches.retrieve(batch).status == "in_progress")
    assert ask(served, f"/admin/keys/{made['id']}/revoke", {}).status == 200
    found = ended(other, batch)
    assert found.request_counts.failed > 0
    codes = {one["response"]["body"]["error"]["code"] for one in read(other, found.error_file_id).values()}
    assert codes == {"key_revoked"}


def test_no_key_but_the_gates_own_may_ask_for_another(served: Served) -> None:
    made = ask(served, "/admin/keys", {"name": "curious", "team": "x"}).json
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
    refused = ask(served, "/v1/chat/completions", body, key=made["secret"], x_comporta_as_key=made["id"])
    assert refused.status == 403


def test_bad_uploads_are_refused_in_words(served: Served) -> None:
    client = client_of(served, "clumsy")
    with pytest.raises(BadRequestError, match="purpose"):
        client.files.create(file=("x.jsonl", b"{}"), purpose="fine-tune")
    with pytest.raises(BadRequestError, match="endpoint"):
        client.batches.create(input_file_id=upload(client, [row(1)]), endpoint="/v1/x", completion_window="24h")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        client.batches.create(input_file_id="file-x", endpoint="/v1/chat/completions", completion_window="24h")
    with pytest.raises(BadRequestError, match="metadata holds a NUL"):
        client.batches.create(
            input_file_id="file-x", endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "\0"}
        )
    with pytest.raises(BadRequestError, match="path holds a NUL"):
        client.files.retrieve("\0")


def test_a_row_that_can_not_be_stored_stops_nobody_elses_batch(served: Served) -> None:
    bad, good = client_of(served, "poison"), client_of(served, "bystander")
    batches = begin(bad, [row(1, custom_id="a\0b")]), begin(good, [row(2)])
    assert ended(bad, batches[0]).status == "failed"
    assert ended(good, batches[1]).status == "completed"


def test_a_killed_job_worker_loses_no_row_and_answers_none_twice(served: Served) -> None:
    client = client_of(served, "sturdy")
    batch = begin(client, [row(n, model="slow") for n in range(30)])
    assert until(lambda: client.batches.retrieve(batch).request_counts.completed >= 4)  # type: ignore[union-attr]
    (worker,) = [pid for pid, command in served.processes().items() if "jobs_process" in command]
    os.kill(worker, signal.SIGKILL)
    # Rows that it had in hand wait for their lease; here it is cut short.
    time.sleep(1)
    cut_leases(served)
    found = ended(client, batch, 60)
    assert (found.status, found.request_counts.completed) == ("completed", 30)
    assert len(read(client, found.output_file_id)) == 30
