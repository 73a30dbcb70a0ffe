"""Writes the reference page of the configuration from the sections themselves: every key, type, default, purpose."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from comporta.config import shape
from comporta.config.section import descriptions, purpose, written
from comporta.config.values import KIND

_INTRODUCTION = """\
# Configuration

<!-- Generated from the code. Change a section's source, then generate this page again. -->

Comporta reads `comporta.yaml`, then `comporta.<COMPORTA_ENV>.yaml` beside it. In the second file mappings add to the
first, single values and lists replace. `COMPORTA_CONFIG` names another first file.

`${NAME}` anywhere in a value is replaced by the environment variable, or by the one in `.env` beside the file;
`${NAME:-default}` says what holds where it is not set or empty, and `$${` writes a plain `${`. A key that is not on
this page is a mistake. A changed file is read again while Comporta runs; one with a mistake is refused, and what was
in force stays.

| Written as | Examples | Means |
|---|---|---|
| duration | `500ms`, `2s`, `1h30m`, `30d`, `2.5` | a plain number is seconds |
| size | `512KiB`, `10MB`, `4096` | a plain number is bytes |
| share | `5%`, `0.05` | from 0 to 1 |
| money | `$0.01`, `$10000`, `0.01` | US dollars, kept exactly to a millionth |
| secret | `${OPENAI_API_KEY}` | masked wherever it is shown |
"""
_NAMES = {
    "integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "null": "nothing",
}  # fmt: skip
_BOUNDS = {
    "minimum": "at least {}", "exclusiveMinimum": "more than {}", "maximum": "at most {}",
    "exclusiveMaximum": "less than {}", "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "minItems": "at least {}", "maxItems": "at most {}",
}  # fmt: skip
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_EMPTY = {list: "[]", tuple: "[]", set: "[]", frozenset: "[]", dict: "{}"}

Model = type[BaseModel]


def render(root: Model) -> str:
    """The whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *_part(root, "", ())]).rstrip() + "\n"


def _part(model: Model, prefix: str, above: tuple[Model, ...]) -> Iterator[str]:
    if prefix:
        yield f"{'#' * min(1 + len(above), 4)} `{prefix}`\n"
    if prefix and (text := purpose(model)):
        yield f"{text}\n"
    if rows := list(_rows(model, prefix)):
        yield "\n".join(["| Key | Type | Default | Purpose |", "|---|---|---|---|", *rows]) + "\n"
    for path, below in _inner(model, prefix):
        # A section that holds itself is described where it first stands.
        if below not in (*above, model):
            yield from _part(below, path, (*above, model))


def _inner(model: Model, prefix: str) -> Iterator[tuple[str, Model]]:
    for key, field in shape.fields_of(model).items():
        yield from _sections_in(field.annotation, _joined(prefix, key))


def _sections_in(annotation: Any, path: str) -> Iterator[tuple[str, Model]]:
    for one in shape.alternatives(annotation):
        origin, arguments = get_origin(one), get_args(one)
        if shape.is_model(one):
            yield path, one
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            yield from _sections_in(arguments[1], f"{path}.<name>")
        elif isinstance(origin, type) and issubclass(origin, Collection):
            for argument in dict.fromkeys(arguments):
                yield from _sections_in(argument, f"{path}[]")


def _rows(model: Model, prefix: str) -> Iterator[str]:
    texts, schema = descriptions(model), model.model_json_schema(by_alias=True)
    parts = schema.get("$defs", {})
    own = parts[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    for name, field in model.model_fields.items():
        if shape.is_model(field.annotation):
            continue  # has a part of the page to itself
        key = field.alias or name
        kind = _type(own["properties"][key], parts) + _limits(own["properties"][key], field)
        cells = (f"`{_joined(prefix, key)}`", kind, _default(field), texts.get(name, ""))
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _type(node: dict[str, Any], parts: dict[str, Any]) -> str:
    if KIND in node:
        return str(node[KIND])
    if "$ref" in node:
        return _type(parts[node["$ref"].rsplit("/", 1)[-1]], parts)
    if several := node.get("anyOf") or node.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(one, parts) for one in several))
    if "enum" in node or "const" in node:
        allowed = [f"`{word}`" for word in node.get("enum", [node.get("const")])]
        return allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
    if node.get("type") == "array":
        return _list_type(node, parts)
    if node.get("type") == "object":
        return _mapping_type(node, parts)
    if node.get("format") == "password":
        return "secret"
    return _NAMES.get(node.get("type", ""), "anything") + _bounds(node)


def _list_type(node: dict[str, Any], parts: dict[str, Any]) -> str:
    if several := node.get("prefixItems"):
        return f"list of {' and '.join(_type(one, parts) for one in several)}"
    return f"list of {_type(node.get('items', {}), parts)}{_bounds(node)}"


def _mapping_type(node: dict[str, Any], parts: dict[str, Any]) -> str:
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        return f"mapping of name to {_type(values, parts)}"
    return "part, see below" if "properties" in node else "mapping of anything"


def _bounds(node: dict[str, Any]) -> str:
    found = [text.format(node[word]) for word, text in _BOUNDS.items() if word in node]
    return f" ({', '.join(found)})" if found else ""


def _limits(node: dict[str, Any], field: FieldInfo) -> str:
    """Bounds of a duration, size … in the words of its kind: the schema has them in seconds, bytes …"""
    if KIND not in node:
        return ""
    found = {
        word: written(field, getattr(note, limit))
        for note in field.metadata
        for limit, word in _LIMITS.items()
        if hasattr(note, limit)
    }
    return _bounds(found)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return f"`{_EMPTY[field.default_factory]}`" if field.default_factory in _EMPTY else "computed"
    value = written(field, field.default)
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"
