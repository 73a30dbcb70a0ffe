"""The configuration made visible: the effective values with secrets masked, and the JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, SecretBytes, SecretStr

from comporta.config.loading import Loaded
from comporta.config.secret import URL_PASSWORD, named_secret
from comporta.config.tree import Path, Scalar, exact

T = TypeVar("T", bound=BaseModel)

MASK = "***"
_SHOW_END_FROM = 13
#: A value that is a variable is text until the environment is known; editors must let it stand anywhere.
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}"}


def mask(secret: str) -> str:
    """The last four characters where that gives little away, else nothing."""
    return f"{MASK}{secret[-4:]}" if len(secret) >= _SHOW_END_FROM else MASK


def effective(loaded: Loaded[T], origins: bool = False) -> str:
    """The values in force as YAML, defaults included; with `origins` each line says which file and line it is from."""
    python = loaded.value.model_dump(by_alias=True)
    written = loaded.value.model_dump(by_alias=True, mode="json")
    lines = list(_lines(loaded, _masked(loaded, python, written, ()), (), origins))
    return "\n".join(lines) + "\n"


def _masked(loaded: Loaded[T], python: Any, written: Any, path: Path) -> Any:
    """The written form, secrets masked: only the Python form still knows which values are secret."""
    if isinstance(python, SecretStr | SecretBytes):
        secret = python.get_secret_value()
        return mask(secret if isinstance(secret, str) else secret.decode(errors="replace"))
    if isinstance(python, Mapping) and isinstance(written, dict):
        pairs = zip(written.items(), python.values(), strict=True)
        return {key: _masked(loaded, value, text, (*path, key)) for (key, text), value in pairs}
    if isinstance(python, list | tuple | set | frozenset) and isinstance(written, list):
        pairs_at = enumerate(zip(python, written, strict=True))
        values = [_masked(loaded, value, text, (*path, i)) for i, (value, text) in pairs_at]
        return sorted(values, key=str) if isinstance(python, set | frozenset) else values
    if isinstance(written, str):
        return _masked_text(loaded, written, path)
    return written


def _masked_text(loaded: Loaded[T], text: str, path: Path) -> str:
    """Plain text may be secret by its key's name, by its variable's name, or hold a password within a URL."""
    node = exact(loaded.tree, path)
    names = [str(path[-1]) if path else "", *(node.variables if isinstance(node, Scalar) else ())]
    if text and any(map(named_secret, names)):
        return mask(text)
    return URL_PASSWORD.sub(rf"\1:{MASK}@", text)


def _lines(loaded: Loaded[T], value: Any, path: Path, origins: bool, indent: str = "") -> Iterator[str]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for step, below in pairs:
        head = f"{indent}{_scalar(step)}:" if isinstance(value, dict) else f"{indent}-"
        if isinstance(below, dict | list) and below:
            lines = list(_lines(loaded, below, (*path, step), origins, indent + "  "))
            # In a list the first line stands beside the dash.
            first = head + lines[0][len(head) :] if isinstance(value, list) else head
            yield from [first, *(lines[1:] if isinstance(value, list) else lines)]
        else:
            origin = loaded.origin((*path, step)) if origins else None
            note = f"  # {origin or 'default'}" if origins else ""
            yield f"{head} {_scalar(below)}{note}"


def _scalar(value: Any) -> str:
    if value == {} or value == []:
        return str(value)
    style = '"' if _needs_quotes(value) else None
    text = yaml.safe_dump(value, allow_unicode=True, width=1_000_000, default_style=style)
    return text.removesuffix("...\n").rstrip("\n")


def _needs_quotes(value: Any) -> bool:
    # Several lines in one scalar would break the line's comment, and plain dumping folds them.
    return isinstance(value, str) and not value.isprintable()


def schema(root: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what may be written."""
    found = _open_to_variables(root.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _open_to_variables(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    new = dict(node)
    for word in ("properties", "$defs"):
        if isinstance(new.get(word), dict):
            new[word] = {key: _open_to_variables(value) for key, value in new[word].items()}
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(new.get(word), list):
            new[word] = [_open_to_variables(value) for value in new[word]]
    for word in ("items", "additionalProperties"):
        if word in new:
            new[word] = _open_to_variables(new[word])
    return _or_variable(new) if _closed(new) else new


def _closed(node: dict[str, Any]) -> bool:
    """Whether `${NAME}` would be refused here; fixed words (`const`) tell types apart and stay as they are."""
    if "const" in node:
        return False
    return node.get("type") in ("integer", "number", "boolean") or "enum" in node or "pattern" in node


def _or_variable(node: dict[str, Any]) -> dict[str, Any]:
    words = ("title", "description", "default", "examples")
    outside: dict[str, Any] = {key: node[key] for key in words if key in node}
    inside = {key: value for key, value in node.items() if key not in outside}
    return {**outside, "anyOf": [inside, _VARIABLE]}
