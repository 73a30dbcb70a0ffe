"""The documents say what is so: links lead somewhere, examples hold, commands exist."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import typer.main

from comporta.app.folder import Folder
from comporta.app.loaded import Places, load_settings
from comporta.cli.main import program
from comporta.cli.place import known
from support.documents import ROOT, Block, anchors, blocks, codes, page, pages, prose

_LINK = re.compile(r"(?<!`)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*([^)\s]+)\s*\)")
_ELSEWHERE = re.compile(r"[a-z]+:")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_PATH = re.compile(r"`((?:src|tests|docs|tools)/[\w./<>*-]+)`")
#: Hosts of package registries, and places that are only on the machine where something was written.
_NOWHERE = re.compile(
    r"py[p]i[.]org|python[h]osted|npm[j]s|registry\.\w+\.\w+|/work/|/home/\w|/tmp/|/root/", re.IGNORECASE
)


def named(one: Block | Path) -> str:
    """What a test of a page or block is called."""
    return one.name if isinstance(one, Block) else str(one.relative_to(ROOT))


def _configurations() -> list[Block]:
    return [block for block in blocks("yaml") if block.mark.startswith("comporta")]


@pytest.mark.parametrize("path", pages(), ids=named)
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for target in _LINK.findall(prose(path.read_text("utf-8"))):
        if _ELSEWHERE.match(target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading among {sorted(anchors(there))}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    waiting, seen = [ROOT / "README.md"], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        targets = (t.partition("#")[0] for t in _LINK.findall(prose(path.read_text("utf-8"))))
        waiting += [(path.parent / t).resolve() for t in targets if t and not _ELSEWHERE.match(t)]
    assert not set(pages()) - seen


@pytest.mark.parametrize("path", pages(), ids=named)
def test_no_page_names_a_registry_or_a_place_on_somebodys_machine(path: Path) -> None:
    assert not _NOWHERE.findall(path.read_text("utf-8"))


@pytest.mark.parametrize("path", pages(), ids=named)
def test_every_file_of_the_repository_that_a_page_names_is_there(path: Path) -> None:
    told = {one for one in _PATH.findall(path.read_text("utf-8")) if not set("<>*") & set(one)}
    assert not [one for one in sorted(told) if not (ROOT / one).exists()]


def _placeholder(name: str) -> str:
    return "postgresql://user@db.example.com/comporta" if name.endswith("_URL") else "placeholder-value-0123456789"


def test_every_yaml_block_says_which_file_it_is() -> None:
    assert not [block.name for block in blocks("yaml") if not block.mark.endswith(".yaml")]


@pytest.mark.parametrize("block", _configurations(), ids=named)
def test_every_configuration_holds(block: Block, tmp_path: Path) -> None:
    """As the gate itself checks it: keys and values, then routes against providers."""
    file = tmp_path / "comporta.yaml"
    authorities = tmp_path / "company.pem"
    shutil.copy(certifi.where(), authorities)
    file.write_text(re.sub(r"(ca_file: )\S+", rf"\1{authorities}", block.text))
    environment = {name: _placeholder(name) for name in _VARIABLE.findall(block.text)}
    loaded = load_settings(Places(file, Folder(tmp_path / "data")), environment)
    known(loaded, tmp_path / "data")


@pytest.mark.parametrize("block", blocks("python"), ids=named)
def test_every_python_block_compiles_and_imports_what_is_there(block: Block) -> None:
    tree = ast.parse(block.text, block.name)
    compile(tree, block.name, "exec")
    imports: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), block.name, "exec"), {})


# ---- commands -------------------------------------------------------------------------------------------------------


def _lines(block: Block) -> Iterator[str]:
    """The commands of a shell block, continued lines put together."""
    yield from block.text.replace("\\\n", " ").splitlines()


def _commands() -> list[tuple[str, list[str]]]:
    """Every `comporta …` in shell blocks and between backticks, with the place it stands at."""
    shown = [(block.name, line) for block in blocks("sh") for line in _lines(block)]
    shown += [
        (str(path.relative_to(ROOT)), code) for path in pages() for code in sorted(codes(path.read_text("utf-8")))
    ]
    found = []
    for place, line in shown:
        for part in re.split(r"\||;|&&|\$\(", line.split(" #")[0]):
            match = re.match(r"\s*(?:[A-Z_]+=\S+ )*(?:\S+/)?comporta +(?=[a-z])(.*?)\)?\s*$", part)
            if match:
                found.append((place, [word for word in shlex.split(match[1]) if word != "…"]))
    return found


@pytest.mark.parametrize(
    ("place", "words"), _commands(), ids=lambda one: one if isinstance(one, str) else " ".join(one)
)
def test_every_command_exists_with_its_options(place: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(program())
    rest = list(words)
    while rest and hasattr(command, "commands"):
        assert rest[0] in command.commands, f"{place}: there is no `comporta {' '.join(words)}`"
        command = command.commands[rest.pop(0)]
    known_options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    for word in rest:
        if word.startswith("-") and len(word) > 1:
            assert word.partition("=")[0] in known_options, f"{place}: {words} has no {word}"


def test_commands_were_found() -> None:
    assert len(_commands()) > 30


@pytest.mark.parametrize("block", blocks("sh"), ids=named)
def test_every_make_target_is_there(block: Block) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wanted = {found for line in _lines(block) for found in re.findall(r"(?:^| )make ([a-z]+)", line.split(" #")[0])}
    assert wanted <= targets


def test_the_index_lists_every_page_below_it() -> None:
    folder = ROOT / "docs"
    linked = {(folder / t.partition("#")[0]).resolve() for t in _LINK.findall(page("README.md"))}
    assert {path for path in pages() if folder in path.parents} - {folder / "README.md"} <= linked
