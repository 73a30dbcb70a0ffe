"""Reads values of a kind off the tree of a file, and keeps what is wrong with each, with its file and line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from comporta.config.mistakes import MOST_LINES, did_you_mean
from comporta.config.tree import Fields, Items, Mistake, Node, Path, Scalar, children, exact, nearest, plain

T = TypeVar("T")

#: What a file's values come to once aliases are spelled out.
LONGEST_TEXT = 1_000_000
_MOST_INTEGER = 2**63 - 1
_MOST_SHOWN = 40
_ALLOWED_CONTROLS = "\t\n\r"


class Reading:
    """One file's tree, what is wrong with it, and what is doubtful."""

    def __init__(self, tree: Node, base: Path = ()) -> None:
        self.tree = tree
        self.base = base
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []

    def wrong(self, path: Path, text: str) -> None:
        self.mistakes.append(self._mistake(path, text))

    def warn(self, path: Path, text: str) -> None:
        self.warnings.append(self._mistake(path, text))

    def _mistake(self, path: Path, text: str) -> Mistake:
        return Mistake(nearest(self.tree, path).place, (*self.base, *path), text)

    def node(self, path: Path) -> Node | None:
        """What stands at a path; a key with nothing behind it is as good as none."""
        node = exact(self.tree, path)
        return None if isinstance(node, Scalar) and node.value is None else node

    def keys(self, path: Path, known: Sequence[str]) -> None:
        """Every key that is none of those known is a mistake."""
        node = self.node(path)
        if not isinstance(node, Fields):
            return
        unknown = [key for key in node.values if key not in known]
        # No more than that is told anyway, and each is compared with all that are known.
        for key in unknown[:MOST_LINES]:
            guess = did_you_mean(key, known)
            told = guess or f"; known here: {', '.join(known[:_MOST_SHOWN])}"
            self.wrong((*path, key), f"unknown key{told}")

    def fields(self, path: Path) -> bool:
        """Whether there is a mapping; anything else that is there is a mistake."""
        node = self.node(path)
        if node is not None and not isinstance(node, Fields):
            self.wrong(path, "must be a mapping (lines of key: value)")
        return isinstance(node, Fields)

    def items(self, path: Path) -> Iterator[Path]:
        """The places of a list's entries."""
        node = self.node(path)
        if node is not None and not isinstance(node, Items):
            self.wrong(path, "must be a list (lines that begin with -)")
        if isinstance(node, Items):
            yield from ((*path, at) for at in range(len(node.values)))

    def text(self, path: Path, default: str = "") -> str:
        """A text; a number or a date that stands without quotes is taken as it was written."""
        node = self.node(path)
        if node is None:
            return default
        if isinstance(node, Fields) and list(node.values) == ["include"]:
            # Unquoted, YAML reads {include: tone@1.0.0} as a mapping.
            return f"{{include: {self.text((*path, 'include'))}}}"
        if isinstance(node, Scalar) and not isinstance(node.value, bool):
            return node.text
        self.wrong(path, "must be text")
        return default

    def word(self, path: Path, known: Sequence[str], default: str) -> str:
        """One of some words."""
        text = self.text(path, default)
        if text not in known:
            self.wrong(path, f"must be one of {', '.join(known)}{did_you_mean(text, known)}")
            return default
        return text

    def texts(self, path: Path) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        node = self.node(path)
        if isinstance(node, Items):
            return tuple(self.text((*path, at)) for at in range(len(node.values)))
        return (self.text(path),) if node is not None else ()

    def truth(self, path: Path) -> bool | None:
        node = self.node(path)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.wrong(path, "must be true or false")
        return None

    def number(self, path: Path, least: float | None = None, most: float | None = None) -> float | None:
        """A finite number, however it is spelled: 1 and 1.0 are the same."""
        value = self._number(path)
        if value is None:
            return None
        if (least is not None and value < least) or (most is not None and value > most):
            self.wrong(path, _range(least, most))
            return None
        return float(value)

    def _number(self, path: Path) -> int | float | None:
        node = self.node(path)
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not _fits(value):
            self.wrong(path, "must be a number")
            return None
        return value

    def whole(self, path: Path, least: int, most: int = _MOST_INTEGER) -> int | None:
        value = self._number(path)
        if value is None:
            return None
        if int(value) != value or not least <= value <= most:
            bounds = f"of at least {least}" if most == _MOST_INTEGER else f"from {least} to {most:,}"
            self.wrong(path, f"must be a whole number {bounds}")
            return None
        return int(value)

    def plain(self, path: Path) -> Any:
        """Whatever stands there, as bare values."""
        node = self.node(path)
        return None if node is None else plain(node)

    def mapping(self, path: Path) -> dict[str, Any]:
        """A free mapping, as bare values."""
        found = self.plain(path) if self.fields(path) else {}
        return found if isinstance(found, dict) else {}

    def read(self, path: Path, parse: Callable[[object], T]) -> T | None:
        """A value in words of its own (a duration); `parse` raises an error whose message says what is wrong."""
        node = self.node(path)
        if node is None:
            return None
        try:
            return parse(node.text if isinstance(node, Scalar) else None)
        except Exception as error:
            message = getattr(error, "message", None)
            self.wrong(path, str(message() if callable(message) else error))
            return None


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"must be between {least:g} and {most:g}"
    return f"must be at least {least:g}" if least is not None else f"must be at most {most:g}"


def _fits(value: float) -> bool:
    return abs(value) <= _MOST_INTEGER if isinstance(value, int) else math.isfinite(value)


def unusable(tree: Node) -> Iterable[tuple[Path, str]]:
    """What no value of a file may be, wherever it stands: NUL and half characters, and numbers without end."""
    size = 0
    waiting: list[tuple[Path, Node]] = [((), tree)]
    while waiting:
        path, node = waiting.pop()
        for step, below in children(node):
            waiting.append(((*path, step), below))
            if isinstance(step, str):
                size += len(step)
                if _odd(step):
                    yield path, "has a key with a character that no text can contain"
        if isinstance(node, Scalar):
            size += len(node.text)
            if found := _odd(node.text):
                yield path, f"holds U+{ord(found):04X}, a character that no text can contain"
            if isinstance(node.value, int | float) and not _fits(node.value):
                yield path, "is a number without an end, or larger than any"
        if size > LONGEST_TEXT:
            yield path, f"makes the file longer than {LONGEST_TEXT:,} characters once its aliases (*…) are spelled out"
            return


def _odd(text: str) -> str | None:
    if text.isprintable():
        return None
    return next((c for c in text if (c < " " and c not in _ALLOWED_CONTROLS) or "\ud800" <= c <= "\udfff"), None)
