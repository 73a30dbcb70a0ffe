"""What the wires' bodies have in common: bounded values, open kinds, errors, the caller's notes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

#: Marks a union of kinds as open: whatever else a provider's own wire knows is passed on to it. The value is the field
#: that tells the kinds apart.
OPEN = "x-open"
#: Marks the kind that is meant where the field that tells kinds apart is left out.
USUAL = "x-usual"
#: Marks fields of which none is required alone: at least one must be there, and be as the mark's value says.
ONE = "x-one"

NUL_FREE = r"^[^\x00]+$"


Needed = Meta(extra_json_schema={ONE: {"not": {"type": "null"}}})
Told = Meta(
    extra_json_schema={ONE: {"minLength": 1, "minItems": 1, "minProperties": 1, "not": {"enum": [None, False, 0]}}}
)
Open = Meta(extra_json_schema={OPEN: "type"})


class Shape(Struct, kw_only=True):
    """A JSON object on the page; more fields than it names are let through."""


Object = dict[str, Any]


class Whole(Shape):
    """A whole answer, with what the gate tells beside it."""

    comporta: Annotated[
        Object | None,
        Meta(description="What the gate tells beside the answer: `ensemble`, where several models were asked."),
    ] = None


Word = Annotated[str, Meta(min_length=1, pattern=NUL_FREE)]
#: The user, where `user` names none.
Identifier = Annotated[
    str | None, Meta(description="The user, where `user` names none.", extra_json_schema={"pattern": r"^[^\x00]*$"})
]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Twice = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Choices = Annotated[int, Meta(ge=1, le=128)]
LogprobCount = Annotated[int, Meta(ge=0, le=20)]
TopK = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
Stops = str | list[str]

Model = Annotated[
    Word,
    Meta(
        description="A route, a registered model, a chain (`chain:<id>`, with the values of its variables in "
        "`variables`), `provider/model`, or the bare name of a model that exactly one provider offers. "
        "It may be left out beside a `prompt` that names one.",
        examples=["support", "openai/gpt-4o-mini"],
    ),
]
Streamed = Annotated[bool | None, Meta(description="Whether the answer comes as server-sent events.")]
CacheControl = Annotated[
    Object | None, Meta(description="Anthropic's mark for its prompt cache; kept.", examples=[{"type": "ephemeral"}])
]
User = Annotated[Word | None, Meta(description="Who asks on whose behalf; a choice may stick to it.")]


class PromptUse(Struct, kw_only=True, forbid_unknown_fields=True):
    """A prompt of the registry, with its values."""

    id: Annotated[
        Annotated[
            str,
            Meta(pattern="^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?(@[0-9A-Za-z][0-9A-Za-z.+-]*[0-9A-Za-z])?$"),
        ]
        | None,
        Meta(description="Which one; `support@2.3.1` too. Left out where the route's variant names it."),
    ] = None
    version: Annotated[Word | None, Meta(description="This version; not together with a label.")] = None
    label: Annotated[Word | None, Meta(description="The version that this label points at.")] = None
    variables: Annotated[Object | None, Meta(description="The values by their names.")] = None


#: Version and label need the id beside them, and exclude each other.
PromptRules = Meta(
    extra_json_schema={
        "not": {"required": ["version", "label"]},
        "dependentRequired": {"version": ["id"], "label": ["id"]},
    }
)


class Metadata(Shape):
    """Notes of the caller's own."""

    session_id: Annotated[Word | None, Meta(description="The session, where `x-comporta-session` names none.")] = None


class StreamOptions(Shape):
    """How to stream; only with `stream: true`."""

    include_usage: Annotated[bool | None, Meta(description="Whether a last chunk tells the usage and the cost.")] = None


class Schema(Shape):
    """A named JSON schema that the answer must follow."""

    name: Word
    schema: Object | None = None
    strict: bool | None = None
    description: str | None = None


class OpenAIErrorBody(Shape):
    """What went wrong. `code` is stable; `param` names the field at fault; absent is null."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Shape):
    """A failure in OpenAI's envelope."""

    error: OpenAIErrorBody


class AnthropicErrorBody(Shape):
    """What went wrong; the type follows from the status."""

    type: str
    message: str


class AnthropicError(Shape):
    """A failure in Anthropic's envelope."""

    type: Literal["error"]
    error: AnthropicErrorBody
