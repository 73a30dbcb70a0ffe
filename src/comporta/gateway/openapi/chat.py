"""OpenAI's chat completions and text completions on the page: bodies, answers, chunks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from comporta.gateway.openapi.common import (
    CacheControl,
    Choices,
    Count,
    Identifier,
    LogprobCount,
    Metadata,
    Model,
    Needed,
    Object,
    Open,
    Penalty,
    Positive,
    PromptRules,
    PromptUse,
    Schema,
    Shape,
    Share,
    Stops,
    Streamed,
    StreamOptions,
    Told,
    TopK,
    Twice,
    User,
    Whole,
    Word,
)

# ---- parts ----------------------------------------------------------------------------------------------------------


class TextPart(Shape, tag_field="type", tag="text"):
    """A text."""

    text: str
    cache_control: CacheControl = None


class ImageUrl(Shape):
    """Where the image is: a URL, or a data URL with base64."""

    url: Word
    detail: str | None = None


class ImagePart(Shape, tag_field="type", tag="image_url"):
    """An image."""

    image_url: Word | ImageUrl
    cache_control: CacheControl = None


class AudioData(Shape):
    """Sound in base64, and its format."""

    data: Word
    format: Annotated[Word, Meta(examples=["wav", "mp3"])]


class AudioPart(Shape, tag_field="type", tag="input_audio"):
    """Sound."""

    input_audio: AudioData


class FileData(Shape):
    """A document: its data in base64 or as a data URL, its URL, or its id at the provider."""

    file_data: Annotated[Word | None, Needed] = None
    file_url: Annotated[Word | None, Needed] = None
    file_id: Annotated[Word | None, Needed] = None
    filename: str | None = None


class FilePart(Shape, tag_field="type", tag="file"):
    """A document."""

    file: FileData
    cache_control: CacheControl = None


class RefusalPart(Shape, tag_field="type", tag="refusal"):
    """What the model said when it refused."""

    refusal: str


Part = Annotated[TextPart | ImagePart | AudioPart | FilePart | RefusalPart, Open]
Said = str | Annotated[list[Part], Meta(min_length=1)]

# ---- messages -------------------------------------------------------------------------------------------------------


class SystemMessage(Shape, tag_field="role", tag="system"):
    """What the model is told to be."""

    content: Said
    name: str | None = None


class DeveloperMessage(Shape, tag_field="role", tag="developer"):
    """The same under its newer name."""

    content: Said
    name: str | None = None


class UserMessage(Shape, tag_field="role", tag="user"):
    """What the user says."""

    content: Said
    name: str | None = None


class CalledFunction(Shape):
    """A function's name and its arguments as JSON text."""

    name: Word
    arguments: str


class FunctionToolCall(Shape, tag_field="type", tag="function"):
    """A call of a function."""

    id: Word
    function: CalledFunction
    cache_control: CacheControl = None


ToolCall = Annotated[FunctionToolCall, Open]


class SignedThought(Shape, tag_field="type", tag="thinking"):
    """Thinking with the signature of the model's provider."""

    thinking: str
    signature: str | None = None


class SealedThought(Shape, tag_field="type", tag="redacted_thinking"):
    """Thinking that only the model's provider can read."""

    data: str


Thought = SignedThought | SealedThought


class AssistantMessage(Shape, tag_field="role", tag="assistant"):
    """What the model said or called before; it needs one of content, refusal, tool calls or sound."""

    content: Annotated[str | list[Part] | None, Needed] = None
    refusal: Annotated[str | None, Needed] = None
    tool_calls: Annotated[list[ToolCall] | None, Told] = None
    function_call: Annotated[CalledFunction | None, Meta(description="The old single call."), Needed] = None
    audio: Annotated[Object | None, Needed] = None
    name: str | None = None
    reasoning_content: Annotated[Any, Meta(description="Thinking that came with the answer, sent back.")] = None
    thinking_blocks: Annotated[list[Thought] | None, Meta(description="The same as Anthropic's signed blocks.")] = None


class ToolMessage(Shape, tag_field="role", tag="tool"):
    """What a tool answered."""

    tool_call_id: Word
    content: str | list[Part]
    cache_control: CacheControl = None


class FunctionMessage(Shape, tag_field="role", tag="function"):
    """The old form of the same: `name` is that of a function called in an earlier message."""

    name: Word
    content: str | list[Part]


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage

# ---- tools and settings ---------------------------------------------------------------------------------------------


class Function(Shape):
    """A function that the model may call."""

    name: Word
    description: str | None = None
    parameters: Annotated[Object | None, Meta(description="A JSON schema.")] = None
    strict: bool | None = None


class FunctionTool(Shape, tag_field="type", tag="function"):
    """A tool that is a function of the caller's."""

    function: Function
    cache_control: CacheControl = None


class Named(Shape):
    """A name."""

    name: Word


class FunctionChoice(Shape, tag_field="type", tag="function"):
    """This function, and no other."""

    function: Named


class TextFormat(Shape, tag_field="type", tag="text"):
    """Free text."""


class JsonFormat(Shape, tag_field="type", tag="json_object"):
    """Any JSON object."""


class SchemaFormat(Shape, tag_field="type", tag="json_schema"):
    """JSON after a schema."""

    json_schema: Schema


class Sampling(Shape):
    """What the two completion doors have in common."""

    model: Model
    stream: Streamed = None
    stream_options: StreamOptions | None = None
    temperature: Twice | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    stop: Stops | None = None
    seed: int | None = None
    n: Choices | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Object | None = None
    user: User = None
    metadata: Metadata | None = None


class ChatRequest(Sampling, kw_only=True):
    """A chat. Fields that are not named here travel untouched to a provider that speaks this wire."""

    messages: Annotated[Annotated[list[Message], Meta(min_length=1)] | None, Needed] = None
    prompt: Annotated[PromptUse | None, PromptRules, Needed] = None
    tools: list[Annotated[FunctionTool, Open]] | None = None
    functions: Annotated[list[Function] | None, Meta(description="The old form of `tools`.")] = None
    tool_choice: Annotated[Literal["auto", "none", "required"] | FunctionChoice | None, Open] = None
    function_call: Literal["auto", "none"] | Named | None = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[TextFormat | JsonFormat | SchemaFormat | None, Open] = None
    max_tokens: Positive | None = None
    max_completion_tokens: Annotated[Positive | None, Meta(description="The newer name; it wins.")] = None
    logprobs: bool | None = None
    top_logprobs: LogprobCount | None = None
    reasoning_effort: Word | None = None
    modalities: list[str] | None = None
    safety_identifier: Identifier = None


_PROMPT = Meta(
    description="A text, several, or tokens.",
    extra_json_schema={
        "anyOf": [
            {"type": "string"},
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
            {
                "type": "array",
                "minItems": 1,
                "items": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            },
        ]
    },
)


class CompletionRequest(Sampling, kw_only=True):
    """A text to go on with: OpenAI's old completions."""

    prompt: Annotated[Any, _PROMPT]
    max_tokens: Annotated[Count, Meta(le=2**63 - 1)] | None = None
    logprobs: LogprobCount | None = None


# ---- answers --------------------------------------------------------------------------------------------------------


class PromptDetails(Shape):
    """Which of the input's tokens were cached, or no text."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionDetails(Shape):
    """Which of the output's tokens were thinking, or no text."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(Shape):
    """Tokens as OpenAI counts them: the prompt's include cached ones, the completion's include thinking."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cost: Annotated[float | None, Meta(description="US dollars; in the last chunk of a stream.")] = None


class Answered(Shape):
    """What the model says."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    tool_calls: list[Object] | None = None
    reasoning_content: Annotated[str | None, Meta(description="Thinking, where the model shows it.")] = None


class ChatChoice(Shape):
    """One of the answers."""

    index: int
    message: Answered
    finish_reason: str | None
    logprobs: Object | None = None


class ChatCompletion(Whole, kw_only=True):
    """A whole answer. `model` names the model that answered."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage | None = None


class Delta(Shape):
    """What is new."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Object] | None = None


class ChunkChoice(Shape):
    """A piece of one of the answers."""

    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: Object | None = None


class ChatChunk(Shape):
    """One `data:` frame of a stream; the last one before `[DONE]` may tell the usage, without choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class TextChoice(Shape):
    """One of the texts."""

    index: int
    text: str
    finish_reason: str | None
    logprobs: Object | None = None


class Completion(Shape):
    """A whole text; a stream's frames are the same with pieces of it."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | None = None
