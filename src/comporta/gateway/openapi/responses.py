"""OpenAI's Responses API on the page: items, settings, answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from comporta.gateway.openapi.chat import AudioData, JsonFormat, RefusalPart, TextFormat
from comporta.gateway.openapi.common import (
    OPEN,
    USUAL,
    Identifier,
    LogprobCount,
    Metadata,
    Model,
    Needed,
    Object,
    Open,
    Positive,
    PromptRules,
    PromptUse,
    Shape,
    Share,
    Streamed,
    Told,
    Twice,
    User,
    Whole,
    Word,
)

# ---- parts and items ------------------------------------------------------------------------------------------------


class InputText(Shape, tag_field="type", tag="input_text"):
    """A text of the caller's."""

    text: str


class OutputText(Shape, tag_field="type", tag="output_text"):
    """A text of the model's, sent back."""

    text: str


class InputImage(Shape, tag_field="type", tag="input_image"):
    """An image: its URL or data URL, or its id at the provider."""

    image_url: Annotated[Word | None, Needed] = None
    file_id: Annotated[Word | None, Needed] = None
    detail: str | None = None


class InputFile(Shape, tag_field="type", tag="input_file"):
    """A document."""

    file_data: Annotated[Word | None, Needed] = None
    file_url: Annotated[Word | None, Needed] = None
    file_id: Annotated[Word | None, Needed] = None
    filename: str | None = None


class InputAudio(Shape, tag_field="type", tag="input_audio"):
    """Sound."""

    input_audio: AudioData


InputPart = Annotated[InputText | OutputText | InputImage | InputFile | InputAudio | RefusalPart, Open]


class MessageItem(Shape, tag_field="type", tag="message"):
    """What somebody said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputPart]


class FunctionCallItem(Shape, tag_field="type", tag="function_call"):
    """A call of a function that the model made."""

    call_id: Word
    name: Word
    arguments: str


class FunctionOutputItem(Shape, tag_field="type", tag="function_call_output"):
    """What the function answered."""

    call_id: Word
    output: str | list[InputPart]


class Thought(Shape):
    """A piece of thinking."""

    text: str


class ReasoningItem(Shape, tag_field="type", tag="reasoning"):
    """Thinking that came with an earlier answer, sent back as it came."""

    id: str | None = None
    summary: list[Thought] | None = None
    encrypted_content: str | None = None


Item = Annotated[
    MessageItem | FunctionCallItem | FunctionOutputItem | ReasoningItem,
    Meta(extra_json_schema={OPEN: "type", USUAL: "message"}),
]

# ---- tools and settings ---------------------------------------------------------------------------------------------


class FlatFunctionTool(Shape, tag_field="type", tag="function"):
    """A tool that is a function of the caller's."""

    name: Word
    description: str | None = None
    parameters: Annotated[Object | None, Meta(description="A JSON schema.")] = None
    strict: bool | None = None


class FlatFunctionChoice(Shape, tag_field="type", tag="function"):
    """This function, and no other."""

    name: Word


class FlatSchemaFormat(Shape, tag_field="type", tag="json_schema"):
    """JSON after a schema."""

    name: Word
    schema: Object | None = None
    strict: bool | None = None
    description: str | None = None


class TextSettings(Shape):
    """The form of the answer."""

    format: Annotated[TextFormat | JsonFormat | FlatSchemaFormat | None, Open] = None
    verbosity: Word | None = None


class ReasoningSettings(Shape):
    """How hard to think."""

    effort: Word | None = None


class ResponseRequest(Shape):
    """What to answer. It needs input, or something at the provider or the gate to go on from."""

    model: Model
    input: Annotated[str | Annotated[list[Item], Meta(min_length=1)] | None, Needed] = None
    instructions: str | None = None
    previous_response_id: Annotated[
        Word | None, Meta(description="The response to go on from, kept by its provider or by the gate."), Told
    ] = None
    conversation: Annotated[Any, Meta(description="A conversation that the provider keeps."), Told] = None
    prompt: Annotated[
        PromptUse | None,
        PromptRules,
        Meta(description="One of the registry, or (`pmpt_…`) one that OpenAI keeps."),
        Told,
    ] = None
    stream: Streamed = None
    stream_options: Annotated[Any, Meta(description="Passed over: the gate streams in its own way.")] = None
    tools: list[Annotated[FlatFunctionTool, Open]] | None = None
    tool_choice: Annotated[Literal["auto", "none", "required"] | FlatFunctionChoice | None, Open] = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Positive | None = None
    temperature: Twice | None = None
    top_p: Share | None = None
    top_logprobs: LogprobCount | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    include: list[Any] | None = None
    store: Annotated[bool | None, Meta(description="Whether it is kept, to be followed up; default true.")] = None
    user: User = None
    safety_identifier: Identifier = None
    metadata: Metadata | None = None


# ---- answers --------------------------------------------------------------------------------------------------------


class ResponseUsage(Shape):
    """Tokens; cached ones and thinking are included."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: Object | None = None
    output_tokens_details: Object | None = None


class Response(Whole, kw_only=True):
    """A whole response; a stream tells it in its last event. What was cut short is `incomplete`."""

    id: str
    object: Literal["response"]
    created_at: float
    status: str
    model: str
    output: list[Object]
    error: Object | None = None
    incomplete_details: Object | None = None
    previous_response_id: str | None = None
    store: Annotated[bool | None, Meta(description="Whether it can be followed up by its id.")] = None
    usage: ResponseUsage | None = None


class DeletedResponse(Shape):
    """What is gone."""

    id: str
    object: str
    deleted: bool


class InputItems(Shape):
    """What was sent for a response, page by page."""

    object: Literal["list"]
    data: list[Object]
    first_id: str | None
    last_id: str | None
    has_more: bool
