"""An answered call is a recorded call: real processes, killed with real signals right after an answer."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from comporta.testing.servers import short_folder
from support.serving import Served

CONFIG = """
providers:
  scripted: {}
routes:
  echo: {model: scripted/echo}
"""


@pytest.fixture
def served() -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG)
        served.start()
        yield served
        if served.process is not None and served.process.poll() is None:
            served.stop()
        for pid in served.processes():
            os.kill(pid, signal.SIGKILL)


def ask(served: Served, text: str) -> str:
    """The id of an answered call."""
    request = urllib.request.Request(
        f"{served.url}/v1/chat/completions",
        data=json.dumps({"model": "echo", "messages": [{"role": "user", "content": text}]}).encode(),
        headers={"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=90) as response:
        assert json.load(response)["choices"][0]["message"]["content"] == text
        return str(response.headers["x-comporta-call"])


def recorded(served: Served) -> set[str]:
    dsn = json.loads((served.data / "run.json").read_text())["dsn"]
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute("SELECT id::text FROM call")}


def until(true: Callable[[], bool], within_s: float = 90.0) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if true():
                return True
        except (psycopg.Error, OSError):
            pass
        time.sleep(0.1)
    return False


def children(pid: int) -> list[int]:
    """The pids of a process's children (Linux)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def named(served: Served, word: str) -> list[int]:
    return [pid for pid, command in served.processes().items() if word in command]


def gate_of(served: Served) -> list[int]:
    assert served.process is not None
    return [pid for pid in named(served, "comporta.app.gate_process") if pid in children(served.process.pid)]


def workers_of(served: Served) -> list[int]:
    return [child for gate in gate_of(served) for child in children(gate) if child in served.processes()]


def jobs_of(served: Served) -> list[int]:
    return named(served, "comporta.app.jobs_process")


def postgres_of(served: Served) -> list[int]:
    return named(served, "postgres -D")


@pytest.mark.parametrize("victims", [workers_of, gate_of, jobs_of], ids=["worker", "gate", "job worker"])
def test_killing_a_child_right_after_an_answer_loses_no_record(
    served: Served, victims: Callable[[Served], list[int]]
) -> None:
    answered = {ask(served, f"call {n}") for n in range(20)}
    killed = victims(served)
    assert killed
    # The worker of a killed gate process leaves by itself, and may say that it is ready until it does.
    gone = {*killed, *(workers_of(served) if victims is gate_of else ())}
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not gone & set(served.processes()) and served.ready())
    answered.add(ask(served, "after"))
    assert until(lambda: answered <= recorded(served)), answered - recorded(served)


def test_killing_everything_right_after_an_answer_loses_no_record_and_leaves_nothing_running(served: Served) -> None:
    answered = {ask(served, f"call {n}") for n in range(20)}
    assert served.process is not None
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    assert until(lambda: not served.processes()), served.processes()
    served.start()
    assert until(lambda: answered <= recorded(served)), answered - recorded(served)


def test_postgresql_away_loses_no_record_and_the_gate_goes_on_answering(served: Served) -> None:
    answered = {ask(served, "before")}
    postgres = postgres_of(served)
    assert postgres
    for pid in postgres:
        os.kill(pid, signal.SIGSTOP)
    try:
        for n in range(10):
            answered.add(ask(served, f"away {n}"))
            time.sleep(0.3)
    finally:
        for pid in postgres:
            os.kill(pid, signal.SIGCONT)
    assert until(lambda: answered <= recorded(served)), answered - recorded(served)
    for pid in postgres:
        os.kill(pid, signal.SIGKILL)
    answered |= {ask(served, f"killed {n}") for n in range(10)}
    assert until(lambda: answered <= recorded(served)), answered - recorded(served)


def test_ctrl_c_stops_all_of_it_cleanly(served: Served) -> None:
    ask(served, "hello")
    assert served.stop(signal.SIGINT) == 0
    assert not served.processes()
    assert not (served.data / "run.json").exists()


def test_the_second_start_answers_again(served: Served) -> None:
    """How soon is measured by the bench."""
    served.stop()
    served.start()
    ask(served, "hello")


def test_a_second_gate_on_the_same_folder_is_refused_with_the_reason(served: Served, tmp_path: Path) -> None:
    second = Served(tmp_path, None, {"COMPORTA_DATA": str(served.data)})
    with pytest.raises(AssertionError, match="is in use: a gate runs on it at"):
        second.start()


def test_the_admin_key_is_kept_private(served: Served) -> None:
    assert (served.data / "admin.key").stat().st_mode & 0o777 == 0o600
    assert (served.data / "run.json").stat().st_mode & 0o777 == 0o600
    key = served.key
    served.stop()
    served.start()
    assert served.key == key
