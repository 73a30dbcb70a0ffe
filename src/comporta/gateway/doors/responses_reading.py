"""Reading the items, tools and settings of OpenAI's Responses API into the canonical values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comporta.errors import BadRequest
from comporta.gateway.doors.chat_reading import function, json_schema
from comporta.gateway.doors.reading import array, field, file_of, image_at, missing, obj, option, text, word, wrong
from comporta.providers.openai_responses import SEALED, SIGNATURE
from comporta.types import (
    JSON,
    Audio,
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

NAME = "openai.responses"

_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}

# ---- items ----------------------------------------------------------------------------------------------------------


def messages(value: Any, path: str) -> tuple[Message, ...]:
    """A text, or items; what the assistant said and called in a row becomes one message, as other wires have it."""
    if type(value) is str:
        return (Message("user", (Text(value),)),)
    if type(value) is not list:
        raise wrong(path, "a string or an array of items", value)
    if not value:
        raise BadRequest(f"{path} must hold at least one item", param=path)
    read: list[Message] = []
    for i, item in enumerate(value):
        message = _item(item, f"{path}[{i}]")
        last = read[-1] if read else None
        if last is not None and last.role == message.role == "assistant":
            read[-1] = Message("assistant", last.parts + message.parts)
        else:
            read.append(message)
    return tuple(read)


def _item(item: Any, path: str) -> Message:
    kind = option(obj(item, path), "type", path, word) or "message"
    read = _ITEMS.get(kind)
    if read is not None:
        return read(item, path)
    # References and the calls of built-in tools mean something to this wire alone.
    role: Role = "user" if kind.endswith("_output") or kind == "mcp_approval_response" else "assistant"
    return Message(role, (Other(NAME, item),))


def _message(item: JSON, path: str) -> Message:
    role = field(item, "role", path, word)
    if role not in _ROLES:
        raise BadRequest(f"{path}.role must be one of {', '.join(_ROLES)}", param=f"{path}.role")
    if item.get("content") is None:
        raise missing(f"{path}.content")
    return Message(_ROLES[role], _parts(item["content"], f"{path}.content"))


def _function_call(item: JSON, path: str) -> Message:
    identity, name = field(item, "call_id", path, word), field(item, "name", path, word)
    return Message("assistant", (ToolCall(identity, name, field(item, "arguments", path, text)),))


def _function_output(item: JSON, path: str) -> Message:
    identity = field(item, "call_id", path, word)
    if item.get("output") is None:
        raise missing(f"{path}.output")
    return Message("tool", (ToolResult(identity, _parts(item["output"], f"{path}.output")),))


def _reasoning(item: JSON, path: str) -> Message:
    thoughts = "".join(
        [*_texts(item, "summary", path), *([] if item.get("summary") else _texts(item, "content", path))]
    )
    sealed = option(item, "encrypted_content", path, text)
    if sealed is not None and sealed.startswith(SIGNATURE):
        return Message("assistant", (Reasoning(thoughts, signature=sealed.removeprefix(SIGNATURE)),))
    if sealed is not None and sealed.startswith(SEALED):
        return Message("assistant", (Reasoning(thoughts, encrypted=sealed.removeprefix(SEALED)),))
    return Message("assistant", (Reasoning(thoughts, encrypted=sealed, id=option(item, "id", path, text)),))


def _texts(item: JSON, name: str, path: str) -> list[str]:
    at = f"{path}.{name}"
    entries = option(item, name, path, array) or []
    return [field(obj(entry, f"{at}[{i}]"), "text", f"{at}[{i}]", text) for i, entry in enumerate(entries)]


_ITEMS: dict[str, Callable[[JSON, str], Message]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _function_output,
    "reasoning": _reasoning,
}

# ---- parts ----------------------------------------------------------------------------------------------------------


def _parts(content: Any, path: str) -> tuple[Part, ...]:
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        raise wrong(path, "a string or an array of parts", content)
    return tuple([_part(item, f"{path}[{i}]") for i, item in enumerate(content)])


def _part(item: Any, path: str) -> Part:
    read = _PARTS.get(field(obj(item, path), "type", path, word))
    return Other(NAME, item) if read is None else read(item, path)


def _text(item: JSON, path: str) -> Text:
    return Text(field(item, "text", path, text))


def _image(item: JSON, path: str) -> Part:
    if item.get("image_url") is None:
        # Files of the provider's own are known to it alone.
        field(item, "file_id", path, word)
        return Other(NAME, item)
    return image_at(field(item, "image_url", path, text), f"{path}.image_url", option(item, "detail", path, text))


def _file(item: JSON, path: str) -> Part:
    return file_of(item, path)


def _audio(item: JSON, path: str) -> Audio:
    holder, at = field(item, "input_audio", path, obj), f"{path}.input_audio"
    return Audio(data=field(holder, "data", at, word), format=field(holder, "format", at, word))


def _refusal(item: JSON, path: str) -> Refusal:
    return Refusal(field(item, "refusal", path, text))


_PARTS: dict[str, Callable[[JSON, str], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "refusal": _refusal,
}

# ---- tools and settings ---------------------------------------------------------------------------------------------


def tools(value: Any, path: str) -> tuple[Tool, ...]:
    return tuple(_tool(item, f"{path}[{i}]") for i, item in enumerate(array(value, path)))


def _tool(item: Any, path: str) -> Tool:
    kind = field(obj(item, path), "type", path, word)
    if kind == "function":
        return function(item, path)
    return Tool(name=option(item, "name", path, word) or kind, wire=NAME, native=item)


def tool_choice(value: Any, path: str) -> ToolChoice | None:
    """A mode or a named function; None for the kinds that only OpenAI's own wire knows."""
    if value in ("auto", "none", "required"):
        return ToolChoice(value)
    if type(value) is not dict:
        raise BadRequest(f"{path} must be 'auto', 'none', 'required' or an object", param=path)
    if field(value, "type", path, word) != "function":
        return None
    return ToolChoice("tool", field(value, "name", path, word))


def text_settings(value: Any, found: dict[str, Any], extra: JSON) -> None:
    """The form of the answer, under its canonical name; further settings under the names that chat has for them."""
    rest = {k: v for k, v in obj(value, "text").items() if v is not None}
    form = option(rest, "format", "text", obj)
    if form is not None:
        known = _format(form, "text.format")
        if known is not None:
            found["response_format"] = known
            del rest["format"]
    if "verbosity" in rest:
        extra["verbosity"] = word(rest.pop("verbosity"), "text.verbosity")
    if rest:
        extra["text"] = rest


def _format(form: JSON, path: str) -> ResponseFormat | None:
    kind = field(form, "type", path, word)
    if kind == "json_schema":
        return json_schema(form, path)
    return ResponseFormat(kind) if kind in ("text", "json_object") else None


def reasoning_settings(value: Any, found: dict[str, Any], extra: JSON) -> None:
    """How hard to think, under its canonical name; further settings stay as they are."""
    rest = {k: v for k, v in obj(value, "reasoning").items() if v is not None}
    if "effort" in rest:
        found["reasoning_effort"] = word(rest.pop("effort"), "reasoning.effort")
    if rest:
        extra["reasoning"] = rest
