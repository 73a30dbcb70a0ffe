"""Looks for planted secrets wherever a gate leaves anything: logs, answers, tables, files, figures, command lines.

planted = Planted("database password", "openai key")
...                                     # use planted["openai key"] as that
heard = Heard()                         # note every answer, and what every command said
assert leaks(planted, [*heard.said, *left_by(gate)]) == []
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg
from psycopg import sql

from support.serving import Served
from support.talking import Answer

#: So much of a secret in one piece is as good as all of it; less is what masks may show.
_CORE = 16


class Said(NamedTuple):
    """Something that was said, and where. Who is told a secret on purpose may hear it there: `but` names it."""

    where: str
    text: bytes
    but: frozenset[str] = frozenset()


class Planted:
    """Secrets by what they are, each made anew; `like` gives one the look of a real key."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def plant(self, name: str, like: str = "", value: str | None = None) -> str:
        self._values[name] = like + secrets.token_hex(20) if value is None else value
        return self._values[name]

    def forget(self, name: str) -> None:
        """It is no secret any more."""
        del self._values[name]

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def spellings(self) -> Iterator[tuple[str, bytes]]:
        """Each secret as it may stand somewhere: its middle as it is, in a URL, in JSON, in base64."""
        for name, value in self._values.items():
            start = max((len(value) - _CORE) // 2, 0)
            core = value[start : start + _CORE]
            for text in {core, quote(core, safe=""), json.dumps(core)[1:-1]}:
                yield name, text.encode()
            yield name, base64.b64encode(value.encode())[:24]


def leaks(planted: Planted, said: Iterable[Said]) -> list[str]:
    """Which secret stands where; empty where all is well."""
    spellings = list(planted.spellings())
    found = {
        f"{name} in {one.where}" for one in said for name, text in spellings if name not in one.but and text in one.text
    }
    return sorted(found)


class Heard:
    """What callers and commands were told."""

    def __init__(self) -> None:
        self.said: list[Said] = []

    def answer(self, where: str, answer: Answer, *but: str) -> Answer:
        """Note an answer with all of its headers."""
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.said.append(Said(f"answer to {where}", head.encode() + b"\n\n" + answer.body, frozenset(but)))
        return answer

    def output(self, where: str, text: bytes, *but: str) -> None:
        self.said.append(Said(f"output of {where}", text, frozenset(but)))


def left_by(gate: Served, dsn: str, banner: str = "admin key") -> list[Said]:
    """All that a gate leaves behind while it runs."""
    return [*_logs(gate, banner), *_tables(dsn), *_files(gate), *_command_lines(gate)]


def _logs(gate: Served, banner: str) -> Iterator[Said]:
    """The banner shows the administrator its key; nothing after it does."""
    before, mark, after = gate.output.partition("Ctrl-C stops everything.")
    yield Said("banner", before.encode(), frozenset({banner}) if mark else frozenset())
    yield Said("log", after.encode())


def _tables(dsn: str) -> Iterator[Said]:
    with psycopg.connect(dsn) as connection:
        names = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(names) > 5, "there are tables to look into"
        for name in names:
            rows = connection.execute(sql.SQL("select t::text from {} t").format(sql.Identifier(*name))).fetchall()
            yield Said("table " + ".".join(name), "\n".join(text for (text,) in rows).encode())


#: Files that are made to hold a secret, readable by their owner alone.
_MADE_FOR: dict[str, frozenset[str]] = {
    "admin.key": frozenset({"admin key"}), "run.json": frozenset({"database password"})
}  # fmt: skip


def _files(gate: Served) -> Iterator[Said]:
    for directory, names, files in os.walk(gate.data):
        names[:] = [name for name in names if name != "postgres"]
        for name in files:
            path = Path(directory) / name
            but = _MADE_FOR.get(name, frozenset())
            assert not but or path.stat().st_mode & 0o077 == 0, f"{name} can be read by others"
            try:
                yield Said(f"file {path.relative_to(gate.data)}", path.read_bytes(), but)
            except FileNotFoundError:  # shipped and removed meanwhile
                continue


def _command_lines(gate: Served) -> Iterator[Said]:
    for pid, command in gate.processes().items():
        yield Said(f"command line of {pid}", command.encode())
