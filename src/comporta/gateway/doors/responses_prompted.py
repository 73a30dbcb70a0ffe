"""A Responses body with a prompt's turns in it, in the wire's own words: OpenAI gets it as its own, nothing lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from comporta.types import JSON, Image, Message, ResponseFormat, Text, Tool

NAME = "openai.responses"
_NO_PARAMETERS: JSON = {"type": "object", "properties": {}}
#: Parameters that chat completions have and the Responses API has not.
_CHAT_ONLY = frozenset({"frequency_penalty", "logit_bias", "logprobs", "n", "presence_penalty", "seed", "stop"})


def unknown(params: Mapping[str, Any]) -> bool:
    """Whether parameters need another wire than this one."""
    return not _CHAT_ONLY.isdisjoint(params)


def with_turns(raw: JSON, before: Iterable[Message], after: Iterable[Message]) -> JSON:
    """The body with turns around what the client itself says; `prompt` goes, since it has been resolved."""
    body = {name: value for name, value in raw.items() if name != "prompt"}
    body["input"] = [*map(_item, before), *_own(raw.get("input")), *map(_item, after)]
    return body


def with_tools(body: JSON, tools: tuple[Tool, ...]) -> None:
    """Put functions in that the prompt brings."""
    body["tools"] = [
        {
            "type": "function", "name": tool.name, "parameters": tool.parameters or _NO_PARAMETERS,
            "strict": bool(tool.strict), **({"description": tool.description} if tool.description else {}),
        }
        for tool in tools
    ]  # fmt: skip


def with_format(body: JSON, wanted: ResponseFormat) -> None:
    """Put the form of the answer in that the prompt wants."""
    form: JSON = {"type": wanted.kind}
    if wanted.kind == "json_schema":
        form |= {"name": wanted.name or "answer", "schema": wanted.schema or {}, "strict": bool(wanted.strict)}
    body["text"] = {**(body.get("text") or {}), "format": form}


def _own(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}] if given else []
    return list(given or ())


def _item(message: Message) -> JSON:
    """Prompts say texts and images only."""
    if all(isinstance(part, Text) for part in message.parts):
        return {"type": "message", "role": message.role, "content": message.text}
    content: list[JSON] = []
    for part in message.parts:
        if isinstance(part, Text):
            content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, Image):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            content.append({"type": "input_image", "image_url": url, "detail": part.detail or "auto"})
    return {"type": "message", "role": message.role, "content": content}
