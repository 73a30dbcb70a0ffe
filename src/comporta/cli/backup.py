"""`comporta backup`, `comporta restore` and `comporta upgrade`: the database as a file, and under a newer version."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from comporta.app import backup as work
from comporta.app.folder import Folder
from comporta.cli.place import CONFIG, load
from comporta.cli.shown import DATA, note, say

FILE_TO = typer.Argument(
    ..., metavar="FILE", dir_okay=False, help="Where to write it; a file of that name is replaced."
)
FILE_FROM = typer.Argument(..., metavar="FILE", dir_okay=False, help="A file that `comporta backup` wrote.")
_EVERY_S = 0.1


def add(app: typer.Typer, name: str, summary: str) -> None:
    commands: Mapping[str, Callable[..., None]] = {"backup": _backup, "restore": _restore, "upgrade": _upgrade}
    app.command(name, help=summary)(commands[name])


def _backup(file: Path = FILE_TO, config: Path | None = CONFIG, data: Path = DATA) -> None:
    settings = load(config, data).value
    begun_s = time.monotonic()
    with Shown() as shown:
        written = work.backup(Folder(data), settings, file, note, shown.next)
    say(f"{file}: {_size(written.size)}, {written.tables} tables, in {time.monotonic() - begun_s:.1f} s")
    if written.waiting_bytes:
        note(
            f"{_size(written.waiting_bytes)} of records still wait in the spool and are not in it: the database does"
            " not take them. See `comporta doctor`."
        )


def _restore(file: Path = FILE_FROM, config: Path | None = CONFIG, data: Path = DATA) -> None:
    settings = load(config, data).value
    begun_s = time.monotonic()
    with Shown() as shown:
        applied = work.restore(Folder(data), settings, file, note, shown.next)
    say(f"{file} is restored into {data}, in {time.monotonic() - begun_s:.1f} s")
    _tell_applied(applied)


def _upgrade(config: Path | None = CONFIG, data: Path = DATA) -> None:
    settings = load(config, data).value
    applied = work.upgrade(Folder(data), settings, note)
    _tell_applied(applied)
    say("The database is up to date.")


def _tell_applied(applied: list[str]) -> None:
    for name in applied:
        say(f"migration {name}: applied")


class Shown:
    """Progress on standard error: one line that changes on a terminal, a line for every tenth elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown_s = 0.0
        self._tenth = -1

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._shown_s:
            sys.stderr.write("\r\x1b[K")

    def next(self, done: int, total: int, what: str) -> None:
        if self._terminal:
            now_s = time.monotonic()
            if now_s - self._shown_s >= _EVERY_S:
                self._shown_s = now_s
                sys.stderr.write(f"\r\x1b[K{done} of {total} tables · {what[:50]}")
                sys.stderr.flush()
        elif (tenth := done * 10 // max(total, 1)) > self._tenth:
            self._tenth = tenth
            note(f"{done} of {total} tables …")


def _size(count: int) -> str:
    size, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"
