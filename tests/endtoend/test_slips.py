"""A slip in comporta.yaml while a process starts again: its parent and the others run on what was right."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator

import pytest

from comporta.testing.servers import short_folder
from support.serving import Served, free_port
from support.talking import chat, until

CONFIG = "providers: {scripted: {}}\nroutes:\n  echo: {model: scripted/echo}\n"
#: As `comporta serve` says it, at the second line.
SLIP = CONFIG.replace("routes:", "routs:")
TOLD = "comporta.yaml:2: routs: unknown key"


@pytest.fixture
def alone() -> Iterator[Served]:
    with short_folder() as folder:
        more = {"COMPORTA_CONSOLE": "1", "COMPORTA_CONSOLE_PORT": str(free_port())}
        served = Served(folder, CONFIG, more)
        served.start(within_s=120)
        yield served
        if served.process is not None and served.process.poll() is None:
            served.stop()
        for pid in served.processes():
            os.kill(pid, signal.SIGKILL)


def running(served: Served, module: str) -> int:
    """The process's id; 0 where it is not there."""
    return next((pid for pid, command in served.processes().items() if f"comporta.app.{module}" in command), 0)


def works(served: Served) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return chat(served, "echo").status == 200
    return False


@pytest.mark.parametrize(
    ("module", "who"),
    [("jobs_process", "job worker"), ("console_process", "console"), ("gate_process", "gate's worker")],
)
def test_who_starts_again_over_a_slip_says_it_in_a_line_and_goes_on_once_it_is_mended(
    alone: Served, module: str, who: str
) -> None:
    assert until(lambda: running(alone, module))
    before = running(alone, module)
    alone.config.write_text(SLIP)
    os.kill(before, signal.SIGKILL)
    words = f"The {who} waits until that is mended."
    assert until(lambda: words in alone.output), alone.output
    waits = running(alone, module)
    assert waits not in (0, before) and TOLD in alone.output
    alone.config.write_text(SLIP.replace("routs", "routers"))
    assert until(lambda: alone.output.count(words) == 2), "another slip is told, too"
    alone.config.write_text(CONFIG)
    assert until(lambda: works(alone)), alone.output
    assert running(alone, module) == waits, "it went on, and did not start anew"
    assert alone.output.count(words) == 2, alone.output
    assert "Traceback" not in alone.output, alone.output


def test_who_waits_for_a_mended_file_ends_with_the_rest(alone: Served) -> None:
    assert until(lambda: running(alone, "jobs_process"))
    alone.config.write_text(SLIP)
    for module in ("jobs_process", "gate_process"):
        os.kill(running(alone, module), signal.SIGKILL)
    for who in ("job worker", "gate's worker"):
        assert until(lambda: f"The {who} waits" in alone.output), alone.output  # noqa: B023 (called at once)
    assert alone.stop(within_s=40) == 0, alone.output
    assert until(lambda: not alone.processes()) and "Traceback" not in alone.output
