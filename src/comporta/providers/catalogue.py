"""Models' facts and prices, from a data file with its date and source, and what a usage costs by them.

`catalogue.json` is made by `tools/catalogue.py`; the configuration overrides it model by model. What it does not say is
unknown, never free and never impossible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Self

import msgspec
from msgspec import Struct, structs

from comporta.types import Price, Usage

_DATED: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest|\d{3})$")
#: Rows that serve another row's models under the same names, at its prices.
_SAME_MODELS: Final = {"azure": "openai"}
_PREFIXES: Final = {"gemini": "models/", "fireworks": "accounts/fireworks/models/"}
_FREE: Final = Price(input=0, output=0)
#: The words of `ModelFacts.capabilities`; whoever runs the gate may have others beside them.
OUR_CAPABILITIES: Final = frozenset({
    "tools", "vision", "json_schema", "reasoning", "prefill", "audio", "audio_out", "pdf", "caching", "web_search",
    "embeddings", "responses_only",
})  # fmt: skip
_MILLION: Final = 1_000_000


class ModelFacts(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a model. Absent is unknown."""

    #: Tokens that fit in, and tokens it can write.
    context: int | None = None
    max_output: int | None = None
    #: tools, vision, json_schema, reasoning, prefill, audio, audio_out, pdf, caching, web_search, embeddings;
    #: responses_only where the chat API does not have it.
    capabilities: tuple[str, ...] = ()
    price: Price | None = None
    #: Prompts of more tokens than this cost `long_price`, all of their tokens.
    long_above: int | None = None
    long_price: Price | None = None
    #: What the provider's own batch API asks for it, in percent of the price; None leaves it to the provider's row.
    batch_percent: int | None = None
    #: The day (ISO) its provider stops serving it.
    ends: str | None = None

    def price_for(self, usage: Usage) -> Price | None:
        """The price that holds for a call of this size."""
        if self.long_above is not None and self.long_price is not None and usage.prompt > self.long_above:
            return self.long_price
        return self.price


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True):
    """Facts by provider and model, as of `date`, from `source`."""

    date: str
    source: str
    providers: Mapping[str, dict[str, ModelFacts]]

    @classmethod
    def shipped(cls) -> Self:
        """The catalogue in this package, with the models that run in this process, which cost nothing."""
        read = msgspec.json.decode(files("comporta.providers").joinpath("catalogue.json").read_bytes(), type=cls)
        own = {
            "offline": {"extractive": ModelFacts(price=_FREE)},
            "local": {"all-minilm-l6-v2": ModelFacts(capabilities=("embeddings",), price=_FREE)},
        }
        return cls(read.date, read.source, {**read.providers, **own})

    def find(self, provider: str, model: str) -> ModelFacts | None:
        """The facts of a row's model; also by a dated name, by one without its path, by a fine-tuned one."""
        provider = _SAME_MODELS.get(provider, provider)
        models = self.providers.get(provider)
        if models is None:
            return None
        prefix = _PREFIXES.get(provider)
        for name in _names(model):
            found = models.get(name)
            if found is None and prefix is not None:
                found = models.get(name.removeprefix(prefix)) or models.get(prefix + name)
            if found is not None:
                return found
        return None

    def names(self, provider: str) -> tuple[str, ...]:
        """The models of a row that its provider still served when the catalogue was made."""
        models = self.providers.get(_SAME_MODELS.get(provider, provider), {})
        return tuple(name for name, facts in models.items() if facts.ends is None or facts.ends >= self.date)


def _names(model: str) -> tuple[str, ...]:
    """The name as it stands, then what it may be a dated or fine-tuned form of."""
    if model.startswith("ft:"):
        base = ":".join(model.split(":", 2)[:2])
        return (model, base, _DATED.sub("", base))
    undated = _DATED.sub("", model)
    return (model,) if undated == model else (model, undated)


def batch_cost_microusd(usage: Usage, price: Price, percent: int) -> int | None:
    """What a usage costs in a provider's own batch, at `percent` of the price; rounded up once, as `cost_microusd`."""
    rates = {name: rate * percent for name, rate in structs.asdict(price).items() if rate is not None}
    cost = cost_microusd(usage, Price(**rates))
    # Rounding up a quotient that was rounded up is rounding up once.
    return None if cost is None else -(-cost // 100)


def cost_microusd(usage: Usage, price: Price) -> int | None:
    """What a usage costs, rounded up once, in whole micro-dollars; None where a bucket with tokens has no price.

    Where a price is left out, what providers bill then stands in: reasoning as output, images as input, and tokens
    read from or written to a cache as input (no provider asks more for reading). Audio always has a price of its own,
    so without one the cost is unknown.
    """
    total = 0
    plain_in, plain_out = price.input, price.output
    rare = usage.cached or usage.cache_write or usage.image_in or usage.audio_in or usage.reasoning or usage.audio_out
    if not rare and plain_in is not None and plain_out is not None:
        return -(-(usage.input * plain_in + usage.output * plain_out) // _MILLION)
    for tokens, rate in (
        (usage.input, price.input),
        (usage.cached, price.input if price.cached is None else price.cached),
        (usage.cache_write, price.input if price.cache_write is None else price.cache_write),
        (usage.image_in, price.input if price.image_in is None else price.image_in),
        (usage.audio_in, price.audio_in),
        (usage.output, price.output),
        (usage.reasoning, price.output if price.reasoning is None else price.reasoning),
        (usage.audio_out, price.audio_out),
    ):
        if tokens:
            if rate is None:
                return None
            total += tokens * rate
    return -(-total // _MILLION)
