"""Guards asked by themselves on the page."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from comporta.gateway.guards import GuardRequest as GuardRequest
from comporta.gateway.openapi.common import Shape, Share

_Outcome = Literal["pass", "flag", "rewrite", "redact", "block"]
_Severity = Literal["info", "warning", "critical"]


class GuardSpan(Shape):
    """Where something was found: characters `start` to `end` of the text as it came. What stands there is not told."""

    start: Annotated[int, Meta(ge=0)]
    end: Annotated[int, Meta(ge=0)]
    kind: Annotated[str, Meta(description="As it stands in a mask: `EMAIL`, `CPF`.")]
    confidence: Share


class GuardVerdict(Shape):
    """What one guard says of one text; one that finds nothing says `pass` once for all texts."""

    guard: str
    type: str
    outcome: Annotated[_Outcome, Meta(description="What becomes of it.")]
    action: Literal["block", "mask", "rewrite", "restrict", "warn", "log"]
    severity: _Severity
    confidence: float
    threshold: Annotated[float, Meta(description="From which confidence on it counts.")]
    reason: str
    text: Annotated[int | None, Meta(description="Which of the texts, counted from 0.")]
    place: str | None
    spans: list[GuardSpan]
    latency_ms: Annotated[float, Meta(description="Of this guard on all texts.")]


class GuardResult(Shape):
    """What all guards together come to."""

    object: Literal["guard"]
    id: Annotated[str, Meta(description="The call's id in the records.")]
    side: Literal["input", "output"]
    approved: bool
    blocked_by: str | None
    reason: str | None
    severity: _Severity | None
    suggested_action: str | None
    sanitized_prompt: Annotated[
        str | None, Meta(description="The text (of a conversation the last one) with masks in it; null if it can't be.")
    ]
    output: Annotated[str | None, Meta(description="The answer as it may go out; null where it may not.")]
    warnings: list[str]
    verdicts: list[GuardVerdict]
    latency_ms: float
    policy: Annotated[str, Meta(description="Changes whenever the policy does.")]


EXAMPLE = {"input": "My card is 4111 1111 1111 1111.", "guards": [{"type": "pii_detection", "action": "mask"}]}
