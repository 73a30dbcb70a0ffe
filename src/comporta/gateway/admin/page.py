"""The reference page of an API: one HTML file from its OpenAPI document, without scripts or outside parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

JSON = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .7rem; border-radius: .4rem; overflow: auto; }
h2 { margin-top: 2.5rem; text-transform: capitalize; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } summary b { display: inline-block; min-width: 4.2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; }
"""


def render(document: JSON, source: str = "/admin/openapi.json") -> str:
    """The whole page; `source` is where the document itself can be read."""
    title = escape(document["info"]["title"])
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    about = "".join(f"<p>{_text(p)}</p>" for p in document["info"].get("description", "").split("\n\n"))
    version = escape(document["info"]["version"])
    top = f"<h1>{title} {version}</h1>{about}<p><a href='{source}'>openapi.json</a></p>"
    return f"{head}{top}{''.join(_sections(document))}</html>"


def _sections(document: JSON) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            by_tag.setdefault(tag, []).append(_operation(document, method.upper(), path, operation))
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"


def _operation(document: JSON, method: str, path: str, operation: JSON) -> str:
    head = f"<summary><b>{method}</b> <code>{escape(path)}</code> {escape(operation.get('summary', ''))}</summary>"
    parts = [f"<p>{_text(operation.get('description', ''))}</p>", _parameters(document, operation)]
    if "requestBody" in operation:
        parts.append(_body(document, "Body", operation["requestBody"]["content"]))
    for status, response in operation.get("responses", {}).items():
        if status.startswith("2"):
            parts.append(_body(document, f"Answer {status}", response.get("content", {})))
    return f"<details>{head}{''.join(parts)}</details>"


def _parameters(document: JSON, operation: JSON) -> str:
    rows = [
        _row(document, p["name"], p["schema"] | {"description": p.get("description", "")}, p.get("required", False))
        for p in operation.get("parameters", ())
    ]
    return _table("Parameter", rows)


def _body(document: JSON, title: str, content: JSON) -> str:
    schema = content.get("application/json", {}).get("schema")
    if not schema:
        return ""
    found = _resolved(document, schema)
    required = found.get("required", ())
    rows = [_row(document, name, value, name in required) for name, value in found.get("properties", {}).items()]
    example = json.dumps(_example(document, schema), indent=2, ensure_ascii=False)
    return f"<h4>{title}</h4>{_table('Field', rows)}<pre>{escape(example)}</pre>"


def _table(first: str, rows: list[str]) -> str:
    if not rows:
        return ""
    return f"<table><tr><th>{first}<th>Type<th>Meaning</tr>{''.join(rows)}</table>"


def _row(document: JSON, name: str, schema: JSON, required: bool) -> str:
    mark = "" if required else " <small>optional</small>"
    kind = escape(_type(document, schema))
    return f"<tr><td><code>{escape(name)}</code>{mark}<td>{kind}<td>{_text(schema.get('description', ''))}</tr>"


def _type(document: JSON, schema: JSON) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(document, one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if schema.get("type") == "array":
        return f"list of {_type(document, schema.get('items', {}))}"
    return " ".join(str(schema[word]) for word in ("type", "format") if word in schema) or "any"


def _resolved(document: JSON, schema: JSON) -> JSON:
    """The object that a schema means: a reference followed, and `null` left out of a choice."""
    if "$ref" in schema:
        found: JSON = document["components"]["schemas"][str(schema["$ref"]).rsplit("/", 1)[-1]]
        return found
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return _resolved(document, one)
    return schema


def _example(document: JSON, schema: JSON) -> Any:
    for source in (schema, _resolved(document, schema)):
        if source.get("examples"):
            return source["examples"][0]
        if source.get("default") is not None:
            return source["default"]
    found = _resolved(document, schema)
    if found.get("properties"):
        return {name: _example(document, value) for name, value in found["properties"].items()}
    if found.get("type") == "array":
        return [_example(document, found.get("items", {}))]
    if "enum" in found:
        return found["enum"][0]
    return {"string": "…", "integer": 0, "number": 0.0, "boolean": False, "object": {}}.get(str(found.get("type")))


def _text(markdown: str) -> str:
    """Text with `code` marked; nothing else of Markdown is used in the API's own words."""
    pieces = escape(markdown, quote=False).split("`")
    return "".join(f"<code>{piece}</code>" if n % 2 else piece for n, piece in enumerate(pieces))
