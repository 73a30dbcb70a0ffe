"""`comporta cache status`, `clear` and `seed`: the caches of a running gate."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from comporta.cli.gate import find
from comporta.cli.shown import AS_JSON, DATA, note, say, say_json, table
from comporta.errors import BadRequest, ComportaError

#: As many as one request takes.
_BATCH = 200
_FIELDS = frozenset({"question", "answer", "route", "tags", "team", "ttl_s"})


def status(data: Path = DATA, as_json: bool = AS_JSON) -> None:
    """Show what the caches hold, and whether each route keeps its budget of false hits."""
    found = find(data).ask("GET", "/admin/cache")
    if as_json:
        say_json(found)
        return
    say(f"Exact answers in the database: {found['exact_entries']} ({found['exact_bytes'] / 1_000_000:.1f} MB)")
    rows = (
        (one["route"] + ("" if one["enabled"] else " (off)"), one["entries"], one["hits"], one["checked"],
         one["wrong"], one["reported"], f"{one['bound']:.2%}", f"{one['budget']:.2%}", f"{one['threshold']:.3f}",
         one["promise"])
        for one in found["routes"]
    )  # fmt: skip
    heads = ("route", "entries", "hits", "checked", "wrong", "reported", "at most", "budget", "threshold", "promise")
    table(heads, rows, "No route has a semantic cache: cache.semantic.enabled turns it on.")
    for one in found["routes"]:
        say(f"{one['route']}: {one['told']}" + (f"; moved last by {one['why']}" if one["why"] else ""))


def clear(
    tag: list[str] = typer.Option([], help="Every answer with this tag: document:42, prompt:support, key:…, seed, …"),
    route: str | None = typer.Option(None, help="Every answer of this route."),
    entry: int | None = typer.Option(None, help="One entry, as a call's notes name it."),
    everything: bool = typer.Option(False, "--all", help="Both caches as a whole."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Give cached answers no more, from the next call on."""
    if not (tag or route or entry is not None or everything):
        raise typer.BadParameter("give --tag, --route, --entry or --all")
    query = {"tag": tag or None, "route": route, "entry": entry, "everything": "true" if everything else None}
    found = find(data).ask("DELETE", "/admin/cache", query=query)
    if as_json:
        say_json(found)
        return
    say(f"Cleared. {found['removed']} entries went from the semantic cache; exact answers are given no more, too.")


def seed(
    file: Path = typer.Argument(help="Lines of JSON: question, answer, route; tags, team, ttl_s.", metavar="FILE"),
    route: str | None = typer.Option(None, help="The route of lines that name none."),
    tag: list[str] = typer.Option([], help="A tag for all of them."),
    data: Path = DATA,
    as_json: bool = AS_JSON,
) -> None:
    """Store questions with their answers, to be given before any model is asked; again does no harm."""
    gate = find(data)
    lines = _read(file, route, tag)
    stored, refused = 0, []
    while batch := list(islice(lines, _BATCH)):
        found = gate.ask("POST", "/admin/cache/seed", {"entries": [entry for _, entry in batch]})
        stored += found["stored"]
        refused += [{"line": batch[one["at"]][0], "reason": one["reason"]} for one in found["refused"]]
        note(f"{stored} stored …")
    if as_json:
        say_json({"stored": stored, "refused": refused})
    else:
        for one in refused:
            note(f"{file} line {one['line']}: {one['reason']}")
        say(f"{stored} questions are stored" + (f", {len(refused)} refused." if refused else "."))
    if refused:
        sys.exit(1)


def _read(file: Path, route: str | None, tags: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each entry with its line. Raises ComportaError for a file that can't be read, BadRequest naming the line."""
    try:
        # Not `splitlines`: JSON may hold other line ends, as U+2028, within a text.
        lines = file.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ComportaError(f"{file} can't be read: {error}.", code="unreadable_file") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _entry(f"{file} line {number}", line, route, tags)


def _entry(place: str, line: str, route: str | None, tags: list[str]) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError as error:
        raise BadRequest(f"{place} is no JSON: {error}.") from None
    if not isinstance(said, dict):
        raise BadRequest(f"{place} must be an object with question and answer.")
    if unknown := sorted(said.keys() - _FIELDS):
        raise BadRequest(f"{place} has the unknown field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}.")
    for name in ("question", "answer"):
        if not isinstance(said.get(name), str) or not said[name].strip():
            raise BadRequest(f"{place} needs {name}, a text.")
    if not said.get("route") and route is None:
        raise BadRequest(f"{place} names no route; name it there, or for all lines with --route.")
    own = said.get("tags") or []
    if not isinstance(own, list) or not all(isinstance(one, str) for one in own):
        raise BadRequest(f"{place}: tags must be a list of texts.")
    return {**said, "route": said.get("route") or route, "tags": [*own, *tags]}
