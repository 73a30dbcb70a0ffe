"""A foreign configuration as it is read: key by key, so that what nobody took can be told, and never a value of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path as FilePath

from msgspec import Struct

from comporta.config.parsing import parse, read_text
from comporta.config.tree import Fields, Items, Node, Path, Place, Scalar, children, dotted
from comporta.errors import ConfigError

#: How LiteLLM writes that a value stands in the environment.
_REFERENCE = "os.environ/"


class Left(Struct, frozen=True, order=True):
    """Something that was not carried over, or only in part: where it stands and why. It never holds a value."""

    line: int
    path: str
    why: str


class Variable(Struct, frozen=True):
    """A value that stands in the environment."""

    name: str


class Part:
    """A mapping; every key is taken once. `left` is shared by all parts of a file."""

    def __init__(self, node: Fields, path: Path, left: list[Left]) -> None:
        self.whole = node
        self.path = path
        self.line = node.place.line
        self.left = left
        self._values = dict(node.values)
        self._lines = {key: value.place.line for key, value in node.values.items()}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def leave(self, key: str, why: str) -> None:
        """Tell a key that is there and has no counterpart."""
        node = self._values.pop(key, None)
        if node is not None and not _is_empty(node):
            self.tell(key, why)

    def rest(self, why: str = "nothing here corresponds to it") -> None:
        """Tell all keys that nobody took."""
        for key in list(self._values):
            self.leave(key, why)

    def tell(self, key: str, why: str) -> None:
        """Tell something of a key, whether it was taken or not."""
        self.left.append(Left(self.line_of(key), dotted((*self.path, key)), why))

    def line_of(self, key: str) -> int:
        """Where a key stands, else the mapping."""
        return self._lines.get(key, self.line)

    def text(self, key: str) -> str | Variable | None:
        """A text, or the variable that holds it. A `${` of theirs stays what it is."""
        node = self._values.pop(key, None)
        if node is None or _is_empty(node):
            return None
        if not isinstance(node, Scalar):
            self.tell(key, "is not a text")
            return None
        if node.text.startswith(_REFERENCE):
            return Variable(node.text.removeprefix(_REFERENCE).strip())
        return node.text

    def word(self, key: str) -> str | None:
        """A text that must stand in the file itself."""
        found = self.text(key)
        if isinstance(found, Variable):
            self.tell(key, "stands in the environment, where it can't be read now: set it by hand")
            return None
        return found

    def number(self, key: str, least: float = 0.0) -> float | None:
        """A number of at least `least`; digits in quotes are one too."""
        found = self.word(key)
        if found is None:
            return None
        try:
            value = float(found)
        except ValueError:
            value = math.nan
        if not least <= value < 1e15:
            self.tell(key, f"is not a number of at least {least:g}")
            return None
        return value

    def count(self, key: str) -> int | None:
        """A whole number above 0; what is not whole is rounded down."""
        found = self.number(key, 1)
        return None if found is None else int(found)

    def flag(self, key: str) -> bool | None:
        found = self.word(key)
        if found is None or found.lower() in ("true", "false"):
            return None if found is None else found.lower() == "true"
        self.tell(key, "is neither true nor false")
        return None

    def part(self, key: str) -> Part:
        """The mapping below; an empty one where there is none."""
        node = self._values.pop(key, None)
        if node is not None and not isinstance(node, Fields) and not _is_empty(node):
            self.tell(key, "is not a mapping")
        made = node if isinstance(node, Fields) else Fields(node.place if node else _nowhere(self), {})
        return Part(made, (*self.path, key), self.left)

    def parts(self, key: str) -> Iterator[Part]:
        """The mappings of a list; others are told."""
        node = self._values.pop(key, None)
        if node is None or _is_empty(node):
            return
        if not isinstance(node, Items):
            self.tell(key, "is not a list")
            return
        for number, item in enumerate(node.values):
            if isinstance(item, Fields):
                yield Part(item, (*self.path, key, number), self.left)
            else:
                self.left.append(Left(item.place.line, dotted((*self.path, key, number)), "is not a mapping"))

    def texts(self, key: str) -> list[str]:
        """A list of texts; one alone is a list too, and what is no text is told."""
        node = self._values.pop(key, None)
        if node is None or _is_empty(node):
            return []
        items = node.values if isinstance(node, Items) else (node,)
        for item in items:
            if not isinstance(item, Scalar):
                self.tell(key, "an entry of it is not a text")
        return [item.text for item in items if isinstance(item, Scalar)]

    def names(self) -> list[str]:
        return list(self._values)

    def is_mapping(self, key: str) -> bool:
        return isinstance(self._values.get(key), Fields)


def read(path: FilePath) -> Part:
    """The whole file. Raises ConfigError where it can't be read as YAML."""
    text, mistakes = read_text(path, str(path))
    node: Node | None = None
    if text is not None:
        node, mistakes = parse(text, str(path))
    if node is None or mistakes:
        raise ConfigError("\n".join(map(str, mistakes)))
    if not isinstance(node, Fields):
        raise ConfigError(f"{path}: is not a mapping; LiteLLM's configuration begins with `model_list:`")
    return Part(node, (), [])


def variables_in(part: Part) -> set[str]:
    """The names of all variables that the file refers to."""
    return {text.removeprefix(_REFERENCE).strip() for text in _texts(part.whole) if text.startswith(_REFERENCE)}


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text
    for _, below in children(node):
        yield from _texts(below)


def _is_empty(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.value is None or node.text == ""
    return not node.values


def _nowhere(part: Part) -> Place:
    return Place("", part.line)
