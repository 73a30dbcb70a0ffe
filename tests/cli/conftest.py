"""A running gate without providers but the built-in ones, and a way to type commands at it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator

import pytest
from msgspec import Struct

from comporta.cli.main import main
from comporta.testing.servers import short_folder
from support.serving import Served

_CONFIG = """
providers:
  scripted: {}
routes:
  house:
    model: offline/extractive
"""


class Typed(Struct, frozen=True):
    """What a command came to."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, _CONFIG)
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command in this process: `typed("key", "list")`; `stdin` is what is piped in."""
    for name in ("COMPORTA_URL", "COMPORTA_KEY", "COMPORTA_CONFIG", "COMPORTA_PORT", "COMPORTA_HOST"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, stdin: str = "") -> Typed:
        monkeypatch.setattr(sys, "argv", ["comporta", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return Typed(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture
def at_gate(typed: Type, served: Served, monkeypatch: pytest.MonkeyPatch) -> Type:
    """The same, on the running gate's data folder."""
    monkeypatch.setenv("COMPORTA_DATA", str(served.data))
    return typed
