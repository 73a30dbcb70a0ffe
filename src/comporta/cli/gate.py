"""Talks to a gate over HTTP: the one that `COMPORTA_URL` names, else the one that runs on the data folder."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from comporta.app.folder import Folder
from comporta.config.secret import without_password
from comporta.errors import ComportaError

DEFAULT_DATA = ".comporta"
_TIMEOUT_S = 30.0


class Gate:
    """A gate and the key to ask it with."""

    def __init__(self, url: str, key: str, *, timeout_s: float = _TIMEOUT_S, user: str = "") -> None:
        #: As it may be shown.
        self.url = without_password(url)
        self._key = key
        self._url = url
        #: Who sits here; the gate believes it with a data folder's own key, which has no name of anybody.
        self._user = user
        self._timeout_s = timeout_s
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ComportaError(f"COMPORTA_URL is '{self.url}'; it looks like http://127.0.0.1:8080.", code="bad_url")
        try:
            self._address = (parts.hostname, parts.port)
        except ValueError:
            raise ComportaError(f"The port in '{self.url}' is none.", code="bad_url") from None
        self._secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")

    @property
    def access(self) -> tuple[str, str]:
        """Address and key as they are, for another client: neither is to be shown."""
        return self._url, self._key

    def ask(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer. Raises ComportaError with what the gate said."""
        with self.exchange(method, path, body, query) as answer:
            text = answer.read()
        try:
            return json.loads(text)
        except ValueError:
            raise ComportaError(f"{self.url} does not answer as a Comporta gate does.", code="not_a_gate") from None

    @contextmanager
    def exchange(
        self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The open answer, already known to be a good one."""
        connection = self._connection()
        found = {name: value for name, value in (query or {}).items() if value is not None}
        target = self._prefix + path + ("?" + urlencode(found, doseq=True) if found else "")
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if self._user:
            headers["X-Comporta-By"] = quote(self._user)
        try:
            try:
                connection.request(method, target, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise ComportaError(self._unreachable(error), code="gate_unreachable") from None
            if answer.status >= 400:
                raise _failure(answer.status, answer.read(), self.url)
            yield answer
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)

    def _unreachable(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"The gate at {self.url} did not answer within {self._timeout_s:g} s; `comporta doctor` looks why."
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"The gate at {self.url} can't be reached ({reason}). Is it running? Start it with `comporta serve`."


def find(data: Path, environment: Mapping[str, str] = os.environ, *, timeout_s: float = _TIMEOUT_S) -> Gate:
    """The gate to talk to. Raises ComportaError that says what to type where there is none."""
    url = environment.get("COMPORTA_URL", "").strip()
    key = environment.get("COMPORTA_KEY", "").strip()
    if url:
        if not key:
            raise ComportaError(
                "COMPORTA_URL is set and COMPORTA_KEY is not: set it to a key of that gate.", code="no_key"
            )
        return Gate(url.rstrip("/").removesuffix("/v1"), key, timeout_s=timeout_s)
    folder = Folder(data)
    running = folder.running()
    if running is None:
        raise ComportaError(
            f"No gate runs on the data folder {folder.path}. Start one with `comporta serve`, or name one elsewhere "
            "with COMPORTA_URL and COMPORTA_KEY.",
            code="no_gate",
        )
    return Gate(running.url, key or _admin_key(folder), timeout_s=timeout_s, user="" if key else _user())


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container may run as a number that no name belongs to.
        return ""


def _admin_key(folder: Folder) -> str:
    try:
        return folder.admin_key.read_text("utf-8").strip()
    except OSError as error:
        raise ComportaError(
            f"The admin key {folder.admin_key} can't be read ({error.strerror}). Run this as the user who runs the "
            "gate, or set COMPORTA_KEY.",
            code="no_key",
        ) from None


def _failure(status: int, body: bytes, url: str) -> ComportaError:
    try:
        error = json.loads(body)["error"]
        return ComportaError(
            str(error["message"]), code=str(error["code"]), status=status, details=error.get("details")
        )
    except (ValueError, KeyError, TypeError):
        return ComportaError(f"{url} answered {status}, and not as a Comporta gate does.", code="not_a_gate")


def part(name: str) -> str:
    """A name as part of a path; a model's name may hold slashes, which stay."""
    return quote(name, safe="/")
