"""The section `guardrails:` of the configuration, and what a route may say of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from comporta.config.section import Section


class PolicySection(Section):
    """Guards on the way in and on the way out; each entry is a guard's name, or a mapping with `type`."""

    input: list[str | dict[str, Any]] = Field(default_factory=list, description="Guards of what goes in.")
    output: list[str | dict[str, Any]] = Field(default_factory=list, description="Guards of what comes out.")
    stream: Literal["hold", "observe"] = Field(
        "hold", description="hold: a stream goes out as it was looked at; observe: it goes out at once, and is told of."
    )
    unmask: bool = Field(False, description="Give the client its own values back where masks stand for them.")
    refusal: str | None = Field(None, description="Answered in place of an error where something was blocked.")
    watermark: str | None = Field(
        None,
        min_length=16,
        description="A key of yours: marks the text of answers with signs that nobody sees, for `detect` to find.",
    )
    turns: Literal["all", "last"] = Field(
        "all", description="Look at all turns, or at what came after the last answer."
    )


class GuardrailsSection(PolicySection):
    """What must not go in and what must not come out, on every route."""

    policies: dict[str, PolicySection] = Field(
        default_factory=dict, description="Policies by name, for routes (`guardrails: NAME`) and keys."
    )
    mask_style: Literal["label", "numbered", "stars"] = Field(
        "label", description="How masks look: [CPF], [CPF_1] or stars; with `unmask` they are numbered."
    )
    reword_with: str | None = Field(
        None,
        description="The model that words anew what rules can't mend (`action: rewrite`); default: the call's own.",
    )
    keep_blocked: Literal["masked", "hashed", "off", "full"] = Field(
        "masked",
        description="What a record keeps of an input that was blocked: with masks on what guards marked, its hashes, "
        "nothing, or all of it; never more than `content` allows.",
    )
    judge: str | None = Field(None, description="The model that guards may ask where they are in doubt.")
    functions: list[str] = Field(
        default_factory=list, description="Python functions that `type: custom` may name: `package.module:function`."
    )
    knowledge: dict[str, str] = Field(
        default_factory=dict, description="Knowledge bases of `fact_check` by name: a folder or file each."
    )
