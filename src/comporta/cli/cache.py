"""`comporta cache`: what the semantic cache keeps, and how often it is right."""

from __future__ import annotations

import typer

from comporta.cli.cache_evaluate import evaluate
from comporta.cli.cache_gate import clear, seed, status


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    # Keeps the name of the command in the line while there is but one.
    below.callback()(_group)
    below.command("evaluate")(evaluate)
    below.command("status")(status)
    below.command("clear")(clear)
    below.command("seed")(seed)
    app.add_typer(below, name=name, help=summary)


def _group() -> None:
    """The semantic cache."""
