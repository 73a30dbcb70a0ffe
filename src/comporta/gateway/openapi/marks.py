"""From the types' own schemas to the page's: open unions, kinds that go without saying, fields of which one must be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from comporta.gateway.openapi.common import NUL_FREE, ONE, OPEN, USUAL

Schema = dict[str, Any]

_REF = "#/components/schemas/"


def schemas_of(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type, and the components that they refer to."""
    found, components = msgspec.json.schema_components(types, ref_template=_REF + "{name}")
    settled = {name: _settled(schema, components) for name, schema in components.items()}
    for name in _usual(components.values()):
        # Left out it means this kind, so nobody has to write it.
        settled[name]["required"] = [one for one in settled[name]["required"] if one != "type"]
    return [_settled(schema, components) for schema in found], settled


def _settled(value: Any, components: dict[str, Schema]) -> Any:
    if isinstance(value, list):
        return [_settled(item, components) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {name: _settled(inner, components) for name, inner in value.items() if name not in (OPEN, USUAL, ONE)}
    if schema.get("default", ...) is None:
        del schema["default"]
    if schema.get("required") == []:
        del schema["required"]
    needed = {name: field[ONE] for name, field in value.get("properties", {}).items() if ONE in field}
    if needed:
        schema["anyOf"] = [{"required": [name], "properties": {name: said}} for name, said in needed.items()]
    return _opened(schema, value[OPEN], components) if OPEN in value else schema


def _opened(schema: Schema, tag: str, components: dict[str, Schema]) -> Schema:
    """The kinds that have a form here, or any other by its name."""
    kinds = schema.pop("anyOf", None) or [{"$ref": schema.pop("$ref")}]
    schema.pop("discriminator", None)
    known = sorted({name for kind in kinds for name in _tags(kind, tag, components)})
    other = {
        "type": "object",
        "description": "Any other kind goes untouched to a provider that speaks this wire; others refuse it.",
        "properties": {tag: {"type": "string", "pattern": NUL_FREE, "not": {"enum": known}}},
        "required": [tag],
    }
    return {**schema, "anyOf": [*kinds, other]}


def _tags(kind: Schema, tag: str, components: dict[str, Schema]) -> list[str]:
    if "$ref" not in kind:
        return []
    tags: list[str] = components[kind["$ref"].removeprefix(_REF)]["properties"][tag]["enum"]
    return tags


def _usual(schemas: Iterable[Any]) -> set[str]:
    """The components that some union means where the kind is left out."""
    found: set[str] = set()
    for schema in schemas:
        if isinstance(schema, dict):
            if USUAL in schema:
                found.add(_component(schema, schema[USUAL]))
            found |= _usual(schema.values())
        elif isinstance(schema, list):
            found |= _usual(schema)
    return found


def _component(union: Schema, kind: str) -> str:
    reference: str = union["$ref"] if "$ref" in union else union["discriminator"]["mapping"][kind]
    return reference.removeprefix(_REF)
