"""Routes whose variants name prompts, as the configuration says them."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.known import Known
from comporta.app.loaded import Places, load_settings
from comporta.cli.place import known
from comporta.errors import ConfigError
from comporta.routing.choose import plan_of
from comporta.types import Caller, PromptRef

CONFIG = """
providers: {{openai: {{}}}}
models: {{small: {{provider: openai, model: gpt-4o-mini, params: {{seed: 1}}}}}}
routes:
  support: {{variants: [{variants}], fallback: [openai/gpt-4o]}}
"""


def read(folder: Path, variants: str) -> Known:
    file = folder / "comporta.yaml"
    file.write_text(CONFIG.format(variants=variants))
    loaded = load_settings(Places(file, Folder(folder / "data")), {"OPENAI_API_KEY": "sk-placeholder-000000000"})
    return known(loaded, folder / "data")


def test_a_variant_names_a_prompt_with_a_model_or_leaves_that_to_the_prompt(tmp_path: Path) -> None:
    given = "{prompt: support@2.3.1}, {prompt: support, model: small, weight: 2}, {prompt: support@canary, name: new}"
    route = read(tmp_path, given).route("support")
    assert route is not None
    assert [(v.name, v.provider, v.model, v.prompt) for v in route.variants] == [
        ("support@2.3.1", "", "", PromptRef("support", "2.3.1")),
        ("support:small", "openai", "gpt-4o-mini", PromptRef("support")),
        ("new", "", "", PromptRef("support", label="canary")),
        ("openai/gpt-4o", "openai", "gpt-4o", None),
    ]
    assert route.variants[1].params == {"seed": 1}


def test_a_plan_carries_the_prompt_to_its_targets(tmp_path: Path) -> None:
    plan = plan_of(read(tmp_path, "{prompt: support@2.3.1}"), "support", Caller("k"), None)
    assert [target.prompt for target in plan.targets] == [PromptRef("support", "2.3.1"), None]


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        ("{weight: 1}", "give a `model`, a `prompt`, or both"), ("{prompt: support@}", "neither a version"),
        ("{prompt: 'sup port'}", "no id of a prompt"), ("{prompt: support@1.2.3.4}", "no version"),
        ("{prompt: support, model: nowhere/x}", "no provider 'nowhere'"),
    ],
)  # fmt: skip
def test_a_variant_that_asks_nothing_or_nonsense_is_told_with_its_place(
    tmp_path: Path, variants: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        read(tmp_path, variants)
    assert "comporta.yaml:" in refused.value.message and "routes.support.variants" in refused.value.message
