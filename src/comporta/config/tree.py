"""What a configuration file says, each value with its place: the tree between YAML and the sections.

Trees are frozen and may share branches (YAML aliases), so every node knows how large it is when spelled out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import NamedTuple

Step = str | int
Path = tuple[Step, ...]
Plain = str | int | float | bool | None
_BARE_STEP = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Place(NamedTuple):
    """A line of a file; line 0 means the file as a whole."""

    file: str
    line: int


class Mistake(NamedTuple):
    """One thing that is wrong, where, and how to say it."""

    place: Place
    path: Path
    text: str

    def __str__(self) -> str:
        where = f"{self.place.file}:{self.place.line}" if self.place.line else self.place.file
        return ": ".join(part for part in (where, dotted(self.path), self.text) if part)


@dataclass(frozen=True, slots=True, repr=False)
class Scalar:
    """A single value; `text` is how it was written, for where a number is meant as text (`version: 1.10`)."""

    place: Place
    value: Plain
    text: str
    #: Written without quotes, so that it may be a number, a truth value or nothing.
    bare: bool = True
    #: The variables whose environment values stand in it.
    variables: tuple[str, ...] = ()
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True, repr=False)
class Items:
    """A list."""

    place: Place
    values: tuple[Node, ...]
    size: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        _measure(self, self.values)


@dataclass(frozen=True, slots=True, repr=False)
class Fields:
    """A mapping. A value under a key has the key's place: that is the line a reader looks for."""

    place: Place
    values: dict[str, Node]
    size: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        _measure(self, self.values.values())


Node = Scalar | Items | Fields


def _measure(node: Items | Fields, children: Iterable[Node]) -> None:
    sizes, heights = [1], [0]
    for child in children:
        sizes.append(child.size)
        heights.append(child.height)
    object.__setattr__(node, "size", sum(sizes))
    object.__setattr__(node, "height", 1 + max(heights))


def dotted(path: Iterable[Step]) -> str:
    """`routes.support.variants[0].weight`; a key with odd characters stands in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _BARE_STEP.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def moved(node: Node, place: Place) -> Node:
    """The same value at another place (under a key, or where an alias stands)."""
    # A copy rather than a new node: measuring a large branch again for each of its aliases would be quadratic.
    new = copy(node)
    object.__setattr__(new, "place", place)
    return new


def child(node: Node, step: Step) -> Node | None:
    """What stands under a key or an index, if anything does."""
    if isinstance(node, Fields):
        return node.values.get(str(step))
    if isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.values):
        return node.values[step]
    return None


def nearest(node: Node, path: Sequence[Step]) -> Node:
    """The node at the path, or the last one on the way to it."""
    for step in path:
        below = child(node, step)
        if below is None:
            return node
        node = below
    return node


def exact(node: Node, path: Sequence[Step]) -> Node | None:
    """The node at the path."""
    for step in path:
        below = child(node, step)
        if below is None:
            return None
        node = below
    return node


def changed(node: Node, new: Mapping[Path, Node], path: Path = ()) -> Node:
    """The tree with other nodes at some paths."""
    if path in new:
        return new[path]
    if isinstance(node, Fields):
        return Fields(node.place, {key: changed(value, new, (*path, key)) for key, value in node.values.items()})
    if isinstance(node, Items):
        return Items(node.place, tuple(changed(value, new, (*path, i)) for i, value in enumerate(node.values)))
    return node


def merged(base: Node, over: Node) -> Node:
    """Mappings merge key by key, anything else replaces; a key with nothing behind it leaves a mapping as it was."""
    if not isinstance(base, Fields):
        return over
    if isinstance(over, Scalar) and over.bare and over.text == "":
        return base
    if not isinstance(over, Fields):
        return over
    values = dict(base.values)
    for key, value in over.values.items():
        values[key] = merged(values[key], value) if key in values else value
    return Fields(over.place, values)


def plain(node: Node) -> object:
    """The tree as bare Python values, no branch shared."""
    if isinstance(node, Fields):
        return {key: plain(value) for key, value in node.values.items()}
    if isinstance(node, Items):
        return [plain(value) for value in node.values]
    return node.value


def children(node: Node) -> list[tuple[Step, Node]]:
    """What stands directly under a node, with its key or index."""
    if isinstance(node, Fields):
        return list(node.values.items())
    return list(enumerate(node.values)) if isinstance(node, Items) else []
