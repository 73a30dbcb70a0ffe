"""The section `findings:` of the configuration: what is looked for, in how much, and what is done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from comporta.config.section import Section
from comporta.config.values import Duration
from comporta.feedback.findings.shapes import Action, Kind

_DAY_S = 86_400.0


class FindingsSection(Section):
    """Changes that are looked for by themselves: other inputs, other answers, worse scores, complaints."""

    enabled: bool = Field(True, description="Whether anything is looked for.")
    routes: list[str] | None = Field(None, max_length=200, description="Only these routes; left out: all.")
    vectors: Literal["auto", "words", "local"] = Field(
        "auto",
        description="What topics are compared by: `words` in any language; `local`: all-MiniLM-L6-v2, for English; "
        "`auto`: the model where it is installed and a route's inputs are English.",
    )
    reference: int = Field(400, ge=100, le=2000, description="How many calls the reference holds.")
    reference_lasts: Duration = Field(
        _DAY_S, ge=0, le=31 * _DAY_S, validate_default=True,
        description="How long the reference is gathered for at least: a whole day holds the night too.",
    )  # fmt: skip
    current: int = Field(200, ge=100, le=1000, description="How many of the latest calls are held against it.")
    every: int = Field(50, ge=10, le=1000, description="After how many new calls they are.")
    wait: Duration = Field(
        120.0, ge=0, le=3600, validate_default=True, description="How long after its start a call is looked at."
    )
    actions: list[Action] | dict[Kind, list[Action]] | None = Field(
        None,
        description="What is done about each finding, once: a list for all, or lists by kind. Default: what "
        "`feedback_system.actions` says.",
    )
    channels: list[str] | None = Field(None, description="Where `alert_team` tells it; left out: the usual channels.")
    keep: Duration = Field(400 * _DAY_S, ge=_DAY_S, validate_default=True, description="How long findings are kept.")

    def actions_of(self, kind: Kind, usual: list[Action]) -> list[Action]:
        """What is done about a finding of a kind; `usual` where this section says nothing."""
        if self.actions is None:
            return usual
        return self.actions.get(kind, []) if isinstance(self.actions, dict) else self.actions
