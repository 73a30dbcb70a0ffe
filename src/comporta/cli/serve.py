"""`comporta serve`: everything in one command."""

from __future__ import annotations

from pathlib import Path

import typer

from comporta.app.serve import Options, print_line, serve
from comporta.cli.place import CONFIG, config_path
from comporta.cli.shown import DATA

HOST = typer.Option(None, "--host", envvar="COMPORTA_HOST", help="Address to listen on; default: server.host.")
PORT = typer.Option(
    None, "--port", "-p", envvar="COMPORTA_PORT", min=1, max=65535, help="Port to listen on; default: server.port."
)
WORKERS = typer.Option(
    None, "--workers", "-w", min=1, max=64, help="Processes that answer calls; more than one needs Redis."
)


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_serve)


def _serve(
    config: Path | None = CONFIG,
    data: Path = DATA,
    host: str | None = HOST,
    port: int | None = PORT,
    workers: int | None = WORKERS,
) -> None:
    options = Options(data=data, config=config_path(config), host=host, port=port, workers=workers)
    raise typer.Exit(serve(options, print_line))
