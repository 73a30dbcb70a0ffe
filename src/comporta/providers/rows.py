"""The endpoints there are, as rows of data: a provider that speaks a known wire is one row in `rows.json`.

Options say what an endpoint does otherwise than the wire's owner; wires read them, nothing else does:

| option | meaning |
|---|---|
| `auth` | `bearer` (default), the name of a header that takes the key, or `none` |
| `prefix` | what is put behind a base URL that has no path (default `/v1`) |
| `path`, `params` | a further path (`{model}` is filled in) and a query string |
| `listing` | whether it lists its models (default true) |
| `unsupported`, `drop` | parameters that are refused with 400; hints that are left out and reported |
| `stream_usage` | whether it takes `stream_options` (default true) |
| `max_tokens_field` | `max_tokens` or `max_completion_tokens` |
| `rename` | other fields that the endpoint calls differently |
| `top_k`, `cache_control`, `file_url`, `flat_text` | extensions it takes; contents that must be plain text |
| `reasoning_field` | where it wants earlier reasoning back |
| `prefill_message`, `prefill_body` | how it is told to continue a given beginning |
| `prompt_cache_key` | whether it takes a key that leads calls of one prefix to one machine |
| `embedding_base64` | whether it takes `encoding_format` (default true) |
| `script` | what a scripted model does |
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct

from comporta.config.mistakes import did_you_mean
from comporta.types import JSON

_NAMES = "a list of names"
_FLAG = "true or false"
_TEXT = "text"
_MAPPING = "a mapping"
#: What each option holds.
OPTIONS: Mapping[str, str] = {
    "auth": _TEXT,
    "prefix": _TEXT,
    "path": _TEXT,
    "params": _MAPPING,
    "listing": _FLAG,
    "unsupported": _NAMES,
    "drop": _NAMES,
    "stream_usage": _FLAG,
    "max_tokens_field": _TEXT,
    "rename": _MAPPING,
    "top_k": _FLAG,
    "cache_control": _FLAG,
    "file_url": _FLAG,
    "flat_text": _FLAG,
    "reasoning_field": _TEXT,
    "prefill_message": _MAPPING,
    "prefill_body": _MAPPING,
    "embedding_base64": _FLAG,
    "prompt_cache_key": _FLAG,
    "script": "anything",
}
_TYPES: Mapping[str, Any] = {
    _NAMES: list[str],
    _FLAG: bool,
    _TEXT: str,
    _MAPPING: dict[str, Any],
    "anything": Any,
}


class Row(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of endpoint. `env` are the variables that may hold its key, the usual one first."""

    name: str
    wire: str
    title: str
    base_url: str = ""
    env: tuple[str, ...] = ()
    needs_key: bool = True
    #: Variables that may hold its address.
    url_env: tuple[str, ...] = ()
    #: The parts of OpenAI's API that it has itself beside chat.
    responses: bool = False
    completions: bool = False
    #: Whether it counts tokens, and whether it fetches images by URL.
    counts: bool = False
    image_urls: bool = True
    #: Whether it runs in this process.
    local: bool = False
    #: Asked for as `default` when nothing else is configured.
    default_model: str = ""
    #: Whether a key in the environment is enough to use it without any configuration.
    detected: bool = False
    #: What its own batch API asks, in percent of the usual price; 100 where there is none or it is no cheaper.
    batch_percent: int = 100
    options: JSON = {}


def _read() -> dict[str, Row]:
    text = files("comporta.providers").joinpath("rows.json").read_bytes()
    return {row.name: row for row in msgspec.json.decode(text, type=tuple[Row, ...])}


#: Every row, by name.
ROWS: Mapping[str, Row] = _read()


def detect(environment: Mapping[str, str]) -> tuple[Row, ...]:
    """The rows whose key stands in the environment, in the file's order."""
    return tuple(
        row for row in ROWS.values() if row.detected and any(environment.get(name, "").strip() for name in row.env)
    )


def wrong_options(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with an endpoint's options, a sentence each; the configuration's are checked with it at start."""
    wrong = []
    for name, value in options.items():
        kind = OPTIONS.get(name)
        if kind is None:
            wrong.append(f"there is no option '{name}'{did_you_mean(name, OPTIONS)}")
            continue
        try:
            msgspec.convert(value, _TYPES[kind])
        except msgspec.ValidationError:
            wrong.append(f"the option '{name}' must be {kind}")
    return wrong
