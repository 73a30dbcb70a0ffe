"""The registry: versions that never change, labels that move, and rules about who may move them where."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from comporta.errors import BadRequest, ComportaError, Conflict, Forbidden, NotFound, Unavailable
from comporta.prompts.kept import Commit, Source
from comporta.prompts.registry import Registry
from comporta.prompts.settings import EnvironmentSection, PromptsSection
from comporta.store.changes import Changes
from comporta.store.database import Database
from comporta.types import PromptRef
from support.registry import database, file, module_dsn

__all__ = ["database", "module_dsn"]

ANA = Commit("c0ffee", "Ana Lima <ana@example.com>", "Say hello")
STRICT = EnvironmentSection(approval="required", tests="required")


@pytest.fixture
async def registry(database: Database) -> Registry:
    made = Registry(database)
    await made.load()
    return made


async def push(registry: Registry, *files: Source, force: bool = False) -> Mapping[str, str]:
    done = await registry.push(files, "ci", commit=ANA, force=force)
    return {f"{one.id}@{one.version}": one.outcome for one in done.prompts}


async def strict(database: Database) -> Registry:
    made = Registry(database, settings=lambda: PromptsSection(environments={"production": STRICT}))
    await made.load()
    await push(made, file())
    return made


# ---- push -----------------------------------------------------------------------------------------------------------


async def test_a_push_writes_a_version_once_and_keeps_where_it_comes_from(registry: Registry) -> None:
    assert await push(registry, file()) == {"support@1.0.0": "new"}
    assert await push(registry, file()) == {"support@1.0.0": "unchanged"}
    [version] = await registry.versions("support")
    assert (version.commit_sha, version.author, version.message) == (
        "c0ffee",
        "Ana Lima <ana@example.com>",
        "Say hello",
    )
    assert (version.pushed_by, version.model) == ("ci", "openai/gpt-4o")
    assert abs(version.pushed_at_s - time.time()) < 60
    prompt = await registry.get("support", "1.0.0")
    assert (prompt.system_prompt, prompt.digest) == ("Hello.\n", version.digest)
    [listed] = await registry.list()
    assert (listed.id, listed.highest, listed.versions, listed.labels) == ("support", "1.0.0", 1, {})


async def test_what_only_looks_different_is_the_same_version(registry: Registry) -> None:
    await push(registry, file(more="temperature: 1\nmodel: a/b"))
    same = Source(
        "elsewhere.yaml", '# why\nsystem_prompt: "Hello.\\n"\nmodel: a/b\ntemperature: 1.0\nid: support-v1.0\n'
    )
    assert await push(registry, same) == {"support@1.0.0": "unchanged"}


async def test_the_same_version_with_another_text_is_refused_and_then_nothing_is_pushed(registry: Registry) -> None:
    await push(registry, file())
    with pytest.raises(
        Conflict, match=r"support@1\.0\.0 is in the registry with another text: raise the version"
    ) as no:
        await push(registry, file(text="Bye."), file(id="other"))
    assert no.value.code == "prompt_version_taken" and no.value.message.endswith("Nothing was pushed.")
    assert [one.id for one in await registry.list()] == ["support"]
    assert (await registry.get("support", "1.0.0")).system_prompt == "Hello.\n"
    looked = await registry.push([file(text="Bye."), file(id="other")], "ci", dry_run=True)
    assert [one.outcome for one in looked.prompts] == ["refused", "new"]
    assert [one.id for one in await registry.list()] == ["support"]


async def test_a_lower_version_needs_force_and_the_audit_log_says_so(registry: Registry) -> None:
    await push(registry, file("2.0.0"))
    with pytest.raises(Conflict, match=r"1\.9\.0 is lower than 2\.0\.0") as no:
        await push(registry, file("1.9.0"))
    assert no.value.code == "prompt_version_lower"
    assert await push(registry, file("1.9.0"), force=True) == {"support@1.9.0": "new"}
    assert [one.version for one in await registry.versions("support")] == ["2.0.0", "1.9.0"]
    newest, first = await registry.audit("support")
    assert newest.details["lower_than"] == "2.0.0" and "lower_than" not in first.details
    assert (await registry.list())[0].highest == "2.0.0"


async def test_a_pre_release_is_lower_than_its_release(registry: Registry) -> None:
    assert await push(registry, file("2.0.0-beta.1")) == {"support@2.0.0-beta.1": "new"}
    assert await push(registry, file("2.0.0")) == {"support@2.0.0": "new"}
    with pytest.raises(Conflict):
        await push(registry, file("2.0.0-rc.1"))


async def test_a_mistake_in_one_file_is_told_with_its_line_and_keeps_all_files_out(registry: Registry) -> None:
    wrong = Source("prompts/b.yaml", "id: b\nversion: 1.0.0\nsytem_prompt: x\n")
    with pytest.raises(BadRequest, match=r"prompts/b\.yaml:3: sytem_prompt: unknown key") as no:
        await push(registry, file(), wrong)
    assert no.value.code == "prompt_mistakes"
    assert await registry.list() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id: a\nversion: 1.0.0\nsystem_prompt: \ud800", "not UTF-8"),
        ("id: a\nversion: one\nsystem_prompt: x", "no version by semver"),
        ("id: a\nversion: 1.0.0\nsystem_prompt: " + "x" * 5_000_000, "larger than 1,000,000 bytes"),
        ("a: &a [*a]", "a.yaml"),
        ("id: a\nversion: 1.0.0\nsystem_prompt: token sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", "a secret"),
        ("id: a\nversion: 1.0.0\nsystem_prompt: '{include: gone@1.0.0}'", "leads nowhere"),
        ("", "a.yaml"),
    ],
)
async def test_bad_files_are_told_in_a_sentence(registry: Registry, text: str, told: str) -> None:
    with pytest.raises(BadRequest) as no:
        await push(registry, Source("a.yaml", text))
    assert told in no.value.message


async def test_an_id_in_two_files_is_told_with_both_places(registry: Registry) -> None:
    with pytest.raises(BadRequest, match=r"b\.yaml:1: id: .* stands in a\.yaml:1"):
        await push(registry, *(Source(name, file().text) for name in ("a.yaml", "b.yaml")))


async def test_no_files_are_told_too(registry: Registry) -> None:
    with pytest.raises(BadRequest, match="no prompt file"):
        await push(registry)


async def test_pieces_come_from_the_same_push_or_from_the_registry(registry: Registry) -> None:
    await push(registry, file(id="base", text="Be {how}.", more="variables: [how]"))
    await push(registry, file(id="tone", text="{include: base@1.0.0} Be brief."))
    await push(registry, file(text="{include: tone@1.0.0}"))
    fresh = Registry(registry._database)
    prompt = await fresh.get("support", "1.0.0")
    assert prompt.render({"how": "kind"}).messages[0].text.split() == ["Be", "kind.", "Be", "brief."]
    assert await push(registry, file(text="{include: tone@1.0.0}")) == {"support@1.0.0": "unchanged"}


async def test_two_pushes_of_the_same_version_at_once_leave_one_of_them(registry: Registry) -> None:
    tasks = [push(registry, file(text=f"Text {number}.")) for number in range(6)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, dict) for one in results) == 1
    assert sum(isinstance(one, Conflict) for one in results) == 5
    assert len(await registry.versions("support")) == 1


async def test_what_was_pushed_and_what_was_done_can_be_changed_by_nobody(
    registry: Registry, database: Database
) -> None:
    await push(registry, file())
    for statement in (
        "update prompt_version set content = ''", "delete from prompt_version", "update audit set by = 'x'",
        "delete from audit", "truncate audit", "delete from prompt_deploy",
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.RestrictViolation, match="keeps what was written"):
            async with database.connection() as connection:
                await connection.execute(statement.encode())


async def test_a_file_of_git_has_its_own_commit_and_an_uncommitted_one_says_so(
    registry: Registry, tmp_path: Path
) -> None:
    async def git(*words: str) -> str:
        config = ("-c", "user.name=Bia", "-c", "user.email=bia@example.com", "-c", "commit.gpgsign=false")
        process = await asyncio.create_subprocess_exec(
            "git", "-C", str(tmp_path), *config, *words, stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0].decode().strip()

    folder = tmp_path / "prompts"
    folder.mkdir()
    await git("init", "-q")
    await git("config", "user.name", "Caio")
    await git("config", "user.email", "caio@example.com")
    (folder / "a.yaml").write_text(file(id="a").text)
    await git("add", ".")
    await git("commit", "-qm", "Add a")
    first = await git("rev-parse", "HEAD")
    (folder / "b.yaml").write_text(file(id="b").text)
    await git("add", ".")
    await git("commit", "-qm", "Add b")
    second = await git("rev-parse", "HEAD")
    (folder / "c.yaml").write_text(file(id="c").text)
    await registry.push(folder, "ci")
    found = {id: (await registry.versions(id))[0] for id in "abc"}
    assert {id: (one.commit_sha, one.author, one.message) for id, one in found.items()} == {
        "a": (first, "Bia <bia@example.com>", "Add a"),
        "b": (second, "Bia <bia@example.com>", "Add b"),
        "c": (f"{second}-dirty", "Caio <caio@example.com>", ""),
    }


async def test_outside_of_git_whoever_pushes_is_the_author(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "support.yaml").write_text(file().text)
    await registry.push(tmp_path, "ana")
    [version] = await registry.versions("support")
    assert (version.author, version.commit_sha) == ("ana", None)


# ---- deploy, rollback, history --------------------------------------------------------------------------------------


async def test_a_deploy_moves_a_label_and_writes_who_from_what_to_what_and_why(registry: Registry) -> None:
    await push(registry, file("1.0.0"), file("1.1.0", "Hi.", more="model: a/b"))
    first = await registry.deploy("support", "1.0.0", "production", "ana", "first")
    second = await registry.deploy("support", "1.1.0", "production", "bia", tags={"ticket": "4711"})
    assert (first.before, second.before, second.changed) == (None, "1.0.0", True)
    assert second.tags == {
        "commit_sha": "c0ffee", "author": "Ana Lima <ana@example.com>", "model_version": "a/b", "ticket": "4711",
    }  # fmt: skip
    assert second.watch_until_s is not None and abs(second.watch_until_s - time.time() - 600) < 60
    assert await registry.history("support") == [second, first]
    assert await registry.history("support", "staging") == []
    assert await registry.watched() == [second]
    label = registry.label("support", "production")
    assert label is not None and (label.version, label.deploy, label.tags) == ("1.1.0", second.number, second.tags)
    assert [(one.act, one.by, one.why) for one in await registry.audit("support", limit=2)] == [
        ("prompt.deploy", "bia", ""), ("prompt.deploy", "ana", "first"),
    ]  # fmt: skip
    again = await registry.deploy("support", "1.1.0", "production", "caio")
    assert (again.changed, again.number, again.by) == (False, second.number, "bia")
    assert len(await registry.history("support")) == 2


async def test_rollback_goes_back_entry_by_entry_and_never_forth(registry: Registry) -> None:
    await push(registry, *(file(f"{n}.0.0", str(n)) for n in (1, 2, 3)))
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        await registry.deploy("support", version, "production", "ana")
    back = await registry.rollback("support", "production", "comporta", "errors rose")
    assert (back.kind, back.before, back.version, back.watch_until_s) == ("rollback", "3.0.0", "2.0.0", None)
    assert (await registry.rollback("support", "production", "ana")).version == "1.0.0"
    with pytest.raises(Conflict, match="nothing before it") as no:
        await registry.rollback("support", "production", "ana")
    assert no.value.code == "nothing_before"
    await registry.deploy("support", "3.0.0", "production", "ana")
    assert (await registry.rollback("support", "production", "ana")).version == "1.0.0"
    assert await registry.watched() == []


async def test_a_rollback_of_an_entry_that_is_no_longer_in_effect_is_refused(registry: Registry) -> None:
    await push(registry, file("1.0.0"), file("2.0.0", "2"), file("3.0.0", "3"))
    entries = [await registry.deploy("support", f"{n}.0.0", "staging", "ana") for n in (1, 2, 3)]
    with pytest.raises(Conflict) as no:
        await registry.rollback("support", "staging", "comporta", expecting=entries[1].number)
    assert no.value.code == "prompt_moved"
    assert (await registry.rollback("support", "staging", "comporta", expecting=entries[2].number)).version == "2.0.0"


async def test_a_lower_version_is_deployed_only_by_force(registry: Registry) -> None:
    await push(registry, file("1.0.0"), file("2.0.0", "2"))
    await registry.deploy("support", "2.0.0", "production", "ana")
    with pytest.raises(Conflict, match="go back with rollback") as no:
        await registry.deploy("support", "1.0.0", "production", "ana")
    assert no.value.code == "prompt_version_lower"
    assert (await registry.deploy("support", "1.0.0", "production", "ana", force=True)).forced
    assert (await registry.audit("support"))[0].details["lower_than"] == "2.0.0"


async def test_a_deploy_needs_its_tags_and_says_how_to_give_them(registry: Registry) -> None:
    await registry.push([file(more="language: en")], "ci")
    with pytest.raises(BadRequest, match="commit_sha is missing") as no:
        await registry.deploy("support", "1.0.0", "production", "ana")
    assert no.value.code == "deploy_tags_missing" and "--tag model_version=" in no.value.message
    given = {"commit_sha": "abc", "model_version": "gpt-4o-2024-08-06"}
    assert (await registry.deploy("support", "1.0.0", "production", "ana", tags=given)).tags == {
        **given,
        "author": "ci",
    }


async def test_what_was_looked_at_must_be_what_is_replaced(registry: Registry) -> None:
    await push(registry, file("1.0.0"), file("2.0.0", "2"))
    await registry.deploy("support", "1.0.0", "production", "ana", replacing=None)
    with pytest.raises(Conflict) as no:
        await registry.deploy("support", "2.0.0", "production", "ana", replacing=None)
    assert no.value.code == "prompt_moved"
    await registry.deploy("support", "2.0.0", "production", "ana", replacing="1.0.0")


async def test_a_plan_shows_the_difference_and_what_stands_in_the_way(database: Database) -> None:
    registry = await strict(database)
    plan = await registry.plan("support", "1.0.0", "production")
    assert plan.before is None and "+  Hello." in plan.diff
    assert len(plan.missing) == 2
    await registry.deploy("support", "1.0.0", "staging", "ana")
    await push(registry, file("1.1.0", "Hi."))
    plan = await registry.plan("support", "1.1.0", "staging")
    assert plan.before == "1.0.0" and plan.missing == ()
    assert "--- support@1.0.0" in plan.diff and "-  Hello." in plan.diff and "+  Hi." in plan.diff
    assert (await registry.plan("support", "1.0.0", "staging")).same


async def test_changed_deploys_all_that_is_new_there_and_nothing_that_was_taken_back(registry: Registry) -> None:
    await push(registry, file("1.0.0"), file("1.0.0", id="a"), file("1.0.0-beta", id="b"))
    done = await registry.deploy_changed("staging", "ana")
    assert [(one.id, one.version) for one in done] == [("a", "1.0.0"), ("support", "1.0.0")]
    assert await registry.deploy_changed("staging", "ana", expecting=[]) == []
    with pytest.raises(Conflict, match="look anew"):
        await registry.deploy_changed("staging", "ana", expecting=["support@1.1.0"])
    await push(registry, file("1.1.0", "Hi."))
    assert [(plan.id, plan.before, plan.version) for plan in await registry.plan_changed("staging")] == [
        ("support", "1.0.0", "1.1.0")
    ]
    assert [one.version for one in await registry.deploy_changed("staging", "ana")] == ["1.1.0"]
    await registry.rollback("support", "staging", "comporta")
    assert await registry.deploy_changed("staging", "ana") == []


async def test_of_several_deploys_all_are_done_or_none(database: Database) -> None:
    registry = await strict(database)
    await push(registry, file(id="a"))
    await registry.approve("a", "1.0.0", "production", "bia")
    prompt = await registry.get("a", "1.0.0")
    await registry.record_test("a", "1.0.0", prompt.digest, "passed", {}, "ci")
    with pytest.raises(Conflict, match=r"support@1\.0\.0"):
        await registry.deploy_changed("production", "ana")
    assert registry.label("a", "production") is None
    assert await registry.history("a") == []


@pytest.mark.parametrize("name", ["", "1.0.0", "a b", "x@y", "2.3", "x" * 200])
async def test_an_environment_has_a_name_that_is_no_version(registry: Registry, name: str) -> None:
    await push(registry, file())
    with pytest.raises(BadRequest, match="no name of an environment"):
        await registry.deploy("support", "1.0.0", name, "ana")


async def test_what_is_not_there_is_told(registry: Registry) -> None:
    await push(registry, file())
    for id, version in (("support", "9.0.0"), ("nobody", "1.0.0")):
        with pytest.raises(NotFound) as no:
            await registry.deploy(id, version, "production", "ana")
        assert no.value.code == "prompt_not_found"
    for act in (registry.rollback("support", "production", "ana"), registry.versions("nobody")):
        with pytest.raises(NotFound):
            await act
    with pytest.raises(BadRequest, match="no version"):
        await registry.deploy("support", "latest", "production", "ana")


# ---- approval and tests ---------------------------------------------------------------------------------------------


async def test_an_environment_may_want_somebody_elses_approval_and_a_green_test_run(database: Database) -> None:
    registry = await strict(database)
    digest = (await registry.version("support", "1.0.0")).digest
    with pytest.raises(Conflict) as no:
        await registry.deploy("support", "1.0.0", "production", "caio")
    assert no.value.code == "approval_required"
    assert "comporta prompts approve support@1.0.0 --env production" in no.value.message
    await registry.approve("support", "1.0.0", "staging", "bia")
    with pytest.raises(Conflict):
        await registry.deploy("support", "1.0.0", "production", "caio")
    yes = await registry.approve("support", "1.0.0", "production", "bia", "read it")
    assert await registry.approvals("support", "1.0.0") == [yes, (await registry.approvals("support"))[1]]
    with pytest.raises(Conflict, match="there was none") as no:
        await registry.deploy("support", "1.0.0", "production", "caio")
    assert no.value.code == "tests_required"
    await registry.record_test("support", "1.0.0", "another digest", "passed", {}, "ci")
    with pytest.raises(Conflict):
        await registry.deploy("support", "1.0.0", "production", "caio")
    await registry.record_test("support", "1.0.0", digest, "no_worse", {"cases": 12}, "ci")
    await registry.record_test("support", "1.0.0", digest, "not enough data", {}, "ci")
    with pytest.raises(Conflict, match="its last one: not enough data"):
        await registry.deploy("support", "1.0.0", "production", "caio", force=True)
    await registry.record_test("support", "1.0.0", digest, "passed", {}, "ci")
    assert (await registry.deploy("support", "1.0.0", "production", "caio")).changed
    assert [(one.verdict, one.green) for one in await registry.tests("support")][:2] == [
        ("passed", True), ("not enough data", False),
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["ana", "Ana Lima", "ANA@example.com", "Ana Lima <ana@example.com>", "ci"])
async def test_neither_the_author_nor_who_pushed_may_approve(database: Database, by: str) -> None:
    registry = await strict(database)
    with pytest.raises(Forbidden, match="must come from somebody other") as no:
        await registry.approve("support", "1.0.0", "production", by)
    assert no.value.code == "approval_own"
    assert await registry.approvals("support") == []


async def test_the_way_back_needs_no_approval(database: Database) -> None:
    registry = await strict(database)
    free = Registry(database)
    await push(free, file("2.0.0", "2"))
    await free.deploy("support", "1.0.0", "production", "ana")
    await free.deploy("support", "2.0.0", "production", "ana")
    assert (await registry.rollback("support", "production", "comporta")).version == "1.0.0"


async def test_a_window_of_zero_is_not_watched(database: Database) -> None:
    registry = Registry(database, settings=lambda: PromptsSection(environments={"dev": EnvironmentSection(watch=0)}))
    await push(registry, file())
    assert (await registry.deploy("support", "1.0.0", "dev", "ana")).watch_until_s is None
    assert await registry.watched() == []


async def test_a_summary_that_json_cannot_hold_is_refused(registry: Registry) -> None:
    for summary in ({"x": float("nan")}, {"x": "\0"}, {"x": "y" * 300_000}):
        with pytest.raises(BadRequest, match="summary"):
            await registry.record_test("support", "1.0.0", "d", "passed", summary, "ci")


# ---- in a call ------------------------------------------------------------------------------------------------------


async def test_a_reference_leads_over_the_label_the_callers_environment_or_production(registry: Registry) -> None:
    await push(registry, file("1.0.0", "one"), file("2.0.0", "two"), file("3.0.0", "three"))
    await registry.deploy("support", "1.0.0", "production", "ana")
    await registry.deploy("support", "2.0.0", "staging", "ana")
    for ref, environment, version in (
        (PromptRef("support"), None, "1.0.0"),
        (PromptRef("support"), "staging", "2.0.0"),
        (PromptRef("support", label="production"), "staging", "1.0.0"),
        (PromptRef("support", "3.0.0"), "staging", "3.0.0"),
    ):
        assert (await registry.fetch(ref, environment)).version == version
        found = registry.resolve(ref, environment)
        assert found is not None and found.version == version
    assert (await registry.fetch(PromptRef("support", "v3.0"), None)).version == "3.0.0"


@pytest.mark.parametrize(
    ("ref", "environment", "told"),
    [
        (PromptRef("support", label="staging"), None, "has no label 'staging'; it has production"),
        (PromptRef("support"), "staging", "has no label 'staging'"),
        (PromptRef("nobody"), None, "no prompt 'nobody'"),
        (PromptRef("support", "9.9.9"), None, "no version 9.9.9"),
    ],
)
async def test_a_missing_label_is_never_silently_another(
    registry: Registry, ref: PromptRef, environment: str | None, told: str
) -> None:
    await push(registry, file())
    await registry.deploy("support", "1.0.0", "production", "ana")
    assert registry.resolve(ref, environment) is None
    with pytest.raises(NotFound, match=told) as no:
        await registry.fetch(ref, environment)
    assert no.value.code == "prompt_not_found"


async def test_label_and_version_together_are_refused(registry: Registry) -> None:
    await push(registry, file())
    for ref in (PromptRef("support", "1.0.0", "production"), PromptRef("support", "soon")):
        assert registry.resolve(ref, None) is None
        with pytest.raises(BadRequest) as no:
            await registry.fetch(ref, None)
        assert no.value.code == "prompt_reference"


async def test_a_version_that_was_not_there_is_found_soon_after_its_push(registry: Registry) -> None:
    with pytest.raises(NotFound):
        await registry.get("support", "1.0.0")
    await push(registry, file())
    until = time.monotonic() + 60
    while True:
        try:
            assert (await registry.get("support", "1.0.0")).version == "1.0.0"
            return
        except NotFound:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)


async def test_many_who_ask_at_once_wait_for_one_reading_and_may_leave(registry: Registry, database: Database) -> None:
    await push(registry, file())
    asked = [asyncio.create_task(registry.get("support", "1.0.0")) for _ in range(50)]
    await asyncio.sleep(0)
    asked[0].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert len({id(one) for one in found[1:]}) == 1


async def test_a_move_reaches_another_worker_by_itself(registry: Registry, database: Database) -> None:
    await push(registry, file("1.0.0"), file("2.0.0", "2"))
    await registry.deploy("support", "1.0.0", "production", "ana")
    async with Database(database.dsn) as other_database:
        other = Registry(other_database)
        changes = Changes(database.dsn)
        changes.subscribe(other.topic, other.load)
        listening = asyncio.create_task(changes.run())
        try:
            async with asyncio.timeout(60):
                while not (changes.connected and other.label("support", "production")):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            begun_s = time.monotonic()
            await registry.deploy("support", "2.0.0", "production", "ana")
            while (label := other.label("support", "production")) is None or label.version != "2.0.0":
                assert time.monotonic() - begun_s < 25, "a worker that was told does not wait for its next look"
                await asyncio.sleep(0.005)
            assert (await other.fetch(PromptRef("support"), None)).version == "2.0.0"
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_without_the_database_what_is_in_memory_goes_on_for_a_while(database: Database) -> None:
    now_s = [time.time()]
    async with Database(database.dsn) as reached:
        registry = Registry(reached, clock=lambda: now_s[0])
        await push(registry, file("1.0.0"), file("2.0.0", "2"))
        await registry.deploy("support", "1.0.0", "production", "ana")
        await registry.fetch(PromptRef("support"), None)
        await reached.close()
        registry._contents._database = registry._labels._database = Database(
            "postgresql://nobody@127.0.0.1:9/none", checkout_s=0.1
        )
        try:
            found = registry.resolve(PromptRef("support"), None)
            assert found is not None and found.version == "1.0.0"
            with pytest.raises(Unavailable) as away:
                await registry.fetch(PromptRef("support", "2.0.0"), None)
            assert away.value.code == "database_unavailable"
            now_s[0] += 601
            assert registry.resolve(PromptRef("support"), None) is None
            with pytest.raises(Unavailable) as old:
                await registry.fetch(PromptRef("support"), None)
            assert old.value.code == "prompts_unavailable"
            assert registry.resolve(PromptRef("support", "1.0.0"), None) is not None
        finally:
            await registry._contents._database.close()


async def test_a_prompt_that_another_comporta_took_in_and_this_one_cannot_use_says_so(
    registry: Registry, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("insert into prompt (id, highest, versions) values ('odd', '1.0.0', 1)")
        await connection.execute(
            "insert into prompt_version (prompt_id, version, digest, content, pushed_by)"
            " values ('odd', '1.0.0', 'd', %s, 'x')",
            ['{"id":"odd","version":"1.0.0","template":"jinja","system_prompt":"{% if %}"}'],
        )
    with pytest.raises(ComportaError) as no:
        await registry.get("odd", "1.0.0")
    assert no.value.code == "prompt_unusable"


async def test_thousands_of_prompts_leave_the_cost_of_resolving_unchanged(
    registry: Registry, database: Database
) -> None:
    await push(registry, file())
    await registry.deploy("support", "1.0.0", "production", "ana")
    await registry.fetch(PromptRef("support"), None)
    ref = PromptRef("support")

    def cost_s() -> float:
        best = 1.0
        for _ in range(20):
            begun_s = time.perf_counter()
            for _ in range(500):
                assert registry.resolve(ref, None) is not None
            best = min(best, (time.perf_counter() - begun_s) / 500)
        return best

    alone_s = cost_s()
    async with database.connection() as connection:
        await connection.execute("""
            insert into prompt (id, highest, versions) select 'p' || n, '1.0.49', 50 from generate_series(1, 10000) n
        """)
        await connection.execute("""
            insert into prompt_version (prompt_id, version, digest, content, pushed_by)
            select 'p' || n, '1.0.' || v, 'd', '{}', 'x' from generate_series(1, 2000) n, generate_series(0, 4) v
        """)
        await connection.execute("""
            insert into prompt_version (prompt_id, version, digest, content, pushed_by)
            select 'p' || n, '1.0.49', 'd', '{}', 'x' from generate_series(1, 10000) n
        """)
        await connection.execute("""
            insert into prompt_label (prompt_id, environment, version, digest, number, entry, tags)
            select 'p' || n, 'production', '1.0.49', 'd', d.number, d.number, '{"author": "ana"}'
            from generate_series(1, 10000) n, (select min(number) as number from prompt_deploy) d
        """)
    await registry.load()
    assert registry.label("p10000", "production") is not None
    # The machine may have become slower meanwhile, for a while.
    assert any(cost_s() < 3 * alone_s + 2e-6 for _ in range(20))
