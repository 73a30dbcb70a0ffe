"""The section `responses:` of the configuration."""

from __future__ import annotations

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration

_DAY_S = 86_400.0


class ResponsesSection(Section):
    """Answers of the Responses door whose providers keep none themselves."""

    keep: Duration = Field(
        30 * _DAY_S, ge=0, validate_default=True,
        description="How long a response can be followed up by its id after it was given; 0s keeps none. Nothing is "
        "kept where `content` is off or hashed.",
    )  # fmt: skip
