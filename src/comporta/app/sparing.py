"""Fewer tokens as a gate has it: what counts them, which routes shorten prompts, and which use providers' caches."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from comporta.app.known import Known
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.embedding.base import Embedder
from comporta.errors import ComportaError
from comporta.gateway.admission import HEADERS
from comporta.gateway.asking import ask
from comporta.gateway.attempt import Reached
from comporta.gateway.optimize_check import OptimizeChecks
from comporta.gateway.optimizing import HEADER, NOTE, Optimizing
from comporta.gateway.prompt_caching import Mode, PromptCaching
from comporta.notify.notifier import Notifier
from comporta.pipeline import Call, Next, Only
from comporta.providers.estimate import Estimate
from comporta.text.language import guess_language
from comporta.text.normal import content_words
from comporta.text.optimizing.settings import Policy, TokensSection, policy_of
from comporta.text.token_tables import Tables
from comporta.text.tokens import Counter
from comporta.types import Price, Reply, Score, Target, Usage

PriceOf = Callable[[Target, str, Usage], Price | None]


class Sparing:
    """Put together once per process; `notifier`, `pipeline` and the configuration are asked when they are needed."""

    def __init__(
        self,
        loaded: Callable[[], Loaded[Settings]],
        known: Callable[[], Known],
        price_of: PriceOf,
        embedder: Embedder,
        pipeline: Callable[[], Next],
        score: Callable[[Score], object],
        notifier: Callable[[], Notifier],
    ) -> None:
        self._loaded = loaded
        self._known = known
        self._price_of = price_of
        self._embedder = embedder
        self._pipeline = pipeline
        self._seen: Settings | None = None
        self._general: Policy | None = None
        self._routes: Mapping[str, Policy | None] = {}
        self._on = False
        self._modes: dict[tuple[str, str], Mode] = {}
        #: Counts tokens ahead of a call, for `gate.count_tokens(text, model)` too.
        self.counter = Counter(Tables(folders(loaded())))
        self.checks = OptimizeChecks(self._ask, self._alike, score, lambda notice: notifier().send(notice))
        self.optimizing = Optimizing(
            self._policy, self.counter, self._input_price, embedder.embed, self.checks.watch
        )  # fmt: skip
        self._prompt_caching = PromptCaching(self._mode, self._price_for)
        #: The stage `shorten`.
        self.stage = Only(self._applies, self.optimizing.stage)

    def reached(self, call: Call, reached: Reached) -> Reached:
        """What is asked, made ready for the provider's own cache where that is wished."""
        if call.kind == "count":
            return self._counted(call, reached)
        self._refresh()
        return self._prompt_caching.applied(call, reached) if self._modes else reached

    def _counted(self, call: Call, reached: Reached) -> Reached:
        """A count of tokens says how it is made: by the provider, by a table, or by an estimate."""
        if not isinstance(reached.model, Estimate):
            call.note(NOTE, how="provider", by=reached.endpoint.provider)
            return reached
        found = self.counter.count("", reached.query.model)
        call.note(NOTE, how=found.how, by=found.by)
        call.facts[HEADERS] = [*call.facts.get(HEADERS, ()), (HEADER, f"{found.how}; by={found.by}")]
        return structs.replace(reached, model=Estimate(self.counter))

    def totals(self) -> Mapping[str, float]:
        """For `/metrics`."""
        saved = self.optimizing.saved
        return {"optimized_calls": saved.calls, "tokens_saved": saved.tokens, **self.checks.totals()}

    async def close(self) -> None:
        await self.checks.close()

    def _applies(self, call: Call) -> bool:
        self._refresh()
        return self._on and self.optimizing.applies(call)

    def _refresh(self) -> None:
        """A reload reaches the next call."""
        settings = self._loaded().value
        if settings is not self._seen:
            self._take(settings)

    def _take(self, settings: Settings) -> None:
        self._general = policy_of(settings.optimize)
        self._routes = {name: policy_of(settings.optimize, route.optimize) for name, route in settings.routes.items()}
        self._on = self._general is not None or any(policy is not None for policy in self._routes.values())
        modes: dict[tuple[str, str], Mode] = {
            ("provider", name): section.prompt_caching
            for name, section in settings.providers.items()
            if section.prompt_caching != "off"
        }
        for name, route in settings.routes.items():
            if route.prompt_caching is not None:
                modes["route", name] = route.prompt_caching
        self._modes = modes
        self._seen = settings

    def _policy(self, call: Call) -> Policy | None:
        target = call.target
        return self._general if target is None else self._routes.get(target.route, self._general)

    def _mode(self, call: Call) -> Mode:
        target = call.target
        if target is None:
            return "off"
        own = self._modes.get(("route", target.route))
        return self._modes.get(("provider", target.provider), "off") if own is None else own

    def _input_price(self, call: Call, tokens: int) -> int | None:
        price = self._price_for(call, Usage(input=tokens))
        return None if price is None else price.input

    def _price_for(self, call: Call, usage: Usage) -> Price | None:
        return None if call.target is None else self._price_of(call.target, call.model, usage)

    def _ask(self, call: Call) -> Awaitable[Reply]:
        return ask(self._pipeline(), call)

    async def _alike(self, one: str, other: str) -> float:
        """How alike two answers are: by meaning in English where the embedder is there, else by their words."""
        if _is_english(one) and _is_english(other):
            try:
                first, second = await self._embedder.embed([one, other])
            except ComportaError:
                return _by_words(one, other)
            return max(0.0, min(1.0, sum(a * b for a, b in zip(first, second, strict=True))))
        return _by_words(one, other)


def _is_english(text: str) -> bool:
    guess = guess_language(text)
    return guess.code == "en" or guess.sure == 0


def _by_words(one: str, other: str) -> float:
    """The share of words that both have (Dice's coefficient over words that carry meaning)."""
    first, second = set(content_words(one)), set(content_words(other))
    if not first and not second:
        return 1.0 if one.split() == other.split() else 0.0
    return 2 * len(first & second) / (len(first) + len(second))


def folders(loaded: Loaded[Any]) -> Sequence[Path]:
    """Where tables may lie: the folder of the configuration, else where tiktoken keeps those it has fetched before."""
    section: TokensSection = loaded.value.tokens
    if section.tables is not None:
        return [loaded.folder / section.tables]
    own = (loaded.environment.get(name, "").strip() for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"))
    found = next((Path(folder) for folder in own if folder), None)
    return [found or Path(tempfile.gettempdir()) / "data-gym-cache"]
