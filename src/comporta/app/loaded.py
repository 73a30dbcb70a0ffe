"""Where the configuration stands, reading it, and what all rooms together can check of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
