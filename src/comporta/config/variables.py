"""Variables: the `.env` file beside the configuration, and `${NAME}` put into the strings of the tree.

A value from the environment may be a secret, so that no mistake ever shows one: only the variable's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from comporta.config.parsing import resolve
from comporta.config.tree import Fields, Items, Mistake, Node, Path, Place, Scalar

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^{}]*)?\})?", re.ASCII)
_NAME = r"[A-Za-z_][A-Za-z0-9_.]*"
_ENTRY = re.compile(
    rf"""[ \t]*(?:export[ \t]+)?(?P<name>{_NAME})[ \t]*=
    (?: [ \t]*(?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" ) [ \t]*(?:\#[^\n]*)?
      | (?P<bare>(?![ \t]*['"])[^\n]*) )(?:\n|\Z)""",
    re.ASCII | re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"(?<=[ \t])#.*", re.DOTALL)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_FORMS = "${NAME} or ${NAME:-default}; write $${ where a plain ${ is meant"


def parse_env(text: str, name: str) -> tuple[dict[str, str], list[Mistake]]:
    """The variables of a `.env` text: `NAME=value`, `export`, comments, single quotes as they are, double quotes with
    escapes and over several lines."""
    found: dict[str, str] = {}
    mistakes: list[Mistake] = []
    text, position = text.replace("\r\n", "\n"), 0
    while position < len(text):
        if blank := _BLANK.match(text, position):
            position = max(blank.end(), position + 1)
            continue
        if entry := _ENTRY.match(text, position):
            found[entry["name"]] = _entry_value(entry)
            position = entry.end()
            continue
        line = text.count("\n", 0, position) + 1
        mistakes.append(Mistake(Place(name, line), (), "is not NAME=value, a comment or an empty line"))
        end = text.find("\n", position)
        position = len(text) if end < 0 else end + 1
    return found, mistakes


def _entry_value(entry: re.Match[str]) -> str:
    if entry["single"] is not None:
        return entry["single"]
    if entry["double"] is not None:
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), entry["double"], flags=re.DOTALL)
    return _COMMENT.sub("", entry["bare"]).strip()


@dataclass(slots=True)
class Substitution:
    """The tree with its variables filled in, and what was noticed on the way."""

    environment: Mapping[str, str]
    mistakes: list[Mistake] = field(default_factory=list)
    #: Where no value could be put in: what validation says of these places is noise.
    unfilled: set[Path] = field(default_factory=set)
    #: Values that came from the environment: they are never shown in a message.
    used: set[str] = field(default_factory=set)

    def fill(self, node: Node, path: Path = ()) -> Node:
        if isinstance(node, Fields):
            return Fields(node.place, {key: self.fill(value, (*path, key)) for key, value in node.values.items()})
        if isinstance(node, Items):
            return Items(node.place, tuple(self.fill(value, (*path, i)) for i, value in enumerate(node.values)))
        if isinstance(node.value, str) and "${" in node.value:
            return self._filled(node, node.value, path)
        return node

    def _filled(self, node: Scalar, written: str, path: Path) -> Scalar:
        wrong, variables, parts, end = [], [], [], 0
        for found in _REFERENCE.finditer(written):
            parts.append(written[end : found.start()])
            end = found.end()
            text, problem = self._one(found)
            parts.append(text)
            if problem:
                wrong.append(problem)
            elif found["name"] in self.environment:
                variables.append(found["name"])
        if wrong:
            self.unfilled.add(path)
            self.mistakes += [Mistake(node.place, path, problem) for problem in wrong]
        text = "".join([*parts, written[end:]])
        # Alone and without quotes, a variable is read as though its value stood in the file.
        alone = node.bare and not any(parts[::2]) and end == len(written)
        value = None if wrong else resolve(text) if alone else text
        return Scalar(node.place, value, text, node.bare, tuple(variables))

    def _one(self, found: re.Match[str]) -> tuple[str, str | None]:
        name, default = found["name"], found["default"]
        if found[0] == "$${":
            return "${", None
        if name is None:
            return "", f"has a ${{ that begins no variable; the forms are {_FORMS}"
        value = self.environment.get(name)
        if value:
            self.used.add(value)
            return value, None
        if default is not None:
            return default[2:], None
        if value is None:
            return "", f"the variable {name} is not set; set it, or give a default: ${{{name}:-…}}"
        return "", None
