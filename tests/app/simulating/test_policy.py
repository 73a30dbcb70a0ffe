"""Policy files: the words of comporta.yaml over today's configuration, every mistake with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.simulating.policy import Policy, read_policy
from comporta.app.simulating.standing import known_of
from comporta.errors import ConfigError

CONFIG = """
providers:
  openai: {api_key: none}
routes:
  faq: {model: openai/gpt-4.1, fallback: [openai/gpt-4.1-mini]}
  code: {variants: [{model: openai/gpt-4.1}, {model: openai/gpt-4.1-mini}], balance: cheapest}
"""


def read(folder: Path, policy: str | None, config: str = CONFIG) -> Policy:
    base = folder / "comporta.yaml"
    base.write_text(config)
    file = None if policy is None else folder / "policy.yaml"
    if file is not None:
        file.write_text(policy or "")
    return read_policy(file, base, {})


def wrong(folder: Path, policy: str) -> str:
    with pytest.raises(ConfigError) as raised:
        known_of(read(folder, policy), folder, {})
    return raised.value.message


@pytest.mark.parametrize(
    ("policy", "levers"),
    [
        ("cache: {enabled: true}", {"cache"}),
        ("routes: {faq: {cache: {enabled: true}}}", {"cache"}),
        ("optimize: {enabled: true}\nprompt_caching: auto", {"tokens", "prompt_caching"}),
        ("routes: {faq: {model: openai/gpt-4.1-mini}}", {"routing"}),
        ("batches: {routes: [faq]}", {"batching"}),
    ],
)
def test_a_policy_turns_on_what_it_speaks_of(tmp_path: Path, policy: str, levers: set[str]) -> None:
    assert read(tmp_path, policy).levers == levers


def test_a_route_of_the_policy_replaces_how_it_is_answered_and_nothing_else(tmp_path: Path) -> None:
    policy = read(tmp_path, "routes:\n  code: {model: openai/gpt-4.1-mini}\n  faq: {cache: {ttl: 1h}}")
    known, _ = known_of(policy, tmp_path, {})
    assert [one.model for one in known.routes["code"].variants] == ["gpt-4.1-mini"]
    assert [one.model for one in known.routes["faq"].variants] == ["gpt-4.1", "gpt-4.1-mini"]
    assert policy.steered == {"code"}


def test_unknown_models_are_told_with_file_and_line(tmp_path: Path) -> None:
    told = wrong(tmp_path, "cache: {enabled: true}\nroutes:\n  faq:\n    model: opanai/gpt-4.1\n")
    assert "policy.yaml:4" in told and "opanai" in told and "did you mean 'openai'" in told.lower()
    strategy = "model_routing:\n  strategies:\n    cost:\n      - {task: default, primary: gpt-nowhere}\n"
    told = wrong(tmp_path, strategy)
    assert "policy.yaml:4" in told and "gpt-nowhere" in told


def test_what_is_no_part_of_a_policy_is_told_with_what_was_meant(tmp_path: Path) -> None:
    told = wrong(tmp_path, "cahce: {enabled: true}\nserver: {port: 1}\noptimize: {enabled: yess}\n")
    assert "policy.yaml:1: cahce: is no part of a policy" in told and "'cache'" in told
    assert "policy.yaml:2: server: is no part of a policy" in told
    assert "policy.yaml:3: optimize.enabled" in told


@pytest.mark.parametrize("policy", ["", "models: {}", "routes: {faq: {sticky: false}}"])
def test_a_policy_that_turns_on_nothing_is_refused(tmp_path: Path, policy: str) -> None:
    assert "nothing to simulate" in wrong(tmp_path, policy)


def test_a_policy_that_is_not_there_or_no_mapping_is_told(tmp_path: Path) -> None:
    assert "policy.yaml:1" in wrong(tmp_path, "- cache")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        read_policy(tmp_path / "nowhere.yaml", None, {})


def test_without_a_policy_the_configuration_itself_is_simulated(tmp_path: Path) -> None:
    assert read(tmp_path, None).levers == {"routing"}
    assert read(tmp_path, None, CONFIG + "cache: {enabled: true}\n").levers == {"cache", "routing"}


def test_calls_that_no_route_of_the_policy_speaks_of_go_by_its_strategy(tmp_path: Path) -> None:
    strategies = "model_routing:\n  strategies:\n    a: [{task: default, primary: openai/gpt-4.1}]\n"
    more = "    b: [{task: default, primary: openai/gpt-4.1-mini}]\n"
    assert read(tmp_path, strategies).strategy == "a"
    assert read(tmp_path, strategies + more + "  default_strategy: b\n").strategy == "b"
    assert read(tmp_path, strategies + "routes: {faq: {strategy: a}}").strategy is None
