"""Assertions read from files: `assert: [{contains: "refund"}, …]`, every mistake with its file and line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comporta.config.mistakes import did_you_mean, refusal
from comporta.config.tree import Fields, Items, Node, Path, Place, Scalar
from comporta.evaluation.base import Assertion
from comporta.evaluation.kinds import KINDS
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading

#: What may stand beside any kind.
COMMON = ("name", "optional")
MOST = 200
_LONGEST_NAME = 200
_TABLE = {kind.word: kind for kind in KINDS}


def read_assertions(reading: Reading, path: Path) -> tuple[Assertion, ...]:
    """The assertions of a list; what is wrong with them is noted on `reading`."""
    places = list(reading.items(path))
    if len(places) > MOST:
        reading.wrong(path, f"has more than {MOST} assertions")
        return ()
    found = [_read(reading, one) for one in places]
    return tuple(one for one in found if one is not None)


def read_assertion(node: Node) -> Assertion:
    """One assertion. Raises ConfigError with a line for each mistake."""
    reading = Reading(node)
    found = _read(reading, ())
    if found is None or reading.mistakes:
        raise refusal(str(one) for one in reading.mistakes)
    return found


def assertion(kind: str, value: Any = True, **options: Any) -> Assertion:
    """One assertion from Python: `assertion("contains", "refund", ignore_case=True)`. Raises ConfigError."""
    return read_assertion(node_of({kind: value, **options}))


def node_of(value: Any, place: Place = Place("", 0)) -> Node:
    """Plain values as a tree, for what comes from Python or JSON rather than from a file."""
    if isinstance(value, dict):
        return Fields(place, {str(key): node_of(one, place) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return Items(place, tuple(node_of(one, place) for one in value))
    return Scalar(place, value, "" if value is None else str(value), bare=not isinstance(value, str))


def _read(reading: Reading, path: Path) -> Assertion | None:
    node = reading.node(path)
    if not isinstance(node, Fields):
        reading.wrong(path, f"must be a mapping such as {{contains: text}}; known kinds: {', '.join(_TABLE)}")
        return None
    kind = _kind(reading, path, node)
    if kind is None:
        return None
    reading.keys(path, (kind.word, *kind.options, *COMMON))
    before = len(reading.mistakes)
    if kind.refused:
        reading.wrong((*path, kind.word), kind.refused)
    scorer = kind.read(reading, path)
    name = reading.text((*path, "name")) or _named(kind, node.values.get(kind.word))
    optional = reading.truth((*path, "optional")) or False
    if scorer is None and len(reading.mistakes) == before:
        reading.wrong((*path, kind.word), "can't be read")
    # Where the kind itself stands: that is the line a reader looks for.
    place = node.values[kind.word].place
    return None if scorer is None else Assertion(kind.word, name[:_LONGEST_NAME], scorer, place, optional)


def _kind(reading: Reading, path: Path, node: Fields) -> Kind | None:
    """The kind that an entry names: `{json_path: …, equals: …}` is a JSON path, since that takes `equals` beside it."""
    named = [_TABLE[key] for key in node.values if key in _TABLE]
    for kind in named:
        if all(other is kind or other.word in kind.options for other in named):
            return kind
    if named:
        reading.wrong(path, f"says {_listed(kind.word for kind in named)} at once; make each an entry of its own")
        return None
    key = next((key for key in node.values if key not in COMMON), None)
    guess = did_you_mean(key, tuple(_TABLE)) if key is not None else ""
    told = f"names no kind of assertion{guess}" if guess else f"names no kind of assertion; known: {', '.join(_TABLE)}"
    reading.wrong(path if key is None else (*path, key), told)
    return None


def _listed(words: Iterable[str]) -> str:
    return " and ".join(words)


def _named(kind: Kind, value: Node | None) -> str:
    """`contains: refund`, for reports, where no name is given."""
    if isinstance(value, Scalar) and value.text and not isinstance(value.value, bool):
        return f"{kind.word}: {' '.join(value.text.split())[:60]}"
    return kind.word
