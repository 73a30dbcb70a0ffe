"""What several entries of `models` say of one model holds together, and a contradiction is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.loaded import Places, known, load_settings
from comporta.app.model_facts import overrides_of
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.errors import ConfigError
from comporta.types import Price


def loaded(tmp_path: Path, models: str) -> Loaded[Settings]:
    file = tmp_path / "comporta.yaml"
    file.write_text(
        "providers:\n  ours: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: x}\nmodels:\n" + models
    )
    return load_settings(Places(file, Folder(tmp_path)), {})


def test_a_second_name_of_a_model_leaves_its_price_and_adds_what_it_says(tmp_path: Path) -> None:
    given = loaded(tmp_path, """
  ours/small: {price: {input: 1.5, output: 3}}
  cool: {provider: ours, model: small, params: {temperature: 0}}
  long: {provider: ours, model: small, context: 1000, price: {input: 1.5, output: 3}}
""")  # fmt: skip
    wrong: list[str] = []
    facts = overrides_of(given, wrong)["ours"]["small"]
    assert (facts.context, facts.price) == (1000, Price(input=1_500_000, output=3_000_000)) and not wrong
    assert known(given, Folder(tmp_path)).providers["ours"].facts("small").price == Price(
        input=1_500_000, output=3_000_000
    )


def test_two_entries_that_contradict_each_other_are_refused_at_the_start(tmp_path: Path) -> None:
    given = loaded(tmp_path, """
  ours/small: {price: {input: 1.5, output: 3}}
  cheap: {provider: ours, model: small, price: {input: 1, output: 3}}
""")  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"comporta\.yaml:\d+: models\.cheap\.price: .*ours/small: say it in one of them"
    ):
        known(given, Folder(tmp_path))
