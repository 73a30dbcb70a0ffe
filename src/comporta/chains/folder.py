"""A folder of chain files, read as a whole: every mistake of every file at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from comporta.chains.checks import checked
from comporta.chains.reading import read_chain
from comporta.chains.values import Chain
from comporta.config.mistakes import refusal
from comporta.config.parsing import parse, read_text
from comporta.config.tree import Mistake, Node, Place, Step, nearest
from comporta.prompts.reading import Reading, unusable

KIND = "chain file"


class Read(Struct, frozen=True):
    """A chain, and where its file says what."""

    chain: Chain
    tree: Node

    def mistake(self, path: tuple[Step, ...], text: str) -> Mistake:
        return Mistake(nearest(self.tree, path).place, path, text)


class Survey(Struct, frozen=True):
    """All that could be read, and all that is wrong or doubtful."""

    reads: tuple[Read, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[Mistake, ...] = ()

    def of(self, chain: Chain) -> Read | None:
        """Where a chain of a file was read."""
        return next((one for one in self.reads if one.chain is chain), None)

    def demand(self) -> None:
        """Raises ConfigError with a line for each mistake."""
        if self.mistakes:
            raise refusal(str(one) for one in sorted(self.mistakes, key=lambda one: one.place))


def chain_files(path: Path) -> list[Path]:
    """The chain files of a folder, or the one file."""
    if not path.is_dir():
        return [path] if path.exists() else []
    # Hidden files are editors' own.
    return sorted(
        one for one in path.rglob("*.y*ml")
        if one.suffix in (".yaml", ".yml") and not any(part.startswith(".") for part in one.relative_to(path).parts)
    )  # fmt: skip


def survey(path: Path) -> Survey:
    """What a folder holds, and all that is wrong with it; nothing is raised for what files say."""
    if not path.exists():
        return Survey((), (Mistake(Place(str(path), 0), (), "is not there"),))
    files = [_file(one) for one in chain_files(path)]
    reads = tuple(one for file in files for one in file.reads)
    return Survey(
        reads,
        (*(one for file in files for one in file.mistakes), *_twice(reads)),
        tuple(one for file in files for one in file.warnings),
    )


def _twice(reads: tuple[Read, ...]) -> Iterator[Mistake]:
    first: dict[str, Read] = {}
    for read in reads:
        there = first.setdefault(read.chain.name, read).tree.place
        if first[read.chain.name] is not read:
            yield read.mistake(("id",), f"the id {read.chain.name} stands in {there.file}:{there.line} already")


def _file(path: Path) -> Survey:
    name = str(path)
    text, mistakes = read_text(path, name, KIND)
    if text is None:
        return Survey((), tuple(mistakes))
    tree, found = parse(text, name)
    mistakes = [*mistakes, *found]
    if tree is not None:
        odd = [Mistake(nearest(tree, place).place, place, why) for place, why in unusable(tree)]
        mistakes += odd
        tree = None if odd else tree
    if tree is None:
        return Survey((), tuple(mistakes))
    reading = Reading(tree)
    chain = read_chain(reading, path.stem)
    if chain is not None:
        chain = checked(chain, reading)
    reads = () if chain is None else (Read(chain, tree),)
    return Survey(reads, (*mistakes, *reading.mistakes), tuple(reading.warnings))
