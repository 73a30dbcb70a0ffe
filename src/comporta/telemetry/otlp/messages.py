"""Prompts and replies as the GenAI conventions write them: messages of typed parts, as JSON.

What comes in is what records keep of a call in mode `full`: `Input` and choices as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comporta.types import JSON


def system_of(prompt: JSON) -> list[JSON]:
    """The system's texts."""
    return [part for message in prompt.get("messages", ()) if message["role"] == "system" for part in _parts(message)]


def asked_of(prompt: JSON) -> list[JSON]:
    """All other messages; of embeddings, their texts."""
    messages = [message for message in prompt.get("messages", ()) if message["role"] != "system"]
    texts = [text for text in prompt.get("texts", ()) if isinstance(text, str)]
    return [
        *({"role": message["role"], "parts": _parts(message)} for message in messages),
        *({"role": "user", "parts": [_text(text)]} for text in texts),
    ]


def answered_of(reply: Any) -> list[JSON]:
    """The choices of an answer."""
    choices = reply if isinstance(reply, list) else reply.get("choices", []) if isinstance(reply, dict) else []
    return [_choice(choice) for choice in choices if isinstance(choice, dict)]


def tools_of(prompt: JSON) -> list[JSON]:
    """The functions that the model may call."""
    return [
        {"type": "function", **{key: tool[key] for key in ("name", "description", "parameters") if tool.get(key)}}
        for tool in prompt.get("tools", ())
    ]


def finish_reasons(reply: Any) -> list[str]:
    """Why each choice ended, in the order of the choices."""
    return [str(one["finish_reason"]) for one in answered_of(reply) if one.get("finish_reason")]


def finish_reason(word: str) -> str:
    """Why a choice ended, in the conventions' words."""
    return {"tool_calls": "tool_call"}.get(word, word)


def _choice(choice: JSON) -> JSON:
    parts = [*({"type": "reasoning", "content": one.get("text", "")} for one in choice.get("reasoning", ()))]
    for key in ("text", "refusal"):
        if choice.get(key):
            parts.append(_text(choice[key]))
    parts.extend(_tool_call(tool) for tool in choice.get("tools", ()))
    told: JSON = {"role": "assistant", "parts": parts}
    if choice.get("finish"):
        told["finish_reason"] = finish_reason(choice["finish"])
    return told


def _parts(message: JSON) -> list[JSON]:
    return [_part(part) for part in message.get("parts", ())]


def _part(part: JSON) -> JSON:
    write = _WRITERS.get(part.get("type", ""))
    return write(part) if write is not None else {"type": part.get("type", "other")}


def _text(text: str) -> JSON:
    return {"type": "text", "content": text}


def _tool_call(part: JSON) -> JSON:
    return {"type": "tool_call", "id": part.get("id"), "name": part.get("name"), "arguments": part.get("arguments")}


def _tool_result(part: JSON) -> JSON:
    texts = [one.get("text", "") for one in part.get("parts", ()) if one.get("type") == "text"]
    return {"type": "tool_call_response", "id": part.get("id"), "response": "".join(texts)}


def _linked(modality: str) -> Callable[[JSON], JSON]:
    """What a part leads to; what was inline is not kept in records, so there is nothing else to tell."""

    def written(part: JSON) -> JSON:
        if part.get("url"):
            return {"type": "uri", "modality": modality, "uri": part["url"]}
        return {"type": modality, "mime_type": part.get("media_type")}

    return written


_WRITERS: Mapping[str, Callable[[JSON], JSON]] = {
    "text": lambda part: _text(part.get("text", "")),
    "refusal": lambda part: _text(part.get("text", "")),
    "reasoning": lambda part: {"type": "reasoning", "content": part.get("text", "")},
    "tool_call": _tool_call,
    "tool_result": _tool_result,
    "image": _linked("image"),
    "file": _linked("document"),
}


def texts_of(messages: Sequence[JSON]) -> str:
    """All texts of messages in this shape, one after another."""
    return "\n".join(
        str(part.get("content", ""))
        for message in messages
        for part in message.get("parts", ())
        if part.get("type") == "text"
    )
