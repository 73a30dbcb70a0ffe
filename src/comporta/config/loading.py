"""Reads the configuration: base file, overlay, `.env` and environment, into one frozen and checked value.

`comporta.yaml` is read first, then `comporta.<COMPORTA_ENV>.yaml` beside it over it; variables come from the
environment, then from `.env` beside the file. Every mistake of every file is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from comporta.config.mistakes import Finding, did_you_mean, explain, locate, refusal, repairs, scrub
from comporta.config.parsing import parse, read_text
from comporta.config.secret import secret_texts
from comporta.config.tree import Fields, Mistake, Node, Place, Scalar, Step, changed, exact, merged, nearest, plain
from comporta.config.variables import Substitution, parse_env

T = TypeVar("T", bound=BaseModel)
T_co = TypeVar("T_co", bound=BaseModel, covariant=True)

#: Names the overlay.
ENVIRONMENT = "COMPORTA_ENV"
#: Names the file.
CONFIG = "COMPORTA_CONFIG"
BASE_NAMES = ("comporta.yaml", "comporta.yml")
_OVERLAY_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
#: Text for numbers, then empty mappings inside what was empty: nothing needs a third round, a bound costs nothing.
_REPAIR_ROUNDS = 4


@dataclass(frozen=True, repr=False)
class Loaded(Generic[T_co]):
    """A configuration that holds, and where each part of it was said."""

    value: T_co
    #: Every file that was read.
    files: tuple[Path, ...]
    #: Every file that was read or would be if it were there: what to watch.
    watched: tuple[Path, ...]
    #: Where relative paths of the configuration begin.
    folder: Path
    #: The process's variables over those of `.env`.
    environment: Mapping[str, str]
    tree: Node
    #: What no record and no log may hold.
    secrets: frozenset[str] = field(default=frozenset())
    #: Secrets, and every other value that came from the environment: no mistake shows one.
    hidden: frozenset[str] = field(default=frozenset())

    def place(self, path: tuple[Step, ...]) -> Place:
        """File and line of a path, or of what stands nearest above it."""
        return nearest(self.tree, path).place

    def origin(self, path: tuple[Step, ...]) -> str | None:
        """`comporta.yaml:12`, with the variables that were put in; None for a default."""
        node = exact(self.tree, path)
        if node is None:
            return None
        variables = node.variables if isinstance(node, Scalar) else ()
        return " ".join([f"{node.place.file}:{node.place.line}", *(f"${{{name}}}" for name in variables)])

    def mistake(self, path: tuple[Step, ...], text: str) -> str:
        """A mistake that a room found later, in the same words as those found here."""
        hidden = sorted(self.hidden, key=len, reverse=True)
        return str(Mistake(self.place(path), path, scrub(text, hidden)))


def find(environment: Mapping[str, str], folder: Path = Path()) -> Path | None:
    """The file that `COMPORTA_CONFIG` names, else the usual one in the folder, if it is there."""
    if named := environment.get(CONFIG):
        return Path(named)
    return next((folder / name for name in BASE_NAMES if (folder / name).is_file()), None)


#: Makes another tree of what was read, and adds what it finds wrong.
Amend = Callable[[Node, list[Mistake]], Node]


def load(
    root: type[T], path: Path | None, environment: Mapping[str, str], name: str | None = None,
    amend: Amend | None = None,
) -> Loaded[T]:  # fmt: skip
    """The configuration. Without a path there are defaults, variables and `.env` of the current folder only.

    `amend` may put more over what the files say. Raises ConfigError with one line per mistake.
    """
    reading = _Reading(path)
    variables = reading.variables(environment)
    tree = reading.tree(_overlay_name(name or variables.get(ENVIRONMENT), reading.mistakes))
    if tree is None:
        raise refusal(map(str, reading.mistakes))
    if amend is not None:
        tree = amend(tree, reading.mistakes)
    filled = Substitution(variables)
    tree = filled.fill(tree)
    value, tree, findings = _validated(root, tree)
    secrets = frozenset(secret_texts(root, tree, variables))
    hidden = secrets | filled.used
    unread = filled.unfilled | {one.path for one in reading.mistakes if _is_empty(exact(tree, one.path))}
    mistakes = [*reading.mistakes, *filled.mistakes, *explain(root, tree, findings, hidden, unread)]
    if mistakes or value is None:
        order = {str(file): position for position, file in enumerate(reading.watched)}
        mistakes.sort(key=lambda one: (order.get(one.place.file, -1), one.place.line))
        raise refusal(map(str, mistakes))
    return Loaded(
        value=value,
        files=tuple(reading.files),
        watched=tuple(reading.watched),
        folder=reading.folder,
        environment=MappingProxyType(variables),
        tree=tree,
        secrets=secrets,
        hidden=hidden,
    )


class _Reading:
    """The files of one load, those that are there and those that are not, and what is wrong with them."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.folder = path.parent if path is not None else Path()
        self.files: list[Path] = []
        self.watched: list[Path] = []
        self.mistakes: list[Mistake] = []

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        path = self.folder / ".env"
        found: dict[str, str] = {}
        # A folder of that name is somebody's Python environment.
        if not path.is_file():
            self.watched.append(path)
        elif (text := self._text(path)) is not None:
            found, mistakes = parse_env(text, str(path))
            self.mistakes += mistakes
        return {**found, **environment}

    def tree(self, overlay: str | None) -> Node | None:
        """Base and overlay as one tree; None where one of them can't be used."""
        base = self.path or Path(BASE_NAMES[0])
        tree: Node | None = Fields(Place(str(self.path or "configuration"), 1 if self.path else 0), {})
        if self.path is not None:
            tree = self._file(self.path)
        else:
            self.watched.append(base)
        if overlay is None:
            return tree
        path = base.with_name(f"{base.stem}.{overlay}{base.suffix}")
        if self.path is None or not path.exists():
            self.watched.append(path)
            self._misspelt(path, overlay)
            return tree
        over = self._file(path)
        return merged(tree, over) if tree is not None and over is not None else None

    def _misspelt(self, path: Path, overlay: str) -> None:
        """An environment needs no overlay, but one that is nearly another's name was meant to be that one."""
        stem = path.stem.partition(".")[0]
        beside = [other.stem.partition(".")[2] for other in path.parent.glob(f"{stem}.*{path.suffix}")]
        if guess := did_you_mean(overlay, filter(None, beside)):
            text = f"{ENVIRONMENT} is '{overlay}', and there is no {path.name}{guess}"
            self.mistakes.append(Mistake(Place(str(self.path or path), 0), (), text))

    def _text(self, path: Path) -> str | None:
        self.files.append(path)
        self.watched.append(path)
        text, mistakes = read_text(path, str(path))
        self.mistakes += mistakes
        return text

    def _file(self, path: Path) -> Node | None:
        text = self._text(path)
        if text is None:
            return None
        tree, mistakes = parse(text, str(path))
        self.mistakes += mistakes
        if isinstance(tree, Scalar) and tree.value is None:
            return Fields(tree.place, {})
        if tree is not None and not isinstance(tree, Fields):
            self.mistakes.append(Mistake(tree.place, (), "must be a mapping (lines of key: value) at its top"))
            return None
        return tree


def _overlay_name(name: str | None, mistakes: list[Mistake]) -> str | None:
    if not name:
        return None
    if _OVERLAY_NAME.fullmatch(name):
        return name
    mistakes.append(Mistake(Place(ENVIRONMENT, 0), (), "must be one word of letters, digits, - and _"))
    return None


def _validated(root: type[T], tree: Node) -> tuple[T | None, Node, list[Finding]]:
    findings: list[Finding] = []
    for _ in range(_REPAIR_ROUNDS):
        try:
            return root.model_validate(plain(tree)), tree, []
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        findings = [locate(one, tree) for one in details]
        better = repairs(findings, tree)
        if not better:
            break
        tree = changed(tree, better)
    return None, tree, findings


def _is_empty(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.value is None
