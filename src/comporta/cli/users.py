"""`comporta user`: export and erase all that is held of one user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import typer

from comporta.cli.gate import Gate, find
from comporta.cli.shown import AS_JSON, DATA, day, note, say, say_json, table
from comporta.errors import ComportaError

WHO = typer.Argument(help="The user, as clients name them in `user`.", metavar="USER")
OUT = typer.Option(None, "--out", "-o", dir_okay=False, help="The file to write; default: standard output.")
YES = typer.Option(False, "--yes", "-y", help="Don't ask.")
_TIMEOUT_S = 60.0


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    below.command("export")(_export)
    below.command("erase")(_erase)
    below.command("erasures")(_erasures)
    app.add_typer(below, name=name, help=summary)


def _export(user: str = WHO, out: Path | None = OUT, data: Path = DATA) -> None:
    """Write everything that is held of a user: one JSON object a line, each with its kind."""
    gate = find(data, timeout_s=_TIMEOUT_S)
    if out is None:
        counts = _write(sys.stdout, gate, user)
    else:
        # Beside the file and then in its place: half an export must not pass for a whole one. For its owner only.
        new = out.with_name(f".{out.name}.new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                counts = _write(file, gate, user)
            new.replace(out)
        except OSError as error:
            raise ComportaError(f"{out} can't be written: {error.strerror}.", code="not_written") from None
        finally:
            new.unlink(missing_ok=True)
    note(f"Exported {_counted(counts)}{'' if out is None else f' to {out}'}.")


def _write(file: IO[str], gate: Gate, user: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for page in _pages(gate, "export", user):
        for row in page["data"]:
            counts[row["kind"]] = counts.get(row["kind"], 0) + 1
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        _progress(counts)
    _progress(None)
    return counts


def _erase(user: str = WHO, yes: bool = YES, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Remove the person and all content from what is held; figures stay. Asking again does no harm."""
    gate = find(data, timeout_s=_TIMEOUT_S)
    if not yes:
        _demand_yes(user)
    counts: dict[str, int] = {}
    left: list[str] = []
    digest = ""
    for page in _pages(gate, "erase", user):
        for kind, count in page["removed"].items():
            counts[kind] = counts.get(kind, 0) + count
        left += page["left"]
        digest = page["user_sha256"]
        _progress(counts)
    _progress(None)
    if as_json:
        say_json({"user_sha256": digest, "removed": counts, "left": left})
        return
    say(f"Removed {_counted(counts)}.")
    for text in left:
        say(f"Left: {text}")
    say(f"The record of it names the user by {digest}.")


def _demand_yes(user: str) -> None:
    if not sys.stdin.isatty():
        raise ComportaError("Erasing can't be undone: say --yes.", code="not_confirmed")
    typer.confirm(f"Erase all that is held of {user}? This can't be undone", abort=True, err=True)


def _erasures(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """List erasures: when, who asked, and how much went. The user stands there as a hash."""
    found = find(data).ask("GET", "/admin/users/erasures")["data"]
    if as_json:
        say_json(found)
        return
    rows = (
        (day(one["began_at"]), day(one["ended_at"]) or "not done: ask again", one["asked_by"], one["removed"],
         one["user_sha256"])
        for one in found
    )  # fmt: skip
    table(("began", "ended", "by", "removed", "user (SHA-256)"), rows, "Nobody was erased.")


def _pages(gate: Gate, what: str, user: str) -> Iterator[Any]:
    after = None
    while True:
        page = gate.ask("POST", f"/admin/users/{what}", {"user": user, "after": after})
        yield page
        after = page["next"]
        if after is None:
            return


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing"


def _progress(counts: dict[str, int] | None) -> None:
    """A line that is written over, in a terminal alone; None wipes it away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + ("" if counts is None else f"{_counted(counts)} …"))
        sys.stderr.flush()
