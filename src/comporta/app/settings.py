"""The whole configuration: every room's section, put together."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from comporta.alerts.settings import AlertSection
from comporta.budget.settings import (
    BudgetManagementSection,
    BudgetSection,
    CostAllocationSection,
    SpendingSection,
)
from comporta.cache.settings import CacheSection
from comporta.chains.settings import ChainsSection
from comporta.config.section import Section
from comporta.console.settings import ConsoleSection
from comporta.counters.settings import CountersSection
from comporta.feedback.findings.settings import FindingsSection
from comporta.feedback.settings import FeedbackSection, FeedbackSystemSection, LiveQualitySection
from comporta.gateway.batches.settings import BatchesSection
from comporta.gateway.followups.settings import ResponsesSection
from comporta.gateway.images import ImagesSection
from comporta.gateway.settings import OutgoingSection, ServerSection
from comporta.guardrails.settings import GuardrailsSection
from comporta.keys.settings import LimitSection
from comporta.notify.settings import NotifySection
from comporta.prompts.settings import PromptsSection
from comporta.providers.settings import ModelSection, ProviderSection
from comporta.routing.settings import BreakerSection, RetrySection, RouteSection
from comporta.routing.task.settings import ModelRoutingSection
from comporta.store.settings import DatabaseSection, RedisSection
from comporta.telemetry.observability.settings import ObservabilitySection
from comporta.telemetry.otlp.settings import OtlpSection
from comporta.telemetry.settings import LoggingSection, RecordsSection
from comporta.text.optimizing.settings import OptimizeSection, TokensSection


class Settings(Section):
    """`comporta.yaml`."""

    server: ServerSection = Field(default_factory=lambda: ServerSection(), description="Where the gate listens.")
    database: DatabaseSection = Field(default_factory=lambda: DatabaseSection(), description="PostgreSQL.")
    redis: RedisSection = Field(default_factory=lambda: RedisSection(), description="Redis or Valkey.")
    outgoing: OutgoingSection = Field(default_factory=lambda: OutgoingSection(), description="The way to providers.")
    providers: dict[str, ProviderSection] = Field(
        default_factory=dict, description="Where models are asked; empty: what the environment has keys for."
    )
    models: dict[str, ModelSection] = Field(default_factory=dict, description="Names and facts of models.")
    routes: dict[str, RouteSection] = Field(default_factory=dict, description="Names that applications ask for.")
    model_routing: ModelRoutingSection = Field(
        default_factory=lambda: ModelRoutingSection(), description="Which model answers which task."
    )
    chains: ChainsSection = Field(default_factory=lambda: ChainsSection(), description="Prompts in a row.")
    prompts: PromptsSection = Field(default_factory=lambda: PromptsSection(), description="The prompt registry.")
    retry: RetrySection = Field(
        default_factory=lambda: RetrySection(), description="How often a variant is asked again."
    )
    breaker: BreakerSection = Field(default_factory=lambda: BreakerSection(), description="When a provider rests.")
    tokens: TokensSection = Field(default_factory=lambda: TokensSection(), description="How tokens are counted.")
    optimize: OptimizeSection = Field(
        default_factory=lambda: OptimizeSection(), description="Prompts sent in fewer tokens."
    )
    cache: CacheSection = Field(default_factory=lambda: CacheSection(), description="Answers that are given again.")
    limits: list[LimitSection] = Field(
        default_factory=list, description="How much may be asked in a minute and at once, by whom and of whom."
    )
    budgets: list[BudgetSection] = Field(default_factory=list, description="How much may be spent, and by whom.")
    budget_management: BudgetManagementSection = Field(
        default_factory=lambda: BudgetManagementSection(), description="Budgets and cost allocation in one place."
    )
    cost_allocation: CostAllocationSection | None = Field(
        None, description="Tags that costs are told apart by, and how costs are shown."
    )
    spending: SpendingSection = Field(default_factory=lambda: SpendingSection(), description="What holds for budgets.")
    counters: CountersSection = Field(
        default_factory=lambda: CountersSection(), description="Live counters of limits and budgets."
    )
    guardrails: GuardrailsSection = Field(
        default_factory=lambda: GuardrailsSection(), description="What must not go in, and what must not come out."
    )
    responses: ResponsesSection = Field(
        default_factory=lambda: ResponsesSection(), description="Responses that their providers don't keep."
    )
    images: ImagesSection = Field(default_factory=lambda: ImagesSection(), description="Limits on images.")
    records: RecordsSection = Field(default_factory=lambda: RecordsSection(), description="What is kept of calls.")
    notify: NotifySection = Field(
        default_factory=lambda: NotifySection(), description="Whom to tell of what happens by itself."
    )
    batches: BatchesSection = Field(
        default_factory=lambda: BatchesSection(), description="Files of requests, asked by the job worker."
    )
    otlp: OtlpSection = Field(default_factory=lambda: OtlpSection(), description="OpenTelemetry, out and in.")
    console: ConsoleSection = Field(default_factory=lambda: ConsoleSection(), description="The web page for people.")
    llm_observability: ObservabilitySection = Field(
        default_factory=lambda: ObservabilitySection(), description="Targets of figures."
    )
    alerts: list[AlertSection] = Field(
        default_factory=list,
        description="When people are told of a figure. Without any there are `error_rate` (over 10 %), "
        "`average_response_time` (over 5 s) and `cost_per_hour` (over $100).",
    )
    feedback: FeedbackSection = Field(
        default_factory=lambda: FeedbackSection(), description="Feedback from browsers, and what is found by itself."
    )
    feedback_system: FeedbackSystemSection = Field(
        default_factory=lambda: FeedbackSystemSection(), description="What is made of feedback."
    )
    findings: FindingsSection = Field(
        default_factory=lambda: FindingsSection(), description="Changes that are looked for by themselves."
    )
    live_quality: LiveQualitySection = Field(
        default_factory=lambda: LiveQualitySection(), description="Scorers on live answers."
    )
    logging: LoggingSection = Field(default_factory=lambda: LoggingSection(), description="Logs.")

    @field_validator("alerts")
    @classmethod
    def _alerts_named_once(cls, alerts: list[AlertSection]) -> list[AlertSection]:
        """How a rule stands is kept by its name."""
        names = [one.name for one in alerts]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise ValueError(f"the name of alerts[{at}] is taken by an earlier one; each needs a name of its own")
        return alerts

    @field_validator("budgets")
    @classmethod
    def _named_once(cls, budgets: list[BudgetSection]) -> list[BudgetSection]:
        """A budget is counted by its name: of two of the same name only the last would hold."""
        names = [budget.name for budget in budgets]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise ValueError(f"the name of budgets[{at}] is taken by an earlier one; each needs a name of its own")
        return budgets

    @field_validator("budget_management")
    @classmethod
    def _named_once_in_all(cls, given: BudgetManagementSection, info: ValidationInfo) -> BudgetManagementSection:
        names = [budget.name for budget in info.data.get("budgets", ())]
        for at, budget in enumerate(given.budgets):
            if budget.name in names:
                raise ValueError(f"the name of budgets[{at}] is taken by an earlier one; each needs a name of its own")
            names.append(budget.name)
        return given
