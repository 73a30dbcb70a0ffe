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
| `top_k`, `cache_control`, `file_url`, `flat_text` | extensions it takes; contents that must be plain text |
| `reasoning_field` | where it wants earlier reasoning back |
| `prefill_message`, `prefill_body` | how it is told to continue a given beginning |
| `embedding_base64` | whether it takes `encoding_format` (default true) |
| `script` | what a scripted model does |
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import msgspec
from msgspec import Struct

from comporta.types import JSON


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
