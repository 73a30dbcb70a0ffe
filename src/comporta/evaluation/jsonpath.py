"""JSON paths as RFC 9535 writes them, without filters and functions: `$.items[0].name`, `$..price`, `$['a b'][*]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

LONGEST = 500
_MOST_FOUND = 10_000
_STEP = re.compile(
    r"""(?P<deep>\.\.)?(?:
        \.?(?P<name>[^\W\d][\w-]*) | \.?(?P<every>\*) |
        \[\s*(?:(?P<at>-?\d{1,9}) | (?P<all>\*) | (?P<from>-?\d{0,9})\s*:\s*(?P<to>-?\d{0,9}) |
            '(?P<single>(?:[^'\\]|\\.)*)' | "(?P<double>(?:[^"\\]|\\.)*)")\s*\]
    )""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")


class Step(NamedTuple):
    """What is taken of a value: a field, an entry, a run of entries, or (None) all; `deep` looks at all depths."""

    take: str | int | slice | None
    deep: bool


def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path; a leading `$` may be left out. Raises ValueError with what is wrong."""
    if len(path) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    rest = path.strip().removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(rest):
        found = _STEP.match(rest, position)
        if found is None or (not steps and not path.strip().startswith("$") and found["deep"]):
            raise ValueError(f"can't be read as a JSON path from {rest[position : position + 20]!r} on; write $.a.b[0]")
        if steps and found["name"] and rest[position] != ".":
            raise ValueError(f"needs a dot before {found['name']!r}")
        steps.append(_step(found))
        position = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    deep = found["deep"] is not None
    quoted = found["single"] if found["single"] is not None else found["double"]
    if quoted is not None:
        return Step(_ESCAPED.sub(r"\1", quoted), deep)
    if found["name"] is not None:
        return Step(found["name"], deep)
    if found["at"] is not None:
        return Step(int(found["at"]), deep)
    if found["every"] or found["all"]:
        return Step(None, deep)
    return Step(slice(int(found["from"]) if found["from"] else None, int(found["to"]) if found["to"] else None), deep)


def values(steps: tuple[Step, ...], root: Any) -> list[Any]:
    """Everything that a path finds, in the document's order; at most ten thousand values."""
    found = [root]
    for step in steps:
        here = found if not step.deep else [below for one in found for below in _everything(one)]
        found = [taken for one in here for taken in _taken(one, step.take)][:_MOST_FOUND]
    return found


def _taken(value: Any, take: str | int | slice | None) -> Iterator[Any]:
    if take is None:
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif isinstance(take, str):
        if isinstance(value, dict) and take in value:
            yield value[take]
    elif isinstance(value, list):
        if isinstance(take, slice):
            yield from value[take]
        elif -len(value) <= take < len(value):
            yield value[take]


def _everything(value: Any) -> list[Any]:
    """A value and all that is in it, in order; without recursion, since answers may be nested as deep as they like."""
    found: list[Any] = []
    waiting = [value]
    while waiting and len(found) < _MOST_FOUND:
        one = waiting.pop()
        found.append(one)
        below = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        waiting.extend(reversed(below))
    return found
