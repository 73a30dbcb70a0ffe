"""Anthropic's messages and token counts on the page: blocks, settings, answers."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from comporta.gateway.openapi.common import (
    OPEN,
    USUAL,
    CacheControl,
    Count,
    Model,
    Needed,
    Object,
    Open,
    Positive,
    PromptRules,
    PromptUse,
    Shape,
    Share,
    Stops,
    Streamed,
    Whole,
    Word,
)

# ---- blocks ---------------------------------------------------------------------------------------------------------


class TextBlock(Shape, tag_field="type", tag="text"):
    """A text."""

    text: str
    cache_control: CacheControl = None


class Base64Source(Shape, tag_field="type", tag="base64"):
    """Data in base64."""

    media_type: Annotated[Word, Meta(examples=["image/png"])]
    data: Word


class UrlSource(Shape, tag_field="type", tag="url"):
    """Where the data is."""

    url: Word


class TextSource(Shape, tag_field="type", tag="text"):
    """Plain text."""

    data: str


class FileSource(Shape, tag_field="type", tag="file"):
    """A file that the provider keeps."""

    file_id: Word


class ImageBlock(Shape, tag_field="type", tag="image"):
    """An image."""

    source: Annotated[Base64Source | UrlSource, Open]
    cache_control: CacheControl = None


class DocumentBlock(Shape, tag_field="type", tag="document"):
    """A document."""

    source: Annotated[Base64Source | TextSource | UrlSource | FileSource, Open]
    title: str | None = None
    cache_control: CacheControl = None


class ToolUseBlock(Shape, tag_field="type", tag="tool_use"):
    """A call of a tool that the model made."""

    id: Word
    name: Word
    input: Object
    cache_control: CacheControl = None


ResultPart = Annotated[TextBlock | ImageBlock | DocumentBlock, Open]


class ToolResultBlock(Shape, tag_field="type", tag="tool_result"):
    """What the tool answered: a text, or blocks."""

    tool_use_id: Word
    content: str | list[ResultPart] | None = None
    is_error: bool | None = None
    cache_control: CacheControl = None


class ThinkingBlock(Shape, tag_field="type", tag="thinking"):
    """Thinking that came with an earlier answer, sent back with its signature."""

    thinking: str
    signature: str | None = None


class RedactedThinkingBlock(Shape, tag_field="type", tag="redacted_thinking"):
    """The same, sealed."""

    data: Word


Block = Annotated[
    TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock,
    Open,
]


class AnthropicTurn(Shape):
    """What one side said."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


# ---- tools and settings ---------------------------------------------------------------------------------------------


class CustomTool(Shape, tag_field="type", tag="custom"):
    """A tool of the caller's."""

    name: Word
    input_schema: Annotated[Object, Meta(description="A JSON schema.")]
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl = None


class AutoChoice(Shape, tag_field="type", tag="auto"):
    """As the model likes."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(Shape, tag_field="type", tag="any"):
    """Some tool."""

    disable_parallel_tool_use: bool | None = None


class NoChoice(Shape, tag_field="type", tag="none"):
    """No tool."""


class ToolChoice(Shape, tag_field="type", tag="tool"):
    """This tool, and no other."""

    name: Word
    disable_parallel_tool_use: bool | None = None


class ThinkingEnabled(Shape, tag_field="type", tag="enabled"):
    """Think, with at most so many tokens."""

    budget_tokens: Positive


class ThinkingDisabled(Shape, tag_field="type", tag="disabled"):
    """Don't think."""


class AnthropicMetadata(Shape):
    """Who asks."""

    user_id: Annotated[Word | None, Meta(description="The user; a choice may stick to it.")] = None
    session_id: Annotated[Word | None, Meta(description="The session, where `x-comporta-session` names none.")] = None


class JsonSchemaFormat(Shape, tag_field="type", tag="json_schema"):
    """JSON after a schema."""

    schema: Object


class OutputConfig(Shape):
    """The form of the answer, and how hard to think."""

    effort: Word | None = None
    format: Annotated[JsonSchemaFormat | None, Open] = None


class CountRequest(Shape):
    """What to count the tokens of."""

    model: Model
    messages: Annotated[Annotated[list[AnthropicTurn], Meta(min_length=1)] | None, Needed] = None
    prompt: Annotated[PromptUse | None, PromptRules, Needed] = None
    system: str | list[Block] | None = None
    tools: list[Annotated[CustomTool, Meta(extra_json_schema={OPEN: "type", USUAL: "custom"})]] | None = None
    tool_choice: AutoChoice | AnyChoice | NoChoice | ToolChoice | None = None
    thinking: Annotated[ThinkingEnabled | ThinkingDisabled | None, Open] = None
    output_config: OutputConfig | None = None


class MessageRequest(CountRequest, kw_only=True):
    """A chat. Fields that are not named here travel untouched to Anthropic."""

    max_tokens: Annotated[Count, Meta(le=2**63 - 1)]
    stream: Streamed = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[Count, Meta(le=2**63 - 1)] | None = None
    stop_sequences: Stops | None = None
    metadata: AnthropicMetadata | None = None


# ---- answers --------------------------------------------------------------------------------------------------------


class MessageUsage(Shape):
    """Tokens as Anthropic counts them: input without what was cached, output with thinking."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class AnthropicMessage(Whole, kw_only=True):
    """A whole answer; a stream tells it in pieces from `message_start` to `message_stop`."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Object]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(Shape):
    """How many tokens the body comes to; an estimate where the provider counts none."""

    input_tokens: int
