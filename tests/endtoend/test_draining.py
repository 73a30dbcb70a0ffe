"""Leaving in good order: real processes, real signals, streams running."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from comporta.store.embedded import EmbeddedPostgres
from comporta.testing.servers import redis_server, short_folder
from support.serving import Served
from support.talking import ask, chat, until

CONFIG = """
server: {drain: %s, workers: %d}
providers:
  scripted:
    options:
      script:
        brief: {text: "one two three four five six seven eight nine ten", token_delay: 0.6}
        endless: {tokens: 400, token_delay: 0.1}
        echo: {}
models:
  scripted/brief: {price: {input: $1, output: $10}}
  scripted/endless: {price: {input: $1, output: $10}}
  scripted/echo: {price: {input: $0, output: $0}}
budgets:
  - {name: everything, period: month, limit: $100}
%s
"""


@contextlib.contextmanager
def serving(drain: str = "30s", workers: int = 1, more: str = "") -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG % (drain, workers, more))
        served.start()
        try:
            yield served
        finally:
            if served.process is not None and served.process.poll() is None:
                served.process.kill()
                served.process.wait()
            until(lambda: not served.processes())


class Running:
    """A call that has begun, read in a thread to its end."""

    def __init__(self, gate: Served, model: str, path: str = "/v1/chat/completions", stream: bool = True) -> None:
        self._gate = gate
        self.lines: list[bytes] = []
        self.status = 0
        self.call = ""
        self.failed: Exception | None = None
        body = {"model": f"scripted/{model}", "stream": stream, "max_tokens": 500,
                "messages": [{"role": "user", "content": "Count, please."}]}  # fmt: skip
        self._thread = threading.Thread(target=self._read, args=(path, body), daemon=True)
        self._thread.start()
        if stream:
            assert until(lambda: self.text or self.failed), "the stream did not begin"
        else:
            # Nothing can be seen of a plain call before its end but that the gate counts it.
            assert until(lambda: b"comporta_calls_in_flight 1" in metrics(gate) or self.status)

    def _read(self, path: str, body: Any) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._gate.port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {self._gate.key}"})
            response = connection.getresponse()
            self.status, self.call = response.status, response.headers.get("x-comporta-call", "")
            while line := response.readline():
                self.lines.append(line)
        except (OSError, http.client.HTTPException) as error:
            self.failed = error
        finally:
            connection.close()

    @property
    def whole(self) -> str:
        return b"".join(self.lines).decode()

    @property
    def text(self) -> str:
        found = [json.loads(line[6:]) for line in self.lines if line.startswith(b"data: {")]
        return "".join(f["choices"][0]["delta"].get("content") or "" for f in found if f.get("choices"))

    def ended(self) -> Running:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self


def metrics(gate: Served) -> bytes:
    return ask(gate, "/metrics").body


def rows(dsn: str, calls: list[str]) -> dict[str, Any]:
    """Status, outcome, cost and whether the usage is an estimate, of those of the calls that are in the table."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select id::text, status, outcome, cost_microusd, estimated from call where id = any(%s::uuid[])", [calls]
        ).fetchall()
    return {row[0]: row[1:] for row in found}


def rows_left(gate: Served, calls: list[str]) -> dict[str, Any]:
    """The same of a gate that has ended and shipped what it had."""
    server = EmbeddedPostgres(gate.data)
    try:
        return rows(server.start(), calls)
    finally:
        server.stop()


def refused_connection(gate: Served) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gate.port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def term(gate: Served, number: int = signal.SIGTERM) -> None:
    assert gate.process is not None
    gate.process.send_signal(number)


def test_running_calls_finish_and_new_ones_are_refused_after_sigterm() -> None:
    with serving() as gate:
        plain = Running(gate, "brief", stream=False)
        stream = Running(gate, "brief")
        kept = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=60)
        kept.request("GET", "/health/ready")
        assert kept.getresponse().read().startswith(b'{"status":"ready"')
        term(gate)
        ready = until(lambda: (a := ask(gate, "/health/ready", key=None)).status == 503 and a)
        assert ready
        assert (ready.headers["retry-after"], ready.headers["connection"]) == ("1", "close")
        assert ask(gate, "/health/live", key=None).status == 200
        refused = chat(gate, "scripted/echo")
        assert (refused.status, refused.json["error"]["code"]) == (503, "draining")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        message = {"model": "scripted/echo", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
        anthropic = ask(gate, "/v1/messages", message)
        assert (anthropic.status, anthropic.json["type"]) == (503, "error")
        # A connection from before says the same, and closes.
        kept.request("GET", "/health/ready")
        assert (answer := kept.getresponse()).status == 503 and answer.headers["connection"] == "close"
        kept.close()
        assert stream.ended().text == "one two three four five six seven eight nine ten"
        assert stream.whole.rstrip().endswith("data: [DONE]")
        assert (plain.ended().status, "nine ten" in plain.whole) == (200, True)
        assert gate.process is not None and gate.process.wait(90) == 0
        assert refused_connection(gate) and not gate.processes()
        assert [row[0] for row in rows_left(gate, [plain.call, stream.call]).values()] == [200, 200]


def test_past_the_limit_streams_end_with_an_error_frame_and_are_billed_and_recorded() -> None:
    with serving("1s") as gate:
        plain = Running(gate, "endless", stream=False)
        streams = [Running(gate, "endless") for _ in range(3)]
        begun_s = time.monotonic()
        term(gate)
        for stream in streams:
            last = [line for line in stream.ended().lines if line.startswith(b"data: {")][-1]
            assert json.loads(last[6:])["error"]["code"] == "stopped"
            assert stream.failed is None
        assert (plain.ended().status, json.loads(plain.whole)["error"]["code"]) == (503, "stopped")
        assert gate.process is not None and gate.process.wait(90) == 0
        # By themselves the streams last forty seconds.
        assert 1 <= time.monotonic() - begun_s < 35
        found = rows_left(gate, [stream.call for stream in streams])
        assert len(found) == 3
        for status, kind, cost, estimated in found.values():
            assert (status, kind, estimated) == (503, "stopped", True) and cost > 10


def test_a_second_signal_leaves_at_once_with_error_frame_and_record() -> None:
    with serving("50s") as gate:
        stream = Running(gate, "endless")
        term(gate)
        assert until(lambda: ask(gate, "/health/ready", key=None).status == 503)
        begun_s = time.monotonic()
        term(gate, signal.SIGINT)
        assert gate.process is not None and gate.process.wait(90) == 128 + signal.SIGINT
        # By itself the stream lasts forty seconds.
        assert time.monotonic() - begun_s < 30
        assert '"code":"stopped"' in stream.ended().whole
        assert not gate.processes()
        # It did not wait for the database: the next start ships the record.
        gate.start()
        dsn = json.loads((gate.data / "run.json").read_text())["dsn"]
        found = until(lambda: rows(dsn, [stream.call]))
        status, kind, cost, _ = found[stream.call]
        assert (status, kind) == (503, "stopped") and cost > 0


def test_two_workers_let_their_streams_finish_and_leave() -> None:
    with redis_server() as url, serving(workers=2, more=f"redis: {{url: '{url}'}}") as gate:
        streams = [Running(gate, "brief") for _ in range(8)]
        term(gate)
        assert until(lambda: ask(gate, "/health/ready", key=None).status == 503)
        assert all(chat(gate, "scripted/echo").status == 503 for _ in range(6))
        assert [stream.ended().text[-3:] for stream in streams] == ["ten"] * 8
        assert gate.process is not None and gate.process.wait(90) == 0
        assert not gate.processes()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def gate_process(gate: Served) -> int:
    assert gate.process is not None
    return next(p for p in children(gate.process.pid) if "comporta.app.gate_process" in gate.processes().get(p, ""))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_a_gate_process_that_ends_lets_its_streams_finish_while_another_answers(number: int) -> None:
    with serving() as gate:
        main = gate_process(gate)
        (worker,) = children(main)
        stream = Running(gate, "brief")
        os.kill(main, number)
        assert until(lambda: gone(gate, main) and answered(gate))
        assert stream.ended().text[-3:] == "ten" and stream.failed is None
        assert until(lambda: worker not in gate.processes())
        assert chat(gate, "scripted/echo").status == 200
        assert gate.stop() == 0


def gone(gate: Served, pid: int) -> bool:
    return pid not in gate.processes()


def answered(gate: Served) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return chat(gate, "scripted/echo").status == 200
    return False


def test_a_connection_stuck_in_the_middle_of_a_request_holds_nobody_up() -> None:
    with serving() as gate, socket.create_connection(("127.0.0.1", gate.port)) as stuck:
        stuck.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
        time.sleep(0.2)
        begun_s = time.monotonic()
        assert gate.stop() == 0
        assert time.monotonic() - begun_s < 25, "calls that run get 30 s"
        assert "Stopping: calls that run get 30 s to finish" in gate.output
