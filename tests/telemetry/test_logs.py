"""Logs: structured, with the request's id, without content and without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from comporta.telemetry import logs
from comporta.telemetry.scrubbing import Scrubber


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging belongs to the whole process: what these tests set up is taken back."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_level_time_logger_and_request_id() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream=stream)
    with logs.in_request(request_id="req-1"):
        structlog.get_logger("comporta.gateway").info("call_failed", code="timeout")
    structlog.get_logger("comporta.gateway").debug("not wanted")
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "call_failed", "code": "timeout", "level": "info", "logger": "comporta.gateway", "request_id": "req-1",
    }  # fmt: skip


def test_libraries_write_the_same_lines() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream=stream)
    with logs.in_request(request_id="req-2"):
        logging.getLogger("some.library").warning("odd: %s", "thing")
    (line,) = lines(stream)
    assert (line["event"], line["request_id"], line["level"]) == ("odd: thing", "req-2", "warning")


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_stand_in_no_field_no_message_and_no_traceback(format: Any) -> None:
    stream = io.StringIO()
    logs.configure("debug", format, Scrubber(["an-unusual-secret"]), stream)
    log = structlog.get_logger("t")
    try:
        raise ValueError("refused: an-unusual-secret")
    except ValueError as error:
        log.error("failed with an-unusual-secret", key="sk-planted-0123456789abcdef", exc_info=error)
    logging.getLogger("lib").warning("Authorization: Bearer abcdefghijklmnop0123")
    text = stream.getvalue()
    for secret in ("an-unusual-secret", "sk-planted", "abcdefghijklmnop0123"):
        assert secret not in text
    assert text.count("[SECRET]") >= 4
    assert "ValueError" in text


def test_secrets_that_are_learnt_later_are_taken_out_from_then_on() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream=stream)
    logs.scrub_with(Scrubber(["learnt-a-little-later"]))
    structlog.get_logger().info("learnt-a-little-later")
    assert lines(stream)[0]["event"] == "[SECRET]"


def test_content_does_not_get_out_even_if_somebody_logs_it() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream=stream)
    structlog.get_logger().info("x", prompt="private words", messages=["private words"])
    assert "private" not in stream.getvalue()


def test_a_terminal_gets_text_and_anything_else_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, is_json in ((io.StringIO(), True), (Terminal(), False)):
        logs.configure("info", "auto", stream=stream)
        structlog.get_logger().info("hello")
        assert stream.getvalue().startswith("{") is is_json
