"""The sections `records:` and `logging:` of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration, Size
from comporta.telemetry.capture import Mode
from comporta.telemetry.logs import Format, Level
from comporta.telemetry.spool import DEFAULT_MAX_BYTES

_DAY_S = 86_400.0


class SpoolSection(Section):
    """Where records wait for the database, on this machine's disk."""

    max_size: Size = Field(
        DEFAULT_MAX_BYTES, ge=1 << 20, validate_default=True,
        description="The most that waits, all processes together. In the last eighth records are kept without content.",
    )  # fmt: skip
    on_full: Literal["drop", "refuse"] = Field(
        "drop", description="At the bound: lose records (counted and logged), or refuse calls with 503."
    )


class RecordsSection(Section):
    """What is kept of calls, and for how long."""

    content: Mode = Field(
        "full",
        description="What is kept of prompts and replies: full, preview (200 characters), hashed, or off. A route may "
        "say otherwise.",
    )
    keep: Duration = Field(30 * _DAY_S, gt=0, validate_default=True, description="How long calls and spans are kept.")
    keep_minutes: Duration = Field(
        60 * _DAY_S, gt=0, validate_default=True, description="How long sums by the minute are kept."
    )
    keep_hours: Duration = Field(
        400 * _DAY_S, gt=0, validate_default=True, description="How long sums by the hour are kept."
    )
    keep_scores: Duration = Field(
        400 * _DAY_S, gt=0, validate_default=True, description="How long scores are kept, longer than their calls."
    )
    max_scores_size: Size = Field(
        2_000_000_000, ge=10_000_000, validate_default=True,
        description="The most that scores take on the database's disk. Above it the oldest go first.",
    )  # fmt: skip
    max_size: Size = Field(
        20_000_000_000, ge=10_000_000, validate_default=True,
        description="The most that calls and spans take on the database's disk. Above it the oldest days go first, "
        "before their time.",
    )  # fmt: skip
    spool: SpoolSection = Field(default_factory=lambda: SpoolSection(), description="Records on their way.")


class LoggingSection(Section):
    """Logs: to standard error, with the request's id, without content and without secrets."""

    level: Level = Field("info", description="The least important lines that are written.")
    format: Format = Field("auto", description="json, console, or auto: console on a terminal and JSON elsewhere.")
