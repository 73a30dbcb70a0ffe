"""The prompts to start from that ship with the package, in Portuguese, English and Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

LANGUAGES = ("pt", "en", "es")


class Written(Struct, frozen=True):
    """What became of the files: new ones, and those that were there and stayed as they were."""

    new: tuple[Path, ...]
    kept: tuple[Path, ...]


def starters(languages: tuple[str, ...] = LANGUAGES) -> dict[str, bytes]:
    """The files by name, those of the languages wanted."""
    folder = files("comporta.prompts").joinpath("starters")
    wanted = tuple(f"-{language}.yaml" for language in languages)
    return {one.name: one.read_bytes() for one in sorted(folder.iterdir(), key=lambda one: one.name)
            if one.name.endswith(wanted)}  # fmt: skip


def starter_tests(languages: tuple[str, ...] = LANGUAGES) -> dict[str, bytes]:
    """Files of tests for them, by name."""
    folder = files("comporta.prompts").joinpath("starters", "tests")
    return {name: folder.joinpath(name).read_bytes() for name in starters(languages)}


def write_starter_tests(folder: Path, languages: tuple[str, ...] = LANGUAGES) -> Written:
    """Write those into the folder, never over a file that is there. Raises OSError."""
    return write_new(folder, starter_tests(languages))


def write_starters(folder: Path, languages: tuple[str, ...] = LANGUAGES) -> Written:
    """Write them into the folder, never over a file that is there. Raises OSError."""
    return write_new(folder, starters(languages))


def write_new(folder: Path, made: Mapping[str, bytes]) -> Written:
    """Write files by name into a folder, never over one that is there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    new: list[Path] = []
    kept: list[Path] = []
    for name, data in made.items():
        path = folder / name
        try:
            with path.open("xb") as file:
                file.write(data)
            new.append(path)
        except FileExistsError:
            kept.append(path)
    return Written(tuple(new), tuple(kept))
