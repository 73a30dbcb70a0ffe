"""The configuration and the data folder that a command is about, read as the gate itself reads them."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from comporta.app.folder import Folder
from comporta.app.known import Known
from comporta.app.loaded import Places, load_settings
from comporta.app.loaded import known as known_by
from comporta.app.settings import Settings
from comporta.config.loading import Loaded, find

CONFIG = typer.Option(
    None, "--config", "-c", envvar="COMPORTA_CONFIG", dir_okay=False,
    help="The configuration file; default: comporta.yaml, if it is there.",
)  # fmt: skip


def config_path(given: Path | None) -> Path | None:
    return given if given is not None else find(os.environ)


def load(config: Path | None, data: Path) -> Loaded[Settings]:
    """The configuration. Raises ConfigError with a line for every mistake."""
    return load_settings(Places(config_path(config), Folder(data)), os.environ)


def known(loaded: Loaded[Settings], data: Path) -> Known:
    """Providers and routes that follow from it. Raises ConfigError for what the rooms can only say together."""
    return known_by(loaded, Folder(data))
