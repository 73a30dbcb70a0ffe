"""What is read of OpenAI's chat completions: the typed shapes, and tool calls set right (WIRE 11)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.providers.base import Query
from comporta.providers.carry import made_id, to_json
from comporta.types import JSON, Delta, ToolDelta

#: Further fields of a message that clients may miss.
_EXTRAS: Final = ("annotations", "audio", "reasoning_details", "images")


class Function(Struct, gc=False):
    name: str | None = None
    #: Some servers send the arguments as an object instead of its text.
    arguments: Any = None


class Tool(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: JSON | None = None


class Message(Struct):
    """A message or a delta of one; the fields of all known dialects of the wire."""

    role: str | None = None
    #: A text, or Mistral's list of parts.
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[Tool] | None = None
    function_call: Function | None = None
    annotations: Any = None
    audio: Any = None
    reasoning_details: Any = None
    images: Any = None


class Choice(Struct):
    index: int | None = None
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: JSON | None = None
    error: Any = None


class Groq(Struct):
    usage: Any = None
    error: Any = None


class Completion(Struct):
    """A chat completion, or one chunk of it."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Any = None
    x_groq: Groq | None = None
    error: Any = None


decode = msgspec.json.Decoder(Completion).decode


class Calls:
    """The tool calls of one choice as they stream in, counted in the order in which they begin.

    `conformant` turns false where a piece is not as OpenAI would have sent it: the client then gets our words.
    """

    __slots__ = ("_choice", "_count", "_ids", "_last", "_places", "_query", "conformant")

    def __init__(self, query: Query, choice: int) -> None:
        self._query = query
        self._choice = choice
        self._count = 0
        self._last = -1
        #: Our index for each index of the upstream's, and the id of each call.
        self._places: dict[int, int] = {}
        self._ids: list[str] = []
        self.conformant = True

    def take(self, tool: Tool) -> ToolDelta:
        function = tool.function or Function()
        place = self._place(tool, function)
        arguments = self._text(function.arguments)
        if place < self._count:
            # OpenAI names a call once; others repeat it, or say "" or null in its place.
            if tool.id is not None or function.name is not None or tool.type is not None:
                self.conformant = False
            return ToolDelta(place, arguments=arguments)
        self._count += 1
        if not tool.id or not function.name:
            self.conformant = False
        self._ids.append(tool.id or "")
        return ToolDelta(place, tool.id or self._made(place), function.name or "", arguments)

    def _place(self, tool: Tool, function: Function) -> int:
        """Which call a piece belongs to: by index, by id where the indices are missing or all the same."""
        given = tool.index
        known = self._last if given is None else self._places.get(given, -1)
        if given is None:
            self.conformant = False
        differs = function.name and known >= 0 and (tool.id != self._ids[known] if tool.id else given is None)
        if known < 0 or differs:
            if given is not None and (known >= 0 or given != self._count):
                self.conformant = False
            known = self._count
            if given is not None:
                self._places[given] = known
        self._last = known
        return known

    def _text(self, arguments: Any) -> str:
        if isinstance(arguments, str):
            return arguments
        self.conformant = False
        return "" if arguments is None else to_json(arguments).decode()

    def _made(self, place: int) -> str:
        return made_id(self._query, self._choice, place)


def delta_of(message: Message, index: int, calls: Calls | None, whole: bool = False) -> tuple[Delta, bool]:
    """What a message (`whole`) or a delta of one says, and whether it says it as OpenAI does."""
    content, conformant = message.content, True
    reasoning = message.reasoning_content or message.reasoning
    if isinstance(content, list):
        content, thought = _parts(content)
        reasoning, conformant = reasoning or thought, False
    tools: tuple[ToolDelta, ...] = ()
    if calls is not None:
        tools = tuple([calls.take(tool) for tool in _tools(message, whole)])
        conformant = conformant and calls.conformant
    extra = None
    if message.annotations or message.audio or message.reasoning_details or message.images:
        extra = {name: value for name in _EXTRAS if (value := getattr(message, name))}
    delta = Delta(
        index=index,
        text=content if isinstance(content, str) else "",
        reasoning=reasoning if isinstance(reasoning, str) else "",
        refusal=message.refusal or "",
        tools=tools,
        extra=extra,
    )
    return delta, conformant


def calls_tools(message: Message) -> bool:
    return bool(message.tool_calls) or message.function_call is not None


def _tools(message: Message, whole: bool) -> list[Tool]:
    if message.function_call is not None:
        # The old single call: no id, no index.
        return [Tool(function=message.function_call)]
    tools = [_from_custom(tool) if tool.custom is not None else tool for tool in message.tool_calls or ()]
    if whole:
        return [Tool(place, tool.id, tool.type, tool.function) for place, tool in enumerate(tools)]
    return tools


def _from_custom(tool: Tool) -> Tool:
    """A custom tool's free text stands where a function's arguments do."""
    custom = tool.custom or {}
    return Tool(tool.index, tool.id, tool.type, Function(custom.get("name"), custom.get("input", "")))


def _parts(content: list[Any]) -> tuple[str, str]:
    """Text and thinking of a content that is a list of parts."""
    text: list[str] = []
    thought: list[str] = []
    for part in content:
        if not isinstance(part, dict):
            continue
        value = part.get("text")
        if isinstance(value, str):
            text.append(value)
        inner = part.get("thinking")
        if isinstance(inner, list):
            thought.append(_parts(inner)[0])
        elif isinstance(inner, str):
            thought.append(inner)
    return "".join(text), "".join(thought)
