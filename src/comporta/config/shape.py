"""What the sections' types say of a path: which keys may stand there, and whether a value is secret."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from comporta.config.tree import Node, Path, Scalar, Step, child, children


def alternatives(annotation: Any) -> Iterator[Any]:
    """The types a value may have, unions and notes taken apart."""
    origin = get_origin(annotation)
    if hasattr(annotation, "__value__"):  # a named type alias
        yield from alternatives(annotation.__value__)
    elif origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from alternatives(one)
    else:
        yield annotation


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_secret(annotation: Any) -> bool:
    """Whether one of the value's types keeps secrets."""
    kinds = (SecretStr, SecretBytes)
    return any(isinstance(one, type) and issubclass(one, kinds) for one in alternatives(annotation))


def words(annotation: Any) -> tuple[str, ...]:
    """The words of a closed set, as they are written."""
    found: list[str] = []
    for one in alternatives(annotation):
        if get_origin(one) is Literal:
            found += [str(word.value if isinstance(word, Enum) else word) for word in get_args(one)]
        elif isinstance(one, type) and issubclass(one, Enum):
            found += [str(word.value) for word in one]
    return tuple(dict.fromkeys(found))


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A section's fields by the key that is written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def models(annotation: Any, node: Node | None = None) -> list[type[BaseModel]]:
    """The sections that may stand here; where words in the tree decide between several, only those they choose."""
    every = [one for one in alternatives(annotation) if is_model(one)]
    chosen = [model for model in every if node is None or _agrees(model, node)]
    return chosen or every


def _agrees(model: type[BaseModel], node: Node) -> bool:
    for key, field in fields_of(model).items():
        said, allowed = child(node, key), words(field.annotation)
        if allowed and isinstance(said, Scalar) and said.text not in allowed:
            return False
    return True


def below(annotation: Any, step: Step, node: Node | None = None) -> list[Any]:
    """The types of what stands under a key or an index, each once."""
    found: list[Any] = []
    for model in models(annotation, node):
        field = fields_of(model).get(str(step))
        found += [field.annotation] if field is not None else []
    for one in alternatives(annotation):
        found += _inside(get_origin(one), get_args(one), step)
    return [one for i, one in enumerate(found) if one not in found[:i]]


def _inside(origin: Any, arguments: tuple[Any, ...], step: Step) -> tuple[Any, ...]:
    if not isinstance(origin, type) or not arguments:
        return ()
    if issubclass(origin, Mapping):
        return arguments[1:2]
    if issubclass(origin, tuple) and arguments[-1] is not Ellipsis:
        return arguments[step : step + 1] if isinstance(step, int) else ()
    return arguments[:1] if issubclass(origin, Sequence | Set) else ()


def at(root: Any, path: Path, node: Node) -> list[tuple[Any, Node | None]]:
    """The possible types of the value at a path, each with what the tree says there."""
    found: list[tuple[Any, Node | None]] = [(root, node)]
    for step in path:
        found = [
            (annotation, child(said, step) if said is not None else None)
            for before, said in found
            for annotation in below(before, step, said)
        ]
    return found


def keys(root: Any, path: Path, node: Node) -> list[str]:
    """The keys that the sections at a path know."""
    known = [
        key
        for annotation, said in at(root, path, node)
        for model in models(annotation, said)
        for key in fields_of(model)
    ]
    return list(dict.fromkeys(known))


def secret_texts(annotation: Any, node: Node) -> Iterator[str]:
    """Every text of the tree that stands where the sections keep a secret."""
    if isinstance(node, Scalar):
        if is_secret(annotation) and node.value is not None:
            yield node.text
        return
    for step, value in children(node):
        for one in below(annotation, step, node):
            yield from secret_texts(one, value)
