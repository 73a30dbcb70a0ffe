"""Writes the reference pages that come from the code; with `--check` tells which of them are out of date instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from comporta.app.settings import Settings
from comporta.cli import reference as commands
from comporta.config import reference as configuration
from comporta.guardrails import reference as guards

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "cli.md": commands.render,
    "guards.md": guards.render,
    "configuration.md": lambda: configuration.render(Settings),
}


def main(arguments: list[str]) -> int:
    """0 where every page holds, or was written; 1 where `--check` found one that doesn't."""
    if arguments not in ([], ["--check"]):
        print("usage: python tools/reference.py [--check]", file=sys.stderr)
        return 2
    stale = [name for name, render in PAGES.items() if not settle(FOLDER / name, render(), bool(arguments))]
    for name in stale:
        print(f"docs/reference/{name} is out of date; run: make reference", file=sys.stderr)
    return 1 if stale else 0


def settle(page: Path, text: str, check: bool) -> bool:
    """Whether the page holds the text now; it is written unless it is only to be checked."""
    if page.is_file() and page.read_text("utf-8") == text:
        return True
    if check:
        return False
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, "utf-8")
    print(f"wrote {page}")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
