"""The small pages' answers on the page: models, health, where everything is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from comporta.gateway.openapi.common import Shape


class OpenAIModel(Shape):
    """A route or a model that the key may ask for."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class OpenAIModels(Shape):
    """Every name that the key may put into `model`."""

    object: Literal["list"]
    data: list[OpenAIModel]


class AnthropicModel(Shape):
    """The same in Anthropic's form."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class AnthropicModels(Shape):
    """The same in Anthropic's form, for clients that send `anthropic-version`."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class RenderRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which version of the prompt, and its values."""

    version: Annotated[str | None, Meta(description="This version; not together with a label.")] = None
    label: Annotated[str | None, Meta(description="The version that this label points at.")] = None
    variables: Annotated[dict[str, Any] | None, Meta(description="The values by their names.")] = None


class RenderedPrompt(Shape):
    """A prompt with its values in it, in the words of OpenAI's chat completions."""

    object: Literal["prompt"]
    id: str
    version: str
    name: str
    description: str
    model: str | None
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    response_format: dict[str, Any] | None
    parameters: Annotated[dict[str, Any], Meta(description="Temperature, limits and the like, as the file has them.")]
    timeout_s: float | None
    unused_variables: Annotated[list[str], Meta(description="Values that the prompt has no variable for.")]
    metadata: dict[str, Any]
    label: Annotated[str | None, Meta(description="The label that led here; null where a version was asked for.")]
    deploy: Annotated[dict[str, str], Meta(description="Tags of the deploy that moved the label here.")]


class Root(Shape):
    """Where everything is."""

    name: Literal["comporta"]
    docs: str
    openapi: str
    admin: str
    models: str
    health: str


class Live(Shape):
    """The process answers."""

    status: Literal["live"]


class Ready(Shape):
    """It takes calls; a database that is away is told, and is no reason to ask elsewhere."""

    status: Literal["ready"]
    database: str
    spool_bytes: Annotated[int, Meta(description="Records that wait to be shipped.")]


class Spans(Shape):
    """OTLP's `ExportTraceServiceRequest`."""

    resourceSpans: Annotated[list[dict[str, Any]], Meta(description="Spans by who made them.")] = []  # noqa: N815, RUF012


class SpansTaken(Shape):
    """Nothing: what could not be kept is counted when it is read."""
