"""A part of the configuration: frozen, closed to unknown keys, and described by the code that declares it.

Every room declares its own `Section`. A key is described by `Field(description=…)`, by a docstring under it or by
`#:` lines above it; the last two are read from the source only when a schema or the reference page is made, so that
they cost nothing at start. Defaults are given by name (`Field(default=8080, ge=1)`): so the type checker sees them.
"""

from __future__ import annotations

import ast
import inspect
from textwrap import dedent
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticUndefined


class Section(BaseModel):
    """One part of the configuration."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, generate: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """The schema with every key's description, and its default written as people write it."""
        schema = generate(core)
        resolved = generate.resolve_ref_schema(schema)
        texts = descriptions(cls)
        for name, field in cls.model_fields.items():
            found = resolved.get("properties", {}).get(field.alias or name)
            if found is None:
                continue
            if name in texts:
                found["description"] = texts[name]
            if field.default is not PydanticUndefined:
                found["default"] = written(field, field.default)
        return schema


def written(field: FieldInfo, value: Any) -> Any:
    """A value of the field as plain data in the form that people write: `30d`, not 2592000.0."""
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    plain = adapter.dump_python(value, mode="json")
    # A set has no order of its own, and the pages made from this must not change from run to run.
    return sorted(plain, key=str) if isinstance(value, set | frozenset) else plain


def descriptions(section: type[BaseModel]) -> dict[str, str]:
    """What each key is for, in one line, by the key's name in the code."""
    found: dict[str, str] = {}
    for owner in reversed(section.__mro__):
        if isinstance(owner, type) and issubclass(owner, BaseModel) and owner not in (BaseModel, Section):
            found |= _from_source(owner)
    for name, field in section.model_fields.items():
        if field.description:
            found[name] = field.description
    return {name: " ".join(text.split()) for name, text in found.items() if name in section.model_fields}


def purpose(section: type[BaseModel]) -> str:
    """The section's own docstring, without its indentation; empty where it has none of its own."""
    return inspect.cleandoc(section.__dict__.get("__doc__") or "")


def _from_source(owner: type[BaseModel]) -> dict[str, str]:
    try:
        source = dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        return {}  # made at run time: then only `Field(description=…)` can speak
    body = ast.parse(source).body[0]
    if not isinstance(body, ast.ClassDef):
        return {}
    lines, found = source.splitlines(), {}
    for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = _docstring(following) or _comment_above(lines, statement.lineno)
            if text:
                found[statement.target.id] = text
    return found


def _docstring(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else ""
    return ""


def _comment_above(lines: list[str], lineno: int) -> str:
    texts: list[str] = []
    for line in reversed(lines[: lineno - 1]):
        if not line.strip().startswith("#:"):
            break
        texts.insert(0, line.strip()[2:].strip())
    return " ".join(texts)
