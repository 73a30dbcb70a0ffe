"""The page of every kind of guard, made from the kinds themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import structs

from comporta.guardrails.base import Kind
from comporta.guardrails.known import known_kinds

_FRAME = """# Guards

Every kind of guard, as policies name it, and what it does where the policy says nothing more. [Guard
calls](../how-to/guard-calls.md) says how policies are written; `comporta guard list` shows the same, with the kinds
that installed packages bring. This page is generated.

## Kinds

{kinds}

## What a policy may say of each

| key | means |
|---|---|
| `type` | the kind; a guard that is only a name stands for itself |
| `action` | `block`, `mask` (or `redact`), `rewrite`, `restrict` (input), `warn` (or `flag`), `log` (or `allow`) |
| `threshold` | from which confidence on (0 to 1) a finding counts |
| `on` | which texts: `system`, `user`, `assistant`, `tool`, `passage`, `name`, `alt` |
| `on_failure` | `closed` (nothing passes, 503 `guard_failed`) or `open` |
| `timeout` | how long a guard that waits for something may take |
| `severity` | `info`, `warning`, `critical`, as verdicts tell it |
| `name` | what verdicts, scores and counts call it |
| `restrict` | for `action: restrict`: `temperature`, `max_tokens` (at most), `tools: false`, `model` |

A mask that has nothing to lie on blocks: `action: mask` on a guard that marks no place in the text is `block`.

## Settings

What each kind takes beside that, with what holds where nothing is said.

{settings}

## What a verdict says

| field | means |
|---|---|
| `outcome` | what becomes of it: `pass`, `flag` (warn, log), `rewrite`, `redact` (mask), `block` |
| `confidence` | how sure the guard is, 0 to 1 |
| `spans` | where: `start`, `end` (characters of the text as it came), `kind`, `confidence`; never what stands there |
| `reason` | a sentence that holds nothing of the text |
| `place`, `text` | where the text stands, and which of those that were shown |

## A kind of your own

A package that offers a `comporta.guardrails.base.Kind` (or several) under the entry point `comporta.guards` adds it;
`type: custom` calls a function that `guardrails.functions` lists, or an address.
"""


def render() -> str:
    """The whole page."""
    kinds = known_kinds()
    return _FRAME.format(kinds="\n".join(_table(kinds)), settings="\n".join(_settings(kinds)))


def _table(kinds: Iterable[Kind]) -> Iterable[str]:
    yield "| guard | guards | finds | where nothing is said | judges |"
    yield "|---|---|---|---|---|"
    judged = {"span": "places in the text", "sentence": "sentences", "whole": "the whole text"}
    for kind in kinds:
        names = ", ".join(f"`{name}`" for name in (kind.name, *kind.aliases))
        usual = f"`{kind.action}` from {kind.threshold:g}"
        yield f"| {names} | {' and '.join(kind.sides)} | {kind.about} | {usual} | {judged[kind.needs]} |"


def _settings(kinds: Iterable[Kind]) -> Iterable[str]:
    yield "| guard | settings |"
    yield "|---|---|"
    for kind in kinds:
        told = ", ".join(f"`{field.encode_name}`{_default(field)}" for field in structs.fields(kind.settings))
        yield f"| `{kind.name}` | {told or 'none'} |"


def _default(field: structs.FieldInfo) -> str:
    value: Any = field.default
    if value is msgspec.NODEFAULT:
        value = None if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None or value == "" or (isinstance(value, tuple | list | dict | frozenset) and not value):
        return ""
    shown = msgspec.json.encode(sorted(value) if isinstance(value, frozenset) else value).decode()
    return f" ({shown})".replace("|", "\\|") if len(shown) <= 80 else " (many)"
