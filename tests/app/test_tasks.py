"""`model_routing:` as it is written: files in the usual shape load, and every mistake is told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.cascades import checker_of, sure_enough
from comporta.app.folder import Folder
from comporta.app.known import Known
from comporta.app.loaded import Places, known, load_settings
from comporta.errors import ConfigError
from comporta.providers.catalogue import Catalogue
from comporta.types import Choice, Reply

USUAL = """
providers: {openai: {api_key: sk-x}, anthropic: {api_key: sk-y}}
model_routing:
  strategies:
    cost_optimized:
      - {task: simple_classification, primary: gpt-4o-mini, fallback: gpt-4o, cost_threshold: $0.01/request}
      - {task: complex_reasoning, primary: gpt-4o, fallback: openai/gpt-4.1, quality_threshold: 0.85}
    quality_optimized:
      - task: medical_advice
        primary: anthropic/claude-sonnet-4-5
        required_capabilities: [medical_domain, reasoning]
        skip_fallback: true
        temperature: 0.1
    latency_optimized:
      - {task: real_time_chat, primary: gpt-4o-mini, max_latency_ms: 200, cache_similarity_threshold: 0.95}
  fallback_policies:
    on_rate_limit: retry_with_backup_model
    on_quality_drop: escalate_to_superior_model
    on_timeout: return_cached_or_default
"""


def read(tmp_path: Path, text: str) -> Known:
    file = tmp_path / "comporta.yaml"
    file.write_text(text)
    loaded = load_settings(Places(file, Folder(tmp_path / "data")), {})
    return known(loaded, Folder(tmp_path / "data"))


def mistakes(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    return refused.value.message


def test_a_file_in_the_usual_shape_loads_and_its_names_can_be_asked(tmp_path: Path) -> None:
    found = read(tmp_path, USUAL)
    asked = {*found.names()}
    assert {"strategy:cost_optimized", "task:simple_classification", "task:real_time_chat"} <= asked
    way = found.tasks.tables.ways["strategy:cost_optimized"]
    first, second = way.rows
    assert first.cost_threshold_microusd == 10_000 and first.primary[0].target.model == "gpt-4o-mini"
    assert first.usual == "classification" and second.usual == "reasoning"
    assert second.policies.on_timeout == "return_cached_or_default"
    quality = found.tasks.tables.ways["strategy:quality_optimized"].rows[0]
    assert quality.primary[0].target.params == {"temperature": 0.1} and not quality.fallback
    assert found.tasks.tables.ways["strategy:latency_optimized"].rows[0].similarity == 0.95
    assert any("medical_domain" in text for text in found.tasks.tables.warnings)


def test_models_that_nobody_offers_are_told_with_the_nearest_name_and_the_line(tmp_path: Path) -> None:
    told = mistakes(tmp_path, USUAL.replace("primary: gpt-4o-mini, fallback", "primary: gpt-4o-mimi, fallback"))
    assert "comporta.yaml:6" in told and "did you mean 'gpt-4o-mini'" in told and told.count("\n") == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("routes: {a: {strategy: cost_optimised}}", "there is no strategy 'cost_optimised'"),
        ("routes: {a: {strategy: cost_optimized, task: basketry}}", "has no task 'basketry'"),
        ("routes: {a: {task: chat, model: openai/gpt-4o}}", "needs a `strategy` beside it"),
        ("routes: {a: {strategy: cost_optimized, model: openai/gpt-4o}}", "give either"),
        ("routes: {a: {balance: least_busy, variants: [{model: openai/gpt-4o}]}}", "needs two variants"),
        ("routes: {a: {cascade: {models: [openai/gpt-4o], checker: {regex: a}}}}", "at least 2"),
        ("routes: {a: {cascade: {models: [openai/gpt-4o, openai/gpt-4.1], checker: {regexp: a}}}}",
         "no kind of assertion"),
        ("routes: {a: {cascade: {models: [anthropic/claude-sonnet-4-5, openai/gpt-4o], checker: {confidence: 0.8}}}}",
         "probabilities"),
        ("routes: {a: {cascade: {models: [openai/gpt-4o, openai/gpt-4.1], checker: {judge: Whole?}}}}",
         "no model is named"),
        ("routes: {a: {cascade: {models: [openai/gpt-4o, openai/gpt-4.1], checker: {judge: Ok?, model: gpt-4mini}}}}",
         "no provider offers a model 'gpt-4mini'"),
        ("routes: {a: {cascade: {models: [openai/gpt-4o, openai/gpt-4o], checker: {regex: a}}}}", "more than once"),
        ("routes: {'task:medical_advice': {model: openai/gpt-4o}}", "choose another"),
        ("models: {openai/gpt-4o: {price: {input: .nan}}}", "must be an amount of dollars"),
        ("models: {openai/gpt-4o: {price: {input: -1}}}", "negative"),
    ],
)  # fmt: skip
def test_what_does_not_hold_together_is_told_at_start(tmp_path: Path, line: str, told: str) -> None:
    assert told in mistakes(tmp_path, USUAL + line + "\n")


def test_strategies_whose_names_are_one_are_refused(tmp_path: Path) -> None:
    told = mistakes(tmp_path, USUAL.replace("    latency_optimized:", "    cost-optimized:"))
    assert "several strategies are called 'cost_optimized'" in told


def test_a_primary_known_to_lack_what_its_row_requires_is_a_mistake(tmp_path: Path) -> None:
    text = USUAL + "models: {openai/gpt-4o: {capabilities: [legal_domain]}}\n"
    told = mistakes(tmp_path, text.replace("medical_domain", "legal_domain"))
    assert "required_capabilities" in told and "lacks legal_domain" in told


def test_an_operators_own_word_stands_beside_what_the_catalogue_knows(tmp_path: Path) -> None:
    found = read(tmp_path, USUAL + "models: {openai/gpt-4o: {capabilities: [house_style]}}\n")
    assert {"house_style", "vision", "tools"} <= {*found.providers["openai"].facts("gpt-4o").capabilities}


def test_escalation_leads_to_what_quality_strategies_name_else_to_dearer_models(tmp_path: Path) -> None:
    rows = read(tmp_path, USUAL).tasks.tables.ways["strategy:cost_optimized"].rows
    assert [one.name for one in rows[0].superior] == ["openai/gpt-4.1"]
    text = USUAL.replace("task: medical_advice", "task: classification")
    rows = read(tmp_path, text).tasks.tables.ways["strategy:cost_optimized"].rows
    assert [one.name for one in rows[0].superior] == ["anthropic/claude-sonnet-4-5"]


def test_facts_about_models_have_a_date_and_prices_that_are_none_below_zero() -> None:
    shipped = Catalogue.shipped()
    assert shipped.date >= "2026-01-01" and shipped.source
    for models in shipped.providers.values():
        for facts in models.values():
            price = facts.price
            assert price is None or all(v is None or v >= 0 for v in (price.input, price.output, price.cached))
            assert facts.context is None or facts.context > 0


def test_confidence_is_the_geometric_mean_of_probabilities() -> None:
    def reply(*logprobs: float) -> Reply:
        return Reply(choices=(Choice(0, "x", logprobs={"content": [{"logprob": one} for one in logprobs]}),))

    assert sure_enough(reply(-0.1, -0.1), 0.8).good is True
    assert sure_enough(reply(-0.1, -2.0), 0.8).good is False
    assert sure_enough(Reply(choices=(Choice(0, "x"),)), 0.8).good is None
    assert checker_of({"confidence": "80%"}).confidence == 0.8
