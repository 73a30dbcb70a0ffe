"""LiteLLM's configuration becomes one of ours that holds, and nothing is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.conftest import Type
from comporta.app.folder import Folder
from comporta.app.loaded import Places, known, load_settings
from comporta.app.settings import Settings
from comporta.cli.importing.command import mistakes_in, needed
from comporta.cli.importing.litellm import Imported, imported
from comporta.cli.importing.source import read
from comporta.cli.importing.writing import text_of
from comporta.errors import ConfigError
from comporta.routing.choose import Route

PLANTED = ("sk-azure-planted", "sk-ant-planted", "redis-planted", "sk-master-planted", "db-planted", "aws-planted",
           "env-planted", "Bearer-planted", "url-planted")  # fmt: skip
WHOLE = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-eu.openai.azure.com/
      api_key: os.environ/AZURE_EU_KEY
      api_version: "2024-06-01"
      rpm: 480
      tpm: 100000
      max_parallel_requests: 20
    model_info: {base_model: azure/gpt-4o, id: d1}
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-us
      api_base: https://my-us.openai.azure.com/
      api_key: sk-azure-planted
      rpm: 120
      timeout: 300
      stream_timeout: 30
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o, api_key: os.environ/OPENAI_API_KEY, temperature: 0.2, max_tokens: 500, rpm: 60}
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_key: sk-ant-planted
      input_cost_per_token: 0.000003
      output_cost_per_token: 1.5e-05
      max_retries: 1
      extra_headers: {anthropic-beta: a-feature, Authorization: Bearer-planted}
  - model_name: big
    litellm_params: {model: gemini/gemini-2.5-pro, api_key: os.environ/GEMINI_API_KEY}
    model_info: {max_input_tokens: 1000000, max_output_tokens: 64000}
  - model_name: local
    litellm_params: {model: ollama_chat/llama3.2, api_base: "http://localhost:11434"}
  - model_name: own
    litellm_params: {model: openai/facebook/opt-125m, api_base: "http://10.0.0.7:4000/v1", api_key: none}
  - model_name: bed
    litellm_params: {model: bedrock/anthropic.claude-v2, aws_secret_access_key: aws-planted}
  - model_name: "anthropic/*"
    litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: pictures
    litellm_params: {model: openai/dall-e-3}
    model_info: {mode: image_generation}
litellm_settings:
  num_retries: 3
  request_timeout: 60
  fallbacks: [{"gpt-4o": ["claude", "bed"]}, {"claude": ["gpt-4o"]}]
  context_window_fallbacks: [{"gpt-4o": ["big"]}]
  default_fallbacks: ["local"]
  drop_params: true
  success_callback: ["langfuse"]
  cache: true
  cache_params: {type: redis, host: localhost, port: 6379, password: redis-planted, ttl: 600}
  max_budget: 100
  budget_duration: 30d
  default_key_generate_params: {rpm_limit: 60, tpm_limit: 9000, max_budget: 5}
  turn_off_message_logging: true
  json_logs: true
  something_new: 1
router_settings:
  routing_strategy: least-busy
  allowed_fails: 3
  cooldown_time: 30
  retry_after: 5
  model_group_alias: {"gpt-4": "gpt-4o", "hidden-one": {"model": "claude", "hidden": true}}
general_settings:
  master_key: sk-master-planted
  database_url: postgresql://u:db-planted@h/db
  max_request_size_mb: 20
  maximum_spend_logs_retention_period: 60d
  alerting: [slack]
environment_variables:
  SOME_SECRET: env-planted
"""


def converted(folder: Path, text: str) -> tuple[Imported, str]:
    source = folder / "config.yaml"
    source.write_text(text)
    found = imported(read(source))
    return found, text_of(found, "config.yaml")


def loaded(folder: Path, text: str) -> tuple[Settings, dict[str, Route]]:
    """What our own loader makes of the result."""
    path = folder / "comporta.yaml"
    path.write_text(text)
    environment = dict.fromkeys(needed(text), "x")
    found = load_settings(Places(path, Folder(folder / "data")), environment)
    return found.value, dict(known(found, Folder(folder / "data")).routes)


def one_model(folder: Path, params: str, more: str = "") -> tuple[Imported, dict[str, Any]]:
    found, text = converted(folder, f"model_list:\n- model_name: m\n  litellm_params: {params}\n{more}")
    assert mistakes_in(text) == []
    return found, found.sections


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Imported, str]:
    return converted(tmp_path, WHOLE)


def test_the_result_holds_and_routes_as_it_did(whole: tuple[Imported, str], tmp_path: Path) -> None:
    settings, routes = loaded(tmp_path, whole[1])
    found = [(v.provider, v.model, v.weight, v.params) for v in routes["gpt-4o"].variants]
    assert found == [
        ("azure", "gpt-4o-eu", 480, {}), ("azure-my-us", "gpt-4o-us", 120, {}),
        ("openai", "gpt-4o", 60, {"temperature": 0.2, "max_tokens": 500}),
        ("anthropic", "claude-sonnet-4-5", 0, {}),
    ]  # fmt: skip
    larger = routes["gpt-4o"].larger
    assert larger is not None and (larger.provider, larger.model) == ("gemini", "gemini-2.5-pro")
    assert [v.model for v in routes["claude"].variants] == ["claude-sonnet-4-5", "gpt-4o-eu", "gpt-4o-us", "gpt-4o"]
    assert [v.model for v in routes["big"].variants] == ["gemini-2.5-pro", "llama3.2"], "default_fallbacks"
    assert routes["gpt-4"].variants == routes["gpt-4o"].variants, "an alias"
    assert {"hidden-one", "local", "own"} <= set(routes) and not {"bed", "pictures", "anthropic/*"} & set(routes)
    assert settings.routes["gpt-4o"].timeouts is not None and settings.routes["gpt-4o"].timeouts.total == 300
    assert settings.routes["gpt-4o"].timeouts.first_token == 30
    assert settings.routes["claude"].retry is not None and settings.routes["claude"].retry.attempts == 2


def test_providers_keep_their_addresses_and_take_keys_from_variables(
    whole: tuple[Imported, str], tmp_path: Path
) -> None:
    settings, _ = loaded(tmp_path, whole[1])
    providers = settings.providers
    assert providers["azure"].base_url == "https://my-eu.openai.azure.com"
    assert providers["azure"].options == {"params": {"api-version": "2024-06-01"}}
    assert providers["azure-my-us"].kind == "azure"
    keys = {name: section.credentials[0].env for name, section in providers.items() if section.credentials}
    assert keys == {
        "azure": "AZURE_EU_KEY", "azure-my-us": "AZURE_OPENAI_API_KEY", "openai": "OPENAI_API_KEY",
        "anthropic": "ANTHROPIC_API_KEY_2", "anthropic-2": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY",
    }, "a key that stood in the file gets a variable that nothing else means"  # fmt: skip
    assert providers["anthropic"].headers["anthropic-beta"] == "a-feature"
    assert providers["ollama"].base_url == "http://localhost:11434" and not providers["ollama"].credentials
    own = providers["openai-10-0-0-7-4000"]
    assert own.kind == "openai" and own.api_key is not None and own.api_key.get_secret_value() == "none"
    assert {section.timeouts.total for section in providers.values()} == {60}


def test_limits_budgets_and_settings_come_over(whole: tuple[Imported, str], tmp_path: Path) -> None:
    settings, _ = loaded(tmp_path, whole[1])
    limits = {(limit.per, limit.name): limit for limit in settings.limits}
    eu = limits["model", "azure/gpt-4o-eu"]
    assert (eu.requests_per_minute, eu.tokens_per_minute, eu.concurrent) == (480, 100_000, 20)
    assert limits["key", None].requests_per_minute == 60 and limits["key", None].tokens_per_minute == 9000
    [budget] = settings.budgets
    assert (budget.limit, budget.period) == (100_000_000, "month")
    assert settings.spending.unpriced == "allow", "theirs counts models without a price as free"
    assert settings.retry.attempts == 4 and settings.retry.first_wait == 5
    assert settings.breaker.failures == 4 and settings.breaker.rest == 30
    assert settings.cache.enabled and settings.cache.ttl == 600
    assert settings.redis.url is not None and settings.redis.url.get_secret_value() == "redis://:x@localhost:6379"
    assert settings.records.content == "off" and settings.records.keep == 60 * 86_400
    assert settings.server.max_body == 20_000_000 and settings.logging.format == "json"
    price = settings.models["anthropic/claude-sonnet-4-5"].price
    assert price is not None and (price.input, price.output) == (3_000_000, 15_000_000)
    assert settings.models["gemini/gemini-2.5-pro"].context == 1_000_000


def test_no_secret_of_the_file_is_shown_or_written(typed: Type, whole: tuple[Imported, str], tmp_path: Path) -> None:
    out = tmp_path / "made.yaml"
    done = typed("import", "litellm", str(tmp_path / "config.yaml"), "--out", str(out))
    assert done.code == 0
    shown = done.out + done.err + out.read_text()
    assert not [secret for secret in PLANTED if secret in shown]
    line = WHOLE.splitlines().index("      api_key: sk-azure-planted") + 1
    assert f"line {line}: model_list[1].litellm_params.api_key" in done.err and "AZURE_OPENAI_API_KEY" in done.err


def test_everything_that_was_left_is_told_with_line_path_and_reason(whole: tuple[Imported, str]) -> None:
    found, text = whole
    lines = WHOLE.splitlines()
    for one in found.left:
        if one.line:
            last = one.path.replace("]", "").replace("[", ".").split(".")[-1].strip('"')
            assert last in lines[one.line - 1] or last.isdecimal() or last == "litellm_params", one
        assert one.why
    paths = {one.path for one in found.left}
    assert {
        "model_list[0].model_info.base_model", "model_list[7].litellm_params", "model_list[8].model_name",
        "model_list[9].litellm_params", "litellm_settings.success_callback", "litellm_settings.something_new",
        "litellm_settings.fallbacks", "litellm_settings.default_key_generate_params.max_budget",
        "router_settings.routing_strategy", 'router_settings.model_group_alias.hidden-one.hidden',
        "general_settings.master_key", "general_settings.database_url", "general_settings.alerting",
        "environment_variables.SOME_SECRET",
    } <= paths  # fmt: skip
    comments = " ".join(line.lstrip("#- ").strip() for line in text.splitlines() if line.startswith("#"))
    assert all(one.path in comments for one in found.left)
    assert "the provider 'bedrock' is unknown here" in comments


@pytest.mark.parametrize(
    ("params", "provider", "model"),
    [
        ("{model: gpt-4o-mini}", "openai", "gpt-4o-mini"),
        ("{model: claude-haiku-4-5}", "anthropic", "claude-haiku-4-5"),
        ("{model: together_ai/meta-llama/Llama-3-70b}", "together", "meta-llama/Llama-3-70b"),
        ("{model: hosted_vllm/x, api_base: 'http://h:1/v1'}", "vllm", "x"),
        ("{model: mine, custom_llm_provider: openai, api_base: 'https://llm.example.org/v1/'}", "openai-llm", "mine"),
        ("{model: openrouter/anthropic/claude-3.5-sonnet}", "openrouter", "anthropic/claude-3.5-sonnet"),
    ],
)  # fmt: skip
def test_a_model_finds_its_provider(tmp_path: Path, params: str, provider: str, model: str) -> None:
    _, sections = one_model(tmp_path, params)
    assert list(sections["providers"]) == [provider] and sections["routes"]["m"] == {"model": f"{provider}/{model}"}


def test_a_key_that_litellm_reads_from_another_variable_is_read_from_there(tmp_path: Path) -> None:
    _, sections = one_model(tmp_path, "{model: azure/x}")
    [azure] = sections["providers"].values()
    assert azure["credentials"][0]["env"] == "AZURE_API_KEY" and azure["base_url"] == "${AZURE_API_BASE}"
    _, sections = one_model(tmp_path, "{model: groq/x}")
    assert sections["providers"] == {"groq": {}}, "the usual variable needs no word"


def test_what_can_be_tried_first_goes_by_order(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: groq/second, order: 2}}
  - {model_name: m, litellm_params: {model: groq/first, order: 1}}
"""
    found, written = converted(tmp_path, text)
    assert found.sections["routes"]["m"]["variants"] == [
        {"model": "groq/first"}, {"model": "groq/second", "weight": 0},
    ]  # fmt: skip
    assert mistakes_in(written) == []


def test_the_same_model_with_two_keys_is_two_providers_and_with_one_key_one_variant(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: groq/x, api_key: os.environ/ONE, rpm: 10}}
  - {model_name: m, litellm_params: {model: groq/x, api_key: os.environ/TWO, rpm: 10}}
  - {model_name: n, litellm_params: {model: groq/x, api_key: os.environ/ONE, rpm: 5}}
"""
    found, written = converted(tmp_path, text)
    assert [v["model"] for v in found.sections["routes"]["m"]["variants"]] == ["groq/x", "groq-2/x"]
    assert found.sections["limits"][0] == {"per": "model", "name": "groq/x", "requests_per_minute": 15}
    assert mistakes_in(written) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not valid YAML"), ("- 1", "is not a mapping"), ("{}", "Nothing in it can be asked"),
        ("model_list: 3", "is not a list"), ("model_list: [3]", "is not a mapping"),
        ("model_list: [{model_name: x}]", "is missing"),
        ("model_list: [{model_name: x, litellm_params: {model: sagemaker/y}}]", "sagemaker"),
        ("model_list: [{model_name: x, litellm_params: {model: unheard-of}}]", "can't be told from the name"),
    ],
)  # fmt: skip
def test_what_can_not_be_imported_at_all_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        converted(tmp_path, text)


def test_odd_values_are_told_and_never_end_the_import(tmp_path: Path) -> None:
    more = """litellm_settings: {num_retries: many, request_timeout: -1, cache: perhaps, fallbacks: {a: b},
  max_budget: [1]}
router_settings: 7
general_settings: {maximum_spend_logs_retention_period: soon}
"""
    found, sections = one_model(tmp_path, "{model: groq/x, rpm: lots, temperature: warm, weight: -1}", more)
    assert set(sections) == {"providers", "routes"}
    told = {one.path.rpartition(".")[2] for one in found.left}
    assert {"rpm", "temperature", "weight", "num_retries", "request_timeout", "cache", "fallbacks", "max_budget",
            "router_settings", "maximum_spend_logs_retention_period"} <= told  # fmt: skip


def test_an_address_with_a_password_becomes_a_variable(tmp_path: Path) -> None:
    found, sections = one_model(tmp_path, "{model: openai/x, api_base: 'https://ana:url-planted@h/v1'}")
    [section] = sections["providers"].values()
    assert section["base_url"] == "${OPENAI_API_BASE}" and "url-planted" not in str(found)


def test_a_dollar_brace_of_theirs_stays_one(tmp_path: Path) -> None:
    _, text = converted(tmp_path, "model_list: [{model_name: 'a${b}', litellm_params: {model: groq/x}}]")
    _, routes = loaded(tmp_path, text)
    assert "a${b}" in set(yaml.safe_load(text)["routes"]) | set(routes) or "a$${b}" in routes


def test_a_file_that_is_there_is_not_written_over(typed: Type, whole: tuple[Imported, str], tmp_path: Path) -> None:
    out = tmp_path / "comporta.yaml"
    out.write_text("mine: true\n")
    source = str(tmp_path / "config.yaml")
    refused = typed("import", "litellm", source, "--out", str(out))
    assert refused.code == 1 and "--force" in refused.err and out.read_text() == "mine: true\n"
    assert typed("import", "litellm", source, "--out", str(out), "--force").code == 0
    shown = typed("import", "litellm", source)
    assert shown.out == out.read_text() and "Variables it needs" in shown.err


def test_a_file_that_is_not_there_is_wrong_use(typed: Type) -> None:
    done = typed("import", "litellm", "/nowhere/config.yaml")
    assert done.code == 2 and "can't be read" in done.err
