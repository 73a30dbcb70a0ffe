"""What a candidate is held against: the folder's own versions, the registry's, and git's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from comporta.errors import BadRequest, ComportaError
from comporta.evaluation.baselines import Baselines
from comporta.prompts.folder import Prompts, load_folder
from comporta.prompts.prompt import Prompt

TEXT = "id: support\nversion: {}\nsystem_prompt: {}\n"


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose main has 1.0.0, and whose folder has 1.1.0 with a piece beside it."""
    (tmp_path / "prompts" / "tests").mkdir(parents=True)
    (tmp_path / "prompts" / "support.yaml").write_text(TEXT.format("1.0.0", "'Old {include: tone@1.0.0}'"))
    (tmp_path / "prompts" / "tone.yaml").write_text("id: tone\nversion: 1.0.0\nsystem_prompt: Kind.\n")
    (tmp_path / "prompts" / "tests" / "support.yaml").write_text("cases: [{input: x}]\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / "prompts" / "support.yaml").write_text(TEXT.format("1.1.0", "New"))
    return tmp_path / "prompts"


async def found(where: str, folder: Path, id: str = "support") -> Prompt | None:
    async def registered(id: str, at: str) -> Prompt | None:
        return Prompt(id=id, version="9.9.9", system_prompt=at) if id == "support" else None

    return await Baselines(where, folder, load_folder(folder), registered).find(id)


async def test_a_git_ref_gives_the_text_as_it_was_there_with_its_pieces(folder: Path) -> None:
    prompt = await found("git:main", folder)
    assert prompt is not None and prompt.label == "support@1.0.0"
    assert prompt.render().messages[0].text == "Old Kind."
    assert await found("git:HEAD~0", folder, "newer") is None


async def test_a_ref_that_git_has_not_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ComportaError, match=r"git:nowhere.*shallow clone"):
        await found("git:nowhere", folder)
    with pytest.raises(BadRequest, match="is no git ref"):
        await found("git:--upload-pack=x", folder)


async def test_prompts_that_do_not_hold_at_the_ref_are_told_with_file_and_line(folder: Path) -> None:
    (folder / "support.yaml").write_text("version: 1\n")
    git(folder, "commit", "-qam", "two")
    (folder / "support.yaml").write_text(TEXT.format("1.2.0", "x"))
    with pytest.raises(ComportaError, match=r"main:support.yaml:1: version"):
        await found("git:main", folder)


async def test_a_version_is_the_folders_own_or_the_registrys(folder: Path) -> None:
    own, other = await found("1.1.0", folder), await found("v1.0", folder)
    assert own is not None and own.system_prompt.strip() == "New"
    assert other is not None and other.system_prompt == "1.0.0"


async def test_an_environment_is_the_registrys_and_needs_one(folder: Path) -> None:
    prompt = await found("production", folder)
    assert prompt is not None and prompt.system_prompt == "production"
    assert await found("production", folder, "other") is None
    with pytest.raises(ComportaError, match="set COMPORTA_URL"):
        await Baselines("production", folder, Prompts(()), None).find("support")
