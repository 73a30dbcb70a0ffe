"""What a prompt says of the answer's form: its JSON schema, written in several ways, and the tools it may call."""

from __future__ import annotations

import re
from typing import Any

from comporta.config.tree import Fields, Path, Scalar
from comporta.prompts.reading import Reading
from comporta.types import ResponseFormat, Tool

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
#: Enough to tell a schema from a mapping that means something else.
_SIGNS = ("type", "properties", "items", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "$schema", "$defs")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def read_response_format(reading: Reading, prompt_id: str) -> ResponseFormat | None:
    """`json`, a JSON schema, or OpenAI's own form."""
    path: Path = ("response_format",)
    node = reading.node(path)
    if node is None:
        return None
    if isinstance(node, Scalar):
        return _word(reading, path)
    if not isinstance(node, Fields):
        reading.wrong(path, "must be json, text, or a JSON schema")
        return None
    kind = reading.plain((*path, "type"))
    if kind in ("text", "json_object"):
        reading.keys(path, ("type",))
        return ResponseFormat(kind)
    if kind == "json_schema":
        return _openai(reading, path, prompt_id)
    check_schema(reading, path)
    return ResponseFormat("json_schema", name=schema_name(prompt_id), schema=reading.mapping(path))


def _word(reading: Reading, path: Path) -> ResponseFormat | None:
    text = reading.text(path).lower()
    if text in ("json", "json_object"):
        return ResponseFormat("json_object")
    if text == "text":
        return ResponseFormat("text")
    reading.wrong(path, "must be json, text, or a JSON schema")
    return None


def _openai(reading: Reading, path: Path, prompt_id: str) -> ResponseFormat | None:
    reading.keys(path, ("type", "json_schema", "schema", "name", "strict", "description"))
    below = (*path, "json_schema") if reading.node((*path, "json_schema")) is not None else path
    if not reading.fields(below):
        return None
    if below != path:
        reading.keys(below, ("name", "schema", "strict", "description"))
    if reading.node((*below, "schema")) is None:
        reading.wrong(below, "needs a schema")
        return None
    check_schema(reading, (*below, "schema"))
    return ResponseFormat(
        "json_schema",
        name=reading.text((*below, "name")) or schema_name(prompt_id),
        schema=reading.mapping((*below, "schema")),
        strict=reading.truth((*below, "strict")),
        description=reading.text((*below, "description")) or None,
    )


def schema_name(prompt_id: str) -> str:
    """What a schema is called whose prompt file gives it no name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", prompt_id)[:64]


def check_schema(reading: Reading, path: Path) -> None:
    """Mistakes that make a schema mean something else than it seems to."""
    if not reading.fields(path):
        return
    found = reading.mapping(path)
    if not any(sign in found for sign in _SIGNS):
        reading.wrong(path, f"is no JSON schema: it has none of {', '.join(_SIGNS[:7])}")
        return
    _schema(reading, path, found)


def _schema(reading: Reading, path: Path, schema: Any) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        reading.wrong(path, "must be a JSON schema: a mapping, or true or false")
        return
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            reading.wrong((*path, "type"), f"must be one of {', '.join(_TYPES)}")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        reading.wrong((*path, "properties"), "must be a mapping from names to schemas")
        return
    for name, below in properties.items():
        _schema(reading, (*path, "properties", name), below)
    _required(reading, path, schema, properties)
    if isinstance(schema.get("items"), dict):
        _schema(reading, (*path, "items"), schema["items"])


def _required(reading: Reading, path: Path, schema: dict[str, Any], properties: dict[str, Any]) -> None:
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        reading.wrong((*path, "required"), "must be a list of names")
        return
    if properties and (unknown := [name for name in required if name not in properties]):
        reading.wrong((*path, "required"), f"names {', '.join(unknown)[:200]}, which properties don't have")


def read_tools(reading: Reading) -> tuple[Tool, ...]:
    """Functions, in OpenAI's form or without its outer layer."""
    found = [_tool(reading, path) for path in reading.items(("tools",))]
    names = [one.name for one in found if one is not None]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        reading.wrong(("tools",), f"has {', '.join(twice)} more than once")
    return tuple(one for one in found if one is not None)


def _tool(reading: Reading, path: Path) -> Tool | None:
    if not reading.fields(path):
        return None
    below = path
    if reading.node((*path, "function")) is not None:
        reading.keys(path, ("type", "function"))
        below = (*path, "function")
        if not reading.fields(below):
            return None
    reading.keys(below, ("type", "name", "description", "parameters", "strict"))
    name = reading.text((*below, "name"))
    if not _NAME.fullmatch(name):
        reading.wrong(below, "needs a name of letters, digits, - and _, at most 64")
        return None
    parameters = (*below, "parameters")
    if reading.node(parameters) is not None:
        check_schema(reading, parameters)
    return Tool(
        name=name,
        description=reading.text((*below, "description")) or None,
        parameters=reading.mapping(parameters) or None,
        strict=reading.truth((*below, "strict")),
    )
