"""Puts a call into the words of Google's Gemini API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from comporta.errors import BadRequest
from comporta.providers.base import Query
from comporta.providers.carry import (
    GEMINI_SIGNATURE,
    arguments_of,
    can_think,
    leave_out,
    name_for,
    no_field,
    no_file,
    no_part,
    present,
    split_system,
    text_of,
    texts_of,
    tool_names,
)
from comporta.providers.statuses import UNREADABLE
from comporta.types import (
    JSON,
    Audio,
    File,
    Image,
    Input,
    Message,
    Other,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

NATIVE: Final = "gemini"
#: Models before the third generation take a budget for thinking; later ones take a level and check signatures.
_OLDER: Final = re.compile(r"(?:models/)?gemini-[12]\b")
_NEWER: Final = re.compile(r"(?:models/)?gemini-")
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 24576}
_LEVELS: Final = {"none": "MINIMAL", "xhigh": "HIGH", "max": "HIGH"}
#: The documented stand-in where a call's signature got lost, since the client could not carry it.
_UNSIGNED: Final = "skip_thought_signature_validator"
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}
_MEDIA_TYPES: Final = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "pdf": "application/pdf",
}  # fmt: skip
#: Fields of the API without a canonical name, by the names that callers give them.
_OWN_FIELDS: Final = {
    "safetySettings": "safetySettings",
    "safety_settings": "safetySettings",
    "cachedContent": "cachedContent",
    "cached_content": "cachedContent",
}
_OWN_CONFIG: Final = {
    "thinkingConfig": "thinkingConfig",
    "thinking_config": "thinkingConfig",
    "mediaResolution": "mediaResolution",
    "media_resolution": "mediaResolution",
    "speechConfig": "speechConfig",
    "imageConfig": "imageConfig",
}


def model_path(model: str) -> str:
    return model if "/" in model else f"models/{model}"


def chat_body(query: Query) -> tuple[JSON, tuple[str, ...]]:
    """The body of generateContent, and the hints it could not carry."""
    given = query.input
    if given.logit_bias:
        raise no_field("Gemini", "logit_bias")
    system, turns = split_system(given.messages)
    dropped: list[str] = []
    body = present(
        contents=_Turns(query).contents(turns),
        systemInstruction={"parts": [{"text": part.text} for part in system]} if system else None,
        **_tools(given, dropped),
    )
    config = _generation(query, dropped)
    for name, value in given.extra.items():
        if name in _OWN_FIELDS:
            body[_OWN_FIELDS[name]] = value
        elif name in _OWN_CONFIG:
            config[_OWN_CONFIG[name]] = value
        else:
            leave_out("Gemini", name, value, dropped)
    if any(message.name for message in given.messages):
        dropped.append("messages.name")
    if config:
        body["generationConfig"] = config
    return body, tuple(dict.fromkeys(dropped))


def count_body(query: Query) -> JSON:
    """The body of countTokens: the whole request, so that system text and tools are counted too."""
    body, _ = chat_body(query)
    body.pop("generationConfig", None)
    return {"generateContentRequest": {"model": model_path(query.model), **body}}


def embed_body(query: Query) -> tuple[JSON, tuple[str, ...]]:
    """The body of batchEmbedContents."""
    given = query.input
    shared = present(
        model=model_path(query.model),
        outputDimensionality=given.dimensions,
        taskType=given.extra.get("task_type") or given.extra.get("taskType"),
        title=given.extra.get("title"),
    )
    requests = [{**shared, "content": {"parts": [{"text": text}]}} for text in texts_of("Gemini", given)]
    dropped = tuple(name for name in given.extra if name not in ("task_type", "taskType", "title", "encoding_format"))
    return {"requests": requests}, dropped


# ---- contents -------------------------------------------------------------------------------------------------------


class _Turns:
    """Turns the messages into contents; neighbours of one role become one."""

    def __init__(self, query: Query) -> None:
        self._names = tool_names(query.input.messages)
        self._checks_signatures = bool(_NEWER.match(query.model)) and not _OLDER.match(query.model)

    def contents(self, turns: list[Message]) -> list[JSON]:
        contents: list[JSON] = []
        for turn in turns:
            role = "model" if turn.role == "assistant" else "user"
            parts = list(self._signed(turn) if role == "model" else self._parts(turn))
            if not parts:
                continue
            if contents and contents[-1]["role"] == role:
                contents[-1]["parts"].extend(parts)
            else:
                contents.append({"role": role, "parts": parts})
        if not contents:
            raise BadRequest("Every message is empty.", param="messages")
        return contents

    def _parts(self, turn: Message) -> Iterator[JSON]:
        for part in turn.parts:
            if isinstance(part, ToolResult):
                yield from self._result(part)
            elif not isinstance(part, Reasoning) and (value := _part(part)) is not None:
                yield value

    def _signed(self, turn: Message) -> Iterator[JSON]:
        """A model's own turn. Signatures go back on the calls, where the API checks them, else on the last text."""
        signatures = [s for part in turn.parts if isinstance(part, Reasoning) and (s := _signature(part))]
        calls = sum(1 for part in turn.parts if isinstance(part, ToolCall))
        if not calls:
            yield from _on_last(list(self._parts(turn)), signatures)
            return
        left = signatures[-calls:]
        if not left and self._checks_signatures:
            left.append(_UNSIGNED)
        for part in turn.parts:
            if isinstance(part, Reasoning) or (value := _part(part)) is None:
                continue
            if isinstance(part, ToolCall) and left:
                value["thoughtSignature"] = left.pop(0)
            yield value

    def _result(self, part: ToolResult) -> Iterator[JSON]:
        key = "error" if part.is_error else "output"
        response = present(
            id=part.id,
            name=name_for(part, self._names),
            response={key: _read(text_of(part.parts))},
        )
        yield {"functionResponse": response}
        for inner in part.parts:
            if not isinstance(inner, Text | Refusal) and (value := _part(inner)) is not None:
                yield value


def _on_last(parts: list[JSON], signatures: list[str]) -> list[JSON]:
    if parts and signatures:
        parts[-1]["thoughtSignature"] = signatures[-1]
    return parts


def _signature(part: Reasoning) -> str | None:
    """Only Gemini's own signatures go back to it."""
    if part.signature is None or not part.signature.startswith(GEMINI_SIGNATURE):
        return None
    return part.signature.removeprefix(GEMINI_SIGNATURE)


def _read(text: str) -> object:
    """What a tool gave back, as a value where it is JSON: the model then sees structure and not a quoted text."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return text


def _part(part: Part) -> JSON | None:
    match part:
        case Text() | Refusal():
            return {"text": part.text} if part.text else None
        case Image():
            return _media(part.data, part.media_type or "image/png", part.url)
        case Audio():
            return {"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}}
        case File():
            return _file(part)
        case ToolCall():
            return {"functionCall": {"id": part.id, "name": part.name, "args": arguments_of(part)}}
        case Other() if part.wire == NATIVE:
            return dict(part.value)
    raise no_part("Gemini", part)


def _media(data: str | None, media_type: str, url: str | None) -> JSON:
    if data is not None:
        return {"inlineData": {"mimeType": media_type, "data": data}}
    if url is None:
        raise BadRequest("An image has neither data nor a URL.", param="messages")
    return {"fileData": present(fileUri=url, mimeType=_type_by_name(url))}


def _file(part: File) -> JSON:
    where = part.id or part.url
    if where is not None:
        return {"fileData": present(fileUri=where, mimeType=part.media_type or _type_by_name(part.name or where))}
    if part.data is None:
        raise no_file("Gemini", part)
    media_type = part.media_type or _type_by_name(part.name or "") or "application/pdf"
    return {"inlineData": {"mimeType": media_type, "data": part.data}}


def _type_by_name(name: str) -> str | None:
    path = name.partition("?")[0].partition("#")[0]
    return _MEDIA_TYPES.get(path.rpartition(".")[2].lower())


# ---- tools ----------------------------------------------------------------------------------------------------------


def _tools(given: Input, dropped: list[str]) -> JSON:
    if given.parallel_tool_calls is False and given.tools:
        dropped.append("parallel_tool_calls")
    declared = [_declaration(tool) for tool in given.tools if tool.native is None]
    tools: list[JSON] = [{"functionDeclarations": declared}] if declared else []
    tools.extend(_native(tool) for tool in given.tools if tool.native is not None)
    choice = given.tool_choice
    if not tools:
        if choice is not None and choice.mode in ("required", "tool"):
            raise BadRequest("A tool must be called, but no tools are given.", param="tool_choice")
        return {}
    if choice is None:
        return {"tools": tools}
    config: JSON = {"mode": _MODES[choice.mode]}
    if choice.mode == "tool":
        config["allowedFunctionNames"] = [choice.name]
    return {"tools": tools, "toolConfig": {"functionCallingConfig": config}}


def _declaration(tool: Tool) -> JSON:
    return present(name=tool.name, description=tool.description, parametersJsonSchema=tool.parameters)


def _native(tool: Tool) -> JSON:
    if tool.wire != NATIVE or tool.native is None:
        raise no_field("Gemini", "tools", f"{tool.name!r} is a built-in tool of another provider")
    return tool.native


# ---- generationConfig ----------------------------------------------------------------------------------------------


def _generation(query: Query, dropped: list[str]) -> JSON:
    given = query.input
    return present(
        temperature=given.temperature,
        topP=given.top_p,
        topK=given.top_k,
        candidateCount=given.n if given.n > 1 else None,
        maxOutputTokens=given.max_tokens,
        stopSequences=list(given.stop) or None,
        seed=given.seed,
        presencePenalty=given.presence_penalty,
        frequencyPenalty=given.frequency_penalty,
        responseLogprobs=given.logprobs or None,
        logprobs=given.top_logprobs if given.logprobs else None,
        responseModalities=_modalities(given),
        thinkingConfig=_thinking(query, dropped),
        **_format(given),
    )


def _modalities(given: Input) -> list[str] | None:
    for modality in given.modalities:
        if modality not in ("text", "image"):
            raise no_field("Gemini", "modalities", f"it answers in text and images, not in {modality}")
    return [m.upper() for m in given.modalities] if "image" in given.modalities else None


def _format(given: Input) -> JSON:
    wanted = given.response_format
    if wanted is None or wanted.kind == "text":
        return {}
    return present(responseMimeType="application/json", responseJsonSchema=wanted.schema)


def _thinking(query: Query, dropped: list[str]) -> JSON | None:
    effort, budget = query.input.reasoning_effort, query.input.reasoning_budget
    if effort is None and budget is None:
        return None
    word = effort or "medium"
    if not can_think(query) or word not in _BUDGETS:
        dropped.append("reasoning_effort" if budget is None else "reasoning_budget")
        return None
    if budget is not None:
        return {"thinkingBudget": budget, "includeThoughts": budget != 0}
    shown = {"includeThoughts": word != "none"}
    if _OLDER.match(query.model):
        return {"thinkingBudget": _BUDGETS[word], **shown}
    level = _LEVELS.get(word, word.upper())
    if level == "MINIMAL" and "-pro" in query.model:
        # The larger models can't think that little.
        level = "LOW"
    return {"thinkingLevel": level, **shown}
