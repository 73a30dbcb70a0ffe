"""Facts and prices of models."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from importlib.resources import files

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from comporta.providers.catalogue import Catalogue, ModelFacts, cost_microusd
from comporta.providers.rows import ROWS
from comporta.types import Price, Usage

FULL = Price(
    input=150_000, cached=75_000, cache_write=187_500, output=600_000, reasoning=700_000, audio_in=10_000_000,
    image_in=200_000, audio_out=20_000_000,
)  # fmt: skip
BUCKETS = ("input", "cached", "cache_write", "output", "reasoning", "audio_in", "image_in", "audio_out")


def of(counts: dict[str, int]) -> Usage:
    return msgspec.convert(counts, Usage)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.shipped()


def test_the_file_says_its_date_and_source_and_is_small(catalogue: Catalogue) -> None:
    assert date.fromisoformat(catalogue.date).year >= 2026
    assert "MIT" in catalogue.source
    assert len(files("comporta.providers").joinpath("catalogue.json").read_bytes()) < 200_000


def test_every_provider_in_it_is_a_row_and_every_default_model_is_known(catalogue: Catalogue) -> None:
    assert set(catalogue.providers) <= set(ROWS)
    for row in ROWS.values():
        if row.default_model and row.name in catalogue.providers:
            facts = catalogue.find(row.name, row.default_model)
            assert facts is not None and facts.price is not None and facts.price.output, row.name


def test_a_well_known_model_has_its_figures(catalogue: Catalogue) -> None:
    facts = catalogue.find("openai", "gpt-4o-mini")
    assert facts is not None and facts.price is not None
    assert (facts.context, facts.max_output) == (128_000, 16_384)
    assert (facts.price.input, facts.price.cached, facts.price.output) == (150_000, 75_000, 600_000)
    assert {"tools", "vision", "json_schema"} <= set(facts.capabilities)


@pytest.mark.parametrize(
    ("provider", "model", "same"),
    [
        ("openai", "gpt-4.1-2031-01-01", "gpt-4.1"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme::abc123", "ft:gpt-4.1-2025-04-14"),
        ("azure", "gpt-4o-mini", "gpt-4o-mini"),
        ("anthropic", "claude-haiku-4-5-20991231", "claude-haiku-4-5"),
        ("anthropic", "claude-haiku-4-5-latest", "claude-haiku-4-5"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("fireworks", "deepseek-v3", "accounts/fireworks/models/deepseek-v3"),
    ],
)
def test_other_forms_of_a_name_find_the_same_facts(catalogue: Catalogue, provider: str, model: str, same: str) -> None:
    found = catalogue.find(provider, model)
    assert found is not None
    assert found.price == (catalogue.find(provider, same) or ModelFacts()).price


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-99"), ("nowhere", "gpt-4o"), ("openai", ""), ("vllm", "gpt-4o-mini")]
)
def test_an_unknown_model_is_unknown(catalogue: Catalogue, provider: str, model: str) -> None:
    assert catalogue.find(provider, model) is None


def test_models_past_their_end_keep_their_price_but_are_not_listed() -> None:
    facts = ModelFacts(price=FULL, ends="2026-01-01")
    catalogue = Catalogue("2026-02-01", "test", {"openai": {"old": facts, "new": ModelFacts(ends="2026-03-01")}})
    assert catalogue.names("openai") == ("new",)
    assert catalogue.find("openai", "old") == facts
    assert catalogue.names("nowhere") == ()


def test_models_in_this_process_cost_nothing(catalogue: Catalogue) -> None:
    for provider in ("offline", "local"):
        for name in catalogue.names(provider):
            facts = catalogue.find(provider, name)
            assert facts is not None and facts.price is not None
            assert cost_microusd(Usage(input=10_000, output=10_000, cached=5), facts.price) == 0


def test_a_long_prompt_has_its_own_price() -> None:
    facts = ModelFacts(price=FULL, long_above=1000, long_price=Price(input=1))
    assert facts.price_for(Usage(input=600, cached=400)) is FULL
    assert facts.price_for(Usage(input=601, cached=400)) == Price(input=1)
    assert ModelFacts().price_for(Usage(input=1)) is None


def test_a_cost_is_the_sum_over_its_buckets() -> None:
    """WIRE 28"""
    million = of(dict.fromkeys(BUCKETS, 1_000_000))
    assert cost_microusd(million, FULL) == sum(getattr(FULL, bucket) for bucket in BUCKETS)


def test_a_cost_is_rounded_up_once() -> None:
    price = Price(input=150_000, output=600_000)
    assert cost_microusd(Usage(input=1), price) == 1
    assert cost_microusd(Usage(input=6, output=1), price) == 2
    assert cost_microusd(Usage(input=20), price) == 3
    assert cost_microusd(Usage(), price) == 0


@given(st.lists(st.integers(0, 10**9), min_size=len(BUCKETS), max_size=len(BUCKETS)))
def test_a_cost_is_exact_to_the_micro_dollar(counts: list[int]) -> None:
    usage = of(dict(zip(BUCKETS, counts, strict=True)))
    exact = sum(Fraction(n * getattr(FULL, b), 1_000_000) for b, n in zip(BUCKETS, counts, strict=True))
    cost = cost_microusd(usage, FULL)
    assert cost is not None and 0 <= cost - exact < 1


@pytest.mark.parametrize("bucket", BUCKETS)
def test_tokens_without_a_price_make_the_cost_unknown_not_nought(bucket: str) -> None:
    """WIRE 28"""
    assert cost_microusd(of({bucket: 5}), Price()) is None


@pytest.mark.parametrize(
    ("bucket", "stands_in"),
    [("cached", "input"), ("cache_write", "input"), ("image_in", "input"), ("reasoning", "output")],
)
def test_what_providers_bill_stands_in_for_a_price_left_out(bucket: str, stands_in: str) -> None:
    price = structs.replace(FULL, **{bucket: None})
    assert cost_microusd(of({bucket: 1_000_000}), price) == getattr(FULL, stands_in)


@pytest.mark.parametrize("bucket", ["audio_in", "audio_out"])
def test_audio_without_its_own_price_is_unknown(bucket: str) -> None:
    price = structs.replace(FULL, **{bucket: None})
    assert cost_microusd(of({bucket: 1}), price) is None


def test_a_price_of_nought_is_a_price() -> None:
    assert cost_microusd(Usage(input=5, output=5), Price(input=0, output=0)) == 0
