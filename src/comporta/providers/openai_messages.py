"""Puts messages and their parts into the words of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from comporta.providers.carry import no_file, no_part, plain_text, present
from comporta.types import (
    JSON,
    Audio,
    File,
    Image,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

NAME: Final = "openai.chat"
_WIRE: Final = "OpenAI's chat wire"


def messages_of(messages: Iterable[Message], options: JSON) -> list[JSON]:
    """The messages; tool results become messages of their own, before what else their turn says."""
    written: list[JSON] = []
    for message in messages:
        if len(message.parts) == 1 and type(message.parts[0]) is Text and message.role != "tool":
            written.append(_plain(message, message.parts[0], options))
        elif message.role == "assistant":
            written.append(_assistant(message, options))
        else:
            written.extend(_turn(message, options))
    return written


def _plain(message: Message, part: Text, options: JSON) -> JSON:
    content = part.text if part.cache_control is None else _content((part,), options)
    return _named({"role": message.role, "content": content}, message)


def _named(written: JSON, message: Message) -> JSON:
    if message.name is not None:
        written["name"] = message.name
    return written


def _turn(message: Message, options: JSON) -> list[JSON]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    # A tool's answer is text in this wire: what else it gave follows as the user's.
    shown: list[Part] = [p for result in results for p in result.parts if not isinstance(p, Text | Refusal)]
    shown += [part for part in message.parts if not isinstance(part, ToolResult)]
    written = [_result(result, options) for result in results]
    if shown or not results:
        role = "user" if message.role == "tool" else message.role
        written.append(_named({"role": role, "content": _content(shown, options)}, message))
    return written


def _result(result: ToolResult, options: JSON) -> JSON:
    texts = [part for part in result.parts if isinstance(part, Text | Refusal)]
    content = texts[0].text if len(texts) == 1 else _content(texts, options) if texts else ""
    return {"role": "tool", "tool_call_id": result.id, "content": content}


def _assistant(message: Message, options: JSON) -> JSON:
    written: JSON = {"role": "assistant"}
    said: list[Part] = []
    calls: list[JSON] = []
    thoughts: list[str] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif isinstance(part, Reasoning):
            thoughts.append(part.text)
        elif isinstance(part, Other) and part.wire == NAME and "id" in part.value:
            calls.append(part.value)
        elif isinstance(part, Other) and part.wire == NAME and part.value.get("type") == "audio":
            written["audio"] = part.value.get("audio")
        else:
            said.append(part)
    if said or not (calls or "audio" in written):
        first = said[0] if len(said) == 1 else None
        written["content"] = first.text if isinstance(first, Text) else _content(said, options)
    if calls:
        written["tool_calls"] = calls
    field = options.get("reasoning_field")
    if field and any(thoughts):
        written[field] = "".join(thoughts)
    return _named(written, message)


def _content(parts: Iterable[Part], options: JSON) -> Any:
    """Content parts; one text where there is nothing else and the upstream takes no lists of texts."""
    parts = list(parts)
    if not parts:
        return ""
    texts = [part.text for part in parts if isinstance(part, Text)]
    if options.get("flat_text") and len(texts) == len(parts):
        return "\n\n".join(texts)
    return [_part(part, options) for part in parts]


def _part(part: Part, options: JSON) -> JSON:
    if isinstance(part, Text):
        return _cached({"type": "text", "text": part.text}, part, options)
    if isinstance(part, Image):
        url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data or ''}"
        return _cached({"type": "image_url", "image_url": present(url=url, detail=part.detail)}, part, options)
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    if isinstance(part, File):
        return _file(part, options)
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Other) and part.wire == NAME:
        return part.value
    raise no_part(_WIRE, part)


def _cached(written: JSON, part: Text | Image, options: JSON) -> JSON:
    if part.cache_control is not None and options.get("cache_control"):
        written["cache_control"] = part.cache_control
    return written


def _file(part: File, options: JSON) -> JSON:
    if part.id is not None:
        return {"type": "file", "file": {"file_id": part.id}}
    if part.data is not None:
        media_type = part.media_type or "application/pdf"
        if media_type.startswith("text/"):
            return {"type": "text", "text": plain_text(part.data)}
        data = f"data:{media_type};base64,{part.data}"
        return {"type": "file", "file": {"filename": part.name or "document", "file_data": data}}
    if part.url is not None and options.get("file_url"):
        return {"type": "file", "file": {"filename": part.name or "document", "file_data": part.url}}
    raise no_file(_WIRE, part)
