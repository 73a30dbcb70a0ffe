"""The section `llm_observability:` of the configuration: which figures have targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from comporta.config.mistakes import did_you_mean
from comporta.config.section import Section
from comporta.config.values import Duration
from comporta.telemetry.observability.bounds import read_bound
from comporta.telemetry.observability.names import BY_GROUP, Group, known, unknown
from comporta.telemetry.observability.targets import Target

_DAY_S = 86_400.0
_GROUPS: tuple[Group, ...] = ("performance", "cost", "quality", "reliability", "safety")


def _by_name(written: object) -> object:
    """A list of names, or of names with targets, as a mapping."""
    if not isinstance(written, list):
        return written
    found: dict[str, Any] = {}
    for one in written:
        found.update(one if isinstance(one, Mapping) else {str(one): None})
    return found


_Targets = Annotated[dict[str, str | float | None], BeforeValidator(_by_name)]


class ObservabilitySection(Section):
    """Targets of figures: `reliability: {availability: 99.95%}`. Names alone, also as a list, set none."""

    window: Duration = Field(
        30 * _DAY_S, ge=3600, le=400 * _DAY_S, validate_default=True,
        description="What error budgets are counted over.",
    )  # fmt: skip
    look_every: Duration = Field(
        30.0, ge=1, le=3600, validate_default=True, description="How often alert rules are looked at."
    )
    performance: _Targets = Field(
        default_factory=dict, description="`latency_p50`, `latency_p95`, `latency_p99`, `throughput`, `token_rate` …"
    )
    cost: _Targets = Field(
        default_factory=dict,
        description="`cost_per_request`, `cost_per_1k_tokens`, `daily_spend`, `budget_utilization`, `cache_hit_rate` …",
    )
    quality: _Targets = Field(
        default_factory=dict,
        description="`user_satisfaction`, `thumbs_up_ratio`, `correction_rate`, `hallucination_rate`, "
        "`relevance_score` …",
    )
    reliability: _Targets = Field(
        default_factory=dict, description="`availability`, `error_rate`, `timeout_rate`, `retry_success_rate` …"
    )
    safety: _Targets = Field(
        default_factory=dict,
        description="`guardrail_blocks`, `pii_detected`, `toxicity_flagged`, `jailbreak_attempts`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, written: object) -> object:
        """The groups may stand below `metrics:`."""
        if isinstance(written, Mapping) and isinstance(written.get("metrics"), Mapping):
            return {**{k: v for k, v in written.items() if k != "metrics"}, **written["metrics"]}
        return written

    @field_validator(*_GROUPS)
    @classmethod
    def _known(cls, given: dict[str, str | float | None], about: Any) -> dict[str, str | float | None]:
        group: Group = about.field_name
        for name, target in given.items():
            metric = known(name)
            if metric is None:
                hint = did_you_mean(name, BY_GROUP[group])
                raise ValueError(f"there is no metric of that name{hint}" if hint else unknown(name))
            if metric.group != group and not name.startswith("score."):
                raise ValueError(f"{metric.name} belongs below {metric.group}")
            if target is not None:
                try:
                    read_bound(target, metric, good=True)
                except ValueError as error:
                    raise ValueError(f"{metric.name} {error}") from None
        return given

    def targets(self) -> tuple[Target, ...]:
        """Those that are set."""
        found = []
        for group in _GROUPS:
            for name, given in getattr(self, group).items():
                if given is not None and (metric := known(name)) is not None:
                    found.append(Target(metric.name, read_bound(given, metric, good=True)[1]))
        return tuple(found)
