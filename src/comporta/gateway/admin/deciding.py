"""`/admin/route/…`: where a call would go and why, what it would cost, and which model suits a task; asks no model."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import Field

from comporta.errors import BadRequest
from comporta.gateway.admin.asked import Deciding
from comporta.gateway.admin.shapes import NAMED, In, Listing, Out
from comporta.routing.task.names import ComplexityWord
from comporta.store.database import Database
from comporta.telemetry.calls import one_call
from comporta.types import JSON

_Text = Annotated[str, Field(min_length=1, max_length=200_000)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class ExplainIn(In):
    """A call to look at: one that was recorded, or one that might be asked."""

    call: _Name | None = Field(None, description="The id of a recorded call; then nothing else is said.")
    model: _Name | None = Field(
        None, description="The route, strategy or task that would be asked; default: `default`."
    )
    prompt: _Text | None = Field(None, examples=["Classify this review: great shoes"])
    messages: list[dict[str, Any]] | None = Field(
        None, min_length=1, max_length=1000, description="In place of `prompt`."
    )
    task: _Name | None = Field(None, description="The task that the caller would name.")
    stream: bool = False


class DecisionOut(Out):
    """The decision: what stands on a call's record as its note `route`, with the order in which models are asked."""

    decision: dict[str, Any]


class EstimateIn(In):
    """A prompt and the model that would answer it."""

    prompt: _Text
    model: _Name
    task: _Name | None = Field(None, description="What answers are like; default: guessed from the prompt.")


class EstimateOut(Out):
    """What a call is likely to cost, in micro-dollars; null where no price is known."""

    model: str
    tokens_in: int
    tokens_out: int
    cost_microusd: int | None
    input_microusd: int | None
    output_microusd: int | None
    exact: bool = Field(description="Whether the input was counted by the tokenizer's own table.")
    by: str
    as_of: str = Field(description="The day of the catalogue; prices of the configuration go before it.")


class SelectIn(In):
    """What a model is wanted for."""

    task: _Name | None = None
    complexity: ComplexityWord = "medium"
    budget: Annotated[float, Field(gt=0, le=10_000)] | None = Field(None, description="Dollars for one call, at most.")
    required: list[_Name] = Field(default_factory=list, max_length=20, description="Capabilities.")
    strategy: _Name | None = None


class OfferOut(Out):
    """One model that was looked at; `left_out` says why it does not fit."""

    model: str
    cost_microusd: int | None
    capabilities: list[str]
    context: int | None
    left_out: str | None


class SelectedOut(Out):
    """The model to take, and all that were looked at."""

    model: str
    why: str
    cost_microusd: int | None
    tokens_in: int
    tokens_out: int
    task: str | None
    complexity: str
    offers: list[OfferOut]


class RoutedOut(Out):
    """A model that a route leads to: facts from the catalogue of `as_of`, and what this worker sees of it now."""

    model: str
    context: int | None
    capabilities: list[str]
    price_input_microusd: int | None
    price_output_microusd: int | None
    as_of: str
    first_token_ms: float | None
    total_ms: float | None
    p95_ms: float | None
    in_flight: int
    answers: int
    rests: bool


def router(deciding: Deciding, database: Database) -> APIRouter:
    on = _On(deciding, database)
    made = APIRouter(prefix="/admin/route", tags=["routing"])
    for path, asked, about in (
        ("/explain", on.explain, "Say where a call goes, and why"),
        ("/estimate", on.estimate, "Estimate what a call costs"),
        ("/select", on.select, "Choose a model for a task"),
    ):
        made.add_api_route(path, asked, methods=["POST"], summary=about, responses=NAMED)
    made.add_api_route("/models", on.models, methods=["GET"], summary="List the models that routes lead to")
    return made


class _On:
    def __init__(self, deciding: Deciding, database: Database) -> None:
        self._deciding = deciding
        self._database = database

    async def explain(self, body: ExplainIn) -> DecisionOut:
        """A dry run asks no model and is not recorded; of a recorded call what was decided then."""
        if body.call is not None:
            return DecisionOut(decision=await self._recorded(body.call))
        if (body.prompt is None) == (body.messages is None):
            raise BadRequest("Give either `prompt` or `messages`, or the id of a `call`.", param="prompt")
        said = self._deciding.explain_route(body.prompt or body.messages, body.model, body.task, stream=body.stream)
        return DecisionOut(decision=said)

    async def estimate(self, body: EstimateIn) -> EstimateOut:
        """By the prices known and an estimate of the tokens; the output is what answers to such tasks are like."""
        return EstimateOut.model_validate(self._deciding.estimate_cost(body.prompt, body.model, body.task))

    async def select(self, body: SelectIn) -> SelectedOut:
        """By the configured strategy where one has the task, else by price and capabilities."""
        found = self._deciding.select_model(
            body.task, body.complexity, body.budget, required=body.required, strategy=body.strategy
        )
        return SelectedOut.model_validate(msgspec.to_builtins(found))

    async def models(self) -> Listing[RoutedOut]:
        """With their live figures: those of the worker that answers."""
        return Listing(data=[RoutedOut.model_validate(one) for one in self._deciding.routed_models()])

    async def _recorded(self, id: str) -> JSON:
        row = (await one_call(self._database, id)).call
        said = (row.notes or {}).get("route")
        if said is None:
            return {"route": row.route, "chosen": row.variant, "strategy": None,
                    "why": "its route has no strategy: drawn by weight, kept by session or user"}  # fmt: skip
        return {"route": row.route, **said}
