"""The sections `feedback:`, `feedback_system:` and `live_quality:` of the configuration."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from comporta.config.section import Section
from comporta.config.values import Duration, Money, Share
from comporta.errors import ConfigError
from comporta.evaluation.assertions import node_of, read_assertion
from comporta.telemetry.scores import is_name

_DAY_S = 86_400.0

Explicit = Literal["thumbs_up_down", "rating_scale", "comment_box", "correction_suggestion"]
Implicit = Literal["dwell_time", "copy_action", "follow_up_question", "abandonment"]
Behavioural = Literal["task_completion", "downstream_conversion"]

Processing = Literal["sentiment_analysis", "clustering", "anomaly_detection", "trending"]
Action = Literal["auto_retrain", "alert_team", "update_prompt", "open_review", "add_to_dataset", "start_tuning"]


class FeedbackSection(Section):
    """Feedback from browsers, and what is found by itself."""

    tokens: bool = Field(
        False,
        description="Give every answer a token (`x-comporta-feedback-token`) with which a browser may judge that "
        "answer and do nothing else.",
    )
    token_lifetime: Duration = Field(
        _DAY_S, gt=0, le=31 * _DAY_S, validate_default=True, description="How long a token is good for."
    )
    rotate: Duration = Field(
        30 * _DAY_S, ge=3600, validate_default=True, description="How old the key may grow that tokens are signed with."
    )
    origins: list[str] = Field(
        default_factory=list,
        description="Where pages may send feedback from: `https://shop.example`. The gate's own pages always may.",
    )
    per_minute: int = Field(30, ge=1, le=1000, description="How often one token may be used in a minute.")
    follow_ups: bool = Field(
        True, description="Find questions that were asked again in their session, and score the answer before them."
    )

    @field_validator("origins")
    @classmethod
    def _plain(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if not _is_origin(origin):
                raise ValueError(f"'{origin[:100]}' is no origin; it looks like https://shop.example, without a path")
        return origins


class CollectionMethodsSection(Section):
    """What is collected by the gate itself and by browsers; programs may tell everything."""

    explicit: list[Explicit] = Field(
        ["thumbs_up_down", "rating_scale", "comment_box", "correction_suggestion"], description="What users say."
    )
    implicit: list[Implicit] = Field(
        ["dwell_time", "copy_action", "follow_up_question", "abandonment"], description="What users do."
    )
    behavioral: list[Behavioural] = Field(["task_completion", "downstream_conversion"], description="What comes of it.")


class FeedbackSystemSection(Section):
    """What is collected, what is found in it, and what is done about it."""

    collection_methods: CollectionMethodsSection = Field(
        default_factory=lambda: CollectionMethodsSection(), description="What is collected."
    )
    processing: list[Processing] = Field(
        ["sentiment_analysis", "clustering", "anomaly_detection", "trending"], description="What is found in it."
    )
    actions: list[Action] = Field(["alert_team"], description="What is done about what was found.")


class LiveRouteSection(Section):
    """How live answers of a route are scored."""

    sample: Share = Field(0.05, ge=0, le=1, validate_default=True, description="The share of its answers.")
    max_cost_per_day: Money | None = Field(
        None, ge=0, description="The most that its judges may cost in a day (UTC); default: `live_quality`'s."
    )
    assertions: list[dict[str, Any]] = Field(
        default_factory=list,
        alias="assert",
        max_length=50,
        description="What is asserted of its answers, as in tests of prompts: `{max_words: 120}`, `{language: same}`, "
        "`{judge: …, name: polite}`.",
    )
    groundedness: bool = Field(
        False, description="Score `groundedness`: what of an answer stands in the texts that came with its question."
    )
    relevance: bool = Field(False, description="Score `relevance`: a judge says how well an answer fits its question.")
    judge: str | None = Field(None, description="The model that judges; default: `live_quality.judge`.")

    @field_validator("assertions")
    @classmethod
    def _readable(cls, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = set[str]()
        for at, one in enumerate(given):
            name = score_name(one)
            if not is_name(name) or name in names:
                raise ValueError(f"[{at}] needs a `name` of its own, of letters, digits and `_ . : / -`")
            names.add(name)
            try:
                read_assertion(node_of(one))
            except ConfigError as error:
                raise ValueError(f"[{at}]: {error.message}") from None
        return given


class LiveQualitySection(Section):
    """Scorers on a sampled share of live answers: after the answer, never in its way."""

    routes: dict[str, LiveRouteSection] = Field(default_factory=dict, description="By the route's name.")
    judge: str | None = Field(None, description="The model that judges, for routes that name none.")
    max_cost_per_day: Money = Field(
        1_000_000, ge=0,
        description="The most that the judges of one route may cost in a day (UTC). Above it only scorers go on that "
        "ask no model.",
    )  # fmt: skip
    judge_cost: Money = Field(
        10_000, gt=0,
        description="What is held for one answer's judges until their cost is known; what it was where no price is.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _judged_by_somebody(self) -> LiveQualitySection:
        for name, route in self.routes.items():
            judged = route.relevance or any(asks_judge(one) for one in route.assertions)
            if judged and (route.judge or self.judge) is None:
                raise ValueError(f"routes.{name} has something to judge and nobody who does: name a model as `judge`")
        return self


def asks_judge(given: dict[str, Any]) -> bool:
    """Whether a model judges by an assertion."""
    return "judge" in given or "better_than" in given or given.get("by") == "judge"


def score_name(given: dict[str, Any]) -> str:
    """The name of the score that an assertion makes: its own, else its kind's."""
    if isinstance(given.get("name"), str):
        return str(given["name"])
    return next((str(key) for key in given if key not in ("name", "optional")), "")


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and text == f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        return False
