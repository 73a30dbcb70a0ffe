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
CONSOLE = typer.Option(
    None, "--console/--no-console", envvar="COMPORTA_CONSOLE",
    help="Whether to start the console; default: console.enabled.",
)  # fmt: skip
CONSOLE_PORT = typer.Option(
    None, "--console-port", envvar="COMPORTA_CONSOLE_PORT", min=1, max=65535,
    help="Port of the console; default: console.port.",
)  # fmt: skip


def add(app: typer.Typer, name: str, summary: str) -> None:
    app.command(name, help=summary)(_serve)


def _serve(
    config: Path | None = CONFIG,
    data: Path = DATA,
    host: str | None = HOST,
    port: int | None = PORT,
    workers: int | None = WORKERS,
    console: bool | None = CONSOLE,
    console_port: int | None = CONSOLE_PORT,
) -> None:
    options = Options(
        data=data, config=config_path(config), host=host, port=port, workers=workers, console=console,
        console_port=console_port,
    )  # fmt: skip
    raise typer.Exit(serve(options, print_line))
