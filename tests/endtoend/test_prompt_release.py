"""The tutorial of the first prompt release, done as it is written: every file, every command, every exit code."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from comporta.cli.main import main
from comporta.testing.servers import short_folder
from support.documents import ROOT, Block, blocks
from support.serving import Served

PAGE = ROOT / "docs" / "tutorial" / "your-first-prompt-release.md"


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


class Reader:
    """Somebody who follows the page. `comporta …` is typed in this process: starting Python takes longer than it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.here = folder
        self.told: list[str] = []
        self.served = Served(folder)
        self._patch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)
        for role, name in product(("AUTHOR", "COMMITTER"), ("NAME", "EMAIL")):
            monkeypatch.setenv(f"GIT_{role}_{name}", "ana@example.com" if name == "EMAIL" else "Ana")

    def follow(self, block: Block) -> None:
        if block.language in ("yaml", "python"):
            Path(block.mark).write_text(block.text)
        elif block.language == "bash":
            self.start()
        elif block.mark.startswith("until "):
            self.wait(block, block.mark.removeprefix("until "))
        elif block.language == "sh":
            self.type(block, int(block.mark.removeprefix("exits ")) if block.mark else 0)
        elif block.language == "text":
            # The page may leave lines out; those it shows were told just now.
            for line in block.text.splitlines():
                assert line in self.told[-1].splitlines(), f"{block.name} shows {line!r}, told was:\n{self.told[-1]}"

    def start(self) -> None:
        """`comporta serve` in the second terminal."""
        self.served.data = self.here / ".comporta"
        self.served.folder = self.here
        self.served.environment |= {"COMPORTA_DATA": str(self.served.data)}
        self.served.start()
        self._patch.setenv("COMPORTA_URL", self.served.url)
        self._patch.setenv("COMPORTA_KEY", self.served.key)

    def type(self, block: Block, wanted: int) -> None:
        """All lines but the last end well, the last one as it is wanted."""
        lines = block.text.splitlines()
        told = ""
        for number, line in enumerate(lines):
            code, out = self.line(line)
            told += out
            assert code == (wanted if number == len(lines) - 1 else 0), (
                f"{block.name}: {line} ended with {code}:\n{out}"
            )
        self.told.append(told)

    def line(self, line: str) -> tuple[int, str]:
        """One command: its exit code and what it told."""
        words = shlex.split(line)
        if words[0] == "cd":
            self.here = self.here / words[1]
            self._patch.chdir(self.here)
            return 0, ""
        if words[0] != "comporta":
            done = subprocess.run(
                [sys.executable if words[0] == "python" else words[0], *words[1:]], capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            return done.returncode, done.stdout + done.stderr
        self._patch.setattr(sys, "argv", words)
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
        return code if isinstance(code, int) else 0, self._capsys.readouterr().out

    def wait(self, block: Block, wanted: str) -> None:
        until = time.monotonic() + 60
        while wanted not in (told := self.line(block.text)[1]):
            assert time.monotonic() < until, told
            time.sleep(0.1)


def test_the_first_prompt_release_goes_as_the_tutorial_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = sorted(
        (one for language in ("yaml", "python", "sh", "bash", "text") for one in blocks(language) if one.page == PAGE),
        key=lambda one: one.line,
    )
    assert len(steps) > 15
    reader = Reader(folder, monkeypatch, capsys)
    try:
        for step in steps:
            reader.follow(step)
        counted = [
            ast.literal_eval(line) for told in reader.told for line in told.splitlines() if line.startswith("{'")
        ]
        first, split, whole, back = counted
        assert first == back == {"returns@1.0.0": 60} and whole == {"returns@1.1.0": 60}
        assert sum(split.values()) == 60 and split["returns@1.0.0"] > split["returns@1.1.0"] > 0
    finally:
        if reader.served.process is not None:
            reader.served.stop()
