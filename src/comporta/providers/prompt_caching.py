"""Puts a request so that its provider reads a prefix that came before from its own cache, at a part of the price.

Anthropic caches up to a mark that the request carries; OpenAI, Gemini and others find the longest prefix by themselves,
which helps where tools come in the same order and calls of one prefix go to the same machine (`prompt_cache_key`).
Minimum lengths are those that Anthropic's page on prompt caching gives (2026); a mark on less is ignored there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from comporta.providers.base import Caching
from comporta.types import JSON

_MARK: Final = {"type": "ephemeral"}
_MOST_MARKS: Final = 4
_MINIMUMS: Final = (
    (re.compile(r"opus-4-[5-9]|haiku-4-5"), 4096),
    (re.compile(r"haiku"), 2048),
    (re.compile(r""), 1024),
)


def minimum_tokens(model: str) -> int:
    """The fewest tokens of a prefix that the model's provider caches."""
    return next(tokens for known, tokens in _MINIMUMS if known.search(model)) if "claude" in model else 1024


def in_anthropic(body: JSON, caching: Caching) -> JSON:
    """The body with marks where they are wished; the client's own marks win over all of ours."""
    if _is_marked(body):
        return body
    body = {**body}
    if body.get("tools"):
        body["tools"] = sorted_tools(body["tools"])
    for place in caching.marks[:_MOST_MARKS]:
        if place == "tools" and body.get("tools"):
            body["tools"] = _marked_last(body["tools"])
        elif place == "system" and body.get("system"):
            body["system"] = _marked_last(_blocks(body["system"]))
        elif place == "first" and len(body["messages"]) > 1:
            body["messages"] = [_marked_message(body["messages"][0]), *body["messages"][1:]]
        elif place == "last":
            body["messages"] = [*body["messages"][:-1], _marked_message(body["messages"][-1])]
    return body


def in_openai(body: JSON, caching: Caching, options: JSON) -> JSON:
    """The body with its tools in one order, and a key that leads the same prefix to the same machine."""
    body = {**body}
    if body.get("tools"):
        body["tools"] = sorted_tools(body["tools"])
    if options.get("prompt_cache_key") and caching.key and "prompt_cache_key" not in body:
        body["prompt_cache_key"] = caching.key
    return body


def in_gemini(body: JSON) -> JSON:
    """The body with the declarations of its functions in one order."""
    tools = body.get("tools")
    if not isinstance(tools, list):
        return body
    return {**body, "tools": [_with_declarations(tool) for tool in tools]}


def _with_declarations(tool: Any) -> Any:
    name = next((n for n in ("functionDeclarations", "function_declarations") if n in tool), None)
    return tool if name is None else {**tool, name: sorted(tool[name], key=lambda one: str(one.get("name")))}


def sorted_tools(tools: Sequence[JSON]) -> list[JSON]:
    """Functions by name; a provider's own tools come first, in their order."""
    return sorted(tools, key=_name)


def _name(tool: JSON) -> str:
    function = tool.get("function")
    own = function.get("name") if isinstance(function, dict) else None
    if own is None and tool.get("type") in (None, "custom", "function"):
        own = tool.get("name")
    return str(own or "")


def _blocks(system: Any) -> list[JSON]:
    return [{"type": "text", "text": system}] if isinstance(system, str) else [*system]


def _marked_last(blocks: Sequence[JSON]) -> list[JSON]:
    return [*blocks[:-1], {**blocks[-1], "cache_control": _MARK}] if blocks else []


def _marked_message(message: JSON) -> JSON:
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) and content else content
    if not isinstance(blocks, list) or not blocks:
        return message
    if blocks[-1].get("type") in ("thinking", "redacted_thinking"):
        # These can't be marked.
        return message
    return {**message, "content": _marked_last(blocks)}


def _is_marked(value: Any) -> bool:
    """Whether there is a mark anywhere."""
    if isinstance(value, dict):
        return value.get("cache_control") is not None or any(
            _is_marked(value[name]) for name in ("tools", "system", "messages", "content") if name in value
        )
    return isinstance(value, list) and any(map(_is_marked, value))
