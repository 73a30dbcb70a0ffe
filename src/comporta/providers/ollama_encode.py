"""Puts a call into the words of Ollama's own API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comporta.errors import BadRequest, Unsupported
from comporta.providers.base import Query
from comporta.providers.carry import (
    arguments_of,
    can_think,
    leave_out,
    name_for,
    no_field,
    no_part,
    present,
    text_of,
    texts_of,
    tool_names,
)
from comporta.types import JSON, Image, Input, Message, Part, Reasoning, Refusal, Text, Tool, ToolCall, ToolResult

NATIVE: Final = "ollama"
_LEVELS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
#: Options of the runner without a canonical name; callers name them as Ollama does.
_OPTIONS: Final = frozenset(
    {"num_ctx", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "low_vram", "use_mmap", "use_mlock",
     "min_p", "typical_p", "tfs_z", "repeat_last_n", "repeat_penalty", "penalize_newline", "mirostat", "mirostat_tau",
     "mirostat_eta", "numa"}
)  # fmt: skip
_OWN_FIELDS: Final = frozenset({"keep_alive", "think", "truncate", "shift"})


def chat_body(query: Query) -> tuple[JSON, tuple[str, ...]]:
    """The body of /api/chat, and the hints it could not carry. `stream` is always told: Ollama's default is true."""
    given = query.input
    _refuse_what_it_cannot(given)
    dropped: list[str] = []
    options = _options(given)
    body = present(
        model=query.model,
        messages=list(_messages(given.messages)),
        stream=query.stream,
        tools=_tools(given, dropped),
        format=_format(given),
        think=_think(query, dropped),
        logprobs=given.logprobs or None,
        top_logprobs=given.top_logprobs if given.logprobs else None,
    )
    if not body["messages"]:
        raise BadRequest("There is no message to answer.", param="messages")
    for name, value in given.extra.items():
        if name == "options" and isinstance(value, dict):
            options = {**value, **options}
        elif name in _OPTIONS:
            options[name] = value
        elif name in _OWN_FIELDS:
            body[name] = value
        else:
            leave_out("Ollama", name, value, dropped)
    if any(message.name for message in given.messages):
        dropped.append("messages.name")
    if options:
        body["options"] = options
    return body, tuple(dict.fromkeys(dropped))


def embed_body(query: Query) -> tuple[JSON, tuple[str, ...]]:
    """The body of /api/embed."""
    given = query.input
    own = {name: value for name, value in given.extra.items() if name in ("keep_alive", "truncate", "options")}
    body = present(model=query.model, input=texts_of("Ollama", given), dimensions=given.dimensions)
    dropped = tuple(name for name in given.extra if name not in own and name != "encoding_format")
    return {**body, **own}, dropped


def _refuse_what_it_cannot(given: Input) -> None:
    if given.n > 1:
        raise no_field("Ollama", "n", "it gives one answer per call")
    if given.logit_bias:
        raise no_field("Ollama", "logit_bias")
    for modality in given.modalities:
        if modality != "text":
            raise no_field("Ollama", "modalities", f"it answers in text, not in {modality}")
    choice = given.tool_choice
    if choice is not None and choice.mode in ("required", "tool"):
        raise no_field("Ollama", "tool_choice", "it can't force a tool to be called")


# ---- messages -------------------------------------------------------------------------------------------------------


def _messages(messages: tuple[Message, ...]) -> Iterator[JSON]:
    names = tool_names(messages)
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            yield {"role": "tool", "tool_name": name_for(result, names), **_content(result.parts)}
        rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
        if rest:
            role = "user" if message.role == "tool" else message.role
            yield {"role": role, **_content(rest)}


def _content(parts: tuple[Part, ...]) -> JSON:
    for part in parts:
        if not isinstance(part, Text | Refusal | Image | ToolCall | Reasoning):
            raise no_part("Ollama", part)
    thoughts = "".join(part.text for part in parts if isinstance(part, Reasoning))
    calls = [
        {"function": {"name": part.name, "arguments": arguments_of(part)}}
        for part in parts
        if isinstance(part, ToolCall)
    ]
    images = [_image(part) for part in parts if isinstance(part, Image)]
    return {
        "content": text_of(parts),
        **present(thinking=thoughts or None, images=images or None, tool_calls=calls or None),
    }


def _image(part: Image) -> str:
    if part.data is None:
        raise Unsupported(
            "Ollama takes images inline only: let the gate fetch the URL (`images` of the route), or send a data URL.",
            param="messages",
        )
    return part.data


# ---- tools and the form of the answer ------------------------------------------------------------------------------


def _tools(given: Input, dropped: list[str]) -> list[JSON] | None:
    """`none` means that no tool may be called: Ollama has no word for it, so no tool is shown."""
    if given.parallel_tool_calls is False and given.tools:
        dropped.append("parallel_tool_calls")
    if not given.tools or (given.tool_choice is not None and given.tool_choice.mode == "none"):
        return None
    return [_tool(tool) for tool in given.tools]


def _tool(tool: Tool) -> JSON:
    if tool.native is not None:
        if tool.wire != NATIVE:
            raise no_field("Ollama", "tools", f"{tool.name!r} is a built-in tool of another provider")
        return tool.native
    schema = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": present(name=tool.name, description=tool.description, parameters=schema)}


def _format(given: Input) -> JSON | str | None:
    wanted = given.response_format
    if wanted is None or wanted.kind == "text":
        return None
    return wanted.schema if wanted.schema is not None else "json"


def _think(query: Query, dropped: list[str]) -> bool | str | None:
    effort, budget = query.input.reasoning_effort, query.input.reasoning_budget
    if not can_think(query):
        dropped.extend(
            name for name in ("reasoning_effort", "reasoning_budget") if getattr(query.input, name) is not None
        )
        return None
    if budget is not None:
        # It can be told whether to think, and not how long.
        dropped.append("reasoning_budget")
    if effort is None:
        return None if budget is None else budget > 0
    if effort == "none":
        return False
    if effort not in _LEVELS:
        dropped.append("reasoning_effort")
    return _LEVELS.get(effort, True)


def _options(given: Input) -> JSON:
    return present(
        temperature=given.temperature,
        top_p=given.top_p,
        top_k=given.top_k,
        seed=given.seed,
        num_predict=given.max_tokens,
        stop=list(given.stop) or None,
        presence_penalty=given.presence_penalty,
        frequency_penalty=given.frequency_penalty,
    )
