"""The prompts to start from hold, render, and are written over nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from comporta.app.known import DEFAULT_ROUTE
from comporta.prompts.checks import examine
from comporta.prompts.folder import load_bytes, survey
from comporta.prompts.starter import LANGUAGES, starters, write_starters
from comporta.text.language import guess_language

VALUES = {
    "company": "Acme", "product": "Lamps", "message": "Where is it?", "text": "Fine.",
    "categories": ["invoice", "letter"],
    "document": "Total 5", "fields": ["total"], "preferences": {"allergies": ["nuts"]}, "menu": [{"name": "Soup"}],
}  # fmt: skip


async def test_all_of_them_pass_the_check(tmp_path: Path) -> None:
    write_starters(tmp_path)
    report = await examine(tmp_path, survey(tmp_path), lambda model: None)
    assert (report.prompts, report.findings) == (15, ())


@pytest.mark.parametrize("name", sorted(starters()))
def test_each_renders_in_its_language_with_data_fenced(name: str) -> None:
    (made,) = load_bytes(starters()[name], name)
    rendered = made.render({one.name: VALUES[one.name] for one in made.variables if one.required})
    system = rendered.messages[0].text
    assert guess_language(system).code == name.removesuffix(".yaml")[-2:]
    assert f"{made.id}.yaml" == name
    assert "<untrusted_data" in rendered.messages[-1].text
    assert "{" not in system


@pytest.mark.parametrize("name", sorted(starters()))
def test_each_is_asked_and_deployed_as_it_was_written(name: str) -> None:
    """Without a model a call would have to name one, and each deploy its `model_version`."""
    (made,) = load_bytes(starters()[name], name)
    assert made.model == DEFAULT_ROUTE


def test_there_is_each_kind_in_each_language() -> None:
    kinds = {name.rpartition("-")[0] for name in starters()}
    assert kinds == {
        "support-assistant", "content-analysis", "document-classification", "document-extraction",
        "food-recommendation",
    }  # fmt: skip
    assert set(starters()) == {f"{kind}-{language}.yaml" for kind in kinds for language in LANGUAGES}


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "support-assistant-en.yaml"
    mine.write_text("mine")
    written = write_starters(tmp_path, ("en",))
    assert (written.kept, len(written.new), mine.read_text()) == ((mine,), 4, "mine")
