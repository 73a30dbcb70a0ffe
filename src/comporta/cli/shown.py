"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from comporta.cli.gate import DEFAULT_DATA

#: Options that several commands have.
DATA = typer.Option(Path(DEFAULT_DATA), "--data", envvar="COMPORTA_DATA", help="The data folder of the local gate.")
AS_JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


def say_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """For people only: it stays out of what a program reads."""
    sys.stderr.write(text + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Rows under headings; `empty` is told where there are none."""
    shown = [[cell(value) for value in row] for row in rows]
    if not shown:
        note(empty)
        return
    # A pipe has no width: whoever reads it wants whole lines.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False)
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in columns:
        made.add_column(name, overflow="fold")
    for row in shown:
        made.add_row(*row)
    console.print(made)


def facts(values: Iterable[tuple[str, Any]]) -> None:
    """One object, a line for each fact that is known."""
    known = [(name, cell(value)) for name, value in values if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        say(f"{name:<{width}}  {text}")


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return str(value)


def day(text: str | None) -> str | None:
    """A point in time of the API, to the minute."""
    return None if text is None else f"{text[:10]} {text[11:16]}"


def usd(microusd: int | None) -> str | None:
    """Money in dollars, as exact as it is."""
    if microusd is None:
        return None
    whole, rest = divmod(abs(microusd), 1_000_000)
    decimals = f"{rest:06d}".rstrip("0")
    return f"{'-' if microusd < 0 else ''}${whole}.{decimals:0<2}"
