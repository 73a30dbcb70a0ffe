"""What a configuration says of the semantic cache: per route, and its mistakes with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.folder import Folder
from comporta.app.loaded import Places, known, load_settings
from comporta.app.recall_works import any_semantic, semantic_policy
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.errors import ConfigError


def loaded(tmp_path: Path, text: str) -> Loaded[Settings]:
    file = tmp_path / "comporta.yaml"
    file.write_text(text)
    return load_settings(Places(file, Folder(tmp_path)), {})


def test_a_route_has_what_it_says_and_the_rest_as_for_all(tmp_path: Path) -> None:
    settings = loaded(tmp_path, """
cache: {enabled: true, ttl: 2h, semantic: {enabled: true, threshold: 0.95, false_hit_budget: 2%}}
routes:
  faq: {model: offline/x, cache: {ttl: 1h, semantic: {threshold: 0.9, shadow: 10%, judge: faq}}}
  off: {model: offline/x, cache: {semantic: {enabled: false}}}
  uncached: {model: offline/x, cache: {enabled: false, semantic: {enabled: true}}}
  private: {model: offline/x, content: hashed}
""").value  # fmt: skip
    faq, other = semantic_policy(settings, "faq"), semantic_policy(settings, "other")
    assert faq is not None and other is not None
    assert (faq.threshold, faq.ttl_s, faq.budget, faq.shadow, faq.judge) == (0.9, 3600, 0.02, 0.1, "faq")
    assert (other.threshold, other.ttl_s, other.shadow, other.judge) == (0.95, 7200, 0.02, None)
    assert [semantic_policy(settings, name) for name in ("off", "uncached", "private")] == [None] * 3
    assert any_semantic(settings) and not any_semantic(Settings())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("cache: {enabled: true, semantic: {judge: nobody/x}}", "cache.semantic.judge"),
        ("cache: {enabled: true, semantic: {enabled: true, embedder: nobody/x}}", "cache.semantic.embedder"),
        ("routes: {a: {model: offline/x, cache: {semantic: {judge: nobody/x}}}}", "routes.a.cache.semantic.judge"),
    ],
)
def test_models_that_there_are_not_are_told_at_the_start(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=place.replace(".", r"\.") + ".*nobody/x"):
        known(loaded(tmp_path, text), Folder(tmp_path))


@pytest.mark.parametrize(
    "text",
    ["threshold: 1.5", "threshold: 0.1", "false_hit_budget: 0%", "shadow: 200%", "max_entries: 0", "ttl: 0s", "x: 1"],
)
def test_values_that_can_not_be_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"cache\.semantic\." + text.partition(":")[0]):
        loaded(tmp_path, f"cache: {{semantic: {{{text}}}}}")
