"""Checks a request as strictly as Ollama's own server would where that keeps an encoder honest."""

from __future__ import annotations

from typing import Any, Final

from comporta.testing.rules import Broken, base64_at, known, list_at, need, number_at, object_at, one_of, text_at
from comporta.types import JSON

_CHAT: Final = frozenset(
    {"model", "messages", "stream", "format", "keep_alive", "tools", "options", "think", "truncate", "logprobs",
     "top_logprobs", "shift"}
)  # fmt: skip
_MESSAGE: Final = frozenset({"role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"})
_WHOLE: Final = frozenset(
    {"num_ctx", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "seed", "num_predict", "top_k",
     "repeat_last_n", "mirostat"}
)  # fmt: skip
_REAL: Final = frozenset(
    {"top_p", "min_p", "typical_p", "tfs_z", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty",
     "mirostat_tau", "mirostat_eta"}
)  # fmt: skip
_FLAGS: Final = frozenset({"numa", "low_vram", "use_mmap", "use_mlock", "penalize_newline"})


def check_chat(body: JSON) -> None:
    """Raises Broken for the first thing that is wrong. Unknown fields would be ignored in silence: here they fail."""
    known(body, _CHAT, "")
    _model(body)
    for number, message in enumerate(list_at(body.get("messages"), "messages")):
        _message(object_at(message, f"messages[{number}]"), f"messages[{number}]")
    for number, tool in enumerate(body.get("tools", ())):
        _tool(object_at(tool, f"tools[{number}]"), f"tools[{number}]")
    form = body.get("format", "json")
    need(form in ("", "json") or isinstance(form, dict), "format: `json` or a JSON schema is wanted")
    think = body.get("think", True)
    need(isinstance(think, bool) or think in ("low", "medium", "high"), f"think: invalid value {think!r}")
    _options(object_at(body.get("options", {}), "options"))


def check_embed(body: JSON) -> None:
    known(body, {"model", "input", "truncate", "options", "keep_alive", "dimensions"}, "")
    _model(body)
    texts = body.get("input")
    for text in texts if isinstance(texts, list) else [texts]:
        need(isinstance(text, str), "input: invalid input type")


def _model(body: JSON) -> None:
    name = text_at(body.get("model"), "model")
    if name.startswith("missing"):
        raise Broken(f"model '{name}' not found", status=404)


def _message(message: JSON, where: str) -> None:
    known(message, _MESSAGE, f"{where}.")
    role = one_of(message.get("role"), ("system", "user", "assistant", "tool"), f"{where}.role")
    need(isinstance(message.get("content", ""), str), f"{where}.content: text is wanted, not a list of parts")
    for image in message.get("images", ()):
        need(isinstance(image, str) and not image.startswith(("data:", "http")), "illegal base64 data at input byte 4")
        base64_at(image, f"{where}.images")
    for call in message.get("tool_calls", ()):
        function = object_at(object_at(call, where).get("function"), f"{where}.tool_calls.function")
        text_at(function.get("name"), f"{where}.tool_calls.function.name")
        object_at(function.get("arguments"), f"{where}.tool_calls.function.arguments")
    need(role == "assistant" or "tool_calls" not in message, f"{where}: only the assistant calls tools")
    need(role == "tool" or "tool_name" not in message, f"{where}.tool_name: only a tool's message has one")


def _tool(tool: JSON, where: str) -> None:
    one_of(tool.get("type"), ("function",), f"{where}.type")
    function = object_at(tool.get("function"), f"{where}.function")
    known(function, {"name", "description", "parameters"}, f"{where}.function.")
    text_at(function.get("name"), f"{where}.function.name")
    need(object_at(function.get("parameters"), where).get("type") == "object", f"{where}.parameters.type: object")


def _options(options: JSON) -> None:
    known(options, _WHOLE | _REAL | _FLAGS | {"stop"}, "options.")
    for name, value in options.items():
        if name in _WHOLE:
            need(type(value) is int, f'option "{name}" must be of type integer')
        elif name in _REAL:
            number_at(value, f"options.{name}", -1e9, 1e9)
        elif name == "stop":
            _strings(value)


def _strings(value: Any) -> None:
    need(isinstance(value, list) and all(isinstance(v, str) for v in value), 'option "stop" must be of type array')
