"""Files of requests from the terminal: what lines may be, going on, ceilings, kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from comporta.cli.batch_run import Ceiling, Run, done_before, items_of
from comporta.errors import BadRequest
from comporta.testing.servers import short_folder
from support.serving import Served
from support.talking import ask, until

CONFIG = """
providers:
  scripted: {}
routes:
  echo: {model: "scripted/echo?first_delay=0.15"}
  priced: {model: scripted/dear}
models:
  scripted/dear: {price: {input: 1000, output: 1000}}
"""


def test_a_line_may_be_a_request_a_prompt_messages_or_text() -> None:
    lines = [
        '{"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}',
        '{"id": 7, "prompt": "Why?", "temperature": 0}', '{"messages": [{"role": "user", "content": "Who?"}]}',
        '"quoted"', "plain words", "",
    ]  # fmt: skip
    a, b, c, d, e = items_of("\n".join(lines), "default")
    assert (a.id, a.path, a.body["model"]) == ("a", "/v1/embeddings", "m")
    assert (b.id, b.body["temperature"], b.body["messages"][0]["content"]) == ("7", 0, "Why?")
    assert (c.id, c.body["model"]) == ("row-3", "default")
    assert [one.body["messages"][0]["content"] for one in (d, e)] == ["quoted", "plain words"]


@pytest.mark.parametrize(
    ("text", "line"),
    [('{"a": 1', 1), ('x\n{"model": "m"}', 2), ('{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}', 2), ("[1]", 1)],
)
def test_a_wrong_line_is_told_by_its_number(text: str, line: int) -> None:
    with pytest.raises(BadRequest, match=f"Line {line}"):
        items_of(text, "m")


def test_a_last_line_that_was_not_finished_is_asked_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    whole = '{"custom_id": "a", "response": {}, "error": null}\n{"custom_id": "b", "response": {}, "error": null}\n'
    out.write_text(whole + '{"custom_i')
    assert done_before(out) == {"a", "b"}
    assert out.read_text() == whole


@pytest.mark.parametrize(
    "text", ['{"custom_id": "a", "body": {}}\n{"custom_id": "b"', "hello\nworld", "no line's end", '["a"]\n', "7\n"]
)
def test_a_file_of_something_else_is_no_place_for_answers_and_stays_as_it_is(tmp_path: Path, text: str) -> None:
    out = tmp_path / "in.jsonl"
    out.write_text(text)
    with pytest.raises(BadRequest, match=r"in\.jsonl holds something else"):
        done_before(out)
    assert out.read_text() == text


def test_a_line_ends_at_its_line_feed_and_nowhere_else() -> None:
    (item,) = items_of('{"prompt": "one\u2028two\x85three"}\r\n', "m")
    assert item.body["messages"][0]["content"] == "one\u2028two\x85three"
    assert [one.body["messages"][0]["content"] for one in items_of("one\r\ntwo\r\n", "m")] == ["one", "two"]


def test_a_ceiling_holds_what_runs_at_the_dearest_so_far() -> None:
    ceiling = Ceiling(1.0)
    assert ceiling.admits(0) and not ceiling.admits(1)
    ceiling.take(0.3)
    assert ceiling.admits(1) and not ceiling.admits(2)
    ceiling.take(0.3)
    assert ceiling.admits(0) and not ceiling.admits(1)
    ceiling.take(0.3)
    assert not ceiling.admits(0) and ceiling.reached(0)


async def test_a_run_that_is_stopped_waits_for_no_limit(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def limited(request: web.Request) -> web.Response:
        asked.set()
        return web.json_response({}, status=429, headers={"retry-after": "60"})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", limited)
    async with TestServer(app) as server:
        told = Ceiling(None)
        run = Run(str(server.make_url("/")), "k", tmp_path / "out", tmp_path / "errors", told, lambda: None)
        running = asyncio.create_task(run.run(items_of("one\ntwo", "m"), 1))
        await asked.wait()
        run.stop()
        async with asyncio.timeout(20):
            assert await running == 1
    assert (run.asked, run.failed) == (1, 1)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, CONFIG)
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output


def command(gate: Served, *words: str) -> list[str]:
    return [sys.executable, "-m", "comporta.cli.main", "batch", *words, "--data", str(gate.data), "--json"]


def run(gate: Served, *words: str) -> dict[str, float]:
    done = subprocess.run(command(gate, *words), capture_output=True, text=True, timeout=60, check=False)
    found: dict[str, float] = json.loads(done.stdout or "{}")
    assert found, done.stderr
    return found


def test_a_killed_run_goes_on_and_asks_no_row_twice(served: Served, tmp_path: Path) -> None:
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked.write_text("".join(f"Question {number}\n" for number in range(40)))
    words = (str(asked), "-o", str(out), "-m", "echo", "-c", "4")
    with subprocess.Popen(command(served, *words), stdout=subprocess.DEVNULL) as process:
        far = until(lambda: out.exists() and out.read_text().count("\n") >= 8)
        os.kill(process.pid, signal.SIGKILL)
    assert far
    before = out.read_text().count("\n")
    found = run(served, *words)
    assert found["before"] == before and found["asked"] == 40 - before and not found["failed"]
    ids = [json.loads(line)["custom_id"] for line in out.read_text().splitlines()]
    assert sorted(ids) == sorted({f"row-{number}" for number in range(1, 41)})


def test_a_run_stops_before_its_ceiling_and_refusals_have_a_file(served: Served, tmp_path: Path) -> None:
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked.write_text("".join("one two three\n" for _ in range(30)))
    first = run(served, str(asked), "-o", str(tmp_path / "one.jsonl"), "-m", "priced", "--max-cost", "$0.000001")
    cost = first["spent_usd"]
    assert first["asked"] == 1 and cost > 0
    found = run(served, str(asked), "-o", str(out), "-m", "priced", "--max-cost", str(cost * 5.5))
    assert (found["asked"], found["left"]) == (5, 25)
    assert found["spent_usd"] <= cost * 5.5
    refused = run(served, str(asked), "-o", str(tmp_path / "no.jsonl"), "-m", "nowhere", "-c", "8")
    assert refused["failed"] == 30
    assert len((tmp_path / "no.errors.jsonl").read_text().splitlines()) == 30
    assert ask(served, "/health/ready").status == 200
