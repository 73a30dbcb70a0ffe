"""What a configuration says of models: several entries for one model say it together, and not one against another."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.providers.catalogue import ModelFacts
from comporta.providers.settings import ModelSection, PriceSection
from comporta.types import Price


def overrides_of(loaded: Loaded[Settings], wrong: list[str]) -> dict[str, dict[str, ModelFacts]]:
    """By provider and model: facts that the configuration knows better. Several names of a model say them together."""
    found: dict[str, dict[str, ModelFacts]] = {}
    for name, section in loaded.value.models.items():
        provider, model = meant(name, section)
        known = found.setdefault(provider, {})
        before, says = known.get(model, ModelFacts()), _said(section)
        for field, value in says.items():
            if getattr(before, field) not in (value, getattr(ModelFacts(), field)):
                text = f"is not what another entry of `models` says of {provider}/{model}: say it in one of them"
                wrong.append(loaded.mistake(("models", name, _WORDS.get(field, field)), text))
        known[model] = structs.replace(before, **says)
    return found


#: Where the configuration's word is not the field's.
_WORDS = {"batch_percent": "batch_price"}


def _said(section: ModelSection) -> dict[str, Any]:
    """The facts that an entry speaks of."""
    facts = {
        "context": section.context,
        "max_output": section.max_output,
        "capabilities": None if section.capabilities is None else tuple(section.capabilities),
        "price": price(section.price) if section.price else None,
        "batch_percent": None if section.batch_price is None else max(1, round(section.batch_price * 100)),
    }
    return {field: value for field, value in facts.items() if value is not None}


def meant(name: str, section: ModelSection) -> tuple[str, str]:
    """The provider and its model that an entry of `models` speaks of."""
    provider, _, model = name.partition("/")
    return section.provider or provider, section.model or model or name


def price(section: PriceSection) -> Price:
    return Price(**section.model_dump())
