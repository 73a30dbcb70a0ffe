"""Providers as they come together from many entries: one for each address and key, under names that stay readable."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from comporta.cli.importing.kinds import KEYS
from comporta.cli.importing.source import Part, Variable
from comporta.config.secret import URL_PASSWORD, named_secret
from comporta.providers.rows import ROWS

#: What people write where an endpoint wants no key. These are no secrets.
NO_KEYS = frozenset({"none", "null", "fake", "fake-key", "fake-api-key", "dummy", "dummy-key", "not-needed", "no-key",
                     "empty", "anything"})  # fmt: skip
_ODD = re.compile(r"[^a-z0-9]+")


class Endpoint(Struct, frozen=True):
    """What makes two entries ask the same provider. `key` is the variable that holds it, `none` for no key."""

    kind: str
    base_url: str | None = None
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    api_version: str | None = None


class Endpoints:
    """The providers of the new configuration, by name."""

    def __init__(self, taken: set[str]) -> None:
        """`taken` are variables that have a meaning already."""
        self._taken = taken
        self._names: dict[Endpoint, str] = {}
        #: Variables that stand for keys which were written into the file, by those keys.
        self._variables: dict[str, str] = {}

    def __iter__(self) -> Any:
        return iter(self._names.items())

    def name(self, endpoint: Endpoint) -> str:
        """The provider for an endpoint: the kind's own name for the first, with its host for others."""
        if endpoint not in self._names:
            host = _host(endpoint.base_url)
            plain = endpoint.kind
            wanted = f"{plain}-{host}" if host and (plain == "openai" or plain in self._names.values()) else plain
            self._names[endpoint] = _free(wanted, set(self._names.values()))
        return self._names[endpoint]

    def take(self, kind: str, given: Part) -> Endpoint:
        """Reads what an entry says of where it asks."""
        base_url = self._address(kind, given)
        version = given.text("api_version")
        return Endpoint(
            kind,
            base_url,
            self._key(kind, given, base_url),
            self._headers(kind, given),
            None if version is None else written(version),
        )

    def secret(self, kind: str, value: str, given: Part, key: str) -> str:
        """The variable that takes a secret's place; it is told by name."""
        name = self._variables.get(value)
        if name is None:
            usual = ROWS[kind].env[0] if key == "api_key" and ROWS[kind].env else _variable(kind, key)
            name = self._variables[value] = _free(usual, self._taken | set(self._variables.values()), "_")
        given.tell(key, f"a secret stands in the file: it is not carried over. Put it into the variable {name}")
        return name

    def _key(self, kind: str, given: Part, base_url: str | None) -> str | None:
        found = given.text("api_key")
        if isinstance(found, Variable):
            return found.name
        if found is None:
            # Without a key of its own it is the usual variable's; a server of one's own may want none.
            return KEYS.get(kind) if ROWS[kind].needs_key else None
        if found.lower() in NO_KEYS:
            return "none"
        return self.secret(kind, found, given, "api_key")

    def _address(self, kind: str, given: Part) -> str | None:
        key = "api_base" if "api_base" in given else "base_url"
        found = given.text(key)
        if found is None:
            return "${AZURE_API_BASE}" if kind == "azure" else None
        if isinstance(found, str) and URL_PASSWORD.search(found):
            return f"${{{self.secret(kind, found, given, key)}}}"
        address = written(found)
        return address.rstrip("/") if kind != "openai" or not address.endswith("/v1/") else address[:-1]

    def _headers(self, kind: str, given: Part) -> tuple[tuple[str, str], ...]:
        headers = {}
        for key in ("headers", "extra_headers"):
            below = given.part(key)
            for name in below.names():
                value = below.text(name)
                if isinstance(value, str) and named_secret(name):
                    headers[name] = f"${{{self.secret(kind, value, below, name)}}}"
                elif value is not None:
                    headers[name] = written(value)
        organization = given.text("organization")
        if organization is not None:
            headers["OpenAI-Organization"] = written(organization)
        return tuple(sorted(headers.items()))


def section_of(name: str, endpoint: Endpoint) -> dict[str, Any]:
    """The provider as the configuration says it."""
    found: dict[str, Any] = {}
    if name != endpoint.kind:
        found["kind"] = endpoint.kind
    if endpoint.base_url is not None:
        found["base_url"] = endpoint.base_url
    if endpoint.key == "none":
        found["api_key"] = "none"
    elif endpoint.key is not None:
        found["credentials"] = [{"name": endpoint.key.lower(), "env": endpoint.key}]
    if endpoint.headers:
        found["headers"] = dict(endpoint.headers)
    if endpoint.api_version is not None and endpoint.kind == "azure":
        found["options"] = {"params": {"api-version": endpoint.api_version}}
    return found


def written(value: str | Variable) -> str:
    """A text of theirs as it means the same in our file."""
    return f"${{{value.name}}}" if isinstance(value, Variable) else value.replace("${", "$${")


def _host(base_url: str | None) -> str:
    if base_url is None or "${" in base_url:
        return ""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    label = host if host.replace(".", "").isdigit() else host.split(".")[0]
    port = re.search(r":(\d+)$", parts.netloc)
    return _ODD.sub("-", f"{label}{'-' + port[1] if port else ''}".lower()).strip("-")


def _free(wanted: str, taken: set[str], joint: str = "-") -> str:
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}{joint}{number}"
    return name


def _variable(kind: str, key: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", f"{kind}_{key}".upper())
