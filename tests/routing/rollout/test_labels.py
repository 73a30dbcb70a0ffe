"""Labels of prompts that roll out or were deployed: moved when they have held, taken back when errors rise."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from comporta.budget.budgets import Budgets
from comporta.errors import BadRequest, Conflict, NotFound
from comporta.notify.notice import Notice
from comporta.prompts.kept import Commit, Source
from comporta.prompts.registry import Registry
from comporta.prompts.settings import EnvironmentSection, PromptsSection
from comporta.routing.choose import Route
from comporta.routing.rollout.asking import Wanted
from comporta.routing.rollout.overlay import Overlay
from comporta.routing.rollout.releases import Releases
from comporta.routing.rollout.rows import Change, RolloutRow
from comporta.store.database import Database
from comporta.telemetry.partitions import ensure_partitions

TAGS = {"commit_sha": "abc1234", "author": "ana", "model_version": "m1"}
PROMPT = "id: support\nversion: {version}\nmodel: openai/gpt\nsystem_prompt: You are {version}.\n"


class Nowhere:
    """No routes at all."""

    def route(self, name: str) -> Route | None:
        return None

    def provider(self, name: str) -> bool:
        return False

    def offering(self, model: str) -> tuple[str, ...]:
        return ()

    def names(self) -> tuple[str, ...]:
        return ()


class Gate:
    def __init__(self, database: Database) -> None:
        self.heard: list[Notice] = []
        self.database = database
        self.section = PromptsSection()
        self.registry = Registry(database, settings=lambda: self.section)
        self.releases = Releases(database, self.registry, Budgets(database), self._send, Nowhere, Overlay())

    async def _send(self, notice: Notice, **_: Any) -> None:
        self.heard.append(notice)

    async def push(self, *versions: str) -> None:
        for version in versions:
            source = Source("support.yaml", PROMPT.format(version=version), Commit("abc1234", "ana"))
            await self.registry.push([source], by="ana")

    async def start(self, version: str, **more: Any) -> RolloutRow:
        plan, share = self.releases.rollout_plan({})
        given = {"prompt": "support", "label": "production", "by": "ana", **more}
        return await self.releases.start(Wanted(Change(prompt=f"support@{version}"), plan, share, **given))

    async def tend(self, row: RolloutRow) -> RolloutRow:
        await self.releases.load()
        held = self.releases.rollouts.held.get(row.id)
        if held is not None:
            await self.releases._tend(held, time.monotonic())
        return await self.releases.rollouts.find(row.id)


@pytest.fixture
async def gate(database: Database) -> Gate:
    made = Gate(database)
    await made.registry.load()
    await made.push("1.0.0", "1.1.0")
    await made.registry.deploy("support", "1.0.0", "production", "ana")
    return made


async def test_side_a_and_the_tags_of_a_label_come_from_the_registry(gate: Gate) -> None:
    row = await gate.start("1.1.0")
    assert (row.variant, row.prompt, row.label) == ("1.0.0", "support", "production")
    assert row.tags == {"commit_sha": "abc1234", "author": "ana", "model_version": "openai/gpt"}


async def test_a_label_that_is_not_there_or_there_already_has_nothing_to_roll_out(gate: Gate) -> None:
    with pytest.raises(NotFound, match="nothing to roll from"):
        await gate.start("1.1.0", label="staging")
    with pytest.raises(BadRequest, match="already"):
        await gate.start("1.0.0")


async def test_an_environment_that_wants_an_approval_wants_it_before_the_first_call(gate: Gate) -> None:
    gate.section = PromptsSection(environments={"production": EnvironmentSection(approval="required")})
    with pytest.raises(Conflict, match="approv"):
        await gate.start("1.1.0")
    await gate.registry.approve("support", "1.1.0", "production", "bia")
    assert (await gate.start("1.1.0")).state == "running"


async def test_a_version_that_has_held_moves_the_label_once_and_ends_the_rollout(gate: Gate) -> None:
    row = await gate.start("1.1.0")
    for _ in range(4):
        row = await gate.releases.act(row.id, "promote", by="ana")
    assert row.state == "standing"
    others = [Gate(gate.database) for _ in range(3)]
    for other in others:
        await other.registry.load()
    await asyncio.gather(*(one.tend(row) for one in (gate, *others)))
    assert (await gate.tend(row)).state == "done"
    history = await gate.registry.history("support", "production")
    assert [(one.version, one.by) for one in history] == [("1.1.0", "comporta"), ("1.0.0", "ana")]
    acts = [event.act for event in await gate.releases.events(row.id)]
    assert acts.count("finish") == 1 and "problem" not in acts


async def test_a_label_that_is_rolled_back_right_after_it_was_moved_stays_where_it_is(gate: Gate) -> None:
    row = await gate.start("1.1.0")
    for _ in range(4):
        row = await gate.releases.act(row.id, "promote", by="ana")
    row = await gate.tend(row)
    assert row.state == "done"
    await gate.registry.rollback("support", "production", "ana")
    await gate.tend(row)
    label = gate.registry.label("support", "production")
    assert label is not None and label.version == "1.0.0"


async def test_a_label_that_somebody_moves_ends_the_rollout(gate: Gate) -> None:
    row = await gate.start("1.1.0")
    await gate.push("2.0.0")
    await gate.registry.deploy("support", "2.0.0", "production", "bia")
    after = await gate.tend(row)
    assert after.state == "aborted"
    assert "it is at 2.0.0, not at 1.0.0" in (await gate.releases.events(row.id))[0].why


async def test_a_worker_that_has_not_heard_of_the_last_move_ends_nothing(gate: Gate) -> None:
    behind = Gate(gate.database)
    await behind.registry.load()
    await gate.push("1.2.0")
    await gate.registry.deploy("support", "1.1.0", "production", "ana")
    row = await gate.start("1.2.0")
    assert (await behind.tend(row)).state == "running"


async def test_an_approval_that_was_taken_away_meanwhile_keeps_it_standing_and_says_so_once(gate: Gate) -> None:
    row = await gate.start("1.1.0")
    for _ in range(4):
        row = await gate.releases.act(row.id, "promote", by="ana")
    gate.section = PromptsSection(environments={"production": EnvironmentSection(approval="required")})
    for _ in range(3):
        gate.releases._tried_s.clear()
        after = await gate.tend(row)
    assert after.state == "standing" and after.problem is not None and "approv" in after.problem
    assert [event.act for event in await gate.releases.events(row.id)].count("problem") == 1


# ---- deploys that are watched ---------------------------------------------------------------------------------------


async def called(gate: Gate, version: str, calls: int, errors: int, ago_s: float = 0.0) -> None:
    """Records of calls that the label led to a version."""
    async with gate.database.connection() as connection:
        await connection.execute(
            """
            insert into call (started_at, id, trace_id, request_id, duration_us, door, kind, stream, asked, key_id,
                key_name, estimated, cache, retries, outcome, outcome_class, status, malformed_frames, capture,
                prompt_id, prompt_version, prompt_label)
            select clock_timestamp() - make_interval(secs => %(ago_s)s), gen_random_uuid(), 't', 'r', 1000, 'd',
                'chat', false, 'x', 'k', 'k', false, 'bypass', 0, case when n <= %(errors)s then 'x' else 'ok' end,
                case when n <= %(errors)s then 'upstream' else 'ok' end, 200, 0, 'off', 'support', %(version)s,
                'production'
            from generate_series(1, %(calls)s) as n
            """,
            {"version": version, "calls": calls, "errors": errors, "ago_s": ago_s},
        )


@pytest.fixture
async def deployed(gate: Gate) -> Gate:
    """1.1.0 is out since just now, and watched."""
    await ensure_partitions(gate.database)
    gate.section = PromptsSection(environments={"production": EnvironmentSection(watch=600.0)})
    await called(gate, "1.0.0", 400, 8, ago_s=5)
    await gate.registry.deploy("support", "1.1.0", "production", "ana")
    return gate


async def test_errors_that_rise_after_a_deploy_bring_the_old_version_back_once(deployed: Gate) -> None:
    await called(deployed, "1.1.0", 100, 30)
    others = [Gate(deployed.database) for _ in range(3)]
    await asyncio.gather(*(one.releases._deploys.look() for one in (deployed, *others)))
    await deployed.registry.load()
    label = deployed.registry.label("support", "production")
    assert label is not None and label.version == "1.0.0"
    history = await deployed.registry.history("support", "production")
    assert [(one.kind, one.by) for one in history][:2] == [("rollback", "comporta"), ("deploy", "ana")]
    heard = [notice for one in (deployed, *others) for notice in one.heard]
    assert {notice.id for notice in heard} == {f"prompt-deploy-{history[1].number}-undone"}
    assert heard[0].facts["commit_sha"] == "abc1234" and heard[0].severity == "critical"


@pytest.mark.parametrize(("calls", "errors"), [(100, 2), (100, 3), (3, 1)])
async def test_errors_as_before_or_too_few_to_tell_leave_a_deploy_alone(
    deployed: Gate, calls: int, errors: int
) -> None:
    await called(deployed, "1.1.0", calls, errors)
    await deployed.releases._deploys.look()
    label = deployed.registry.label("support", "production")
    assert label is not None and label.version == "1.1.0"


async def test_a_deploy_whose_window_is_over_is_left_alone(gate: Gate) -> None:
    await ensure_partitions(gate.database)
    gate.section = PromptsSection(environments={"production": EnvironmentSection(watch=0.05)})
    await called(gate, "1.0.0", 400, 8, ago_s=5)
    await gate.registry.deploy("support", "1.1.0", "production", "ana")
    await called(gate, "1.1.0", 100, 60)
    await asyncio.sleep(0.1)
    await gate.releases._deploys.look()
    label = gate.registry.label("support", "production")
    assert label is not None and label.version == "1.1.0"
