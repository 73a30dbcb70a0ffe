"""What validation found, said in plain words with place, path and the nearest right word.

No value that was written is ever repeated, and what a room's own check says is cleaned of every known secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence, Set
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from comporta.config import shape
from comporta.config.tree import Fields, Items, Mistake, Node, Path, Scalar, child, exact, nearest
from comporta.errors import ConfigError

MOST_LINES = 100
#: Shorter secrets can't be told from ordinary words.
SHORTEST_SECRET = 4
_MOST_KNOWN = 12

_SHAPES = {
    "a mapping (lines of key: value)": ("dict_type", "model_type", "model_attributes_type", "mapping_type"),
    "a list": ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
    "text": ("string_type", "string_sub_type", "bytes_type"),
    "a path": ("path_type",),
    "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    "a number": ("float_type", "float_parsing", "decimal_type", "decimal_parsing"),
    "a finite number": ("finite_number",),
    "true or false": ("bool_type", "bool_parsing"),
}
_EXPECTED = {kind: words for words, kinds in _SHAPES.items() for kind in kinds}
_EMPTY_MAPPING = _SHAPES["a mapping (lines of key: value)"]
_EMPTY_LIST = _SHAPES["a list"]
_MEANT_AS_TEXT = (*_SHAPES["text"], *_SHAPES["a path"], "literal_error", "enum")


class Finding(NamedTuple):
    """One error of validation, put into the tree."""

    path: Path
    error: ErrorDetails
    #: Where several types were tried: the path, and which of them this error belongs to.
    branch: tuple[Path, str] | None


def locate(error: ErrorDetails, tree: Node) -> Finding:
    """The error's path in the tree; steps that only name one type of several are no part of it."""
    path: list[str | int] = []
    here, branch = tree, None
    for position, step in enumerate(error["loc"]):
        below = child(here, step)
        if below is not None:
            path.append(str(step) if isinstance(here, Fields) else step)
            here = below
        elif error["type"] == "missing" and position == len(error["loc"]) - 1:
            path.append(step)
        elif branch is None:
            branch = (tuple(path), str(step))
    return Finding(tuple(path), error, branch)


def repairs(findings: Iterable[Finding], tree: Node) -> dict[Path, Node]:
    """What was written in a form that YAML reads otherwise: `version: 1.10` meant as text, `routes:` with nothing."""
    found: dict[Path, Node] = {}
    for path, error, _ in findings:
        node, kind = exact(tree, path), error["type"]
        if not isinstance(node, Scalar) or not node.bare:
            continue
        if node.value is None and node.text == "":
            if kind in _EMPTY_MAPPING:
                found[path] = Fields(node.place, {})
            elif kind in _EMPTY_LIST:
                found[path] = Items(node.place, ())
        elif kind in _MEANT_AS_TEXT and isinstance(node.value, int | float):
            found[path] = Scalar(node.place, node.text, node.text, node.bare, node.variables)
    return found


def explain(
    root: Any, tree: Node, findings: Sequence[Finding], secrets: Iterable[str], unread: Set[Path]
) -> list[Mistake]:
    """One mistake per thing that is wrong; `unread` are the places of values that are told to be missing already."""
    hidden = sorted(secrets, key=len, reverse=True)
    found: list[Mistake] = []
    told = [finding for finding in _likely(findings) if not _is_noise(finding, unread)]
    for path, texts in _texts(root, tree, told).items():
        place = nearest(tree, path).place
        found += [Mistake(place, path, scrub(text, hidden)) for text in texts]
    return found


def _likely(findings: Sequence[Finding]) -> list[Finding]:
    """Of several types that were tried at one place, keep what the best fitting ones say."""
    tried: dict[Path, dict[str, list[Finding]]] = {}
    for finding in findings:
        if finding.branch is not None:
            tried.setdefault(finding.branch[0], {}).setdefault(finding.branch[1], []).append(finding)
    kept: set[tuple[Path, str]] = set()
    for where, types in tried.items():
        misfits = {name: _misfit(ones) for name, ones in types.items()}
        kept |= {(where, name) for name, misfit in misfits.items() if misfit == min(misfits.values())}
    return [finding for finding in findings if finding.branch is None or finding.branch in kept]


def _misfit(findings: Sequence[Finding]) -> tuple[bool, int]:
    wrong_shape = any(one.branch is not None and one.path == one.branch[0] for one in findings)
    return wrong_shape and any(one.error["type"] in _EXPECTED for one in findings), len(findings)


def _is_noise(finding: Finding, unread: Set[Path]) -> bool:
    """Whether an error only follows from a value that could not be read: a variable that is not set, an alias."""
    if finding.path in unread:
        return True
    if finding.error["type"] not in ("value_error", "assertion_error"):
        return False
    return any(path[: len(finding.path)] == finding.path for path in unread)


def _texts(root: Any, tree: Node, findings: Sequence[Finding]) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for finding in findings[: 2 * MOST_LINES]:
        texts = found.setdefault(finding.path, [])
        text = _text(root, tree, finding)
        if finding.branch is not None and texts and all(one.startswith("must be ") for one in (text, texts[-1])):
            if text.removeprefix("must be ") not in texts[-1]:
                texts[-1] += f" or {text.removeprefix('must be ')}"
        elif text not in texts:
            texts.append(text)
    return found


def _text(root: Any, tree: Node, finding: Finding) -> str:
    path, error, _ = finding
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), shape.keys(root, path[:-1], tree))
    if kind == "missing":
        return "is required but missing"
    node = exact(tree, path)
    text = _wrong_value(error, node)
    empty = isinstance(node, Scalar) and node.value is None
    return f"is empty; it {text}" if empty and text.startswith("must ") else text


def _wrong_value(error: ErrorDetails, node: Node | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}"
    if kind in ("literal_error", "enum"):
        return _wrong_word(str(context.get("expected", "")), node)
    if kind == "union_tag_invalid":
        key = str(context.get("discriminator", "")).strip("'")
        tag = child(node, key) if node is not None else None
        return f"{key} {_wrong_word(str(context.get('expected_tags', '')), tag)}"
    if kind == "union_tag_not_found":
        return f"needs the key {context.get('discriminator', '')}"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", "is wrong"))
    return re.sub(r"^(Input|String|Value|List|Dictionary|Tuple|Set|Data) should ", "must ", error["msg"]).replace(
        " after validation", ""
    )


def _wrong_word(expected: str, node: Node | None) -> str:
    known = re.findall(r"'([^']*)'", expected)
    guess = ""
    if isinstance(node, Scalar) and not node.variables:
        guess = did_you_mean(node.text, known)
    return f"must be {expected}{guess}"


def _unknown_key(key: str, known: Sequence[str]) -> str:
    if guess := did_you_mean(key, known):
        return f"unknown key{guess}"
    if 0 < len(known) <= _MOST_KNOWN:
        return f"unknown key; known here: {', '.join(known)}"
    return "unknown key"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'weight'?`, or nothing where no word is near."""
    plain = {_folded(one): one for one in known}
    close = difflib.get_close_matches(_folded(word[:80]), list(plain), n=1, cutoff=0.6)
    return f"; did you mean '{plain[close[0]]}'?" if close else ""


def _folded(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.strip().lower())


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text on one line and without any of the secrets."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***").replace(repr(secret)[1:-1], "***")
    return " ".join(text.split())


def refusal(lines: Iterable[str]) -> ConfigError:
    """The error that tells every mistake, one a line."""
    every = list(dict.fromkeys(lines))
    if len(every) > MOST_LINES:
        every = [*every[:MOST_LINES], f"… and {len(every) - MOST_LINES} more"]
    return ConfigError("\n".join(every))
