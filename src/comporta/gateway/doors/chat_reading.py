"""Reading OpenAI's chat messages, content parts and tools into the canonical values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comporta.errors import BadRequest
from comporta.gateway.doors.reading import (
    array,
    field,
    file_of,
    flag,
    image_at,
    missing,
    obj,
    option,
    text,
    word,
    wrong,
)
from comporta.types import (
    JSON,
    Audio,
    Image,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

NAME = "openai.chat"

# ---- messages -------------------------------------------------------------------------------------------------------

ReadMessage = Callable[[JSON, str, Sequence[Message]], Message]


def messages(value: Any, path: str) -> tuple[Message, ...]:
    if type(value) is not list:
        raise wrong(path, "an array of messages", value)
    if not value:
        raise BadRequest(f"{path} must hold at least one message", param=path)
    read: list[Message] = []
    for i, item in enumerate(value):
        read.append(_plain(item) or _message(item, f"{path}[{i}]", read))
    return tuple(read)


def _plain(item: Any) -> Message | None:
    """The commonest message, a role and a text, without the cost of building paths."""
    if type(item) is not dict or len(item) != 2:
        return None
    role, content = item.get("role"), item.get("content")
    if type(content) is not str or (role != "user" and role != "assistant" and role != "system"):
        return None
    return Message(role, (Text(content),))


def _message(item: Any, path: str, before: Sequence[Message]) -> Message:
    if type(item) is not dict:
        raise wrong(path, "an object", item)
    role = item.get("role")
    if role is None:
        raise missing(f"{path}.role")
    reader = _ROLES.get(role) if type(role) is str else None
    if reader is None:
        raise BadRequest(f"{path}.role must be one of {', '.join(_ROLES)}", param=f"{path}.role")
    return reader(item, path, before)


def _speaker(role: Role) -> ReadMessage:
    def read(item: JSON, path: str, before: Sequence[Message]) -> Message:
        content = item.get("content")
        parts = (Text(content),) if type(content) is str else _required_parts(content, path)
        return Message(role, parts, option(item, "name", path, text))

    return read


def _required_parts(content: Any, path: str) -> tuple[Part, ...]:
    if content is None:
        raise missing(f"{path}.content")
    parts = _parts(content, f"{path}.content")
    if not parts:
        raise BadRequest(f"{path}.content must hold at least one part", param=f"{path}.content")
    return parts


def _assistant(item: JSON, path: str, before: Sequence[Message]) -> Message:
    parts: list[Part] = _thoughts(item, path)
    content = item.get("content")
    if content is not None:
        parts.extend(_parts(content, f"{path}.content"))
    refusal = option(item, "refusal", path, text)
    if refusal is not None:
        parts.append(Refusal(refusal))
    if item.get("audio") is not None:
        parts.append(Other(NAME, {"type": "audio", "audio": obj(item["audio"], f"{path}.audio")}))
    calls = item.get("tool_calls")
    if calls is not None:
        parts.extend(_tool_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(array(calls, f"{path}.tool_calls")))
    if item.get("function_call") is not None:
        parts.append(_function_call(item["function_call"], f"{path}.function_call", len(before)))
    if not parts and content is None:
        raise BadRequest(
            f"{path}.content is required where there are no tool_calls and no refusal", param=f"{path}.content"
        )
    return Message("assistant", tuple(parts), option(item, "name", path, text))


def _thoughts(item: JSON, path: str) -> list[Part]:
    """Thinking that a client sends back: signed blocks where it has them, else the plain text."""
    blocks = item.get("thinking_blocks")
    if blocks is not None:
        at = f"{path}.thinking_blocks"
        return [_thought(block, f"{at}[{i}]") for i, block in enumerate(array(blocks, at))]
    for name in ("reasoning_content", "reasoning"):
        value = item.get(name)
        if value and type(value) is str:
            return [Reasoning(value)]
    return []


def _thought(block: Any, path: str) -> Reasoning:
    obj(block, path)
    if block.get("type") == "redacted_thinking":
        return Reasoning(encrypted=field(block, "data", path, text))
    return Reasoning(field(block, "thinking", path, text), option(block, "signature", path, text))


def _tool_call(value: Any, path: str) -> Part:
    obj(value, path)
    if value.get("type", "function") != "function":
        return Other(NAME, value)
    function = field(value, "function", path, obj)
    return ToolCall(
        id=field(value, "id", path, word),
        name=field(function, "name", f"{path}.function", word),
        arguments=field(function, "arguments", f"{path}.function", text),
        cache_control=option(value, "cache_control", path, obj),
    )


def _function_call(value: Any, path: str, position: int) -> ToolCall:
    """The old single call has no id; its place makes one, which the answer to it finds by name."""
    name = field(obj(value, path), "name", path, word)
    return ToolCall(id=f"call_{position}", name=name, arguments=field(value, "arguments", path, text))


def _tool(item: JSON, path: str, before: Sequence[Message]) -> Message:
    return Message("tool", (_result(item, path, field(item, "tool_call_id", path, word)),))


def _function(item: JSON, path: str, before: Sequence[Message]) -> Message:
    name = field(item, "name", path, word)
    called = (p for m in reversed(before) for p in m.parts if isinstance(p, ToolCall) and p.name == name)
    call = next(called, None)
    if call is None:
        raise BadRequest(f"{path}.name is {name!r}, which no earlier message called", param=f"{path}.name")
    return Message("tool", (_result(item, path, call.id),))


def _result(item: JSON, path: str, identity: str) -> ToolResult:
    content = item.get("content")
    if content is None:
        raise missing(f"{path}.content")
    parts = _parts(content, f"{path}.content")
    return ToolResult(identity, parts, cache_control=option(item, "cache_control", path, obj))


_ROLES: dict[str, ReadMessage] = {
    "system": _speaker("system"),
    "developer": _speaker("system"),
    "user": _speaker("user"),
    "assistant": _assistant,
    "tool": _tool,
    "function": _function,
}

# ---- parts ----------------------------------------------------------------------------------------------------------


def _parts(content: Any, path: str) -> tuple[Part, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        raise wrong(path, "a string or an array of parts", content)
    return tuple([_part(item, f"{path}[{i}]") for i, item in enumerate(content)])


def _part(item: Any, path: str) -> Part:
    kind = field(obj(item, path), "type", path, word)
    read = _PARTS.get(kind)
    return Other(NAME, item) if read is None else read(item, path)


def _text_part(item: JSON, path: str) -> Text:
    return Text(field(item, "text", path, text), option(item, "cache_control", path, obj))


def _image_part(item: JSON, path: str) -> Image:
    given = item.get("image_url")
    cache_control = option(item, "cache_control", path, obj)
    if type(given) is str:
        return image_at(given, f"{path}.image_url", cache_control=cache_control)
    holder, at = field(item, "image_url", path, obj), f"{path}.image_url"
    url = field(holder, "url", at, text)
    return image_at(url, f"{at}.url", option(holder, "detail", at, text), cache_control)


def _audio_part(item: JSON, path: str) -> Audio:
    holder, at = field(item, "input_audio", path, obj), f"{path}.input_audio"
    return Audio(data=field(holder, "data", at, word), format=field(holder, "format", at, word))


def _file_part(item: JSON, path: str) -> Part:
    cache_control = option(item, "cache_control", path, obj)
    return file_of(field(item, "file", path, obj), f"{path}.file", cache_control=cache_control)


def _refusal_part(item: JSON, path: str) -> Refusal:
    return Refusal(field(item, "refusal", path, text))


_PARTS: dict[str, Callable[[JSON, str], Part]] = {
    "text": _text_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "file": _file_part,
    "refusal": _refusal_part,
}

# ---- tools ----------------------------------------------------------------------------------------------------------


def tools(value: Any, path: str) -> tuple[Tool, ...]:
    return tuple(_tool_of(item, f"{path}[{i}]") for i, item in enumerate(array(value, path)))


def _tool_of(item: Any, path: str) -> Tool:
    kind = field(obj(item, path), "type", path, word)
    if kind != "function":
        own = item.get(kind)
        name = own.get("name") if type(own) is dict else None
        return Tool(name=name if type(name) is str and name else kind, wire=NAME, native=item)
    tool = function(field(item, "function", path, obj), f"{path}.function")
    cache_control = option(item, "cache_control", path, obj)
    return tool if cache_control is None else Tool(*_four(tool), cache_control=cache_control)


def _four(tool: Tool) -> tuple[str, str | None, JSON | None, bool | None]:
    return tool.name, tool.description, tool.parameters, tool.strict


def function(item: JSON, path: str) -> Tool:
    """A function's definition, which chat nests and the Responses API has flat."""
    return Tool(
        name=field(item, "name", path, word),
        description=option(item, "description", path, text),
        parameters=option(item, "parameters", path, obj),
        strict=option(item, "strict", path, flag),
    )


def functions(value: Any, path: str) -> tuple[Tool, ...]:
    """The old `functions` field."""
    return tuple(function(obj(item, f"{path}[{i}]"), f"{path}[{i}]") for i, item in enumerate(array(value, path)))


def tool_choice(value: Any, path: str) -> ToolChoice | None:
    """A mode or a named function; None for the kinds that only OpenAI's own wire knows."""
    if value in ("auto", "none", "required"):
        return ToolChoice(value)
    if type(value) is not dict:
        raise BadRequest(f"{path} must be 'auto', 'none', 'required' or an object", param=path)
    if field(value, "type", path, word) != "function":
        return None
    return ToolChoice("tool", field(field(value, "function", path, obj), "name", f"{path}.function", word))


def function_call(value: Any, path: str) -> ToolChoice:
    """The old `function_call` field."""
    if value in ("auto", "none"):
        return ToolChoice(value)
    if type(value) is not dict:
        raise BadRequest(f"{path} must be 'auto', 'none' or an object", param=path)
    return ToolChoice("tool", field(value, "name", path, word))


def response_format(value: Any, path: str) -> ResponseFormat | None:
    """How the answer must look; None for the kinds that only OpenAI's own wire knows."""
    kind = field(obj(value, path), "type", path, word)
    if kind == "json_schema":
        return json_schema(field(value, "json_schema", path, obj), f"{path}.json_schema")
    return ResponseFormat(kind) if kind in ("text", "json_object") else None


def json_schema(holder: JSON, path: str) -> ResponseFormat:
    """A named schema, which chat nests and the Responses API has flat."""
    return ResponseFormat(
        "json_schema",
        name=field(holder, "name", path, word),
        schema=option(holder, "schema", path, obj),
        strict=option(holder, "strict", path, flag),
        description=option(holder, "description", path, text),
    )
