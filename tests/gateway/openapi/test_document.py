"""The data plane's OpenAPI page: it is one, names every path that is routed and no other, and says what doors read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import jsonschema
import pytest
from openapi_spec_validator import validate

from comporta.app import doors as routing
from comporta.errors import BadRequest
from comporta.gateway.admin.page import render
from comporta.gateway.doors.base import Door
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.openapi.document import document
from comporta.gateway.openapi.operations import operations

JSON = dict[str, Any]


class Routed:
    """What the server is put together from."""

    def __init__(self, **given: Any) -> None:
        self.doors: tuple[Door, ...] = given["doors"]
        self.pages: set[tuple[str, str]] = {("get", path) for path in given["pages"]}
        self.pages |= {("delete", path) for path in given["deletions"]}
        self.pages |= {("post", path) for path in given["posts"]}

    def names(self, method: str, path: str) -> set[tuple[str, str]]:
        """The routes that a documented path, its parameters filled in, leads to."""
        exact = (method, path)
        if exact in self.pages:
            return {exact}
        return {(m, p) for m, p in self.pages if m == method and p != "/" and p.endswith("/") and path.startswith(p)}


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> Routed:
    monkeypatch.setattr(routing, "Server", Routed)
    server: Any = routing.make_server(MagicMock())
    assert isinstance(server, Routed)
    return server


@pytest.fixture
def page(routed: Routed) -> JSON:
    return document(routed.doors, "1.2.3")


def _operations(page: JSON) -> Iterator[tuple[str, str, JSON]]:
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _validator(page: JSON, schema: JSON) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"components": page["components"], **schema})


def test_the_page_is_valid_openapi(page: JSON) -> None:
    validate(page)
    assert page["openapi"].startswith("3.1") and page["info"]["version"] == "1.2.3"


def test_every_path_that_is_routed_is_on_the_page_and_no_other(routed: Routed, page: JSON) -> None:
    told = {(method, path) for method, path, _ in _operations(page)}
    posted = {("post", door.path) for door in routed.doors}
    assert posted <= told
    reached = {one: routed.names(*one) for one in told - posted}
    assert not [one for one, routes in reached.items() if not routes], "on the page and routed nowhere"
    assert set().union(*reached.values()) == routed.pages, "routed and not on the page"


def test_a_door_that_nobody_described_is_told_when_the_page_is_made() -> None:
    class Another(OpenAIChat):
        name = "another.wire"

    with pytest.raises(KeyError, match=r"another\.wire"):
        list(operations([Another()]))


def test_operations_have_names_of_their_own_and_say_their_failures(page: JSON) -> None:
    names = [operation["operationId"] for _, _, operation in _operations(page)]
    assert len(set(names)) == len(names)
    for method, path, operation in _operations(page):
        assert "500" in operation["responses"], (method, path)
        keyed = operation["security"] and {} not in operation["security"]
        assert bool(keyed) <= ("401" in operation["responses"]), (method, path)


def test_each_wire_has_its_own_envelope(page: JSON) -> None:
    def envelope(path: str) -> Any:
        return page["paths"][path]["post"]["responses"]["400"]["content"]["application/json"]["schema"]

    assert envelope("/v1/chat/completions") == {"$ref": "#/components/schemas/OpenAIError"}
    assert envelope("/v1/messages") == {"$ref": "#/components/schemas/AnthropicError"}


def test_the_examples_are_read_by_their_doors_and_allowed_by_the_page(routed: Routed, page: JSON) -> None:
    for door in routed.doors:
        content = page["paths"][door.path]["post"]["requestBody"]["content"]["application/json"]
        _validator(page, content["schema"]).validate(content["example"])
        parsed = door.parse(json.dumps(content["example"]).encode(), {})
        assert parsed.model


#: Fields of OpenAI's wires that have no canonical form but are looked at where they stand.
LOOKED_AT = {
    "safety_identifier", "include", "store", "previous_response_id", "conversation", "prompt", "encoding_format",
}  # fmt: skip


def _read(door: Door) -> tuple[Any, set[str]]:
    module = sys.modules[type(door).__module__]
    return module.FIELDS, set(module.SKIP)


def _properties(page: JSON, door: Door) -> JSON:
    schema = page["paths"][door.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    properties: JSON = page["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]["properties"]
    return properties


def test_every_field_that_a_door_reads_is_on_the_page_and_no_other(routed: Routed, page: JSON) -> None:
    for door in routed.doors:
        fields, skipped = _read(door)
        told = set(_properties(page, door))
        assert not told - set(fields) - skipped - LOOKED_AT, door.name
        if door.name != "anthropic.count_tokens":  # the messages' fields, most of which count nothing
            assert not (set(fields) | skipped) - told - {"stream"}, door.name


PROBES: tuple[Any, ...] = (
    True, False, -(2**63) - 1, -3, -2, -1, 0, 1, 2, 3, 20, 21, 128, 129, 2**63 - 1, 2**63, -2.5, -0.5, 0.5, 1.5, 2.5,
    "", "word", "a\0b", "auto", "none", [], [1], [-1], ["a"], [[1]], [["a"]], [{}], {}, {"type": 1},
    {"type": "text"}, {"session_id": ""}, {"session_id": "a"}, {"type": "function", "function": {"name": "f"}},
    {"name": "f"}, {"name": ""},
)  # fmt: skip
#: Only the whole body tells whether these are good: the reader of the field passes them.
LATER = {"metadata", "encoding_format"}


def test_the_page_allows_of_each_field_what_its_reader_takes_and_nothing_else(routed: Routed, page: JSON) -> None:
    for door in routed.doors:
        fields, _ = _read(door)
        for name, schema in _properties(page, door).items():
            if name not in fields or name in LATER:
                continue
            allowed = _validator(page, schema)
            for probe in PROBES:
                assert allowed.is_valid(probe) == _takes(fields[name][1], probe, name), (door.name, name, probe)


def _takes(read: Any, value: Any, name: str) -> bool:
    try:
        read(value, name)
    except BadRequest:
        return False
    return True


def test_people_can_read_the_page_too(page: JSON) -> None:
    text = render(page, "/openapi.json")
    assert "/v1/chat/completions" in text and "href='/openapi.json'" in text and "Where is my parcel?" in text
