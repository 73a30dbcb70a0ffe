"""The project's documents as tests read them: pages, fenced blocks, tables, anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
#: Written from the code by tools/reference.py, and checked there.
GENERATED = ("cli.md", "configuration.md")
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#{1,6} +(.+?)[ \t]*$", re.MULTILINE)


class Block(Struct, frozen=True):
    """A fenced block: its page, the line it begins in, its language and what stands behind that, its text."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def blocks(language: str) -> list[Block]:
    """The fenced blocks of a language on all pages."""
    return [block for path in pages() for block in _blocks(path) if block.language == language]


def _blocks(path: Path) -> Iterator[Block]:
    text = path.read_text("utf-8")
    for found in _FENCE.finditer(text):
        language, _, mark = found[1].strip().partition(" ")
        yield Block(path, text.count("\n", 0, found.start()) + 1, language, mark.strip(), found[2])


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def codes(text: str) -> set[str]:
    """Everything that stands between backticks."""
    return set(_CODE.findall(prose(text)))


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, headings and rules left out."""
    found: list[list[str]] = []
    lines = prose(text).splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("|") and not line.startswith("|--") and not following.startswith("|--"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]])
    return found


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of the same rank."""
    rank = heading.partition(" ")[0]
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"there is no heading {heading!r}"
    return re.split(rf"\n{rank} ", rest)[0]


def anchors(path: Path) -> set[str]:
    """The anchors that headings of a page get where it is shown."""
    return {_anchor(heading) for heading in _HEADING.findall(prose(path.read_text("utf-8")))}


def _anchor(heading: str) -> str:
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
