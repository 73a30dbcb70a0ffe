"""Logs: structured, with the request's id, without content, and scrubbed of secrets as the last thing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter

from comporta.telemetry.scrubbing import Scrubber

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

#: Libraries that tell of every request, or of things that we tell better.
_QUIET = (
    "aiohttp", "asyncio", "granian", "httpx", "httpcore", "psycopg", "procrastinate", "urllib3",
    "watchfiles",
)  # fmt: skip
#: Fields that could hold what people wrote; nobody should log them, and none gets out.
_CONTENT = frozenset({"prompt", "reply", "messages", "content", "body", "input", "output"})


def configure(
    level: Level = "info", format: Format = "auto", scrubber: Scrubber | None = None, stream: TextIO | None = None
) -> None:
    """Set up structlog and the standard library's logging, which libraries use, to write the same lines.

    `auto` is console text on a terminal and JSON elsewhere.
    """
    stream = stream or sys.stderr
    as_json = format == "json" or (format == "auto" and not stream.isatty())
    before: list[Any] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*before, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=False,
    )
    shown: list[Any] = [
        ProcessorFormatter.remove_processors_meta,
        _without_content,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=str) if as_json else _console(stream),
        Scrubbed(scrubber or Scrubber()),
    ]
    target = logging.StreamHandler(stream)
    target.setFormatter(ProcessorFormatter(foreign_pre_chain=before, processors=shown))
    root = logging.getLogger()
    root.handlers[:] = [target]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # It warns of every attempt to connect; that the database is away is told once, by those who need it.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def _console(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)


def scrub_with(scrubber: Scrubber) -> None:
    """From now on take these secrets out of what `configure` set up: they are known only once the keys are read."""
    for target in logging.getLogger().handlers:
        processors: Iterable[Any] = getattr(target.formatter, "processors", ())
        for processor in processors:
            if isinstance(processor, Scrubbed):
                processor.scrubber = scrubber


class Scrubbed:
    """Takes secrets out of the finished line, so that no field and no traceback gets round it."""

    def __init__(self, scrubber: Scrubber) -> None:
        self.scrubber = scrubber

    def __call__(self, logger: Any, name: str, line: str) -> str:
        return self.scrubber.scrub(line)


def _without_content(logger: Any, name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for field in _CONTENT & event.keys():
        event[field] = "[CONTENT]"
    return event


#: `with in_request(request_id=…):` puts the id on every line logged within, tasks started there included.
in_request = bound_contextvars
