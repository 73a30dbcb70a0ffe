"""Prompts for applications that ask models themselves: `GET /v1/prompts/{id}`, and `POST …/render` for long values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from comporta.errors import BadRequest, NotFound
from comporta.gateway.doors.chat_reading import NAME as CHAT
from comporta.gateway.doors.prompted import meant
from comporta.gateway.doors.reading import body_of, obj, option, word
from comporta.gateway.prompting import Prompts, check_scope, plain_values
from comporta.gateway.reach import with_defaults
from comporta.gateway.reading import secret_of
from comporta.gateway.server import Asked, Page
from comporta.prompts.prompt import Prompt
from comporta.prompts.refs import label_of
from comporta.prompts.values import Rendered
from comporta.providers import openai_encode
from comporta.providers.base import Query
from comporta.types import JSON, Caller, Input, PromptRef

_RENDER = "/render"
_NAMES = frozenset({"version", "label", "variables"})
#: Types whose values a query can only write as JSON.
_WRITTEN = frozenset({"number", "boolean", "list", "object"})


class PromptPages:
    """Both pages. A key sees what its environment's label points at, unless it asks for another label or a version."""

    def __init__(self, prompts: Prompts, authenticate: Callable[[str], Caller]) -> None:
        self._prompts = prompts
        self._authenticate = authenticate

    async def show(self, asked: Asked) -> Page:
        """The prompt with the values of the query. Raises NotFound, Forbidden, BadRequest for a wrong value."""
        caller = self._authenticate(secret_of(asked.headers))
        query = dict(asked.query)
        ref = meant(_id(asked.rest), query.pop("version", None) or None, query.pop("label", None) or None, "")
        prompt = await self._found(ref, caller)
        types = {one.name: one.type for one in prompt.variables}
        values = {name: _typed(text) if types.get(name) in _WRITTEN else text for name, text in query.items()}
        return self._page(prompt, ref, caller, values, asked.headers)

    async def render(self, asked: Asked) -> Page:
        """The prompt with the values of the body: `{"version", "label", "variables"}`."""
        caller = self._authenticate(secret_of(asked.headers))
        if not asked.rest.endswith(_RENDER):
            raise NotFound("Prompts are rendered by POST at /v1/prompts/{id}/render.")
        body = body_of(asked.body) if asked.body.strip() else {}
        for name in body:
            if name not in _NAMES:
                raise BadRequest(f"{name[:60]} is not known; there are {', '.join(sorted(_NAMES))}", param=name[:60])
        version, label = option(body, "version", "", word), option(body, "label", "", word)
        ref = meant(_id(asked.rest.removesuffix(_RENDER)), version, label, "")
        values = option(body, "variables", "", obj) or {}
        return self._page(await self._found(ref, caller), ref, caller, values, asked.headers)

    async def _found(self, ref: PromptRef, caller: Caller) -> Prompt:
        check_scope(caller, ref.id)
        found = self._prompts.resolve(ref, caller.environment)
        return found if found is not None else await self._prompts.fetch(ref, caller.environment)

    def _page(
        self, prompt: Prompt, ref: PromptRef, caller: Caller, values: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Page:
        label = label_of(ref, caller.environment)
        moved = None if label is None else self._prompts.label(prompt.id, label)
        tags = dict(moved.tags) if moved is not None and moved.version == prompt.version else {}
        rendered = prompt.render(plain_values(prompt, values))
        body = msgspec.json.encode(shown(prompt, rendered) | {"label": label, "deploy": tags})
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        # What a label leads to changes at any time: it may be kept, and is asked about again each time.
        head = (("etag", etag), ("cache-control", "private, no-cache"), ("vary", "authorization, x-api-key, api-key"))
        if matches(headers.get("if-none-match"), etag):
            return Page(b"", status=304, headers=head)
        return Page(body, headers=head)


def shown(prompt: Prompt, rendered: Rendered) -> JSON:
    """A rendered prompt in the words of OpenAI's chat completions: what it says can be sent there as it stands."""
    given = Input(
        messages=rendered.messages, tools=rendered.tools, response_format=rendered.response_format, wire=CHAT
    )  # fmt: skip
    query = Query(kind="chat", input=with_defaults(given, rendered.params), model=prompt.model or "", stream=False)
    written, _ = openai_encode.body_of(query, {})
    written.pop("model", None)
    return {
        "object": "prompt",
        "id": prompt.id,
        "version": prompt.version,
        "name": prompt.name,
        "description": prompt.description,
        "model": prompt.model,
        "messages": written.pop("messages"),
        "tools": written.pop("tools", []),
        "response_format": written.pop("response_format", None),
        "parameters": written,
        "timeout_s": rendered.timeout_s,
        "unused_variables": list(rendered.unused),
        "metadata": prompt.metadata,
    }


def matches(given: str | None, etag: str) -> bool:
    """Whether what a client holds is still so (RFC 9110, 13.1.2: weak comparison)."""
    if given is None:
        return False
    held = [one.strip().removeprefix("W/") for one in given.split(",")]
    return "*" in held or etag in held


def _id(rest: str) -> str:
    if not rest or "/" in rest:
        raise NotFound("There is nothing here: prompts stand at /v1/prompts/{id}.")
    return rest


def _typed(text: str) -> Any:
    """A value as JSON where it is some; else the text, which the prompt's own rules then refuse in words."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text
