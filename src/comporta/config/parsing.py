"""One YAML file read into a tree, with bounds and with every mistake placed.

Plain words follow YAML 1.2's core rules, so that `off`, `no` and `on` stay words. Aliases are shared, never spelled
out, and what they would come to is bounded. Only plain data is read: no tag makes an object.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import yaml

from comporta.config.tree import Fields, Items, Mistake, Node, Path, Place, Plain, Scalar, moved

LARGEST_FILE = 1_000_000
MOST_VALUES = 100_000
DEEPEST = 100

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Plain] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}  # fmt: skip
_QUOTED = re.compile(r"'[^'<>\s]{2,}'")
_LONGEST_NUMBER = 400
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = ("!", _TAG + "str")


def resolve(text: str) -> Plain:
    """What an unquoted word means: nothing, a truth value, a number, or itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def read_text(path: FilePath, name: str, kind: str = "configuration") -> tuple[str | None, list[Mistake]]:
    """A small UTF-8 text file, or why it can't be read."""

    def refuse(text: str) -> tuple[None, list[Mistake]]:
        return None, [Mistake(Place(name, 0), (), text)]

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return refuse("is not a regular file")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        return refuse(f"can't be read: {error.strerror or type(error).__name__}")
    except ValueError:
        return refuse("can't be read: its name is not a possible file name")
    return decoded(data, name, kind)


def decoded(data: bytes, name: str, kind: str = "configuration") -> tuple[str | None, list[Mistake]]:
    """The text of a file's bytes, or why they are none of ours."""

    def refuse(text: str, line: int = 0) -> tuple[None, list[Mistake]]:
        return None, [Mistake(Place(name, line), (), text)]

    if len(data) > LARGEST_FILE:
        return refuse(f"is larger than {LARGEST_FILE:,} bytes; a {kind} is never that large")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return refuse("is not UTF-8 text; save it in UTF-8", data.count(b"\n", 0, error.start) + 1)
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        return refuse(f"holds the control character U+{ord(found[0]):04X}, which text files can't contain", line)
    return text, []


def parse(text: str, name: str) -> tuple[Node | None, list[Mistake]]:
    """The tree of a YAML text, None where the syntax is broken, and what is wrong with it."""
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        return None, [*builder.mistakes, _syntax(error, text, name)]
    except yaml.YAMLError:
        return None, [*builder.mistakes, Mistake(Place(name, 0), (), "is not YAML")]
    except _TooMuch as limit:
        return None, [*builder.mistakes, limit.mistake]
    return builder.root or Fields(Place(name, 1), {}), builder.mistakes


def _syntax(error: yaml.MarkedYAMLError, text: str, name: str) -> Mistake:
    # The parser may quote a word of the file, which could be a secret that begins with a YAML sign.
    problem = _QUOTED.sub("'…'", ": ".join(part for part in (error.context, error.problem) if part))
    mark = error.problem_mark if error.problem_mark is not None else error.context_mark
    if mark is None:
        return Mistake(Place(name, 0), (), f"is not valid YAML: {problem}")
    rows = text.splitlines()
    row = rows[mark.line] if mark.line < len(rows) else ""
    first = row[mark.column : mark.column + 1]
    if "\t" in row[: len(row) - len(row.lstrip())]:
        problem = "a tab is used for indentation; YAML wants spaces"
    elif row[: mark.column + 1].endswith("${"):
        problem = "inside [ ] and { } a ${…} must stand in quotes"
    elif first in ("@", "`", "%"):
        problem = f"a value can't begin with {first}; put it in quotes"
    return Mistake(Place(name, mark.line + 1), (), f"is not valid YAML: {problem} (column {mark.column + 1})")


class _TooMuch(Exception):
    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.text)
        self.mistake = mistake


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    place: Place
    mapping: bool
    anchor: str | None
    #: Whether it stands where a key is expected, which we can't read.
    is_key: bool
    items: list[Node] = field(default_factory=list)
    fields: dict[str, Node] = field(default_factory=dict)
    defaults: list[tuple[Place, Node]] = field(default_factory=list)
    key: str | None = None
    key_place: Place | None = None
    is_merge: bool = False


class _Builder:
    """Puts a tree together from the parser's events; keeps its own stack, so that depth can't exhaust Python's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Node | None = None
        self.mistakes: list[Mistake] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._count = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        place = Place(self.name, event.start_mark.line + 1 if event.start_mark is not None else 0)
        if isinstance(event, yaml.DocumentStartEvent):
            self._document(place)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, place)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, place)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._open(event, place)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._close()

    def _path(self) -> Path:
        steps = [open_.key if open_.mapping else len(open_.items) for open_ in self._stack]
        return tuple(step for step in steps if step is not None)

    def _wrong(self, place: Place, text: str, path: Path | None = None) -> None:
        self.mistakes.append(Mistake(place, self._path() if path is None else path, text))

    def _document(self, place: Place) -> None:
        self._documents += 1
        if self._documents == 2:
            self._wrong(place, "holds a second document (---); only one is read")

    def _wants_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].mapping and self._stack[-1].key_place is None

    def _counted(self, place: Place, values: int = 1) -> None:
        self._count += values
        if self._count > MOST_VALUES:
            raise _TooMuch(Mistake(place, (), f"holds more than {MOST_VALUES:,} values"))

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        self._counted(place)
        if self._wants_key():
            self._set_key(event.value, place, merge=event.value == "<<" and event.implicit[0])
            return
        node = Scalar(place, *self._meaning(event, place))
        self._done(node, event.anchor)

    def _meaning(self, event: yaml.ScalarEvent, place: Place) -> tuple[Plain, str, bool]:
        text: str = event.value
        if event.implicit[0]:
            return resolve(text), text, True
        if event.tag is None or event.tag in _TEXT_TAGS:
            return text, text, False
        kinds: dict[str, tuple[type, ...]] = {
            "int": (int,), "float": (float, int), "bool": (bool,), "null": (type(None),),
        }  # fmt: skip
        kind = event.tag.removeprefix(_TAG)
        value = resolve(text)
        if event.tag == _TAG + kind and kind in kinds and type(value) in kinds[kind]:
            return float(value) if kind == "float" and value is not None else value, text, True
        self._wrong(place, "has a YAML tag (!…) that can't be used here; write plain values")
        return None, "", True

    def _alias(self, event: yaml.AliasEvent, place: Place) -> None:
        self._counted(place)
        node = self._anchors.get(event.anchor or "")
        if node is None:
            # The name is not repeated: an unquoted password may begin with an asterisk.
            self._wrong(
                place, "refers to an anchor (&…) that isn't complete before it; quote a value that begins with *"
            )
            node = Scalar(place, None, "")
        if self._wants_key():
            self._set_key(node.text if isinstance(node, Scalar) else None, place)
        else:
            self._done(moved(node, place), None)

    def _open(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent, place: Place) -> None:
        self._counted(place)
        if len(self._stack) >= DEEPEST:
            raise _TooMuch(Mistake(place, (), f"is nested more than {DEEPEST} levels deep"))
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            self._wrong(place, "has a YAML tag (!…) that can't be used here; write plain values")
        self._stack.append(_Open(place, mapping, event.anchor, is_key=self._wants_key()))

    def _close(self) -> None:
        done = self._stack.pop()
        if done.is_key:
            self._set_key(None, done.place)
            return
        node: Node = (
            Fields(done.place, self._with_defaults(done)) if done.mapping else Items(done.place, tuple(done.items))
        )
        self._done(node, done.anchor)

    def _done(self, node: Node, anchor: str | None) -> None:
        self._bounded(node)
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            if self._documents == 1:
                self.root = node
            return
        parent = self._stack[-1]
        if not parent.mapping:
            parent.items.append(node)
            return
        self._set_value(parent, node)

    def _bounded(self, node: Node) -> None:
        if node.size > MOST_VALUES:
            text = f"comes to more than {MOST_VALUES:,} values once its aliases (*…) are spelled out"
            raise _TooMuch(Mistake(node.place, (), text))
        if node.height > DEEPEST:
            text = f"is nested more than {DEEPEST} levels deep once its aliases (*…) are spelled out"
            raise _TooMuch(Mistake(node.place, (), text))

    def _set_key(self, key: str | None, place: Place, merge: bool = False) -> None:
        parent = self._stack[-1]
        parent.key, parent.key_place, parent.is_merge = key, place, merge
        if key is None:
            self._wrong(place, "a key must be a single word or text")
        elif not merge and key in parent.fields:
            first = parent.fields[key].place.line
            self._wrong(place, f"duplicate key; it stands on line {first} already")

    def _set_value(self, parent: _Open, node: Node) -> None:
        key, place = parent.key, parent.key_place
        assert place is not None
        if parent.is_merge:
            parent.defaults.append((place, node))
        elif key is not None:
            parent.fields[key] = moved(node, place)
        parent.key = parent.key_place = None
        parent.is_merge = False

    def _with_defaults(self, done: _Open) -> dict[str, Node]:
        """Merge keys (`<<: *base`): what the mapping itself says wins, then the earlier of several bases."""
        fields = dict(done.fields)
        for place, node in done.defaults:
            bases = node.values if isinstance(node, Items) else (node,)
            for base in bases:
                if isinstance(base, Fields):
                    self._counted(place, len(fields))
                    fields = base.values | fields
                else:
                    self._wrong(place, "<< must be followed by an alias of a mapping")
        return fields
