"""`comporta config`: check and show the configuration without starting anything."""

from __future__ import annotations

from pathlib import Path

import typer

from comporta.app.loaded import demand_redis
from comporta.app.settings import Settings
from comporta.cli.guards_at_hand import unconfigured
from comporta.cli.place import CONFIG, known, load
from comporta.cli.shown import DATA, note, say, say_json
from comporta.config.show import effective, schema

ORIGINS = typer.Option(False, "--origins", help="Say behind each value which file and line it is from.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("check")(_check)
    below.command("show")(_show)
    below.command("schema")(_schema)
    app.add_typer(below, name=name, help=summary)


def _check(config: Path | None = CONFIG, data: Path = DATA) -> None:
    """Tell every mistake with its file and line; the exit code is 2 where there is one."""
    loaded = load(config, data)
    known(loaded, data)
    unconfigured(loaded, data).read(loaded)
    demand_redis(loaded, loaded.value.server.workers)
    files = ", ".join(map(str, loaded.files)) or "no file: defaults and environment"
    say(f"The configuration holds ({files}).")


def _show(config: Path | None = CONFIG, data: Path = DATA, origins: bool = ORIGINS) -> None:
    """Print the configuration in force as YAML, secrets masked."""
    loaded = load(config, data)
    if not loaded.files:
        note("There is no configuration file; these are the defaults.")
    say(effective(loaded, origins).rstrip("\n"))


def _schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    say_json(schema(Settings))
