"""Rollouts as a gate has them: kept, shared out, decided on once, and exactly the same after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from comporta.budget.budgets import Budgets
from comporta.errors import BadRequest, Conflict, NotFound, Unavailable
from comporta.notify.notice import Notice
from comporta.pipeline import Call, new_id
from comporta.prompts.registry import Registry
from comporta.routing.choose import Plan, Route, Variant, plan_of
from comporta.routing.rollout.asking import Wanted
from comporta.routing.rollout.deciding import Decider
from comporta.routing.rollout.overlay import TAG, TAG_FAILED, TAG_SIDE, Overlay
from comporta.routing.rollout.releases import Releases
from comporta.routing.rollout.rows import Change, RolloutRow, Shadow
from comporta.store.database import Database
from comporta.types import Caller, Input, PromptRef

TAGS = {"commit_sha": "abc1234", "author": "ana", "model_version": "m2"}
QUICK = {"stages": [{"share": share, "min_calls": 20, "min_time_s": 0} for share in (0.1, 0.5, 1.0)]}


class Routes:
    """What names lead to."""

    def __init__(self, *routes: Route) -> None:
        self.routes = {route.name: route for route in routes}

    def route(self, name: str) -> Route | None:
        return self.routes.get(name)

    def provider(self, name: str) -> bool:
        return name in ("openai", "scripted")

    def offering(self, model: str) -> tuple[str, ...]:
        return ()

    def names(self) -> Iterable[str]:
        return self.routes


A = Variant("one", "openai", "gpt-one", params={"temperature": 0.3})
SUPPORT = Route("support", (A, Variant("rescue", "openai", "gpt-rescue", 0.0)))


class Gate:
    """One worker's rollouts, and what its people heard."""

    def __init__(self, database: Database, known: Routes, clock: Callable[[], float] = time.time) -> None:
        self.known = known
        self.heard: list[Notice] = []
        self.overlay = Overlay()
        self.budgets = Budgets(database)
        self.registry = Registry(database)
        self.releases = Releases(database, self.registry, self.budgets, self._send, lambda: self.known, self.overlay)
        self.decider = Decider(database, self.releases.rollouts, lambda: self.overlay.problems, clock)

    async def _send(self, notice: Notice, **_: Any) -> None:
        self.heard.append(notice)

    def call(self, user: str | None = None, model: str = "support", **more: Any) -> tuple[Call, Plan]:
        call = Call(kind="chat", input=Input(), model=model, caller=Caller("key"), user=user, **more)
        plan = plan_of(self.known, model, call.caller, user)
        return call, self.overlay.plan(call, plan) if self.overlay.live else plan


@pytest.fixture
async def gate(database: Database) -> Gate:
    made = Gate(database, Routes(SUPPORT))
    await made.releases.load()
    return made


def wanted(gate: Gate, to: Change, said: Mapping[str, Any] = QUICK, **more: Any) -> Wanted:
    plan, share = gate.releases.rollout_plan(said)
    return Wanted(to, plan, share, **{"route": "support", "tags": TAGS, "by": "ana", **more})


async def started(gate: Gate, to: Change = Change(model="openai/gpt-two"), **more: Any) -> RolloutRow:
    return await gate.releases.start(wanted(gate, to, **more), "a better model")


async def ended(
    database: Database, row: RolloutRow, side: str, calls: int, errors: int = 0, *, stage: int = 0, ms: float = 100
) -> None:
    """Calls of a side as their records leave them."""
    async with database.connection() as connection:
        await connection.execute(
            """
            insert into rollout_call (rollout, side, stage, call_id, started_at, duration_us, cost_microusd, cache,
                outcome, outcome_class)
            select %(id)s, %(side)s, %(stage)s, gen_random_uuid(), now(), %(us)s, 1000, 'bypass',
                case when n <= %(errors)s then 'upstream_fault' else 'ok' end,
                case when n <= %(errors)s then 'upstream' else 'ok' end
            from generate_series(1, %(calls)s) as n
            """,
            {"id": row.id, "side": side, "stage": str(stage), "us": int(ms * 1000), "calls": calls, "errors": errors},
        )


async def looked(gate: Gate, row: RolloutRow) -> RolloutRow | None:
    """A look, however soon after another one."""
    async with gate.releases._database.connection() as connection:
        await connection.execute("update rollout_figures set looked_at = null")
    new = await gate.decider.look(row.id)
    await gate.releases.load()
    return new


def on_b(gate: Gate, users: Iterable[str]) -> set[str]:
    return {user for user in users if gate.call(user)[0].tags[TAG_SIDE] == "b"}


# ---- sharing out ----------------------------------------------------------------------------------------------------


async def test_a_call_without_a_rollout_goes_where_it_went_and_carries_no_tags(gate: Gate) -> None:
    call, plan = gate.call("ana")
    assert not gate.overlay.live
    assert [target.variant for target in plan.targets] == ["one", "rescue"]
    assert call.tags == {}


async def test_callers_stay_on_their_side_and_growing_shares_move_them_to_b_only(gate: Gate) -> None:
    row = await started(gate)
    users = [f"user-{n}" for n in range(2000)]
    first = on_b(gate, users)
    assert 120 < len(first) < 280
    assert on_b(gate, users) == first
    await gate.releases.act("support", "promote", by="ana")
    second = on_b(gate, users)
    assert first < second and 880 < len(second) < 1120
    other = Gate(gate.releases._database, gate.known)
    await other.releases.load()
    assert on_b(other, users) == second
    assert other.releases.rollouts.held[row.id].stage == 1


async def test_side_b_asks_the_new_model_with_the_parameters_of_side_a_and_falls_back_to_it(gate: Gate) -> None:
    await started(gate, Change(model="openai/gpt-two", params={"top_p": 0.5}))
    await gate.releases.act("support", "promote", by="ana", whole=True)
    call, plan = gate.call("ana")
    first, *others = plan.targets
    assert (first.provider, first.model, first.variant) == ("openai", "gpt-two", "openai/gpt-two")
    assert first.params == {"temperature": 0.3, "top_p": 0.5}
    assert [target.variant for target in others] == ["one", "rescue"]
    assert call.tags[TAG_SIDE] == "b" and TAGS.items() <= call.tags.items()


async def test_side_a_falls_back_to_b_last_of_all(database: Database) -> None:
    blue = Route("support", (A, Variant("green", "openai", "gpt-green", 0.0), Variant("rescue", "openai", "r", 0.0)))
    gate = Gate(database, Routes(blue))
    await started(gate, Change(variant="green"))
    users = [f"user-{n}" for n in range(100)]
    green = on_b(gate, users)
    a = next(user for user in users if user not in green)
    assert [target.variant for target in gate.call(a)[1].targets] == ["one", "rescue", "green"]
    b = next(iter(green))
    assert [target.variant for target in gate.call(b)[1].targets] == ["green", "one", "rescue"]


async def test_a_new_version_of_a_prompt_is_asked_by_the_fallbacks_of_its_side_first(database: Database) -> None:
    old, new = PromptRef("support", "1.0.0"), PromptRef("support", "2.0.0")
    route = Route("support", (Variant("one", "openai", "m", 1, {}, old), Variant("two", "scripted", "m", 0, {}, old)))
    gate = Gate(database, Routes(route))
    row = row_of_prompt(gate)
    gate.overlay.take(gate.known, [row])
    call, plan = gate.call("ana")
    assert call.tags[TAG_SIDE] == "b"
    assert [(target.provider, target.prompt) for target in plan.targets] == [
        ("openai", new), ("scripted", new), ("openai", old), ("scripted", old),
    ]  # fmt: skip
    call.target = plan.targets[1]
    call.end()
    assert TAG_FAILED not in call.tags, "its own side answered"
    call, plan = gate.call("ana")
    call.target = plan.targets[2]
    call.end()
    assert call.tags[TAG_FAILED] == "fallback", "side A answered for it"


def row_of_prompt(gate: Gate, **more: Any) -> RolloutRow:
    plan, _ = gate.releases.rollout_plan(QUICK)
    given: dict[str, Any] = {
        "id": new_id(), "kind": "rollout", "name": "n", "route": "support", "variant": "one", "prompt": None,
        "label": None, "change": Change(prompt="support@2.0.0"), "target": None, "plan": plan, "shadow": None,
        "tags": TAGS, "state": "running", "paused_from": None, "paused_at_s": None, "stage": 2, "share": 1.0,
        "stage_at_s": 0, "started_at_s": 0, "started_by": "ana", "ended_at_s": None, "problem": None,
    }  # fmt: skip
    return RolloutRow(**given | more)


async def test_a_label_leads_its_side_to_the_new_version_whoever_asks_by_it(gate: Gate) -> None:
    row = row_of_prompt(gate, route=None, variant="1.0.0", prompt="support", label="production")
    gate.overlay.take(gate.known, [row])
    assert gate.overlay.moves_labels and not gate.overlay.live
    for ref, caller, moved in (
        (PromptRef("support"), Caller("k"), True),
        (PromptRef("support", label="production"), Caller("k"), True),
        (PromptRef("support"), Caller("k", environment="staging"), False),
        (PromptRef("support", "1.0.0"), Caller("k"), False),
        (PromptRef("other"), Caller("k"), False),
    ):
        call = Call(kind="chat", input=Input(), model="x", caller=caller, user="ana")
        found = gate.overlay.ref(call, ref)
        assert found == (PromptRef("support", "2.0.0") if moved else ref)
        assert (TAG in call.tags) is moved


async def test_a_call_that_takes_part_in_its_routes_rollout_takes_part_in_no_other(gate: Gate) -> None:
    await started(gate)
    route = next(iter(gate.releases.rollouts.held.values()))
    label = row_of_prompt(gate, route=None, variant="1.0.0", prompt="support", label="production")
    gate.overlay.take(gate.known, [route, label])
    call, _ = gate.call("ana")
    assert gate.overlay.ref(call, PromptRef("support")) == PromptRef("support")
    assert call.tags[TAG] == route.id


async def test_a_follow_up_goes_back_to_its_variant_and_counts_for_no_side(gate: Gate) -> None:
    await started(gate)
    call, plan = gate.call("ana", facts={"pinned": object()})
    assert call.tags == {}
    assert {target.variant for target in plan.targets} == {"one", "rescue", "openai/gpt-two"}


# ---- starting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "more", "words"),
    [
        (Change(), {}, "what side B asks"),
        (Change(model="openai/gpt-one"), {}, "same as variant 'one'"),
        (Change(model="nobody/x"), {}, "neither"),
        (Change(variant="nobody"), {}, "no variant 'nobody'"),
        (Change(variant="rescue", model="openai/x"), {}, "not both"),
        (Change(model="openai/x"), {"route": "nowhere"}, "no route 'nowhere'"),
        (Change(model="openai/x"), {"variant": "nobody"}, "no variant 'nobody'; it has one, rescue"),
        (Change(model="openai/x"), {"tags": {"author": "ana"}}, "commit_sha"),
        (Change(model="openai/x"), {"prompt": "support"}, "a route, or a prompt"),
        (Change(model="openai/x"), {"shadow": Shadow(2.0, 10)}, "shadow.share"),
    ],
)  # fmt: skip
async def test_what_can_t_be_rolled_out_is_refused_in_words(
    gate: Gate, to: Change, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        await gate.releases.start(wanted(gate, to, **more))
    assert await gate.releases.list() == []


async def test_stages_that_do_not_end_with_everybody_are_refused(gate: Gate) -> None:
    with pytest.raises(BadRequest, match="100 %"):
        gate.releases.rollout_plan({"stages": [{"share": 0.5}]})


async def test_a_second_rollout_of_the_same_route_is_refused_while_the_first_is_live(gate: Gate) -> None:
    await started(gate)
    with pytest.raises(Conflict, match="already"):
        await started(gate, Change(model="openai/gpt-three"))
    await gate.releases.act("support", "abort", by="ana", why="no")
    assert not gate.overlay.live
    await started(gate, Change(model="openai/gpt-three"))
    assert [row.state for row in await gate.releases.list()] == ["running", "aborted"]


async def test_a_prompts_version_that_was_never_pushed_can_t_roll_out(gate: Gate) -> None:
    with pytest.raises(NotFound):
        await gate.releases.start(wanted(gate, Change(prompt="support@9.9.9")))


# ---- deciding -------------------------------------------------------------------------------------------------------


async def test_without_harm_it_goes_through_its_stages_and_then_stands(gate: Gate, database: Database) -> None:
    row = await started(gate)
    await ended(database, row, "a", 200)
    await ended(database, row, "b", 30)
    new = await looked(gate, row)
    assert new is not None and (new.stage, new.share) == (1, 0.5)
    for _ in range(12):
        await ended(database, row, "a", 300, stage=1)
        await ended(database, row, "b", 300, stage=1)
        new = await looked(gate, row) or new
    assert (new.stage, new.share) == (2, 1.0), (await gate.releases.status("support")).decision
    await ended(database, row, "b", 30, stage=2)
    new = await looked(gate, row)
    assert new is not None and (new.state, new.share) == ("standing", 1.0)
    events = await gate.releases.events(row.id)
    assert [event.act for event in events] == ["held", "stage", "stage", "start"]
    proof = events[1].numbers
    assert proof is not None and proof["cause"] == "proven" and proof["findings"][0]["shown"]
    assert proof["findings"][0]["no_worse_odds"] >= proof["findings"][0]["no_worse_odds_needed"]
    assert [notice.kind for notice in gate.heard] == [
        "rollout.started", "rollout.advanced", "rollout.advanced", "rollout.held",
    ]  # fmt: skip


async def test_a_burst_of_errors_brings_b_back_at_once_and_says_with_which_numbers(
    gate: Gate, database: Database
) -> None:
    row = await started(gate)
    await ended(database, row, "a", 300, 3)
    await ended(database, row, "b", 20, 15)
    new = await looked(gate, row)
    assert new is not None and (new.state, new.share) == ("rolled_back", 0.0)
    assert not gate.overlay.live
    event = (await gate.releases.events(row.id))[0]
    assert event.by == "comporta" and event.numbers is not None
    assert event.numbers["fault"]["errors"] == 15 and event.numbers["fault"]["calls"] == 20
    assert gate.heard[-1].kind == "rollout.rolled_back" and gate.heard[-1].severity == "critical"
    assert gate.heard[-1].facts["commit_sha"] == "abc1234"


async def test_a_pause_keeps_the_share_but_not_the_harm(gate: Gate, database: Database) -> None:
    row = await started(gate)
    await gate.releases.act("support", "pause", by="ana")
    await ended(database, row, "a", 200)
    await ended(database, row, "b", 30)
    assert await looked(gate, row) is None
    assert gate.releases.rollouts.held[row.id].share == 0.1
    await ended(database, row, "b", 30, 30)
    new = await looked(gate, row)
    assert new is not None and new.state == "rolled_back"


async def test_the_length_of_a_pause_is_no_time_of_the_stage(gate: Gate) -> None:
    row = await started(gate)
    await gate.releases.act("support", "pause", by="ana")
    await asyncio.sleep(0.05)
    after = await gate.releases.act("support", "resume", by="ana")
    assert after.state == "running" and after.stage_at_s >= row.stage_at_s + 0.05
    with pytest.raises(Conflict, match="can't resume"):
        await gate.releases.act("support", "resume", by="ana")


async def test_every_call_counts_once_however_many_look_at_the_same_time(gate: Gate, database: Database) -> None:
    row = await started(gate)
    others = [Gate(database, gate.known) for _ in range(4)]
    for _ in range(5):
        await ended(database, row, "a", 40, 1)
        await ended(database, row, "b", 4)
        await asyncio.gather(*(one.decider.look(row.id) for one in (gate, *others)))
    await looked(gate, row)
    sides = (await gate.releases.status(row.id)).sides
    assert (sides["a"]["calls"], sides["a"]["errors"], sides["b"]["calls"]) == (200, 5, 20)


async def test_several_deciders_decide_once(gate: Gate, database: Database) -> None:
    row = await started(gate)
    await ended(database, row, "a", 300)
    await ended(database, row, "b", 20, 15)
    others = [Gate(database, gate.known) for _ in range(4)]
    found = await asyncio.gather(*(one.decider.look(row.id) for one in (gate, *others)))
    assert len([one for one in found if one is not None]) == 1
    events = await gate.releases.events(row.id)
    assert [event.act for event in events].count("roll_back") == 1
    assert sum(len(one.heard) for one in (gate, *others)) == 2


async def test_a_look_that_dies_before_its_commit_has_done_nothing(
    gate: Gate, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await started(gate)
    await ended(database, row, "a", 100)
    await ended(database, row, "b", 20, 15)

    async def dies(*_: Any, **__: Any) -> RolloutRow:
        raise Unavailable("gone")

    monkeypatch.setattr(gate.releases.rollouts, "apply", dies)
    with pytest.raises(Unavailable):
        await looked(gate, row)
    after = Gate(database, gate.known)
    await after.releases.load()
    assert (await after.releases.status(row.id)).sides["a"]["calls"] == 0
    new = await looked(after, row)
    assert new is not None and new.state == "rolled_back"
    assert (await after.releases.status(row.id)).sides["a"]["calls"] == 100


async def test_what_clients_do_wrong_and_what_a_cache_answers_says_nothing_of_a_side(
    gate: Gate, database: Database
) -> None:
    row = await started(gate)
    rows = [
        ("ok", "ok", "bypass", None), ("ok", "ok", "hit-exact", None),
        ("client_closed", "client_closed", "bypass", None),
        ("upstream_rejected", "rejected", "bypass", None), ("model_not_found", "rejected", "bypass", None),
        ("invalid_variable", "refused", "bypass", None), ("ok", "ok", "miss", "fallback"),
    ]  # fmt: skip
    async with database.connection() as connection:
        for outcome, kind, cache, failed in rows:
            await connection.execute(
                "insert into rollout_call (rollout, side, stage, call_id, started_at, duration_us, cache, outcome,"
                " outcome_class, failed) values (%s, 'b', '0', gen_random_uuid(), now(), 1000, %s, %s, %s, %s)",
                [row.id, cache, outcome, kind, failed],
            )
    await looked(gate, row)
    side = (await gate.releases.status(row.id)).sides["b"]
    assert (side["calls"], side["errors"]) == (4, 3)


async def test_scores_count_for_the_side_of_their_call(gate: Gate, database: Database) -> None:
    row = await started(gate, said={**QUICK, "guards": [{"kind": "score", "score": "helpful"}]})
    async with database.connection() as connection:
        for side, value in (("a", 1.0), ("a", 0.0), ("b", 1.0)):
            await connection.execute(
                "insert into rollout_score (rollout, side, stage, at, name, kind, value)"
                " values (%s, %s, '0', now(), 'helpful', 'boolean', %s)",
                [row.id, side, value],
            )
    await looked(gate, row)
    sides = (await gate.releases.status(row.id)).sides
    assert sides["a"]["scores"] == {"score:helpful": {"n": 2, "mean": 0.5}}
    assert sides["b"]["scores"] == {"score:helpful": {"n": 1, "mean": 1.0}}


async def test_calls_of_what_has_ended_are_let_go(gate: Gate, database: Database) -> None:
    row = await started(gate)
    await ended(database, row, "a", 5)
    await gate.releases.act(row.id, "abort", by="ana")
    await gate.decider.tidy()
    async with database.connection() as connection:
        found = await (await connection.execute("select count(*) from rollout_call")).fetchone()
    assert found == (0,)


async def test_what_was_decided_is_never_changed(gate: Gate, database: Database) -> None:
    await started(gate)
    for statement in ("update rollout_event set why = ''", "delete from rollout_event"):
        with pytest.raises(Exception, match="keeps what was written"):
            async with database.connection() as connection:
                await connection.execute(statement)


# ---- ending ---------------------------------------------------------------------------------------------------------


async def test_a_configuration_that_says_the_same_ends_it(gate: Gate) -> None:
    row = await started(gate)
    for _ in range(3):
        row = await gate.releases.act(row.id, "promote", by="ana")
    assert row.state == "standing"
    await gate.releases._tend(row, time.monotonic())
    assert (await gate.releases.rollouts.find(row.id)).state == "standing"
    gate.known = Routes(Route("support", (Variant("two", "openai", "gpt-two", 1.0, {"temperature": 0.3}),)))
    gate.releases.retake()
    await gate.releases._tend(gate.releases.rollouts.held[row.id], time.monotonic())
    assert (await gate.releases.rollouts.find(row.id)).state == "done"
    assert not gate.overlay.live


async def test_a_route_that_lost_its_variant_decides_nothing_and_says_so_once(gate: Gate, database: Database) -> None:
    row = await started(gate)
    gate.known = Routes(Route("support", (Variant("other", "openai", "gpt-other"),)))
    gate.releases.retake()
    assert not gate.overlay.live
    await ended(database, row, "b", 30, 30)
    assert await looked(gate, row) is None
    for _ in range(2):
        await gate.releases._tend(gate.releases.rollouts.held[row.id], time.monotonic())
    assert [event.act for event in await gate.releases.events(row.id)] == ["problem", "start"]
    problem = (await gate.releases.status(row.id)).row.problem
    assert problem is not None and "no variant 'one' any more, only other" in problem


async def test_the_budget_of_copies_lives_as_long_as_the_copies(gate: Gate) -> None:
    row = await started(gate, shadow=Shadow(0.05, 10_000_000))
    assert (row.state, row.share) == ("shadow", 0.0)
    budget = gate.budgets.list()[0]
    assert (budget.scope, budget.value, budget.period) == ("feature", f"shadow:{row.id}", "day")
    assert budget.limit_microusd == 10_000_000
    after = await gate.releases.act(row.id, "promote", by="ana")
    assert (after.state, after.stage, after.share) == ("running", 0, 0.1)
    assert gate.budgets.list() == []


# ---- experiments ----------------------------------------------------------------------------------------------------


async def test_an_experiment_finds_a_winner_tells_it_once_and_moves_nothing(gate: Gate, database: Database) -> None:
    said = {"metric": {"kind": "errors", "margin": 0.02}, "min_calls": 50}
    plan, share = gate.releases.experiment_plan(said)
    row = await gate.releases.start(
        Wanted(Change(model="openai/gpt-two"), plan, share, "experiment", "support", tags=TAGS, by="ana")
    )
    assert row.share == 0.5
    assert await looked(gate, row) is None
    for _ in range(10):
        await ended(database, row, "a", 100, 20)
        await ended(database, row, "b", 100, 1)
        await looked(gate, row)
    status = await gate.releases.status("support", "experiment")
    assert status.decision is not None
    assert (status.decision["outcome"], status.decision["winner"]) == ("winner", "b")
    assert status.row.share == 0.5 and status.row.state == "running"
    assert [event.act for event in await gate.releases.events(row.id)] == ["verdict", "start"]
    with pytest.raises(Conflict, match="moves nothing by itself"):
        await gate.releases.act(row.id, "promote", by="ana")
    assert (await gate.releases.act(row.id, "abort", by="ana")).state == "stopped"


async def test_adaptive_shares_follow_what_is_known_and_leave_each_side_its_floor(
    gate: Gate, database: Database
) -> None:
    said = {"metric": {"kind": "errors"}, "min_calls": 50, "adaptive": {"floor": 0.2, "every_s": 0.001}}
    plan, share = gate.releases.experiment_plan(said)
    row = await gate.releases.start(
        Wanted(Change(model="openai/gpt-two"), plan, share, "experiment", "support", tags=TAGS, by="ana")
    )
    await ended(database, row, "a", 100, 12)
    await ended(database, row, "b", 100, 9)
    new = None
    for _ in range(4):
        new = await looked(gate, row) or new
    assert new is not None and 0.2 <= new.share <= 0.8 and new.share > 0.5
    # Each look may move it once more, as what was drawn for it says.
    assert 1 <= new.stage <= 4 and (await gate.releases.events(row.id))[0].act in ("share", "verdict")
