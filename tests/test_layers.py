"""The order of the rooms: a module imports only from rooms to its left, so there are no cycles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import comporta

_ORDER = """
types errors client config stats text store counters telemetry notify alerts pipeline embedding providers keys budget
prompts guardrails cache sessions rag routing chains evaluation feedback tuning gateway console testing app compat cli
"""
ROOMS = _ORDER.split()
ROOT = Path(comporta.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
#: `records` describes calls, so telemetry knows the pipeline's words though it stands to its left.
ALLOWED = {("telemetry", "pipeline")}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("comporta."):
            names.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("comporta.")}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_from_rooms_to_its_left(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in ROOMS, f"{path} stands in no room"
    wrong = {
        other
        for other in imported_rooms(ast.parse(path.read_text()))
        if other != room and ROOMS.index(other) > ROOMS.index(room) and (room, other) not in ALLOWED
    }
    assert not wrong, f"{path.relative_to(ROOT)} imports from rooms to its right: {sorted(wrong)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_opens_with_a_sentence_saying_what_it_is_for(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text and text.split("\n\n")[0].rstrip().endswith((".", ":")), path
