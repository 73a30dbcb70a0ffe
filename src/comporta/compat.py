"""Python names that teams have written already, each a few lines over the real thing: no second implementation.

An application that has classes such as `LLMConfig` and `LLMManager` of its own imports them from here and calls the
gate through them, in process: same stages, same records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comporta.alerts.rules import DEFAULTS
from comporta.app.gate import Gate
from comporta.app.money import Money, caller_under
from comporta.budget.budgets import Budget
from comporta.cache.semantic.seeding import Seed
from comporta.chains.values import Chain as Chain
from comporta.chains.values import Router as Router
from comporta.chains.values import Step as Step
from comporta.errors import BadRequest, ComportaError, NotFound
from comporta.evaluation.scorers.tones import tones
from comporta.gateway.answering import EXTENSION
from comporta.guardrails.trying import Checked
from comporta.prompts.draft import PromptTemplate as PromptTemplate
from comporta.prompts.draft import PromptValidation as PromptValidation
from comporta.prompts.draft import optimize_prompt as optimize_prompt
from comporta.prompts.draft import validate_prompt as validate_prompt
from comporta.routing.ensemble.plan import PROVIDER as ENSEMBLE
from comporta.telemetry.observability.bounds import Bound, read_bound, shown, written
from comporta.telemetry.observability.names import Metric, metric
from comporta.telemetry.observability.report import report
from comporta.testing.prompt_suite import PromptSuite
from comporta.types import Reply


@dataclass(frozen=True)
class LLMConfig:
    """How one model is asked. `timeout` and `cache_ttl` are seconds; `timeout` bounds a call with all its attempts.

    `retry_attempts`, `cache_enabled` and `cache_ttl` are kept for code that reads them; what the gate does is said once
    for everybody, under `retry` and `cache` of its configuration.
    """

    provider: str
    model_name: str
    api_key: str | None = field(default=None, repr=False)
    max_tokens: int = 4000
    temperature: float = 0.7
    top_p: float = 1.0
    timeout: float = 30
    retry_attempts: int = 3
    cache_enabled: bool = True
    cache_ttl: int = 3600

    @property
    def params(self) -> dict[str, Any]:
        """The sampling parameters, in OpenAI's words."""
        return {"max_tokens": self.max_tokens, "temperature": self.temperature, "top_p": self.top_p}


@dataclass(frozen=True)
class Processed:
    """What `process_with_monitoring` gives: the answer with its cost, time and tokens. `cost_usd` None is unknown."""

    text: str
    model: str | None
    total_tokens: int
    latency_s: float
    cost_usd: float | None
    success: bool
    error: str | None = None


class LLMManager:
    """Models under names of one's own."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def register_model(self, name: str, config: LLMConfig) -> None:
        """Make `config`'s model known as `name`, for this and every other caller of the gate."""
        if config.api_key is not None:
            self._gate.add_credential(config.provider, config.api_key)
        await self._gate.register_model(
            name, f"{config.provider}/{config.model_name}", params=config.params, timeout_s=config.timeout
        )


class Processor:
    """Asks models; made by `LLMFactory.create_processor`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def process_single(self, prompt: str, model: str, config: LLMConfig | None = None) -> str:
        """The answer's text; `config` gives parameters and time limit, where the name has none or others.

        Raises ComportaError, among them UpstreamTimeout.
        """
        return (await self._ask(prompt, model, config)).text

    async def process_batch(
        self, prompts: Sequence[str], model: str, max_concurrent: int = 5
    ) -> list[str | ComportaError]:
        """The answers in the order of the prompts; a failed one is its error and does not sink the rest."""
        results = await self._gate.batch(prompts, model=model, concurrency=max_concurrent)
        return [r.text if isinstance(r, Reply) else r for r in results]

    async def stream_response(self, prompt: str, model: str) -> AsyncGenerator[str, None]:
        """The answer's text, piece by piece."""
        async with self._gate.stream(prompt, model=model) as events:
            async for event in events:
                for delta in event.deltas:
                    if delta.text:
                        yield delta.text

    async def process_with_monitoring(self, prompt: str, model: str) -> Processed:
        """The answer with what it took; a failure is told in `error` and not raised."""
        call = self._gate.call(prompt, model=model)
        try:
            reply = await self._gate.ask(call)
        except ComportaError as error:
            return Processed("", call.reply_model, 0, call.latency_s, None, False, error.code)
        cost = call.cost_microusd
        return Processed(
            text=reply.text,
            model=reply.model,
            total_tokens=reply.usage.total if reply.usage else 0,
            latency_s=call.latency_s,
            cost_usd=None if cost is None else cost / 1_000_000,
            success=True,
        )

    async def _ask(self, prompt: str, model: str, config: LLMConfig | None) -> Reply:
        if config is None:
            return await self._gate.chat(prompt, model=model)
        return await self._gate.chat(prompt, model=model, timeout_s=config.timeout, **config.params)


class LLMFactory:
    """Makes processors for a gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def create_processor(self) -> Processor:
        return Processor(self._gate)


@dataclass(frozen=True)
class ValidationResult:
    """What guards say of a text. `severity` is critical or warning; `output` is the text as it may go on."""

    approved: bool
    blocked_by: str | None = None
    reason: str | None = None
    suggested_action: str | None = None
    sanitized_prompt: str | None = None
    warnings: tuple[str, ...] = ()
    output: str | None = None
    severity: str | None = None


class InputGuardrails:
    """The guards of what goes in: those of a policy by its name, else the configuration's."""

    def __init__(self, gate: Gate, policy: str | None = None) -> None:
        self._gate = gate
        self._policy = policy

    async def validate(self, prompt: str, context: Mapping[str, Any] | None = None) -> ValidationResult:
        """Raises GuardFailed. `context` has the further fields of `POST /v1/guard`: `system`, `language` …"""
        said = await self._gate.guard(prompt, side="input", **_about(self._policy, context))
        return _result(said)


class OutputGuardrails:
    """The guards of what comes out; `context` may have `question`, `context` (passages), `system`, `json_schema`."""

    def __init__(self, gate: Gate, policy: str | None = None) -> None:
        self._gate = gate
        self._policy = policy

    async def validate(self, output: str, context: Mapping[str, Any] | None = None) -> ValidationResult:
        """Raises GuardFailed."""
        said = await self._gate.guard(output, side="output", **_about(self._policy, context))
        return _result(said)


def _about(policy: str | None, context: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**({} if policy is None else {"policy": policy}), **(context or {})}


def _result(said: Checked) -> ValidationResult:
    return ValidationResult(
        said.approved, said.blocked_by, said.reason, said.suggested_action, said.sanitized_prompt, said.warnings,
        said.output, None if said.severity == "info" else said.severity,
    )  # fmt: skip


@dataclass(frozen=True)
class ToneAnalysis:
    """How a text sounds. Scores run from 0 to 1; by phrase lists in English, Portuguese and Spanish, a heuristic."""

    tone: str
    empathy_score: float
    defensive_score: float


class EvaluationMetrics:
    """Measures of a text that need no model."""

    @staticmethod
    def analyze(text: str, language: str | None = None) -> ToneAnalysis:
        """The tone of a text; a `language` given wins over detection. Raises ValueError for other languages."""
        found = tones().analyse(text, language)
        return ToneAnalysis(found.label, found.empathy, found.defensive)


class PromptTestSuite(PromptSuite):
    """`PromptTestSuite("support-v2.3.1").run(input=…, expected_behavior=…, language=…)`."""


@dataclass(frozen=True)
class Alert:
    """A figure beyond its threshold, both as people read them in `message`."""

    metric: str
    value: float
    threshold: float
    message: str


class AlertManager:
    """Thresholds held against figures when asked; rules that are looked at all the time stand under `alerts:`.

    `thresholds` are by the figures' names (`error_rate`, `avg_response_time`, `cost_per_hour`, `p95` …), each a number
    or a text such as `> 10%`; without any they are the three that are on from the start. Raises BadRequest for a name
    that is none, ValueError for a threshold that is none.
    """

    def __init__(self, thresholds: Mapping[str, float | str] | None = None) -> None:
        usual = {rule.name: rule.alert.value for rule in DEFAULTS if rule.alert is not None}
        self.thresholds: dict[str, float | str] = dict(usual if thresholds is None else thresholds)
        self._bounds: dict[str, tuple[Metric, Bound]] = {
            name: read_bound(given, metric(name)) for name, given in self.thresholds.items()
        }

    def check_metrics(self, metrics: Mapping[str, float | None]) -> list[Alert]:
        """What of these figures lies beyond its threshold; those that are not there are passed over."""
        found = []
        for name, (figure, bound) in self._bounds.items():
            said = (metrics.get(one) for one in (name, figure.name, *figure.aliases))
            value = next((one for one in said if one is not None), None)
            if value is not None and bound.holds(value):
                text = f"{name} is {shown(value, figure.unit)} ({written(bound, figure.unit)})"
                found.append(Alert(name, value, bound.value, text))
        return found

    async def check(self, gate: Gate, window: str = "1h") -> list[Alert]:
        """The same of a gate's own figures. Raises Unavailable."""
        found = await report(gate.database, window=window, present=await gate.observing.present())
        return self.check_metrics(found.metrics)


class SemanticCache:
    """Answers by the meaning of their question, in the gate's own cache; `cache.semantic` must be on.

    `namespace` keeps several apart: it is the route that answers are seeded on. `ttl` is seconds, None until cleared.
    """

    def __init__(
        self,
        gate: Gate,
        namespace: str = "default",
        similarity_threshold: float | None = None,
        ttl: float | None = None,
    ) -> None:
        self._recalling = gate.caching.recalling
        self._namespace = namespace
        self._threshold = similarity_threshold
        self._ttl_s = ttl

    async def get(self, prompt: str) -> str | None:
        """The answer to a prompt that means the same; None where there is none."""
        return await self._recalling.look_up(prompt, self._namespace, self._threshold)

    async def set(self, prompt: str, response: str, tags: Sequence[str] = ()) -> None:
        """Keep an answer, in place of an older one. Raises BadRequest for what can't be kept, Conflict, Unavailable."""
        seeds = [Seed(prompt, response, self._namespace, tuple(tags), None, self._ttl_s)]
        for _, reason in (await self._recalling.seed(seeds)).refused:
            raise BadRequest(f"This can't be kept: {reason}.")


@dataclass(frozen=True)
class Consensus:
    """What `generate_with_consensus` gives. `consensus_score` None: how alike the answers are could not be told."""

    response: str
    consensus_score: float | None
    requires_review: bool
    #: Each model's answer, and how much it is like the others.
    responses: dict[str, str]
    scores: dict[str, float | None]
    review_id: str | None = None
    cost_usd: float | None = None


class EnsembleLLM:
    """Several models asked at the same time; `threshold` is how alike their answers must be, `over` what is averaged.

    Weights, votes, judges and hedging are said with `gate.ensemble`, or by a route's variant.
    """

    def __init__(
        self, gate: Gate, models: Sequence[str], threshold: float = 0.85, *, prefer: str | None = None,
        over: str = "pairs",
    ) -> None:  # fmt: skip
        """Raises BadRequest for models that are not there."""
        self._gate = gate
        said = json.dumps([list(models), threshold, prefer, over])
        self._name = f"ensemble-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
        preferred = {} if prefer is None else {"prefer": prefer}
        gate.ensemble(
            self._name, list(models), threshold=threshold, consensus_over=over, quorum=len(models), **preferred
        )

    async def generate_with_consensus(self, prompt: str, **params: Any) -> Consensus:
        """The preferred model's answer, and whether the others agree; where not, it waits for a review.

        Raises ComportaError.
        """
        call = self._gate.call(prompt, model=self._name, **params)
        reply = await self._gate.ask(call)
        told = call.facts[EXTENSION]["ensemble"]
        cost = call.cost_microusd
        return Consensus(
            reply.text, told["similarity"], told["requires_review"], call.facts[ENSEMBLE].answers,
            {one["member"]: one.get("score") for one in told["members"]}, told.get("review_id"),
            None if cost is None else cost / 1_000_000,
        )  # fmt: skip


class BudgetManager:
    """A budget of the gate by its name: the gate's own calls count by themselves, other spending is recorded here.

    Of a budget with several periods all must have room.
    """

    def __init__(self, gate: Gate, budget: str) -> None:
        self._gate = gate
        self._name = budget
        around = [("record", gate.telemetry.recorder.stage), ("limit", gate.metering.admission.limit)]
        self._money = Money(gate.metering.counters, gate.metering.purses, around)

    async def check_budget(self, estimated_cost: float = 0.0) -> bool:
        """Whether so many US dollars may still be spent. Raises NotFound, Unavailable."""
        left = [await self._money.left_microusd(budget) for budget in self._budgets()]
        return min(left) > 0 and min(left) >= round(estimated_cost * 1_000_000)

    async def record_cost(self, cost: float) -> str:
        """Put US dollars that were spent without the gate into the ledger; the id of the record. Raises BadRequest."""
        if not 0 <= cost < 1_000_000_000:
            raise BadRequest("cost must be US dollars, 0 or more.", param="cost")
        caller, user = caller_under(self._budgets()[0])
        return await self._money.spend(round(cost * 1_000_000), caller, user)

    def _budgets(self) -> list[Budget]:
        found = [budget for budget in self._gate.budgets.list() if self._name in (budget.name, budget.id)]
        if not found:
            raise NotFound(f"There is no budget named '{self._name[:100]}'.", code="not_found", param="budget")
        return found


class CostOptimizer:
    """Which model is worth its price, and what a prompt will cost; by the gate's own strategies and prices."""

    def __init__(self, gate: Gate, strategy: str | None = None) -> None:
        self._gate = gate
        self._strategy = strategy

    def select_optimal_model(self, task_complexity: str, budget: float | str | None = None) -> str:
        """A model's name for calls so hard (`low`, `medium`, `high`), `budget` dollars each at most.

        Raises BadRequest.
        """
        return self._gate.select_model(complexity=task_complexity, budget=budget, strategy=self._strategy).model

    def estimate_cost(self, prompt: str, model: str) -> float | None:
        """Dollars, by estimate; None where no price is known. Raises NotFound for an unknown model."""
        cost = self._gate.estimate_cost(prompt, model).cost_microusd
        return None if cost is None else cost / 1_000_000
