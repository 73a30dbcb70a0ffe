"""Checks a request as strictly as Google's Gemini API would: unknown fields are refused by name."""

from __future__ import annotations

from collections.abc import Collection
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

_FIELDS: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent",
     "labels", "serviceTier", "store"}
)  # fmt: skip
_CONFIG: Final = frozenset(
    {"temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed", "presencePenalty",
     "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType", "responseSchema", "responseJsonSchema",
     "responseModalities", "thinkingConfig", "mediaResolution", "speechConfig", "imageConfig"}
)  # fmt: skip
_DATA: Final = frozenset(
    {"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"}
)
_TOOLS: Final = frozenset(
    {"functionDeclarations", "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps",
     "fileSearch", "computerUse"}
)  # fmt: skip
#: Bytes come in either alphabet of base64.
_PLAIN: Final = str.maketrans("-_", "+/")
_CALLERS: Final = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels"}
)
_LEVELS: Final = frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH"})


def camel(value: Any) -> Any:
    """The body with its fields in camel case: the API takes both spellings. What is the caller's own stays as it is."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {_camel(name): inner for name, inner in value.items()}
    return {name: inner if name in _CALLERS else camel(inner) for name, inner in named.items()}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def check_headers(headers: dict[str, str], query: dict[str, str]) -> None:
    if "key" in query:
        raise Broken("The key belongs into a header: URLs end up in logs", kind="INVALID_ARGUMENT")
    if not headers.get("x-goog-api-key"):
        raise Broken("Method doesn't allow unregistered callers", status=403, kind="PERMISSION_DENIED")


def check_chat(body: JSON, model: str, extra: Collection[str] = ()) -> None:
    """Raises Broken for the first thing that generateContent would refuse."""
    known(body, _FIELDS | set(extra), "")
    if "systemInstruction" in body:
        for part in _content(body["systemInstruction"], "systemInstruction"):
            need("text" in part, "systemInstruction: only text parts are taken")
    _contents(list_at(body.get("contents"), "contents"), model)
    names = _tools(body.get("tools", []))
    _tool_config(object_at(body.get("toolConfig", {}), "toolConfig"), names)
    _generation(object_at(body.get("generationConfig", {}), "generationConfig"), model)


def check_count(body: JSON, model: str) -> None:
    known(body, {"contents", "generateContentRequest"}, "")
    need(("contents" in body) != ("generateContentRequest" in body), "contents or generateContentRequest is wanted")
    if "contents" in body:
        _contents(list_at(body["contents"], "contents"), model)
    else:
        request = object_at(body["generateContentRequest"], "generateContentRequest")
        need(request.get("model") == model, "generateContentRequest.model: not the model of the URL")
        check_chat(request, model, {"model"})


def check_embed(body: JSON, model: str) -> None:
    known(body, {"requests"}, "")
    for number, request in enumerate(list_at(body.get("requests"), "requests")):
        where = f"requests[{number}]"
        known(request, {"model", "content", "taskType", "title", "outputDimensionality"}, f"{where}.")
        need(request.get("model") == model, f"{where}.model: not the model of the URL")
        for part in _content(request.get("content"), f"{where}.content"):
            text_at(part.get("text"), f"{where}.content.parts.text")
        if "outputDimensionality" in request:
            number_at(request["outputDimensionality"], f"{where}.outputDimensionality", 1, 3072)


# ---- contents -------------------------------------------------------------------------------------------------------


def _contents(contents: list[Any], model: str) -> None:
    calls: list[str] = []
    for number, value in enumerate(contents):
        where = f"contents[{number}]"
        content = object_at(value, where)
        known(content, {"role", "parts"}, f"{where}.")
        role = one_of(content.get("role", "user"), ("user", "model"), f"{where}.role")
        parts = _content(content, where)
        answers = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        need(sorted(answers) == sorted(calls), f"{where}: as many function responses as calls are wanted: {calls}")
        called = [part for part in parts if "functionCall" in part]
        need(role == "model" or not called, f"{where}: only the model calls functions")
        if called and model.startswith("models/gemini-3"):
            need(called[0].get("thoughtSignature"), f"{where}: Function call is missing a thought_signature")
        calls = [part["functionCall"]["name"] for part in called]


def _content(value: Any, where: str) -> list[JSON]:
    content = object_at(value, where)
    parts = [object_at(part, f"{where}.parts") for part in list_at(content.get("parts"), f"{where}.parts")]
    for number, part in enumerate(parts):
        _part(part, f"{where}.parts[{number}]")
    return parts


def _part(part: JSON, where: str) -> None:
    known(part, _DATA | {"thought", "thoughtSignature", "videoMetadata", "mediaResolution"}, f"{where}.")
    kinds = [name for name in part if name in _DATA]
    need(len(kinds) == 1, f"{where}.data: exactly one kind of data is wanted, not {kinds}")
    if "text" in part:
        need(isinstance(part["text"], str), f"{where}.text: text is wanted")
    elif "inlineData" in part:
        known(object_at(part["inlineData"], where), {"mimeType", "data"}, f"{where}.inlineData.")
        need("/" in part["inlineData"].get("mimeType", ""), f"{where}.inlineData.mimeType: a media type is wanted")
        data = part["inlineData"].get("data")
        base64_at(data.translate(_PLAIN) if isinstance(data, str) else data, f"{where}.inlineData.data")
    elif "fileData" in part:
        known(object_at(part["fileData"], where), {"mimeType", "fileUri"}, f"{where}.fileData.")
        uri = text_at(part["fileData"].get("fileUri"), f"{where}.fileData.fileUri")
        need(not uri.startswith("data:"), f"{where}.fileData.fileUri: a data URL is no file")
    elif "functionCall" in part:
        known(object_at(part["functionCall"], where), {"id", "name", "args"}, f"{where}.functionCall.")
        name_at(part["functionCall"].get("name"), f"{where}.functionCall.name")
        object_at(part["functionCall"].get("args", {}), f"{where}.functionCall.args")
    elif "functionResponse" in part:
        known(
            object_at(part["functionResponse"], where),
            {"id", "name", "response", "parts"},
            f"{where}.functionResponse.",
        )
        name_at(part["functionResponse"].get("name"), f"{where}.functionResponse.name")
        object_at(part["functionResponse"].get("response"), f"{where}.functionResponse.response")
    signature = part.get("thoughtSignature")
    if signature is not None:
        need(isinstance(signature, str) and ":" not in signature, f"{where}.thoughtSignature: base64 is wanted")


# ---- tools and the rest ---------------------------------------------------------------------------------------------


def _tools(tools: list[Any]) -> set[str]:
    names: set[str] = set()
    for number, value in enumerate(tools):
        tool = object_at(value, f"tools[{number}]")
        known(tool, _TOOLS, f"tools[{number}].")
        for declared in tool.get("functionDeclarations", ()):
            where = f"tools[{number}].functionDeclarations"
            allowed = {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema"}
            known(object_at(declared, where), allowed, f"{where}.")
            need(not {"parameters", "parametersJsonSchema"} <= set(declared), f"{where}: only one form of parameters")
            names.add(name_at(declared.get("name"), f"{where}.name"))
    return names


def _tool_config(config: JSON, names: set[str]) -> None:
    known(config, {"functionCallingConfig", "retrievalConfig"}, "toolConfig.")
    calling = object_at(config.get("functionCallingConfig", {}), "functionCallingConfig")
    known(calling, {"mode", "allowedFunctionNames"}, "functionCallingConfig.")
    mode = one_of(calling.get("mode", "AUTO"), ("AUTO", "NONE", "ANY", "VALIDATED"), "functionCallingConfig.mode")
    for name in calling.get("allowedFunctionNames", ()):
        need(mode == "ANY" and name in names, f"functionCallingConfig.allowedFunctionNames: {name!r}")


def _generation(config: JSON, model: str) -> None:
    known(config, _CONFIG, "generationConfig.")
    if "temperature" in config:
        number_at(config["temperature"], "generationConfig.temperature", 0, 2)
    if "topP" in config:
        number_at(config["topP"], "generationConfig.topP", 0, 1)
    for name, most in (("candidateCount", 8), ("maxOutputTokens", 1_000_000), ("topK", 1_000_000), ("logprobs", 20)):
        if name in config:
            number_at(config[name], f"generationConfig.{name}", 1, most)
    need("logprobs" not in config or config.get("responseLogprobs"), "logprobs: responseLogprobs must be true")
    schemas = {"responseSchema", "responseJsonSchema"} & set(config)
    need(not schemas or config.get("responseMimeType") == "application/json", "responseMimeType: wanted for a schema")
    thinking = object_at(config.get("thinkingConfig", {}), "thinkingConfig")
    known(thinking, {"includeThoughts", "thinkingBudget", "thinkingLevel"}, "thinkingConfig.")
    need(len({"thinkingBudget", "thinkingLevel"} & set(thinking)) < 2, "thinkingConfig: budget or level, not both")
    if "thinkingLevel" in thinking:
        need(not model.startswith("models/gemini-2"), "thinkingConfig: Thinking level is not supported for this model.")
        level = one_of(thinking["thinkingLevel"], _LEVELS, "thinkingConfig.thinkingLevel")
        need(level != "MINIMAL" or "-pro" not in model, "thinkingConfig.thinkingLevel: MINIMAL is not supported")
