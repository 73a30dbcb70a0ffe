"""Which texts of a configuration are secret: by their section's types, by the names they stand under, within a URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from comporta.config import shape
from comporta.config.tree import Items, Node, Scalar, children

_NAME = re.compile(
    r"(^|[^a-z])(secret|token|password|passwd|pass|pwd|authorization|credentials?|cookie|dsn)$|(_|api)key$"
)
URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s]+)@")


def without_password(url: str) -> str:
    """An address as it may be shown: a password in it gives way to stars."""
    return URL_PASSWORD.sub(r"\1:***@", url)


def named_secret(name: str) -> bool:
    """Whether what a key or a variable of that name holds is meant to be secret."""
    return _NAME.search(name.lower().replace("-", "_")) is not None


def secret_texts(root: Any, tree: Node, environment: Mapping[str, str]) -> Iterator[str]:
    """What no record and no log may hold.

    Other variables are left out though they came from the environment too: a model's name or a host is an ordinary
    word of records, and taking it out would spoil them.
    """
    yield from shape.secret_texts(root, tree)
    yield from _below(tree, "", environment)


def _below(node: Node, name: str, environment: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield from _in(node, name, environment)
        return
    for step, value in children(node):
        yield from _below(value, name if isinstance(node, Items) else str(step), environment)


def _in(node: Scalar, name: str, environment: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node.value, str) and named_secret(name):
        yield node.text
        # `Bearer abc` is also told as `abc`.
        yield from node.text.split()[-1:]
    yield from (found[2] for found in URL_PASSWORD.finditer(node.text))
    yield from (environment[variable] for variable in node.variables if named_secret(variable))
