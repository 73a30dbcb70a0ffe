"""The section `model_routing:` of the configuration: strategies, their rows, and what holds for all of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator

from comporta.config.section import Section
from comporta.config.values import KIND, Duration, Money, Share, parse_money, show_money
from comporta.routing.task.names import SURE_AT, TASKS, Complexity, plain

Action = Literal["retry_with_backup_model", "escalate_to_superior_model", "return_cached_or_default"]
Balance = Literal["weighted", "least_latency", "least_busy", "cheapest"]
Aim = Literal["cost", "quality", "latency"]

_PER = re.compile(r"\s*(?:/|per)\s*(?:request|call)\s*$", re.IGNORECASE)


def _listed(written: object) -> object:
    """A single name is a list of one; an empty key is an empty list."""
    if written is None:
        return []
    return [written] if isinstance(written, str) else written


def _per_request(written: object) -> int:
    return parse_money(_PER.sub("", written) if isinstance(written, str) else written)


def _milliseconds(written: object) -> object:
    """`200`, and `200ms` too."""
    text = written.strip().lower() if isinstance(written, str) else ""
    return text.removesuffix("ms").strip() if text.endswith("ms") else written


def _each_once(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names '{name}' more than once")
    return names


Names = Annotated[list[str], BeforeValidator(_listed)]
PerRequest = Annotated[
    int,
    BeforeValidator(_per_request),
    PlainSerializer(lambda cost: f"{show_money(cost)}/request", return_type=str, when_used="json"),
    WithJsonSchema({
        KIND: "money", "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
        "examples": ["$0.01/request", "$0.002"],
    }),
]  # fmt: skip


class FallbackPoliciesSection(Section):
    """What is done when a model can't answer as wanted; what is left out is as without a strategy."""

    on_rate_limit: Action | None = Field(
        None,
        description="The provider says that we ask too often. Default: its other keys, pauses, then the next model.",
    )
    on_quality_drop: Action | None = Field(
        None, description="A model's live score is under `quality_threshold`. Default: `escalate_to_superior_model`."
    )
    on_timeout: Action | None = Field(None, description="A model stayed silent for too long. Default: the next model.")
    default_reply: str | None = Field(
        None, min_length=1, description="What `return_cached_or_default` says where no cache knows an answer."
    )


class TaskRowSection(Section):
    """Which models answer calls of one task."""

    task: str = Field(
        min_length=1, max_length=100,
        description="One of the usual tasks or a name of your own; `default` holds for all calls of no other row.",
    )  # fmt: skip
    primary: Names = Field(
        min_length=1, description="The model that answers, or several of them: `provider/model`, or names of `models`."
    )
    fallback: Names = Field(
        default_factory=list, description="Those that take over, and answer what the primary is left out of."
    )
    superior: Names = Field(
        default_factory=list,
        description="Those that calls escalate to; default: what quality strategies name for the task, else dearer "
        "models of this strategy.",
    )  # fmt: skip
    balance: Balance | None = Field(
        None, description="How one of several primaries is chosen; default: as the strategy's name says."
    )
    complexity: list[Complexity] = Field(
        default_factory=list, description="Of guessed calls only those guessed to be so hard; empty: all."
    )
    cost_threshold: PerRequest | None = Field(
        None, gt=0, description="The most that a call may cost by estimate, as `$0.01/request`."
    )
    quality_threshold: Share | None = Field(
        None, description="The least live mean of the quality score; a model under it is left out."
    )
    quality_score: str | None = Field(None, min_length=1, description="Another score than `quality.score`.")
    max_latency_ms: Annotated[float, BeforeValidator(_milliseconds)] | None = Field(
        None,
        gt=0,
        description="A model that lately took longer is left out: to its first token in streams, else in all.",
    )
    required_capabilities: Names = Field(
        default_factory=list, description="What a model must be able to do, in our words or your own."
    )
    skip_fallback: bool = Field(False, description="Nobody answers but the primary.")
    temperature: float | None = Field(None, ge=0, le=2, description="Where a body says none.")
    params: dict[str, Any] = Field(default_factory=dict, description="Further defaults that a body may override.")
    cache_similarity_threshold: float | None = Field(
        None, ge=0.5, le=1, description="How alike a question must be for a semantic hit; default: the route's."
    )
    fallback_policies: FallbackPoliciesSection | None = Field(
        None, description="What this row does differently from `model_routing.fallback_policies`."
    )

    @field_validator("primary", "fallback", "superior")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        return _each_once(names)


class QualitySection(Section):
    """Which score says how good a model is at the moment."""

    score: str = Field("thumbs", min_length=1, description="The score; of true and false the share of true counts.")
    window: Duration = Field(86_400.0, gt=0, validate_default=True, description="How far back its mean looks.")
    min_scores: int = Field(20, ge=1, description="With fewer of them nothing is said of a model.")
    out_of: float = Field(1.0, gt=0, description="The score's highest value: 5 for ratings of one to five.")
    refresh: Duration = Field(15.0, ge=0.1, validate_default=True, description="How often the means are read anew.")


class TaskSection(Section):
    """A task of your own, so that calls are recognised as its."""

    like: str | None = Field(None, description="The usual task that it is a kind of.")
    examples: list[str] = Field(
        default_factory=list, max_length=200, description="Prompts of that task; a call that is much like one is of it."
    )

    @field_validator("like")
    @classmethod
    def _usual(cls, like: str | None) -> str | None:
        if like is not None and plain(like) not in TASKS:
            raise ValueError(f"must be one of {', '.join(TASKS)}")
        return None if like is None else plain(like)


class GuessSection(Section):
    """How a call's task is guessed from its prompt, where nobody says it."""

    enabled: bool = Field(True, description="Guess at all; else such calls are of the row `default`.")
    sure_at: Share = Field(
        SURE_AT, gt=0, validate_default=True, description="A guess that is less sure counts as none."
    )
    like_at: Share = Field(
        0.5, gt=0, validate_default=True, description="How alike a prompt must be to an example of a task of your own."
    )


class ModelRoutingSection(Section):
    """Which model answers which task: asked as `strategy:<name>`, `task:<name>`, or by a route with a `strategy`."""

    strategies: dict[str, list[TaskRowSection]] = Field(
        default_factory=dict,
        description="Rows by strategy. A name that begins with `cost`, `quality` or `latency` says what it aims at.",
    )
    default_strategy: str | None = Field(
        None, description="The strategy of `task:<name>`; default: the first that has a row for the task."
    )
    fallback_policies: FallbackPoliciesSection = Field(
        default_factory=lambda: FallbackPoliciesSection(), description="What is done when a model can't answer."
    )
    quality: QualitySection = Field(default_factory=lambda: QualitySection(), description="What quality is.")
    tasks: dict[str, TaskSection] = Field(default_factory=dict, description="Tasks of your own.")
    guess: GuessSection = Field(default_factory=lambda: GuessSection(), description="Guessing tasks.")
    figures_for: Duration = Field(
        60.0, gt=0, validate_default=True,
        description="How long a measured latency counts; after that the model is tried again.",
    )  # fmt: skip

    @field_validator("strategies")
    @classmethod
    def _some_rows(cls, strategies: dict[str, list[TaskRowSection]]) -> dict[str, list[TaskRowSection]]:
        names = [plain(name) for name in strategies]
        for name, rows in strategies.items():
            if names.count(plain(name)) > 1:
                raise ValueError(f"several strategies are called '{plain(name)}'")
            if not rows:
                raise ValueError(f"the strategy '{name}' has no rows")
            tasks = [plain(row.task) for row in rows]
            twice = next((row.task for row in rows if tasks.count(plain(row.task)) > 1), None)
            if twice is not None:
                raise ValueError(f"the strategy '{name}' has several rows for '{twice}'")
        return strategies


class CascadeSection(Section):
    """A cheap model answers first; a checker decides whether a dearer one is asked."""

    models: list[str] = Field(min_length=2, max_length=8, description="The cheapest first; the last is not checked.")
    checker: dict[str, Any] = Field(
        min_length=1,
        description="What an answer must fulfil: `confidence: 0.8`, or an assertion as in prompt tests "
        "(`regex`, `json_schema`, `judge` …).",
    )
    stream: Literal["buffer", "refuse"] = Field(
        "buffer", description="Streams: held back until the answer is checked, or refused with 400."
    )
    unjudged: Literal["escalate", "accept"] = Field(
        "escalate", description="What becomes of an answer that could not be judged (a judge that fails)."
    )

    @field_validator("models")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        return _each_once(names)


def aim_of(strategy: str) -> Aim | None:
    """What a strategy's name says that it aims at."""
    word = plain(strategy)
    for aim, starts in (("cost", ("cost", "cheap")), ("quality", ("quality", "best")),
                        ("latency", ("latency", "speed", "fast"))):  # fmt: skip
        if word.startswith(starts):
            return aim  # type: ignore[return-value]
    return None


__all__ = [
    "Action", "Aim", "Balance", "CascadeSection", "FallbackPoliciesSection", "GuessSection", "ModelRoutingSection",
    "Money", "QualitySection", "TaskRowSection", "TaskSection", "aim_of",
]  # fmt: skip
