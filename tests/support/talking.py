"""Asking a running gate over plain HTTP, each time on a connection of its own: any of its workers may answer."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from support.serving import Served

T = TypeVar("T")


class Answer:
    """A whole answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What a chat's first choice says."""
        text: str = self.json["choices"][0]["message"]["content"]
        return text

    @property
    def call(self) -> str:
        return self.headers["x-comporta-call"]


def ask(
    gate: Served, path: str, body: Any = None, *, method: str | None = None, key: str | None = "admin", **headers: str
) -> Answer:
    """One request. `key`: a secret, `admin` for the administrator's, None for none."""
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["Authorization"] = f"Bearer {gate.key if key == 'admin' else key}"
    data = None
    if body is not None:
        data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, data, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def chat(gate: Served, model: str, text: str = "Hello", *, key: str | None = "admin", **more: Any) -> Answer:
    """A chat with one message; fields whose names begin with `x_` are headers."""
    headers = {name: value for name, value in more.items() if name.startswith("x_")}
    body = {name: value for name, value in more.items() if name not in headers}
    messages = [{"role": "user", "content": text}]
    return ask(gate, "/v1/chat/completions", {"model": model, "messages": messages, **body}, key=key, **headers)


def until(look: Callable[[], T], within_s: float = 90.0) -> T:
    """What `look` gives once it is true, asked again and again; the last one given where it never is.

    The limit says when to give up: a busy machine takes its time, and how long things take is for the bench to tell.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        found = look()
        if found or time.monotonic() > deadline_s:
            return found
        time.sleep(0.05)


def recorded(gate: Served, call: str) -> Any:
    """The record of a call, which comes about a second after its end."""
    found = until(lambda: (answer := ask(gate, f"/admin/calls/{call}")).status == 200 and answer.json)
    assert found, f"no record of {call}"
    return found
