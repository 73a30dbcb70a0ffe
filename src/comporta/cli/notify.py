"""`comporta notify`: the channels that people are told by, and what they were told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, day, say, say_json, table

_TIMEOUT_S = 60.0


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("channels")(_channels)
    below.command("list")(_list)
    below.command("test")(_test)
    below.command("retry")(_retry)
    app.add_typer(below, name=name, help=summary)


def _channels(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List the channels of the configuration."""
    found = find(data).ask("GET", "/admin/channels")["data"]
    if as_json:
        say_json(found)
        return
    rows = ((c["name"], c["type"], c["place"], c["at_least"], c["default"], c["signed"]) for c in found)
    empty = "No channel is configured: write some under notify.channels."
    table(("name", "type", "place", "at least", "default", "signed"), rows, empty)


def _list(
    kind: str | None = typer.Option(None, help="Only of this kind: rollout.rolled_back …"),
    state: str | None = typer.Option(None, help="Only with a delivery that is waiting, delivered or failed."),
    limit: int = typer.Option(20, min=1, max=200, help="How many."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """List notices with their deliveries, the newest first."""
    page = find(data).ask("GET", "/admin/notices", query={"kind": kind, "state": state, "limit": limit})
    if as_json:
        say_json(page)
        return
    rows = (
        (day(one["at"]), one["severity"], one["title"], ", ".join(map(_delivery, one["deliveries"])), one["id"])
        for one in page["data"]
    )
    table(("at", "severity", "title", "deliveries", "id"), rows, "Nothing was told yet.")


def _test(
    channel: str = typer.Argument(help="The channel's name."), data: Path = DATA, as_json: bool = AS_JSON
) -> None:
    """Send a test over a channel now, and say how it went."""
    gate = find(data, timeout_s=_TIMEOUT_S)
    done = gate.ask("POST", f"/admin/channels/{quote(channel, safe='')}/test")
    if as_json:
        say_json(done)
    else:
        say(f"{channel}: {_delivery(done)}")
    if done["state"] != "delivered":
        sys.exit(1)


def _retry(notice: str = typer.Argument(help="The notice's id."), data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Begin deliveries of a notice that were given up anew."""
    row = find(data).ask("POST", f"/admin/notices/{quote(notice, safe='')}/retry")
    if as_json:
        say_json(row)
    else:
        say(", ".join(map(_delivery, row["deliveries"])) or "This notice goes to no channel.")


def _delivery(one: Any) -> str:
    tried = f" after {one['attempts']} attempts" if one["attempts"] > 1 else ""
    told = f" ({one['told']})" if one["told"] and one["state"] != "delivered" else ""
    return f"{one['channel']} {one['state']}{tried}{told}"
