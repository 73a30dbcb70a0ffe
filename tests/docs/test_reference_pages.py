"""The reference pages that people write name everything that the code has, and nothing that it doesn't."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import comporta
from comporta import errors
from comporta.app.gate import Gate
from comporta.gateway.admin.app import admin_app
from comporta.gateway.admin.parts import AdminParts
from comporta.gateway.doors.writing import openai_error
from comporta.pipeline import STAGES
from comporta.providers.rows import OPTIONS, ROWS, Row
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.metrics import Metrics
from comporta.telemetry.record import CLASSES
from comporta.telemetry.summary import Cost, Figures
from comporta.types import Caller
from support.documents import ROOT, codes, page, pages, rows, section

SOURCES = sorted(Path(comporta.__file__).parent.rglob("*.py"))
RECORDS_SQL = Path(comporta.__file__).parent / "store" / "migrations" / "0100_records.sql"
CLASSES_OF_ERRORS = [
    one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, errors.ComportaError)
]
#: What only a terminal sees, not a client of the gate.
_ON_THE_TERMINAL = ("cli", "testing")


def _room(path: Path) -> str:
    return path.relative_to(Path(comporta.__file__).parent).parts[0]


# ---- errors ---------------------------------------------------------------------------------------------------------


def _rows_of_errors() -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in rows(section(page("reference/errors.md"), "## Classes"))}


@pytest.mark.parametrize("error", CLASSES_OF_ERRORS, ids=lambda e: e.__name__)
def test_every_error_stands_in_the_table_with_its_status_code_and_type(error: type[errors.ComportaError]) -> None:
    row = _rows_of_errors()[error.__name__]
    assert row[1:4] == [str(error.status), f"`{error.code}`", f"`{error.type}`"]


def test_no_error_stands_in_the_table_that_is_not_there() -> None:
    assert _rows_of_errors().keys() == {error.__name__ for error in CLASSES_OF_ERRORS}


def _finer_codes(path: Path) -> Iterator[str]:
    """The texts given as `code=…` in a module, and as `code = …` in a class."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        for line in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                yield str(ast.literal_eval(line.value))
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg == "code":
                values = ast.walk(keyword.value)
                yield from (v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))


def test_every_finer_code_is_on_the_page() -> None:
    used = {code for path in SOURCES if _room(path) not in _ON_THE_TERMINAL for code in _finer_codes(path)}
    missing = used - codes(page("reference/errors.md"))
    assert not missing, f"docs/reference/errors.md lacks {sorted(missing)}"


def test_every_code_in_the_tables_is_somewhere_in_the_code() -> None:
    text = page("reference/errors.md")
    finer = {row[0].strip("`") for row in rows(section(text, "## Finer codes"))}
    source = "\n".join(path.read_text("utf-8") for path in SOURCES)
    assert not [code for code in sorted(finer) if f'"{code}"' not in source]


# ---- figures --------------------------------------------------------------------------------------------------------


def test_every_count_of_prometheus_is_on_the_page_and_no_other(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    try:
        kinds = re.findall(r"^# TYPE (\S+) (\S+)$", metrics.text().decode(), re.MULTILINE)
    finally:
        metrics.close()
    told = [(row[0].strip("`"), row[1]) for row in rows(section(page("reference/metrics.md"), "## `/metrics`"))]
    assert sorted(told) == sorted(kinds)


def test_no_page_names_a_count_that_is_not_there(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    try:
        there = set(re.findall(r"^# TYPE (\S+)", metrics.text().decode(), re.MULTILINE))
    finally:
        metrics.close()
    named = {n for path in pages() for n in re.findall(r"\bcomporta_\w+(?:_total|_bytes|_seconds)\b", path.read_text())}
    assert named <= there


def test_every_figure_and_every_way_to_ask_for_it_is_on_the_page() -> None:
    told = codes(section(page("reference/metrics.md"), "## `/metrics/llm`"))
    assert not {*Figures.__struct_fields__, *Cost.__struct_fields__, *COLUMNS} - told


# ---- records --------------------------------------------------------------------------------------------------------


def _columns(table: str) -> list[str]:
    body = re.search(rf"create table {table} \((.*?)\n\)", RECORDS_SQL.read_text("utf-8"), re.DOTALL)
    assert body is not None
    found = re.findall(r"^    ([a-z_]+) ", body[1], re.MULTILINE)
    later = "\n".join(path.read_text("utf-8") for path in RECORDS_SQL.parent.glob("*.sql"))
    found += re.findall(rf"^alter table {table} add column ([a-z_]+) ", later, re.MULTILINE)
    return [name for name in found if name != "primary"]


@pytest.mark.parametrize(
    ("table", "heading"),
    [("call", "## `call`"), ("span", "## `span`"), ("rollup_minute", "## `rollup_minute` and `rollup_hour`")],
)
def test_every_column_is_told_and_no_other(table: str, heading: str) -> None:
    told = [name for row in rows(section(page("reference/records.md"), heading)) for name in codes(row[0])]
    assert sorted(told) == sorted(_columns(table))


def test_every_class_of_outcomes_is_told() -> None:
    assert set(CLASSES) <= codes(page("reference/records.md"))


# ---- HTTP -----------------------------------------------------------------------------------------------------------


def _doors() -> set[str]:
    """The paths of every door the code has."""
    found = set()
    for path in sorted((Path(comporta.__file__).parent / "gateway" / "doors").glob("*.py")):
        found |= set(re.findall(r'^    path = "(/v1/[^"]+)"', path.read_text("utf-8"), re.MULTILINE))
    return found


def test_every_door_and_every_page_is_told() -> None:
    text = page("reference/http-api.md")
    told = {row[0].strip("`") for row in rows(section(text, "## Doors"))}
    assert told == _doors()
    source = (Path(comporta.__file__).parent / "app" / "doors.py").read_text("utf-8")
    served = set(re.findall(r'"(/[^"]*)": (?:pages|reference)\.', source))
    assert served
    told = {name.replace("{id}", "") for row in rows(section(text, "## Pages")) for name in codes(row[0])}
    assert told == served


def test_every_operation_of_the_admin_api_is_told_and_no_other() -> None:
    def nobody(secret: str) -> Caller:
        raise errors.InvalidKey("Nobody is asked here.")

    nothing: dict[str, Any] = {one.name: None for one in dataclasses.fields(AdminParts)}
    parts = AdminParts(**nothing)
    paths: dict[str, Any] = admin_app(parts, nobody).openapi()["paths"]
    there = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    table = rows(section(page("reference/http-api.md"), "## Admin API"))
    assert {name for row in table for name in codes(row[0])} == there


def test_every_header_of_ours_is_told_and_no_other() -> None:
    source = "\n".join(path.read_text("utf-8") for path in SOURCES if _room(path) == "gateway")
    there = set(re.findall(r'"(x-comporta-[a-z-]+)"', source))
    told = {name for row in rows(page("reference/http-api.md")) for name in codes(row[0])}
    assert {name for name in told if name.startswith("x-comporta")} == there


# ---- environment and providers --------------------------------------------------------------------------------------


def test_every_variable_of_the_gate_is_told_and_no_other() -> None:
    source = "\n".join(path.read_text("utf-8") for path in SOURCES)
    there = set(re.findall(r"\b_?COMPORTA_[A-Z_]+[A-Z]\b", source))
    assert there <= codes(page("reference/environment.md"))
    named = {name for path in pages() for name in re.findall(r"\b_?COMPORTA_[A-Z_]+[A-Z]\b", path.read_text("utf-8"))}
    assert named <= there


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_every_provider_is_told_with_its_address_and_variables(row: Row) -> None:
    told = {cells[0].strip("`"): cells for cells in rows(page("reference/providers.md"))}[row.name]
    assert told[1:3] == [row.title, f"`{row.wire}`"]
    assert row.base_url == "" or told[3] == f"`{row.base_url}`"
    if row.env or row.url_env:
        variables = section(page("reference/environment.md"), "## Of providers")
        cells = {one[0].strip("`"): one for one in rows(variables)}[row.name]
        assert (codes(cells[1]), codes(cells[2])) == (set(row.env), set(row.url_env))
        assert ("✓" in cells[3]) == (row.detected or row.name == "ollama")


def test_every_option_of_a_provider_is_told() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(section(page("reference/providers.md"), "## Options"))}
    assert told == {name: holds.removeprefix("a ") for name, holds in OPTIONS.items()}


# ---- words ----------------------------------------------------------------------------------------------------------


def test_the_life_of_a_call_tells_the_stages_in_their_order() -> None:
    told = [row[0].strip("`") for row in rows(page("explanation/life-of-a-call.md"))]
    assert tuple(told) == STAGES


def test_the_life_of_a_call_says_which_stages_are_there() -> None:
    filling = ast.parse(textwrap.dedent(inspect.getsource(Gate._stages)))
    filled = {node.value for node in ast.walk(filling) if isinstance(node, ast.Constant)} & set(STAGES)
    told = rows(page("explanation/life-of-a-call.md"))
    assert {row[0].strip("`") for row in told if row[2] == "✓"} == filled
    assert {row[2] for row in told} == {"✓", "to come"}


def test_the_glossary_has_every_word_of_the_design_in_alphabetical_order() -> None:
    design = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    listed = re.search(r"Words \([^)]*\): (.*?)\. Avoid", design, re.DOTALL)
    assert listed is not None
    wanted = {" ".join(word.split()) for word in listed[1].replace("exact / semantic cache", "exact cache").split(",")}
    told = [re.sub(r"\*", "", row[0]) for row in rows(page("glossary.md"))]
    assert not {word.strip() for word in wanted} - {one.strip() for words in told for one in words.split(",")}
    assert told == sorted(told, key=str.lower)


def test_every_door_is_named_where_records_tell_of_them() -> None:
    source = "\n".join(path.read_text("utf-8") for path in SOURCES if "doors" in path.parts)
    names = set(re.findall(r'"((?:openai|anthropic)\.[a-z_]+)"', source))
    assert names <= codes(page("reference/records.md"))


def test_the_error_that_is_shown_has_the_fields_of_the_envelope() -> None:
    shown = re.search(r"```json\n(.*?)```", page("reference/errors.md"), re.DOTALL)
    assert shown is not None
    real = cast(dict[str, Any], json.loads(openai_error(errors.BadRequest("…"))))
    assert json.loads(shown[1])["error"].keys() == real["error"].keys()
