"""The values everything speaks of: messages and parts, input, usage, events, reply.

All of them are frozen; a stage that wants another value makes one. Money is integer micro-dollars, durations carry
their unit in the name, and the words are those of the design (ARCHITECTURE.md).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, structs

JSON = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]
Kind = Literal["chat", "embed", "count", "guard"]
#: Why a choice ended. OpenAI's words are the canonical ones; a wire maps its own to them.
Finish = Literal["stop", "length", "tool_calls", "content_filter"]

# ---- what goes in ---------------------------------------------------------------------------------------------------


class Text(Struct, frozen=True, tag="text", omit_defaults=True):
    text: str
    cache_control: JSON | None = None


class Image(Struct, frozen=True, tag="image", omit_defaults=True):
    """An image, either inline (`data`, base64 text, with `media_type`) or by `url` (never a data URL)."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    detail: str | None = None
    cache_control: JSON | None = None


class Audio(Struct, frozen=True, tag="audio", omit_defaults=True):
    data: str
    format: str


class File(Struct, frozen=True, tag="file", omit_defaults=True):
    """A document: inline (`data`, base64), by `url`, or by the provider's own file `id`."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    id: str | None = None
    name: str | None = None
    cache_control: JSON | None = None


class ToolCall(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """A call of a tool by the model; `arguments` is JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str
    cache_control: JSON | None = None


class ToolResult(Struct, frozen=True, tag="tool_result", omit_defaults=True):
    id: str
    parts: tuple[Part, ...]
    is_error: bool = False
    cache_control: JSON | None = None


class Reasoning(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """Thinking of the model: readable `text` with a provider's `signature`, or `encrypted` for that provider only."""

    text: str = ""
    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None


class Refusal(Struct, frozen=True, tag="refusal"):
    text: str


class Other(Struct, frozen=True, tag="other"):
    """A part that only the wire it came by understands; other wires answer 400."""

    wire: str
    value: JSON


Part = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | Refusal | Other


class Message(Struct, frozen=True, omit_defaults=True):
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """The text parts, one after another; empty where there is none."""
        return "".join(p.text for p in self.parts if isinstance(p, Text))


class Tool(Struct, frozen=True, omit_defaults=True):
    """A function the model may call. `native` holds a provider's built-in tool instead (its `wire` alone takes it)."""

    name: str
    description: str | None = None
    parameters: JSON | None = None
    strict: bool | None = None
    cache_control: JSON | None = None
    wire: str | None = None
    native: JSON | None = None


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None


class ResponseFormat(Struct, frozen=True, omit_defaults=True):
    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: JSON | None = None
    strict: bool | None = None
    description: str | None = None


class Input(Struct, frozen=True, omit_defaults=True):
    """What a client asks, in no provider's words. Absent is None or empty: what was left out is not sent on.

    `wire` and `raw` hold the client's own body (decoded JSON) while no stage has changed the input: a provider that
    speaks the same wire sends `raw` on with another model name, so unknown fields travel untouched.
    """

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: JSON | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    modalities: tuple[str, ...] = ()
    user: str | None = None
    metadata: JSON | None = None
    #: Embeddings: the texts, or token arrays as the client gave them.
    texts: tuple[str | tuple[int, ...], ...] = ()
    dimensions: int | None = None
    #: Fields of the client's body that have no name of their own here.
    extra: JSON = {}
    wire: str = ""
    raw: JSON | None = None

    def edit(self, **changes: Any) -> Input:
        """The same input with some fields changed; `raw` goes, since it no longer says the same."""
        changes.setdefault("raw", None)
        return structs.replace(self, **changes)


# ---- what comes out -------------------------------------------------------------------------------------------------


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens in disjoint buckets (WIRE 28): no token is counted in two of them.

    `estimated` says that the provider gave no figures and ours stand in.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    audio_in: int = 0
    image_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    estimated: bool = False

    @property
    def prompt(self) -> int:
        return self.input + self.cached + self.cache_write + self.audio_in + self.image_in

    @property
    def completion(self) -> int:
        return self.output + self.reasoning + self.audio_out

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def added(one: Usage | None, other: Usage | None) -> Usage | None:
    """Two usages as one."""
    if one is None or other is None:
        return one if other is None else other
    sums = {name: getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__ if name != "estimated"}
    return Usage(**sums, estimated=one.estimated or other.estimated)


class ToolDelta(Struct, frozen=True, omit_defaults=True):
    """A piece of a tool call. `index` counts tool calls, not content blocks; `id` and `name` come once (WIRE 11)."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Delta(Struct, frozen=True, omit_defaults=True):
    """What one event adds to one choice. In a whole reply it holds the whole choice."""

    index: int = 0
    text: str = ""
    reasoning: str = ""
    signature: str | None = None
    encrypted: str | None = None
    refusal: str = ""
    tools: tuple[ToolDelta, ...] = ()
    finish: Finish | None = None
    stop_sequence: str | None = None
    logprobs: JSON | None = None
    #: Further fields of the choice or message (annotations, audio …), kept for wires that know them.
    extra: JSON | None = None

    @property
    def meaningful(self) -> bool:
        return bool(
            self.text or self.reasoning or self.refusal or self.tools or self.encrypted or self.finish or self.extra
        )


class Event(Struct, frozen=True, omit_defaults=True):
    """One step of an answer: what one upstream frame said, or a whole plain reply (`whole`).

    `raw` holds the upstream's own JSON text in the words of `wire`; it goes as soon as a stage edits the event, and
    a door that speaks the same wire passes it on as it stands. `vectors` carry embeddings.
    """

    deltas: tuple[Delta, ...] = ()
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    wire: str = ""
    raw: bytes | None = None
    #: The event name that SSE framing carried with `raw` (Anthropic, Responses).
    name: str | None = None
    whole: bool = False
    vectors: tuple[tuple[float, ...] | str, ...] = ()
    #: The upstream's own word that the answer is complete ([DONE], message_stop, response.completed).
    last: bool = False

    @property
    def meaningful(self) -> bool:
        """Whether a client would miss it: such an event commits the answer (WIRE 2)."""
        if self.whole or self.vectors:
            return True
        # A plain loop: this is asked of every event, and a generator costs more than the answer.
        for delta in self.deltas:  # noqa: SIM110
            if delta.text or delta.meaningful:
                return True
        return False

    def edit(self, **changes: Any) -> Event:
        """The same event with some fields changed; `raw` goes, since it no longer says the same."""
        changes.setdefault("raw", None)
        return structs.replace(self, **changes)


class Choice(Struct, frozen=True, omit_defaults=True):
    index: int
    text: str = ""
    reasoning: tuple[Reasoning, ...] = ()
    refusal: str = ""
    tools: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    stop_sequence: str | None = None
    logprobs: JSON | None = None
    extra: JSON | None = None


class Reply(Struct, frozen=True, omit_defaults=True):
    """A collected answer: the events of a call, put together."""

    id: str | None = None
    model: str | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    vectors: tuple[tuple[float, ...] | str, ...] = ()
    #: Set when one untouched upstream event held the whole reply: its own JSON text and wire.
    wire: str = ""
    raw: bytes | None = None

    @property
    def text(self) -> str:
        """The text of the first choice; empty where there is none."""
        return self.choices[0].text if self.choices else ""


# ---- who asks, and where it goes ------------------------------------------------------------------------------------


class Caller(Struct, frozen=True, omit_defaults=True):
    """Who asks: a virtual key with what hangs on it, or an administrator (`admin` is the key's name)."""

    key_id: str
    name: str = ""
    team: str | None = None
    environment: str | None = None
    feature: str | None = None
    tags: dict[str, str] = {}
    admin: bool = False
    #: Route and model names the key may use; empty means all.
    allow: tuple[str, ...] = ()
    #: The guard policy that holds for all its calls, beside those of routes and prompts.
    guardrails: str | None = None


class PromptRef(Struct, frozen=True, omit_defaults=True):
    """Which prompt is meant: a version, or a label (an environment), or neither: then the caller's environment."""

    id: str
    version: str | None = None
    label: str | None = None


class Target(Struct, frozen=True, omit_defaults=True):
    """Where a call goes: chosen by the `choose` stage, completed by `attempt` (credential)."""

    route: str
    variant: str
    provider: str
    #: The provider's own name of the model.
    model: str
    #: Defaults of the variant: the body wins over them.
    params: JSON = {}
    credential: str | None = None
    #: The prompt that the variant asks with.
    prompt: PromptRef | None = None


class Price(Struct, frozen=True, omit_defaults=True):
    """Micro-dollars per million tokens of each bucket; None = unknown (never zero by silence, WIRE 28)."""

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio_in: int | None = None
    image_in: int | None = None
    audio_out: int | None = None


#: Who judged: the person served, a human reviewer, a judge model, code, a guard, or what people did.
Source = Literal["user", "human", "judge", "code", "guard", "behaviour"]


class Score(Struct, frozen=True, omit_defaults=True):
    """One judgement: number = score, boolean = assertion, text = label; `source` says who judged.

    `trace_id` is what was judged, empty where only the call is known; `who` names the judge (key, reviewer, model,
    guard). `at_s` is seconds since 1970, UTC.
    """

    id: str
    trace_id: str
    call_id: str | None
    name: str
    value: float | bool | str
    source: Source
    reason: str | None = None
    at_s: float = 0.0
    who: str = ""


__all__ = [
    "JSON", "UNSET", "Audio", "Caller", "Choice", "Delta", "Event", "File", "Finish", "Image", "Input", "Kind",
    "Message", "Other", "Part", "Price", "PromptRef", "Reasoning", "Refusal", "Reply", "ResponseFormat", "Role",
    "Score", "Source", "Target", "Text", "Tool", "ToolCall", "ToolChoice", "ToolDelta", "ToolResult", "UnsetType",
    "Usage",
]  # fmt: skip
