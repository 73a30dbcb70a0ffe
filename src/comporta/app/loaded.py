"""Where the configuration stands, and reading it with everything that all rooms together can check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from comporta.app.folder import Folder
from comporta.app.settings import Settings
from comporta.config.loading import Loaded, find, load


class Places(Struct, frozen=True):
    """The configuration file (None: the usual one, once it is there) and the data folder."""

    config: Path | None
    folder: Folder


def load_settings(places: Places, environment: Mapping[str, str]) -> Loaded[Settings]:
    """Read and check. Raises ConfigError with a line for every mistake."""
    return load(Settings, places.config or find(environment), environment)
