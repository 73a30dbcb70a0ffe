"""What the playground asks and hears: the body of a call, the answer as it grows, a kept call asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from comporta.console.messages import conversation
from comporta.errors import BadRequest, ComportaError
from comporta.prompts.folder import load_bytes
from comporta.prompts.prompt import Prompt
from comporta.prompts.values import Turn
from comporta.prompts.written import text_of
from comporta.types import JSON, Text

ROLES = ("system", "user", "assistant")
#: Sampling that the page asks for, by its field, and how it is read.
_PARAMS = {"temperature": float, "max_tokens": int, "top_p": float}


class Line(Struct):
    """A message as it is typed."""

    role: str
    text: str


class Heard(Struct):
    """An answer so far; `cost_usd` and tokens come with the end, the rest with the headers."""

    text: str = ""
    thought: str = ""
    tools: str = ""
    finish: str = ""
    cost_usd: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None

    def take(self, data: bytes) -> bool:
        """Whether this event brought something to show. Raises ComportaError for one that tells of a failure."""
        if data == b"[DONE]":
            return False
        event = msgspec.json.decode(data)
        if error := event.get("error"):
            code = error.get("code") or error.get("type")
            raise ComportaError(str(error.get("message")), code=str(code))
        usage = event.get("usage")
        if usage:
            self.cost_usd = usage.get("cost", self.cost_usd)
            self.tokens_in, self.tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
        shown = False
        for choice in event.get("choices") or ():
            # Of several answers the first is shown.
            shown |= not choice.get("index") and self._choice(choice)
        return shown

    def _choice(self, choice: Mapping[str, Any]) -> bool:
        delta = choice.get("delta") or {}
        self.finish = choice.get("finish_reason") or self.finish
        text, thought = delta.get("content") or delta.get("refusal") or "", delta.get("reasoning_content") or ""
        self.text += text
        self.thought += thought
        for tool in delta.get("tool_calls") or ():
            said = tool.get("function") or {}
            if said.get("name"):
                self.tools += ("\n" if self.tools else "") + said["name"] + " "
            self.tools += said.get("arguments") or ""
        return bool(text or thought or delta.get("tool_calls"))


def params_of(written: Mapping[str, str]) -> JSON:
    """Sampling as it was typed. Raises BadRequest for what is no number."""
    params: JSON = {}
    for name, read in _PARAMS.items():
        text = written.get(name, "").strip()
        if not text:
            continue
        try:
            params[name] = read(text)
        except ValueError:
            raise BadRequest(f"{name} must be a number.", param=name) from None
    return params


def free_body(model: str, lines: Sequence[Line], params: JSON, user: str) -> JSON:
    """A call with messages. Raises BadRequest where there is nothing to ask, or nobody."""
    messages = [{"role": one.role, "content": one.text} for one in lines if one.text.strip()]
    if not messages:
        raise BadRequest("Write at least one message.", param="messages")
    return {**_asked(model, params, user), "messages": messages}


def prompt_body(model: str, id: str, version: str, variables: Mapping[str, Any], params: JSON, user: str) -> JSON:
    """A call with a version of the registry; without a model it is the prompt's own."""
    prompt = {"id": id, "version": version, "variables": dict(variables)}
    body = _asked(model, params, user)
    return {**({k: v for k, v in body.items() if k != "model"} if not model else body), "prompt": prompt}


def draft_body(model: str, text: str, variables: Mapping[str, Any], params: JSON, user: str) -> JSON:
    """A call with a prompt that nobody pushed yet, put together here. Raises ConfigError, BadRequest."""
    prompt = read_draft(text)
    rendered = prompt.render(variables)
    messages = []
    for one in rendered.messages:
        if any(not isinstance(part, Text) for part in one.parts):
            raise BadRequest("A draft with images can't be tried before it is pushed.", param="messages")
        messages.append({"role": one.role, "content": one.text})
    return {**rendered.params, **_asked(model or rendered.model or "", params, user), "messages": messages}


def read_draft(text: str) -> Prompt:
    """The one prompt of a file's text. Raises ConfigError, and BadRequest where there are several."""
    found = load_bytes(text.encode(), "draft")
    prompts = list(found)
    if len(prompts) != 1:
        raise BadRequest("A draft holds one prompt.", param="text")
    return prompts[0]


def _asked(model: str, params: JSON, user: str) -> JSON:
    return {"model": model, "stream": True, "stream_options": {"include_usage": True}, "user": user, **params}


def lines_of(prompt: Any) -> list[Line]:
    """A kept call's messages as the page can ask them again; what tools said becomes text."""
    lines: list[Line] = []
    for said in conversation(prompt, None):
        text = "\n".join(piece.text for piece in said.pieces if piece.kind in ("text", "result"))
        role = said.role if said.role in ROLES else "user"
        if text.strip():
            lines.append(Line(role, text))
    return lines


def as_file(id: str, version: str, model: str, lines: Sequence[Line], params: JSON) -> str:
    """Free messages as a prompt file. What looks like a place for a variable becomes one."""
    turns = tuple(Turn(one.role, one.text) for one in lines if one.text.strip() and one.role in ROLES)  # type: ignore[arg-type]  # checked
    return text_of(
        Prompt(
            id=id, version=version, model=model or None, messages=turns, temperature=params.get("temperature"),
            max_tokens=params.get("max_tokens"), top_p=params.get("top_p"),
        )
    )  # fmt: skip


def bumped(version: str) -> str:
    """The next patch version: `1.2.3` to `1.2.4`; of what is no such version, 1.0.0."""
    parts = version.split("-")[0].split("+")[0].split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return "1.0.0"
    return f"{parts[0]}.{parts[1]}.{int(parts[2]) + 1}"


def with_version(text: str, version: str) -> str:
    """The same file with another version. Raises ConfigError."""
    return text_of(msgspec.structs.replace(read_draft(text), version=version))
