"""Puts a call into the words of OpenAI's chat completions, with the peculiarities of the upstream's row."""

from __future__ import annotations

from typing import Any, Final

from comporta.providers.base import Query
from comporta.providers.carry import leave_out, no_field, present
from comporta.providers.openai_messages import NAME, messages_of
from comporta.types import JSON, Input, ResponseFormat, Tool, ToolChoice

#: Fields without a canonical name that pass from any door: those of OpenAI, and of the servers that speak its wire.
_OWN_FIELDS: Final = frozenset(
    {"audio", "chat_template_kwargs", "min_p", "models", "moderation", "plugins", "prediction", "prompt_cache_key",
     "prompt_cache_retention", "provider", "reasoning_format", "repetition_penalty", "safety_identifier",
     "structured_outputs", "typical_p", "verbosity", "web_search_options"}
)  # fmt: skip
#: Thinking budgets in tokens, and the effort that stands for them.
_EFFORTS: Final = ((2048, "low"), (12288, "medium"))
_MAX_FIELDS: Final = ("max_tokens", "max_completion_tokens")


def body_of(query: Query, options: JSON) -> tuple[JSON, tuple[str, ...]]:
    """The request's body, and the hints it could not carry."""
    given = query.input
    if "unsupported" in options:
        refuse(given, options["unsupported"])
    dropped: list[str] = []
    if given.raw is not None and given.wire == NAME:
        body = {**given.raw, "model": query.model}
        _rename_max(body, options)
    else:
        body = _written(query, options, dropped)
    stream(body, query, options)
    for name in options.get("drop", ()):
        if body.pop(name, None) is not None:
            dropped.append(name)
    for name, theirs in options.get("rename", {}).items():
        if name in body:
            body[theirs] = body.pop(name)
    if "prefill_message" in options or "prefill_body" in options:
        _prefill(body, options)
    return body, tuple(dropped)


def stream(body: JSON, query: Query, options: JSON) -> None:
    """How the answer is to come; usage is always asked for, for the bill (WIRE 7)."""
    if not query.stream:
        body.pop("stream", None)
        body.pop("stream_options", None)
        return
    body["stream"] = True
    if options.get("stream_usage", True):
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)


def refuse(given: Input, fields: Any) -> None:
    """Raises Unsupported for what the row says that the upstream would silently pass over (WIRE 12)."""
    asked = {
        "tools": bool(given.tools),
        "n": given.n > 1,
        "logprobs": bool(given.logprobs),
        "json_schema": given.response_format is not None and given.response_format.kind == "json_schema",
        "response_format": given.response_format is not None and given.response_format.kind != "text",
        "modalities": any(modality != "text" for modality in given.modalities),
        "dimensions": given.dimensions is not None,
    }
    for field in fields:
        if asked.get(field):
            raise no_field("This provider", "response_format" if field == "json_schema" else field)


def _rename_max(body: JSON, options: JSON) -> None:
    """The limit of the answer's length under the one name that the upstream knows."""
    wanted = options.get("max_tokens_field")
    if wanted is None:
        return
    for name in _MAX_FIELDS:
        if name != wanted and name in body:
            value = body.pop(name)
            if body.get(wanted) is None:
                body[wanted] = value


def _prefill(body: JSON, options: JSON) -> None:
    """Says, in the upstream's own way, that a last message of the assistant is to be continued."""
    last = body["messages"][-1] if body.get("messages") else None
    if not isinstance(last, dict) or last.get("role") != "assistant" or last.get("tool_calls"):
        return
    body["messages"] = [*body["messages"][:-1], {**last, **options.get("prefill_message", {})}]
    body.update(options.get("prefill_body", {}))


def _written(query: Query, options: JSON, dropped: list[str]) -> JSON:
    given = query.input
    body: JSON = present(
        model=query.model,
        messages=messages_of(given.messages, options),
        tools=[_tool(tool) for tool in given.tools] or None,
        tool_choice=_choice(given.tool_choice),
        parallel_tool_calls=given.parallel_tool_calls if given.tools else None,
        response_format=_format(given.response_format),
        temperature=given.temperature,
        top_p=given.top_p,
        stop=list(given.stop) or None,
        seed=given.seed,
        n=given.n if given.n != 1 else None,
        presence_penalty=given.presence_penalty,
        frequency_penalty=given.frequency_penalty,
        logprobs=given.logprobs,
        top_logprobs=given.top_logprobs,
        logit_bias=given.logit_bias,
        modalities=list(given.modalities) or None,
        user=given.user,
    )
    if given.max_tokens is not None:
        body[options.get("max_tokens_field", "max_tokens")] = given.max_tokens
    own = given.wire in ("", NAME)
    if given.metadata is not None and own:
        body["metadata"] = given.metadata
    _hint(body, query, options, dropped, own)
    _extra(body, given, dropped, own)
    return body


def _hint(body: JSON, query: Query, options: JSON, dropped: list[str], own: bool) -> None:
    """Hints that not every upstream takes: carried, or left out and reported (WIRE 20)."""
    given = query.input
    if given.top_k is not None:
        if options.get("top_k") or given.wire == NAME:
            body["top_k"] = given.top_k
        else:
            dropped.append("top_k")
    effort = given.reasoning_effort
    if effort is None and given.reasoning_budget == 0:
        # No word stops every model: some refuse `none`, and to those that know it that is the default.
        if not query.capabilities or "reasoning" in query.capabilities:
            dropped.append("reasoning_budget")
        return
    if effort is None and given.reasoning_budget is not None:
        effort = next((word for most, word in _EFFORTS if given.reasoning_budget <= most), "high")
    if effort is None:
        return
    asked = given.reasoning_effort is not None
    if "reasoning" in query.capabilities or (asked and (own or not query.capabilities)):
        body["reasoning_effort"] = effort
    else:
        dropped.append("reasoning_effort" if asked else "reasoning_budget")


def _extra(body: JSON, given: Input, dropped: list[str], own: bool) -> None:
    for name, value in given.extra.items():
        if own or name in _OWN_FIELDS:
            body.setdefault(name, value)
        else:
            leave_out("This provider", name, value, dropped)


def _tool(tool: Tool) -> JSON:
    if tool.native is not None:
        if tool.wire == NAME:
            return tool.native
        raise no_field("OpenAI's chat wire", "tools", f"{tool.name!r} is a built-in tool of another provider")
    function = present(
        name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
    )  # fmt: skip
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice | None) -> Any:
    if choice is None or choice.mode != "tool":
        return None if choice is None else choice.mode
    return {"type": "function", "function": {"name": choice.name}}


def _format(wanted: ResponseFormat | None) -> JSON | None:
    if wanted is None:
        return None
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema = present(
        name=wanted.name or "answer", schema=wanted.schema, strict=wanted.strict, description=wanted.description
    )  # fmt: skip
    return {"type": "json_schema", "json_schema": schema}
