"""Makes a text shorter without changing what it says: blank space, repeated lines, and at last its end."""

from __future__ import annotations

import re

from comporta.text.tokens import estimate_tokens

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_BLANK = re.compile(r"[ \t\u00a0]+")
#: A rule of a table or between parts, and a bracket by itself, mean something every time they stand there.
_STRUCTURE = re.compile(r"[\W_]*\Z")


def shortened(text: str, max_tokens: int) -> str:
    """The text without needless blank space and repeated lines, cut to about `max_tokens` tokens.

    What stands between code fences stays as it is, and so do the indents of lines. Of a line that comes again, the
    first stays. A text that is still too long loses its end, at the last whole line or word that fits. Raises
    ValueError where `max_tokens` is less than 1.
    """
    if max_tokens < 1:
        raise ValueError("max_tokens must be at least 1")
    return _cut(_tidied(text), max_tokens)


def _tidied(text: str) -> str:
    lines: list[str] = []
    seen: set[str] = set()
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence or mark is not None:
            fence = _fence(fence, mark)
            lines.append(line)
            continue
        body = line.strip()
        indent = line[: len(line) - len(line.lstrip())] if body else ""
        said = _BLANK.sub(" ", body)
        if not said:
            if lines and lines[-1]:
                lines.append("")
        elif said not in seen or _STRUCTURE.match(said):
            seen.add(said)
            lines.append(indent + said)
    return "\n".join(lines).strip("\n")


def _fence(fence: str, mark: re.Match[str] | None) -> str:
    """The fence that is open after a line; one is closed by at least as many of the same mark."""
    if mark is None:
        return fence
    if not fence:
        return mark[1]
    return "" if mark[1].startswith(fence) else fence


def _cut(text: str, max_tokens: int) -> str:
    if estimate_tokens(text) <= max_tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle]) <= max_tokens:
            low = middle
        else:
            high = middle - 1
    whole = text[:low]
    if low < len(text) and not text[low].isspace():
        # Not in the middle of a word, unless that is all there is.
        whole = whole[: _last_blank(whole)] or whole
    whole = whole.rstrip()
    while whole and estimate_tokens(whole) > max_tokens:
        # An estimate does not grow with every character: what was cut away may have told the language.
        whole = whole[: _last_blank(whole) or len(whole) - 1].rstrip()
    return whole


def _last_blank(text: str) -> int:
    return max(text.rfind(" "), text.rfind("\n"), 0)
