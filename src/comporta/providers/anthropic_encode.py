"""Puts a call into the words of Anthropic's Messages API."""

from __future__ import annotations

import re
from typing import Final

from comporta.errors import BadRequest
from comporta.providers.anthropic_models import traits_of
from comporta.providers.anthropic_thinking import think
from comporta.providers.base import Query
from comporta.providers.carry import (
    GEMINI_SIGNATURE,
    arguments_of,
    leave_out,
    no_field,
    no_file,
    no_part,
    plain_text,
    present,
    split_system,
    text_of,
)
from comporta.types import (
    JSON,
    File,
    Image,
    Input,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

NATIVE: Final = "anthropic.messages"
#: Asked for unless the client names another: the later one takes no sampling, which older models still do.
VERSION: Final = "2023-06-01"
#: Stands in where a model has no structured output of its own: its input is the answer.
JSON_TOOL: Final = "respond_with_json"
#: What a catalogue may call structured output; where it says nothing the model's name decides.
_STRUCTURED: Final = frozenset({"json_schema", "structured_output", "structured_outputs", "response_schema"})
#: Fields of the API that have no canonical name: they pass from any door.
_OWN_FIELDS: Final = frozenset(
    {"thinking", "output_config", "container", "context_management", "mcp_servers", "inference_geo", "cache_control",
     "diagnostics", "speed"}
)  # fmt: skip
_BAD_ID: Final = re.compile(r"[^A-Za-z0-9_-]")
_DEFAULT_MAX_TOKENS: Final = 4096
#: Said for the user where the assistant opens the conversation: the API takes none of those.
_OPENING: Final = "(The assistant opens.)"


def body_of(query: Query) -> tuple[JSON, tuple[str, ...]]:
    """The request's body, and the hints it could not carry."""
    given = query.input
    if given.wire == NATIVE and given.raw is not None:
        return _as_it_came(query, given.raw), ()
    _refuse_what_it_cannot(given)
    system, turns = split_system(given.messages)
    messages = messages_of(turns)
    thinking = think(query, messages, forced=json_tool(query))
    body = present(
        model=query.model,
        messages=messages,
        system=_system(system),
        thinking=thinking.config,
        **_tools(query),
    )
    output = {**thinking.output, **_output(query)}
    if output:
        body["output_config"] = output
    dropped = list(thinking.dropped)
    if query.kind == "chat":
        body["max_tokens"] = thinking.max_tokens or given.max_tokens or query.max_output or _DEFAULT_MAX_TOKENS
        body |= _sampling(query, thinks=thinking.config is not None, dropped=dropped)
        if query.stream:
            body["stream"] = True
    extra = _extra(given, dropped)
    if output and isinstance(extra.get("output_config"), dict):
        extra["output_config"] = {**output, **extra["output_config"]}
    body |= extra
    return body, tuple(dict.fromkeys(dropped))


def _as_it_came(query: Query, raw: JSON) -> JSON:
    """The client's own body: another model's name, and streamed as this call is."""
    body = dict(raw, model=query.model)
    if any(isinstance(p, Reasoning) and _thinking(p) is None for m in query.input.messages for p in m.parts):
        body["messages"] = [_own_thoughts(message) for message in raw["messages"]]
    body.pop("stream", None)
    if query.kind == "chat" and query.stream:
        body["stream"] = True
    return body


def _own_thoughts(message: JSON) -> JSON:
    """A message without thinking that another model did, in an earlier turn of the same conversation."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kept = [b for b in content if b.get("type") != "thinking" or _is_signature(b.get("signature"))]
    return {**message, "content": kept} if kept else message


def json_tool(query: Query) -> bool:
    """Whether the answer is asked for as the input of a tool, to be unwrapped into text."""
    wanted = query.input.response_format
    if wanted is None or wanted.kind == "text" or (query.input.wire == NATIVE and query.input.raw is not None):
        return False
    return wanted.kind == "json_object" or not _has_structured_output(query, wanted)


def _has_structured_output(query: Query, wanted: ResponseFormat) -> bool:
    known = query.capabilities
    if wanted.schema is None:
        return False
    return any(word in _STRUCTURED for word in known) if known else traits_of(query.model).structured


def _refuse_what_it_cannot(given: Input) -> None:
    if given.n > 1:
        raise no_field("Anthropic", "n", "it gives one answer per call")
    if given.logprobs or given.top_logprobs:
        raise no_field("Anthropic", "logprobs")
    if given.logit_bias:
        raise no_field("Anthropic", "logit_bias")
    for modality in given.modalities:
        if modality != "text":
            raise no_field("Anthropic", "modalities", f"it answers in text, not in {modality}")


# ---- messages -------------------------------------------------------------------------------------------------------


def messages_of(turns: list[Message]) -> list[JSON]:
    """Turns that alternate and begin with the user; neighbours of one role become one."""
    messages: list[JSON] = []
    for turn in turns:
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = [block for part in turn.parts if (block := _block(part, role)) is not None]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"].extend(blocks)
        else:
            messages.append({"role": role, "content": blocks})
    if not messages:
        raise BadRequest("Every message is empty.", param="messages")
    if messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
    for message in messages:
        if message["role"] == "user":
            # The API wants the results of tools before anything else that the user says.
            message["content"].sort(key=lambda block: block.get("type") != "tool_result")
    _trim_beginning_of_answer(messages[-1])
    return messages


def _trim_beginning_of_answer(last: JSON) -> None:
    """A given beginning of the answer may not end in white space: the API refuses it."""
    block = last["content"][-1]
    if last["role"] == "assistant" and block.get("type") == "text":
        block["text"] = block["text"].rstrip()


def _block(part: Part, role: str) -> JSON | None:
    match part:
        case Text():
            # Text of nothing but white space is refused, and says nothing.
            return present(type="text", text=part.text, cache_control=part.cache_control) if part.text.strip() else None
        case Refusal():
            return {"type": "text", "text": part.text} if part.text.strip() else None
        case ToolCall():
            return _tool_use(part)
        case ToolResult():
            return _tool_result(part)
        case Image():
            return _image(part)
        case File():
            return _document(part)
        case Reasoning():
            return _thinking(part) if role == "assistant" else None
        case Other() if part.wire == NATIVE:
            return dict(part.value)
    raise no_part("Anthropic", part)


def _is_signature(text: str | None) -> bool:
    return bool(text) and not str(text).startswith(GEMINI_SIGNATURE)


def _thinking(part: Reasoning) -> JSON | None:
    """Only what Anthropic signed or sealed itself; another model's thoughts would be refused, so they stay out."""
    if _is_signature(part.signature):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if part.encrypted and part.id is None:
        return {"type": "redacted_thinking", "data": part.encrypted}
    return None


def _tool_use(part: ToolCall) -> JSON:
    return present(
        type="tool_use",
        id=_id(part.id),
        name=part.name,
        input=arguments_of(part),
        cache_control=part.cache_control,
    )


def _id(value: str) -> str:
    return _BAD_ID.sub("_", value) or "_"


def _tool_result(part: ToolResult) -> JSON:
    blocks = [block for inner in part.parts if (block := _block(inner, "user")) is not None]
    content: object = blocks
    if all(isinstance(inner, Text) and inner.cache_control is None for inner in part.parts):
        content = text_of(part.parts)
    return present(
        type="tool_result",
        tool_use_id=_id(part.id),
        content=content or None,
        is_error=part.is_error or None,
        cache_control=part.cache_control,
    )


def _image(part: Image) -> JSON:
    source: JSON = {"type": "url", "url": part.url}
    if part.data is not None:
        source = {"type": "base64", "media_type": part.media_type or "image/png", "data": part.data}
    elif part.url is None:
        raise BadRequest("An image has neither data nor a URL.", param="messages")
    return present(type="image", source=source, cache_control=part.cache_control)


def _document(part: File) -> JSON:
    source: JSON
    if part.id is not None:
        source = {"type": "file", "file_id": part.id}
    elif part.url is not None:
        source = {"type": "url", "url": part.url}
    elif part.data is not None and (part.media_type or "application/pdf") == "application/pdf":
        source = {"type": "base64", "media_type": "application/pdf", "data": part.data}
    elif part.data is not None and (part.media_type or "").startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": plain_text(part.data)}
    else:
        raise no_file("Anthropic", part)
    return present(type="document", source=source, title=part.name, cache_control=part.cache_control)


def _system(texts: list[Text]) -> str | list[JSON] | None:
    texts = [part for part in texts if part.text.strip()]
    if not texts:
        return None
    if any(part.cache_control for part in texts):
        return [present(type="text", text=part.text, cache_control=part.cache_control) for part in texts]
    return "\n\n".join(part.text for part in texts)


# ---- tools and the form of the answer ------------------------------------------------------------------------------


def _tools(query: Query) -> JSON:
    given = query.input
    tools = [_tool(tool) for tool in given.tools]
    choice = _choice(given)
    if json_tool(query):
        tools.append(_json_tool(given.response_format))
        choice = {"type": "any"} if given.tools else {"type": "tool", "name": JSON_TOOL}
    if not tools:
        return {}
    if given.parallel_tool_calls is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return present(tools=tools, tool_choice=choice)


def _tool(tool: Tool) -> JSON:
    if tool.native is not None:
        if tool.wire != NATIVE:
            raise no_field("Anthropic", "tools", f"{tool.name!r} is a built-in tool of another provider")
        return tool.native
    return present(
        name=tool.name,
        description=tool.description,
        input_schema={"type": "object", **(tool.parameters or {})},
        strict=tool.strict or None,
        cache_control=tool.cache_control,
    )


def _choice(given: Input) -> JSON | None:
    choice = given.tool_choice
    if choice is None:
        return None
    if not given.tools and choice.mode in ("required", "tool"):
        raise BadRequest("A tool must be called, but no tools are given.", param="tool_choice")
    if choice.mode == "tool":
        return {"type": "tool", "name": choice.name}
    return {"type": "any" if choice.mode == "required" else choice.mode}


def _json_tool(wanted: ResponseFormat | None) -> JSON:
    schema = (wanted.schema if wanted else None) or {}
    return {
        "name": JSON_TOOL,
        "description": (wanted.description if wanted else None) or "Give the answer, as JSON, with this tool.",
        "input_schema": {"type": "object", **schema},
    }


def _output(query: Query) -> JSON:
    wanted = query.input.response_format
    if wanted is None or wanted.kind == "text" or json_tool(query):
        return {}
    return {"format": {"type": "json_schema", "schema": closed(wanted.schema or {})}}


def closed(schema: JSON) -> JSON:
    """A schema whose objects take no further properties, which the API demands of every one."""
    result: JSON = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            result[key] = {name: _closed(inner) for name, inner in value.items()}
        elif key in ("anyOf", "allOf", "oneOf") and isinstance(value, list):
            result[key] = [_closed(inner) for inner in value]
        else:
            result[key] = _closed(value) if key == "items" else value
    if schema.get("type") == "object" or "properties" in schema:
        result["additionalProperties"] = False
    return result


def _closed(value: object) -> object:
    return closed(value) if isinstance(value, dict) else value


# ---- sampling -------------------------------------------------------------------------------------------------------


def _sampling(query: Query, *, thinks: bool, dropped: list[str]) -> JSON:
    given = query.input
    stops = [text for text in given.stop if text.strip()]
    dropped.extend(_given(given, "seed", "presence_penalty", "frequency_penalty"))
    if len(stops) < len(given.stop):
        dropped.append("stop")
    user = given.user or (given.metadata or {}).get("user_id")
    return present(
        **_temperature(query, thinks=thinks, dropped=dropped),
        stop_sequences=stops or None,
        metadata={"user_id": user} if isinstance(user, str) else None,
    )


def _given(given: Input, *names: str) -> list[str]:
    return [name for name in names if getattr(given, name) is not None]


def _temperature(query: Query, *, thinks: bool, dropped: list[str]) -> JSON:
    """How to draw tokens. What thinks, newer models and the newer version of the API refuse to be told."""
    given = query.input
    newer = query.headers.get("anthropic-version", VERSION) != VERSION
    if thinks or newer or not traits_of(query.model).sampling:
        dropped.extend(_given(given, "temperature", "top_p", "top_k"))
        return {}
    temperature, top_p = given.temperature, given.top_p
    if temperature is not None and temperature > 1:
        temperature = 1.0
        dropped.append("temperature")
    if temperature is not None and top_p is not None:
        # The models of one generation refuse both at once.
        top_p = None
        dropped.append("top_p")
    return {"temperature": temperature, "top_p": top_p, "top_k": given.top_k}


def _extra(given: Input, dropped: list[str]) -> JSON:
    """Further fields: all of them from a client of this API, else those that only it can mean."""
    if any(message.name for message in given.messages):
        dropped.append("messages.name")
    if given.wire == NATIVE:
        return dict(given.extra)
    for name, value in given.extra.items():
        if name not in _OWN_FIELDS:
            leave_out("Anthropic", name, value, dropped)
    return {name: value for name, value in given.extra.items() if name in _OWN_FIELDS}
