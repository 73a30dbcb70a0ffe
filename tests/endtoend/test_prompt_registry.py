"""A registry in a gate: used from Python, kept over a restart, under the configuration's rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import comporta
from comporta.errors import Conflict
from comporta.prompts.kept import Commit
from comporta.testing.servers import short_folder
from comporta.types import PromptRef
from support.serving import Served
from support.talking import ask, until

CONFIG = """
providers: {offline: {}}
prompts:
  environments:
    production: {approval: required, tests: required, watch: 2m}
"""
PROMPT = "id: support\nversion: {version}\nmodel: offline/extractive\nsystem_prompt: {text}\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


async def test_python_pushes_deploys_and_finds_it_again_after_a_restart(folder: Path) -> None:
    (folder / "comporta.yaml").write_text(CONFIG)
    prompts = folder / "prompts"
    prompts.mkdir()
    (prompts / "support.yaml").write_text(PROMPT.format(version="1.0.0", text="Hello {name}."))
    commit = Commit("c0ffee", "Ana <ana@example.com>")
    async with comporta.open(folder / "comporta.yaml", data=folder / "data") as gate:
        [pushed] = (await gate.prompts.push(prompts, "ana", commit=commit)).prompts
        with pytest.raises(Conflict, match="approval") as no:
            await gate.prompts.deploy("support", "1.0.0", "production", "ana")
        assert "green test run" in no.value.message
        await gate.prompts.approve("support", "1.0.0", "production", "bia")
        await gate.prompts.record_test("support", "1.0.0", pushed.digest, "passed", {}, "ana")
        done = await gate.prompts.deploy("support", "1.0.0", "production", "ana", "first")
        assert done.watch_until_s is not None and abs(done.watch_until_s - done.at_s - 120) < 1
    async with comporta.open(folder / "comporta.yaml", data=folder / "data") as gate:
        prompt = await gate.prompts.fetch(PromptRef("support"), None)
        assert prompt.render({"name": "Rui"}).messages[0].text == "Hello Rui."
        assert await gate.prompts.history("support") == [done]
        assert await gate.prompts.watched() == [done]


def test_a_change_of_the_rules_holds_without_a_restart(gate: Served) -> None:
    """In the running gate that all tests share: nothing there asks for an approval until the file says so."""
    pushed = ask(
        gate, "/admin/prompts/push",
        {"files": [{"name": "ruled.yaml", "text": PROMPT.format(version="1.0.0", text="x").replace("support", "ruled"),
                    "commit_sha": "c0ffee"}]},
    )  # fmt: skip
    assert pushed.status == 200, pushed.body
    before = gate.config.read_text()
    where = {"version": "1.0.0", "environment": "ruled", "why": "now"}
    gate.config.write_text(f"{before}\nprompts: {{environments: {{ruled: {{approval: required}}}}}}\n")
    try:
        assert until(lambda: ask(gate, "/admin/prompts/ruled/plan", where).json["missing"])
        refused = ask(gate, "/admin/prompts/ruled/deploy", where)
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (409, "approval_required")
    finally:
        gate.config.write_text(before)
    assert until(lambda: not ask(gate, "/admin/prompts/ruled/plan", where).json["missing"])
    assert ask(gate, "/admin/prompts/ruled/deploy", where).status == 200
