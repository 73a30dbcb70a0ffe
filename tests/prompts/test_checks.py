"""What a check tells of prompts: size, JSON without a shape, secrets, people's data, texts changed under a version."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from comporta.prompts.checks import Report, examine, tokens
from comporta.prompts.folder import survey
from comporta.prompts.personal import found
from comporta.providers.catalogue import ModelFacts
from support.prompts import HEAD, prompt


async def examined(folder: Path, text: str, facts: ModelFacts | None = None) -> Report:
    (folder / "support.yaml").write_text(HEAD + text)
    return await examine(folder, survey(folder), lambda model: facts)


async def told(folder: Path, text: str, facts: ModelFacts | None = None) -> list[tuple[str, int, str]]:
    return [(one.check, one.line, one.text) for one in (await examined(folder, text, facts)).findings]


async def test_unused_and_undeclared_variables_are_told(tmp_path: Path) -> None:
    report = await examined(
        tmp_path, "system_prompt: 'Hi {custmer}'\nvariables:\n  - customer\n  - {name: a, type: image}"
    )
    assert [(one.level, one.check, one.line) for one in report.findings] == [
        ("warning", "undeclared", 3), ("mistake", "unused", 5),
    ]  # fmt: skip
    assert "did you mean 'customer'?" in report.findings[0].text


async def test_what_only_looks_like_a_placeholder_is_told(tmp_path: Path) -> None:
    found = await told(tmp_path, "system_prompt: 'Hi {user.name} { user } {\"a\": 1}'")
    assert [check for check, _, _ in found] == ["placeholder", "placeholder"]


async def test_a_prompt_must_fit_its_model(tmp_path: Path) -> None:
    text = f"model: x/y\nmax_tokens: 500\nsystem_prompt: '{'word ' * 1000}'"
    assert await told(tmp_path, text, ModelFacts(context=8000, max_output=1000)) == []
    ((check, _, sentence),) = await told(tmp_path, text, ModelFacts(context=1200))
    assert check == "size" and "its context is 1,200" in sentence
    assert (await told(tmp_path, text, ModelFacts(context=8000, max_output=100)))[0][1] == 4


def test_pieces_schemas_and_examples_count() -> None:
    small = prompt("system_prompt: x")
    large = prompt("system_prompt: x\nexamples: [{input: a b c d, output: e f g h}]\nresponse_format: {type: object}")
    assert tokens(large) > tokens(small) + 8


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("system_prompt: Answer in valid JSON.", 2),
        ("system_prompt: Responda apenas em JSON.", 2),
        ("system_prompt: Answer in JSON.\nresponse_format: json", 1),
        ("system_prompt: Answer in JSON.\nresponse_format: {type: object, properties: {}}", 0),
        ("system_prompt: x\nresponse_format: json\nexamples: [{input: a, output: '{\"b\": 1}'}]", 0),
        ("system_prompt: x\nresponse_format: json\nexamples: [{input: a, output: 'b'}]", 1),
        ("system_prompt: The user may paste a JSON file.", 0),
    ],
)
async def test_a_prompt_that_asks_for_json_says_of_which_shape(tmp_path: Path, text: str, count: int) -> None:
    found = await told(tmp_path, text)
    assert [check for check, _, _ in found] == ["json"] * count


async def test_secrets_are_told_wherever_they_stand_and_not_repeated(tmp_path: Path) -> None:
    secret = "sk-" + "a1B2" * 8
    found = await told(tmp_path, f"system_prompt: x\nmetadata:\n  key: {secret}")
    assert [(check, line) for check, line, _ in found] == [("secret", 5)]
    assert secret not in str(found)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to maria.silva@gmail.com", ["an e-mail address"]),
        ("write to support@acme.com or ana@example.com", []),
        ("CPF 529.982.247-25", ["a CPF number"]),
        ("CPF 52998224725", ["a CPF number"]),
        ("CPF 529.982.247-26", []),
        ("000.000.000-00", []),
        ("card 4111 1111 1111 1111", ["a card number"]),
        ("card 5500-0000-0000-0004", ["a card number"]),
        ("number 4111 1111 1111 1112", []),
        ("on 2024-01-02 at 10:00, 12345 items", []),
    ],
)
def test_personal_data_is_known_by_its_check_digits(text: str, kinds: list[str]) -> None:
    assert list(found(text)) == kinds


async def test_personal_data_in_a_text_is_told_and_an_owner_is_none(tmp_path: Path) -> None:
    text = "owner: maria@gmail.com\nsystem_prompt: |\n  x\n  Ask maria@gmail.com."
    assert [(check, line) for check, line, _ in await told(tmp_path, text)] == [("personal", 4)]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments], cwd=folder, check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    git(tmp_path, "init", "-q")
    (folder / "support.yaml").write_text(HEAD + "system_prompt: Hi\n")
    (folder / "other.yaml").write_text("id: other\nversion: 1.0.0\nsystem_prompt: Hi\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return folder


async def test_a_text_changed_under_its_version_is_told(work_tree: Path) -> None:
    assert await told(work_tree, "system_prompt: Hi\n# only a comment\n") == []
    ((check, line, sentence),) = await told(work_tree, "system_prompt: Hello\n")
    assert (check, line) == ("version", 2) and "raise the version" in sentence


async def test_a_raised_version_may_have_another_text_also_in_another_file(work_tree: Path) -> None:
    (work_tree / "support.yaml").rename(work_tree / "renamed.yaml")
    (work_tree / "renamed.yaml").write_text("id: support\nversion: 1.0.1\nsystem_prompt: Hello\n")
    assert (await examine(work_tree, survey(work_tree), lambda model: None)).findings == ()
    (work_tree / "renamed.yaml").write_text(HEAD + "system_prompt: Hello\n")
    assert [one.check for one in (await examine(work_tree, survey(work_tree), lambda model: None)).findings] == [
        "version"
    ]


async def test_without_git_it_says_what_it_did_not_look_at(tmp_path: Path) -> None:
    (note,) = (await examined(tmp_path, "system_prompt: Hi")).notes
    assert "is in no git work tree" in note and "was not looked at" in note


async def test_a_file_alone_can_be_checked(work_tree: Path) -> None:
    file = work_tree / "support.yaml"
    file.write_text(HEAD + "system_prompt: Hello\n")
    assert [one.check for one in (await examine(file, survey(file), lambda model: None)).findings] == ["version"]
