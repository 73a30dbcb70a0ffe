"""Checks a request as strictly as Anthropic's Messages API would where that keeps an encoder honest."""

from __future__ import annotations

from typing import Any, Final

from comporta.testing.rules import (
    Broken,
    base64_at,
    known,
    list_at,
    name_at,
    need,
    number_at,
    object_at,
    one_of,
    text_at,
)
from comporta.types import JSON

_VERSIONS: Final = ("2023-06-01", "2026-10-21")
_COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed",
     "context_management", "mcp_servers"}
)  # fmt: skip
_FIELDS: Final = _COUNTED | {
    "max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier", "container",
    "inference_geo", "diagnostics",
}  # fmt: skip
#: Models that draw tokens and think in their own way, by the beginning of their names.
_OWN_WAY: Final = (
    "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-haiku-5", "claude-fable",
    "claude-mythos",
)  # fmt: skip
_OLDER: Final = ("claude-2", "claude-3", "claude-haiku-4", "claude-opus-4-5", "claude-opus-4-1", "claude-sonnet-4-5")
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_BLOCKS: Final[dict[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "document": frozenset({"type", "source", "cache_control", "citations", "context", "title"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
}
_TOOL: Final = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control", "input_examples"})


def check_headers(headers: dict[str, str]) -> None:
    if not headers.get("x-api-key") and not headers.get("authorization"):
        raise Broken("x-api-key header is required", status=401, kind="authentication_error")
    need(headers.get("anthropic-version") in _VERSIONS, f"anthropic-version: one of {_VERSIONS} is required")
    need("application/json" in headers.get("content-type", ""), "content-type: application/json is wanted")


def check(body: JSON, version: str | None, *, counting: bool) -> None:
    """Raises Broken for the first thing that this version of the API would refuse."""
    known(body, _COUNTED if counting else _FIELDS, "")
    if version != _VERSIONS[0]:
        for name in ("temperature", "top_p", "top_k"):
            need(name not in body, f"{name}: removed in this version of the API")
    text_at(body.get("model"), "model")
    tools = _tools(body)
    _messages(body)
    if isinstance(body.get("system"), list):
        for number, block in enumerate(body["system"]):
            _block(block, f"system.{number}", {"text"})
    elif "system" in body:
        text_at(body["system"], "system")
    _choice(body, tools)
    _output(body)
    if not counting:
        need(type(body.get("max_tokens")) is int and body["max_tokens"] >= 1, "max_tokens: Field required")
        _sampling(body)
        _thinking(body)


# ---- messages -------------------------------------------------------------------------------------------------------


def _messages(body: JSON) -> None:
    messages = [object_at(m, f"messages.{n}") for n, m in enumerate(list_at(body.get("messages"), "messages"))]
    need(messages[0].get("role") == "user", "messages: first message must use the user role")
    asked: list[str] = []
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        known(message, {"role", "content"}, f"{where}.")
        role = one_of(message.get("role"), ("user", "assistant"), f"{where}.role")
        blocks = _content(message.get("content"), f"{where}.content")
        if role == "user":
            _results(blocks, asked, where)
        else:
            need(not asked, f"{where}: tool_use ids were found without tool_result blocks: {asked}")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        need(role == "assistant" or not asked, f"{where}: only the assistant uses tools")
    last = messages[-1]
    if last["role"] == "assistant":
        blocks = _content(last["content"], "messages")
        text = blocks[-1].get("text", "")
        need(text == text.rstrip(), "messages: final assistant content cannot end with trailing whitespace")


def _content(value: Any, where: str) -> list[JSON]:
    if isinstance(value, str):
        return [{"type": "text", "text": text_at(value, where)}]
    return [_block(block, f"{where}.{n}", _BLOCKS) for n, block in enumerate(list_at(value, where))]


def _results(blocks: list[JSON], asked: list[str], where: str) -> None:
    kinds = [block["type"] == "tool_result" for block in blocks]
    need(kinds == sorted(kinds, reverse=True), f"{where}: tool_result blocks must come first")
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for name in answered:
        need(name in asked, f"{where}: unexpected tool_use_id found in tool_result blocks: {name}")
    missing = [name for name in asked if name not in answered]
    need(not missing, f"{where}: tool_use ids were found without tool_result blocks: {missing}")


def _block(value: Any, where: str, kinds: Any) -> JSON:
    block = object_at(value, where)
    kind = one_of(block.get("type"), kinds, f"{where}.type")
    known(block, _BLOCKS[kind], f"{where}.{kind}.")
    if kind == "text":
        text_at(block.get("text"), f"{where}.text")
    elif kind in ("image", "document"):
        _source(object_at(block.get("source"), f"{where}.source"), f"{where}.source", kind)
    elif kind == "tool_use":
        name_at(block.get("id"), f"{where}.tool_use.id")
        name_at(block.get("name"), f"{where}.tool_use.name")
        object_at(block.get("input"), f"{where}.tool_use.input")
    elif kind == "tool_result":
        name_at(block.get("tool_use_id"), f"{where}.tool_use_id")
        content = block.get("content")
        if isinstance(content, list):
            for number, inner in enumerate(content):
                _block(inner, f"{where}.content.{number}", ("text", "image", "document"))
    elif kind == "thinking":
        need(isinstance(block.get("thinking"), str), f"{where}.thinking: Field required")
        text_at(block.get("signature"), f"{where}.signature")
        need(":" not in block["signature"], f"{where}: Invalid `signature` in `thinking` block")
    return block


def _source(source: JSON, where: str, kind: str) -> None:
    form = one_of(source.get("type"), ("base64", "url", "file", "text"), f"{where}.type")
    if form == "url":
        url = text_at(source.get("url"), f"{where}.url")
        need(url.startswith(("https://", "http://")), f"{where}.url: only http and https are fetched")
    elif form == "base64":
        types = _IMAGES if kind == "image" else {"application/pdf"}
        one_of(source.get("media_type"), types, f"{where}.media_type")
        base64_at(source.get("data"), f"{where}.data")
    elif form == "text":
        need(
            kind == "document" and source.get("media_type") == "text/plain", f"{where}.media_type: text/plain is wanted"
        )
        text_at(source.get("data"), f"{where}.data")
    else:
        text_at(source.get("file_id"), f"{where}.file_id")


# ---- tools and the rest ---------------------------------------------------------------------------------------------


def _tools(body: JSON) -> set[str]:
    names: set[str] = set()
    for number, value in enumerate(body.get("tools", ())):
        tool = object_at(value, f"tools.{number}")
        name = name_at(tool.get("name"), f"tools.{number}.name")
        need(name not in names, f"tools: Tool names must be unique: {name}")
        names.add(name)
        if tool.get("type", "custom") == "custom":
            known(tool, _TOOL, f"tools.{number}.")
            schema = object_at(tool.get("input_schema"), f"tools.{number}.input_schema")
            need(schema.get("type") == "object", f"tools.{number}.input_schema.type: `object` is wanted")
    return names


def _choice(body: JSON, tools: set[str]) -> None:
    if "tool_choice" not in body:
        return
    need(tools, "tool_choice: may only be specified while providing tools")
    choice = object_at(body["tool_choice"], "tool_choice")
    kind = one_of(choice.get("type"), ("auto", "any", "tool", "none"), "tool_choice.type")
    if kind == "tool":
        need(choice.get("name") in tools, f"tool_choice: tool {choice.get('name')!r} is not among the tools")
    need(kind != "none" or len(choice) == 1, "tool_choice.none: unknown field")


def _sampling(body: JSON) -> None:
    if body["model"].startswith(_OWN_WAY):
        for name in ("temperature", "top_p", "top_k"):
            need(name not in body, f"`{name}` is deprecated for this model.")
    if "temperature" in body:
        number_at(body["temperature"], "temperature", 0, 1)
        need("top_p" not in body, "`temperature` and `top_p` cannot both be specified for this model")
    if "top_p" in body:
        number_at(body["top_p"], "top_p", 0, 1)
    if "top_k" in body:
        number_at(body["top_k"], "top_k", 0, 1_000_000)
    for number, text in enumerate(body.get("stop_sequences", ())):
        text_at(text, f"stop_sequences.{number}")
    if "metadata" in body:
        known(object_at(body["metadata"], "metadata"), {"user_id"}, "metadata.")


def _thinking(body: JSON) -> None:
    thinking = object_at(body.get("thinking", {"type": "disabled"}), "thinking")
    kind = one_of(thinking.get("type"), ("enabled", "disabled", "adaptive", "between_tools"), "thinking.type")
    if kind == "enabled":
        need(not body["model"].startswith(_OWN_WAY), '"thinking.type.enabled" is not supported for this model.')
        number_at(thinking.get("budget_tokens"), "thinking.budget_tokens", 1024, body["max_tokens"] - 1)
    if kind not in ("enabled", "adaptive"):
        return
    need(body.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled")
    need("top_k" not in body, "`top_k` must be unset when thinking is enabled")
    choice = body.get("tool_choice", {}).get("type", "auto")
    need(choice in ("auto", "none"), "Thinking may not be enabled when tool_choice forces tool use.")
    if kind == "adaptive":
        older = body["model"].startswith(_OLDER)
        need(not older, "adaptive thinking is not supported on this model")
        return
    answers = [m for m in body["messages"] if m["role"] == "assistant" and isinstance(m["content"], list)]
    if answers and any(block["type"] == "tool_use" for block in answers[-1]["content"]):
        first = answers[-1]["content"][0]["type"]
        need(first.endswith("thinking"), f"Expected `thinking` or `redacted_thinking`, but found `{first}`")


def _output(body: JSON) -> None:
    config = object_at(body.get("output_config", {}), "output_config")
    known(config, {"format", "effort", "task_budget"}, "output_config.")
    if "effort" in config:
        one_of(config["effort"], ("low", "medium", "high", "xhigh", "max"), "output_config.effort")
    if "format" in config:
        form = object_at(config["format"], "output_config.format")
        known(form, {"type", "schema"}, "output_config.format.")
        one_of(form.get("type"), ("json_schema",), "output_config.format.type")
        _closed(object_at(form.get("schema"), "output_config.format.schema"), "output_config.format.schema")


def _closed(schema: JSON, where: str) -> None:
    if schema.get("type") == "object":
        need(schema.get("additionalProperties") is False, f"{where}: `additionalProperties` must be false")
    for name, inner in schema.items():
        if isinstance(inner, dict):
            _closed(inner, f"{where}.{name}")
        elif name in ("anyOf", "allOf"):
            for number, variant in enumerate(inner):
                _closed(variant, f"{where}.{name}.{number}")
