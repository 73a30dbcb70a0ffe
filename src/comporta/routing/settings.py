"""The section `routes:` of the configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from comporta.cache.settings import RouteCacheSection
from comporta.config.section import Section
from comporta.config.values import Duration, Share, Size
from comporta.guardrails.settings import PolicySection
from comporta.prompts.refs import ref_of
from comporta.providers.settings import TimeoutsSection
from comporta.routing.ensemble.settings import EnsembleSection
from comporta.routing.task.settings import Balance, CascadeSection
from comporta.text.optimizing.settings import RouteOptimizeSection


class VariantSection(Section):
    """One way to answer a route."""

    model: str | None = Field(
        None, description="`provider/model`, or the name of a model under `models`; default: what the prompt names."
    )
    ensemble: EnsembleSection | None = Field(
        None, description="Several models that answer together, in place of one `model`."
    )
    prompt: str | None = Field(
        None,
        description="A prompt of the registry: `support@2.3.1`, `support@staging`, or `support` (by the environment of "
        "the caller's key, else `production`).",
    )
    name: str | None = Field(
        None, description="Its name in records and headers; default: the prompt's and the model's."
    )
    weight: float = Field(1.0, ge=0, description="Its share of the route's calls.")
    params: dict[str, Any] = Field(default_factory=dict, description="Defaults that a body may override.")

    @model_validator(mode="after")
    def _asks_something(self) -> VariantSection:
        if self.model is not None and self.ensemble is not None:
            raise ValueError("give either a `model` or an `ensemble`")
        if self.model is None and self.prompt is None and self.ensemble is None:
            raise ValueError("give a `model`, a `prompt`, or both; or an `ensemble`")
        if self.prompt is not None:
            ref_of(self.prompt)
        return self


class RouteImagesSection(Section):
    """What is done with images on this route."""

    max_bytes: Size | None = Field(None, gt=0, description="Largest image; default: `images.max_bytes`.")
    shrink: bool | None = Field(None, description="Shrink large images before they are sent; default: `images.shrink`.")
    shrink_to_px: int | None = Field(None, ge=16, description="Longest side after shrinking, in pixels.")


class RetrySection(Section):
    """How often one variant is asked again, and with which pauses (exponential, with full jitter)."""

    attempts: int = Field(3, ge=1, le=20, description="Attempts in all; 1 asks once.")
    first_wait: Duration = Field(1.0, validate_default=True, description="Bound of the first pause.")
    factor: float = Field(2.0, ge=1, le=10, description="By how much the bound grows.")
    longest_wait: Duration = Field(10.0, validate_default=True, description="The longest pause.")


class BreakerSection(Section):
    """When a provider's model is left alone after failures, per credential."""

    failures: int = Field(5, ge=1, description="Failures in a row that open it.")
    share: Share = Field(0.5, gt=0, le=1, validate_default=True, description="Or this share of failures …")
    of: int = Field(20, ge=1, description="… among at least so many calls …")
    window: Duration = Field(60.0, gt=0, validate_default=True, description="… within this time.")
    rest: Duration = Field(15.0, gt=0, validate_default=True, description="Rest before the first probe.")
    longest_rest: Duration = Field(
        25.0,
        gt=0,
        validate_default=True,
        description="Rest after failed probes, at most: a recovery may go unseen for so long.",
    )


class RouteSection(Section):
    """The name an application asks for, and the variants that answer it."""

    model: str | None = Field(None, description="Short for a single variant.")
    variants: list[VariantSection] = Field(default_factory=list, description="The ways to answer, by weight.")
    strategy: str | None = Field(
        None, description="A strategy of `model_routing` says which model answers, in place of `model` and `variants`."
    )
    task: str | None = Field(
        None, description="The task of its calls, where a caller names none; default: guessed from the prompt."
    )
    cascade: CascadeSection | None = Field(
        None, description="A cheap model answers first, and a dearer one where a checker finds that not good enough."
    )
    balance: Balance | None = Field(
        None,
        description="How one of the variants with a weight is chosen; all but `weighted` go by live figures and keep "
        "no session on one variant. Default: `weighted`.",
    )
    sticky: bool = Field(True, description="Keep a session, else a user, on one variant.")
    fallback: list[str] = Field(
        default_factory=list, description="Models that take over in this order when the others can't answer."
    )
    larger_context: str | None = Field(None, description="A model that answers what was too long for the others.")
    last_resort: str | None = Field(
        None, description="A fixed reply when nobody can answer; marked by the header x-comporta-last-resort."
    )
    on_cut: Literal["end", "resume"] = Field(
        "end", description="A stream that breaks off: ends with an error frame, or is asked again and taken up."
    )
    retry: RetrySection | None = Field(None, description="How often a variant is asked again; default: `retry`.")
    content: Literal["full", "preview", "hashed", "off"] | None = Field(
        None, description="What records keep of prompt and reply; default: `records.content`."
    )
    cache: RouteCacheSection | None = Field(
        None, description="Give answers of this route again; default: as `cache.enabled` says."
    )
    guardrails: str | list[str] | PolicySection | None = Field(
        None, description="Guards beside those that hold everywhere: names under `guardrails.policies`, or a policy."
    )
    images: RouteImagesSection | None = Field(None, description="Limits on images, and shrinking.")
    optimize: RouteOptimizeSection | None = Field(
        None, description="Send this route's prompts in fewer tokens; default: as `optimize` says."
    )
    together: int | None = Field(
        None, ge=1, le=100,
        description="How many short questions a program's `gate.batch` asks in one call on this route, told apart by "
        "ids; default: each by itself.",
    )  # fmt: skip
    prompt_caching: Literal["off", "auto", "always"] | None = Field(
        None, description="Use the providers' own caches of prompts; default: as the provider's section says."
    )
    timeouts: TimeoutsSection | None = Field(None, description="Time limits that override the provider's.")

    @model_validator(mode="after")
    def _one_way(self) -> RouteSection:
        ways = [self.model, self.variants or None, self.strategy, self.cascade]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give either `model` or `variants`, or a `strategy`, or a `cascade`")
        if self.task is not None and self.strategy is None:
            raise ValueError("a `task` needs a `strategy` beside it")
        if self.balance is not None and sum(variant.weight > 0 for variant in self.variants) < 2:
            raise ValueError("`balance` needs two variants with a weight, or more")
        if self.variants and not any(v.weight > 0 for v in self.variants):
            raise ValueError("at least one variant needs a weight above 0")
        return self
