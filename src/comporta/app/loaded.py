"""Where the configuration stands, reading it, and what all rooms together can check of it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from comporta.app.chains import read_chains
from comporta.app.folder import Folder
from comporta.app.known import Found, Known, build
from comporta.app.settings import Settings
from comporta.config.loading import Loaded, find, load
from comporta.errors import ConfigError
from comporta.providers.catalogue import Catalogue
from comporta.providers.rows import detect
from comporta.providers.wires import Speakers

T = TypeVar("T")

#: How often a process that waits for its configuration reads it again.
_AGAIN_S = 2.0
#: What a process reads once, when it starts.
_AT_START = ("server", "database", "redis", "outgoing", "logging", "records.keep", "records.keep_minutes",
             "records.keep_hours", "records.max_size", "records.keep_scores", "records.max_scores_size",
             "records.spool")  # fmt: skip


class Places(Struct, frozen=True):
    """The configuration file (None: the usual one, once it is there) and the data folder."""

    config: Path | None
    folder: Folder


def load_settings(places: Places, environment: Mapping[str, str]) -> Loaded[Settings]:
    """Read, each section checked by itself. Raises ConfigError with a line for every mistake."""
    return load(Settings, places.config or find(environment), environment)


def once_it_holds(who: str, read: Callable[[], T]) -> T:
    """What `read` gives, as soon as it raises no ConfigError.

    A process that starts again, beside others that go on with what they read before, meets the file as it stands by
    then. It says what is wrong in the words of `comporta serve`, once, and waits. For the main thread of a process that
    has nothing to do yet: it is held up meanwhile, and ends by SIGTERM.
    """
    told, handler = "", signal.getsignal(signal.SIGTERM)
    while True:
        try:
            found = read()
        except ConfigError as error:
            if error.message != told:
                told = error.message
                sys.stdout.write(f"{told}\nThe {who} waits until that is mended.\n")
                sys.stdout.flush()
            # What else listens to it is told by a loop that does not run yet.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(_AGAIN_S)
        else:
            if told:
                signal.signal(signal.SIGTERM, handler)
            return found


def waiting(begun: Loaded[Settings], new: Loaded[Settings]) -> list[str]:
    """What of a new configuration only a restart puts in force: `comporta.yaml:7 server.port`, one for each."""
    found = []
    for part in _AT_START:
        section, _, only = part.partition(".")
        old, now = getattr(begun.value, section), getattr(new.value, section)
        for name in (only,) if only else type(now).model_fields:
            if getattr(old, name) != getattr(now, name):
                place = new.place((section, name))
                found.append(f"{place.file}:{place.line} {section}.{name}")
    return found


def known(loaded: Loaded[Settings], folder: Folder) -> Known:
    """Providers and routes that follow from it. Raises ConfigError for what the rooms can only say together."""
    found = Found(rows=tuple(row.name for row in detect(loaded.environment)))
    return build(loaded, found, Catalogue.shipped(), Speakers(folder.cache), dict, read_chains(loaded))


def demand_redis(loaded: Loaded[Settings], workers: int) -> None:
    """Several workers count limits together, or not at all. Raises ConfigError."""
    if workers > 1 and loaded.value.redis.url is None:
        text = (
            f"{workers} workers need Redis: without it every limit would hold once per worker. "
            "Set `redis.url`, or `server.workers: 1`."
        )
        written = workers == loaded.value.server.workers
        raise ConfigError(loaded.mistake(("server", "workers"), text) if written else text, code="redis_needed")
