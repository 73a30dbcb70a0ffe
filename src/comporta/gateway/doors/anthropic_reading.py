"""Reading Anthropic's messages, content blocks, tools and thinking settings into the canonical values."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from comporta.errors import BadRequest
from comporta.gateway.doors.reading import (
    array,
    field,
    flag,
    integer,
    missing,
    obj,
    option,
    text,
    word,
    wrong,
)
from comporta.gateway.doors.writing import encode
from comporta.types import (
    JSON,
    File,
    Image,
    Message,
    Other,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

NAME = "anthropic.messages"

# ---- messages -------------------------------------------------------------------------------------------------------


def messages(value: Any, path: str) -> tuple[Message, ...]:
    if type(value) is not list:
        raise wrong(path, "an array of messages", value)
    if not value:
        raise BadRequest(f"{path} must hold at least one message", param=path)
    read: list[Message] = []
    for i, item in enumerate(value):
        _message(item, f"{path}[{i}]", read)
    return tuple(read)


def _message(item: Any, path: str, read: list[Message]) -> None:
    role = field(obj(item, path), "role", path, word)
    if role not in ("user", "assistant", "system"):
        raise BadRequest(f"{path}.role must be user or assistant", param=f"{path}.role")
    content = item.get("content")
    if type(content) is str:
        read.append(Message(role, (Text(content),)))
        return
    if content is None:
        raise missing(f"{path}.content")
    parts = _blocks(content, f"{path}.content")
    if role == "user":
        read.extend(_turns(parts))
    else:
        read.append(Message(role, parts))


def _turns(parts: tuple[Part, ...]) -> list[Message]:
    """What a user's turn says, with each result of a tool as a message of its own, as other wires have it."""
    turns: list[Message] = []
    said: list[Part] = []
    for part in parts:
        if not isinstance(part, ToolResult):
            said.append(part)
            continue
        if said:
            turns.append(Message("user", tuple(said)))
            said = []
        turns.append(Message("tool", (part,)))
    if said or not turns:
        turns.append(Message("user", tuple(said)))
    return turns


def system(value: Any, path: str) -> Message | None:
    """The system text, a string or blocks of text."""
    parts = (Text(value),) if type(value) is str and value else _system_blocks(value, path) if value != "" else ()
    return Message("system", parts) if parts else None


def _system_blocks(value: Any, path: str) -> tuple[Part, ...]:
    if type(value) is not list:
        raise wrong(path, "a string or an array of text blocks", value)
    return _blocks(value, path)


# ---- blocks ---------------------------------------------------------------------------------------------------------


def _blocks(content: Any, path: str) -> tuple[Part, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        raise wrong(path, "a string or an array of blocks", content)
    return tuple([_block(item, f"{path}[{i}]") for i, item in enumerate(content)])


def _block(item: Any, path: str) -> Part:
    read = _BLOCKS.get(field(obj(item, path), "type", path, word))
    return Other(NAME, item) if read is None else read(item, path)


def _text(item: JSON, path: str) -> Text:
    return Text(field(item, "text", path, text), option(item, "cache_control", path, obj))


def _image(item: JSON, path: str) -> Part:
    source, at = field(item, "source", path, obj), f"{path}.source"
    cache_control = option(item, "cache_control", path, obj)
    match field(source, "type", at, word):
        case "base64":
            media_type, data = field(source, "media_type", at, word), field(source, "data", at, word)
            return Image(data=data, media_type=media_type, cache_control=cache_control)
        case "url":
            return Image(url=field(source, "url", at, word), cache_control=cache_control)
    return Other(NAME, item)


#: What a document may say that the canonical value can hold; anything more stays native.
_DOCUMENT = frozenset({"type", "source", "title", "cache_control"})


def _document(item: JSON, path: str) -> Part:
    source, at = field(item, "source", path, obj), f"{path}.source"
    name = option(item, "title", path, text)
    cache_control = option(item, "cache_control", path, obj)
    kind = field(source, "type", at, word)
    if any(value is not None for key, value in item.items() if key not in _DOCUMENT):
        return Other(NAME, item)
    match kind:
        case "base64":
            media_type, data = field(source, "media_type", at, word), field(source, "data", at, word)
            return File(data=data, media_type=media_type, name=name, cache_control=cache_control)
        case "text":
            data = b64encode(field(source, "data", at, text).encode()).decode()
            return File(data=data, media_type="text/plain", name=name, cache_control=cache_control)
        case "url":
            return File(url=field(source, "url", at, word), name=name, cache_control=cache_control)
        case "file":
            return File(id=field(source, "file_id", at, word), name=name, cache_control=cache_control)
    return Other(NAME, item)


def _tool_use(item: JSON, path: str) -> ToolCall:
    """`input` is an object here and JSON text elsewhere (WIRE 26)."""
    return ToolCall(
        id=field(item, "id", path, word),
        name=field(item, "name", path, word),
        arguments=encode(field(item, "input", path, obj)).decode(),
        cache_control=option(item, "cache_control", path, obj),
    )


def _tool_result(item: JSON, path: str) -> ToolResult:
    content = item.get("content")
    return ToolResult(
        id=field(item, "tool_use_id", path, word),
        parts=() if content is None else _blocks(content, f"{path}.content"),
        is_error=option(item, "is_error", path, flag) or False,
        cache_control=option(item, "cache_control", path, obj),
    )


def _thinking(item: JSON, path: str) -> Reasoning:
    signature = option(item, "signature", path, text)
    return Reasoning(field(item, "thinking", path, text), signature or None)


def _redacted(item: JSON, path: str) -> Reasoning:
    return Reasoning(encrypted=field(item, "data", path, word))


_BLOCKS: dict[str, Callable[[JSON, str], Part]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}

# ---- tools and settings ---------------------------------------------------------------------------------------------


def tools(value: Any, path: str) -> tuple[Tool, ...]:
    return tuple(_tool(item, f"{path}[{i}]") for i, item in enumerate(array(value, path)))


def _tool(item: Any, path: str) -> Tool:
    kind = option(obj(item, path), "type", path, word) or "custom"
    if kind != "custom":
        name = option(item, "name", path, word) or kind
        return Tool(name=name, wire=NAME, native=item)
    return Tool(
        name=field(item, "name", path, word),
        description=option(item, "description", path, text),
        parameters=field(item, "input_schema", path, obj),
        strict=option(item, "strict", path, flag),
        cache_control=option(item, "cache_control", path, obj),
    )


def tool_choice(value: Any, path: str) -> dict[str, Any]:
    """How tools are to be chosen, and whether several at once, under their canonical names."""
    kind = field(obj(value, path), "type", path, word)
    found: dict[str, Any] = {}
    if option(value, "disable_parallel_tool_use", path, flag):
        found["parallel_tool_calls"] = False
    if kind == "tool":
        found["tool_choice"] = ToolChoice("tool", field(value, "name", path, word))
    elif kind in ("auto", "none", "any"):
        found["tool_choice"] = ToolChoice("required" if kind == "any" else kind)
    else:
        raise BadRequest(f"{path}.type must be auto, any, tool or none", param=f"{path}.type")
    return found


_budget = integer(1)


def thinking(body: JSON) -> dict[str, Any]:
    """Thinking and the form of the answer, under their canonical names; what has none stays in `extra`."""
    found: dict[str, Any] = {}
    extra: JSON = {}
    config = option(body, "thinking", "", obj)
    kind = None if config is None else field(config, "type", "thinking", word)
    if config is not None and kind == "enabled":
        found["reasoning_budget"] = field(config, "budget_tokens", "thinking", _budget)
    elif kind == "disabled":
        found["reasoning_budget"] = 0
    if config is not None and not (kind == "disabled" or config.keys() == {"type", "budget_tokens"}):
        extra["thinking"] = config
    output = option(body, "output_config", "", obj)
    if output is not None:
        rest = _output(output, found, thinks=kind not in (None, "disabled"))
        if rest:
            extra["output_config"] = rest
    return found | {"extra": extra} if extra else found


def _output(output: JSON, found: dict[str, Any], *, thinks: bool) -> JSON:
    """`format` is canonical; so is `effort` where the model is to think, which is all it means elsewhere."""
    rest = {name: value for name, value in output.items() if value is not None}
    effort = option(output, "effort", "output_config", word)
    if effort is not None and thinks and "reasoning_budget" not in found:
        found["reasoning_effort"] = effort
        del rest["effort"]
    form = option(output, "format", "output_config", obj)
    if form is not None and form.get("type") == "json_schema":
        schema = field(form, "schema", "output_config.format", obj)
        found["response_format"] = ResponseFormat("json_schema", name="answer", schema=schema, strict=True)
        del rest["format"]
    return rest


def user_of(metadata: JSON | None) -> str | None:
    return None if metadata is None else option(metadata, "user_id", "metadata", word)
