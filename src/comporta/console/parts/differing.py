"""A unified diff, line by line: what came is green, what went is red, in words too for those who see no colours."""

from __future__ import annotations

from comporta.console.parts.tags import tag

#: More lines than anybody reads.
_MOST_LINES = 2000


def diff_view(text: str, *, label: str) -> None:
    """The lines after the file names."""
    with tag("div.diff", role="region", aria_label=label, tabindex="0"):
        for line in text.splitlines()[:_MOST_LINES]:
            if line.startswith(("--- ", "+++ ")):
                continue
            kind = {"+": ".diff__line--new", "-": ".diff__line--old", "@": ".diff__line--place"}.get(line[:1], "")
            tag(f"div.diff__line{kind}", line or " ")
