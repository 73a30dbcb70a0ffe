"""Ensembles on a gate: money held for all, records, guards, content, names, fallback; and those of a program's own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import comporta
from comporta.app.folder import Folder
from comporta.app.gate import Gate
from comporta.app.loaded import Places, known, load_settings
from comporta.compat import EnsembleLLM
from comporta.errors import BadRequest, BudgetExceeded, ComportaError, ConfigError, Conflict
from comporta.gateway.answering import EXTENSION
from comporta.types import Caller

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  scripted:
    options:
      script:
        yea: {{text: "yes"}}
        also: {{text: "Yes."}}
        nay: {{text: "no"}}
        other: {{text: "yes"}}
        mail: {{text: "write to ana@example.org"}}
        slow: {{text: "late", first_delay: 30}}
        broken: {{error: {{status: 503}}}}
        "*": {{}}
models:
  scripted/yea: {{price: {{input: $1000, output: $1000}}}}
  scripted/also: {{price: {{input: $1000, output: $1000}}}}
  scripted/nay: {{price: {{input: $1000, output: $1000}}}}
  scripted/slow: {{price: {{input: $1000, output: $1000}}}}
  named: {{provider: scripted, model: other, price: {{input: $1000, output: $1000}}}}
routes:
  panel:
    variants: [{{name: all, ensemble: {{strategy: vote, members: [scripted/yea, scripted/also, scripted/nay]}}}}]
  split: {{variants: [{{ensemble: {{strategy: vote, members: [scripted/yea, scripted/nay]}}}}]}}
  first: {{variants: [{{ensemble: {{strategy: first, members: [scripted/slow, scripted/yea]}}}}]}}
  masked:
    guardrails: {{output: [{{type: pii_detection, action: mask}}]}}
    variants: [{{ensemble: {{strategy: vote, members: [scripted/yea, scripted/mail]}}}}]
  quiet:
    content: "off"
    variants: [{{ensemble: {{strategy: vote, members: [scripted/yea, scripted/nay]}}}}]
  careful:
    variants: [{{ensemble: {{members: [scripted/broken, scripted/yea], wait: 1s}}}}]
    fallback: [scripted/nay]
  nested: {{variants: [{{ensemble: {{strategy: vote, members: [panel, named]}}}}]}}
budgets:
  - {{name: small, team: small, limit: $0.05, period: day}}
  - {{name: large, team: large, limit: $100, period: day}}
retry: {{attempts: 1}}
breaker: {{failures: 1000, share: 100%}}
"""


@pytest.fixture
async def gate(tmp_path: Path, database_dsn: str) -> AsyncIterator[Gate]:
    (tmp_path / "comporta.yaml").write_text(CONFIG.format(dsn=database_dsn))
    async with comporta.open(tmp_path / "comporta.yaml", data=tmp_path / "data") as opened:
        yield opened
    # A connection whose making was cancelled is let go by the collector, and PostgreSQL drops no database before that.
    gc.collect()


def team(name: str, **more: Any) -> Caller:
    return Caller(key_id=f"key-{name}", name=name, team=name, **more)


async def shipped(gate: Gate) -> None:
    assert await gate.telemetry.shipper.drain() and await gate.telemetry.review_shipper.drain()


async def rows(gate: Gate, query: str, *values: Any) -> list[Any]:
    async with gate.database.connection() as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()


async def test_members_are_calls_of_the_trace_and_the_money_is_counted_once(gate: Gate) -> None:
    # A key that may name the route alone asks models that it may not name: the operator chose them.
    call = gate.call("Is it high?", "panel", caller=team("large", allow=("panel",)))
    reply = await gate.ask(call)
    assert reply.text == "yes" and call.facts[EXTENSION]["ensemble"]["share"] == pytest.approx(0.6667)
    # Three members read three words and write one, at 1,000 micro-dollars each.
    assert call.cost_microusd == 12_000 and reply.usage is not None and reply.usage.total == 12
    await shipped(gate)
    found = await rows(
        gate, "select provider, model, cost_microusd, parent_id::text from call where trace_id = %s order by 2",
        call.trace_id,
    )  # fmt: skip
    assert found == [
        ("scripted", "also", 4000, call.id), ("scripted", "nay", 4000, call.id),
        ("ensemble", "panel/all", 0, None), ("scripted", "yea", 4000, call.id),
    ]  # fmt: skip
    ((note,),) = await rows(gate, "select notes -> 'ensemble' from call where id = %s", call.id)
    assert note["winner"] == "scripted/yea" and note["cost_microusd"] == 12_000
    ((spent, held),) = [await gate.metering.counters.money(purse.key) for purse in _purses(gate, "large")]  # type: ignore[misc]
    assert (spent, held) == (12_000, 0)


def _purses(gate: Gate, name: str) -> list[Any]:
    return list(gate.metering.purses.of(team(name)))


async def test_money_is_held_for_all_members_before_the_first_is_asked(gate: Gate) -> None:
    # 0.05 dollars are enough for any one of them, and not for three.
    caller = team("small")
    one = await gate.ask(gate.call("Is it high?", "scripted/yea", caller=caller, max_tokens=10))
    assert one.text == "yes"
    call = gate.call("Is it high?", "panel", caller=caller, max_tokens=10)
    with pytest.raises(BudgetExceeded, match="small"):
        await gate.ask(call)
    await shipped(gate)
    assert await rows(gate, "select 1 from call where parent_id = %s", call.id) == [], "nobody was asked for nothing"


async def test_the_hold_covers_members_so_that_they_do_not_hold_a_second_time(gate: Gate) -> None:
    gate.ensemble("waiting", ["scripted/slow", "scripted/slow"], strategy="vote")
    caller = team("large")
    (purse,) = _purses(gate, "large")
    task = asyncio.create_task(gate.ask(gate.call("high?", "waiting", caller=caller, max_tokens=10)))
    while gate.telemetry.recorder.in_flight < 3:  # noqa: ASYNC110 (nobody tells when they have begun)
        await asyncio.sleep(0.01)
    # Each: 5 bytes with a frame of 8 in, 10 tokens out, at 1,000 micro-dollars.
    assert await gate.metering.counters.money(purse.key) == (0, 2 * 23_000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_losers_of_a_race_are_billed_by_estimate(gate: Gate) -> None:
    call = gate.call("Is it high?", "first", caller=team("large"))
    assert (await gate.ask(call)).text == "yes"
    await shipped(gate)
    found = await rows(
        gate, "select model, outcome, estimated, cost_microusd from call where parent_id = %s order by 1", call.id
    )  # fmt: skip
    assert found[0] == ("slow", "client_closed", True, 3000) and found[1][0] == "yea"
    assert call.cost_microusd == 4000 + 3000


async def test_what_a_route_guards_and_keeps_holds_for_its_members(gate: Gate) -> None:
    call = gate.call("Whom do I ask?", "masked")
    await gate.ask(call)
    told = call.facts[EXTENSION]["ensemble"]
    assert told["requires_review"] and [one["text"] for one in told["alternatives"]] == ["write to [EMAIL]"]
    quiet = gate.call("A secret question", "quiet")
    await gate.ask(quiet)
    await shipped(gate)
    kept = await rows(gate, "select capture, prompt, reply from call where trace_id = %s", quiet.trace_id)
    assert kept == [("off", None, None)] * 3
    reviews = {one.route: one for one in (await gate.reviews.list()).reviews}
    assert reviews["masked"].payload["texts"] == {"scripted/yea": "yes", "scripted/mail": "write to [EMAIL]"}
    assert "texts" not in reviews["quiet"].payload and reviews["quiet"].call_id == quiet.id


async def test_another_variant_takes_over_where_too_few_answer(gate: Gate) -> None:
    call = gate.call("Is it high?", "careful")
    assert (await gate.ask(call)).text == "no"
    assert call.target is not None and call.target.provider == "scripted" and call.cost_microusd == 4000


async def test_an_ensemble_of_ensembles_counts_everybody_once(gate: Gate) -> None:
    call = gate.call("Is it high?", "nested", caller=team("large"))
    assert (await gate.ask(call)).text == "yes" and call.cost_microusd == 12_000 + 4000
    (purse,) = _purses(gate, "large")
    assert await gate.metering.counters.money(purse.key) == (16_000, 0)


async def test_a_call_that_is_cancelled_leaves_no_member_and_no_hold(gate: Gate) -> None:
    gate.ensemble("waiting", ["scripted/slow", "scripted/slow"], strategy="vote")
    call = gate.call("Is it high?", "waiting", caller=team("large"))
    task = asyncio.create_task(gate.ask(call))
    while gate.telemetry.recorder.in_flight < 3:  # noqa: ASYNC110 (nobody tells when they have begun)
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.telemetry.recorder.in_flight == 0
    (purse,) = _purses(gate, "large")
    assert (await gate.metering.counters.money(purse.key)) == (2 * 3000, 0)


async def test_a_program_makes_ensembles_of_its_own(gate: Gate) -> None:
    gate.ensemble("mine", ["scripted/yea", "scripted/nay", "named"], strategy="vote")
    assert (await gate.chat("Is it high?", "mine")).text == "yes"
    gate.ensemble("mine", ["scripted/nay", "scripted/nay"], strategy="vote")
    assert (await gate.chat("Is it high?", "mine")).text == "no"
    with pytest.raises(Conflict, match="panel"):
        gate.ensemble("panel", ["scripted/nay", "scripted/nay"])
    for given, told in (
        ({"members": ["nowhere/x", "scripted/nay"]}, "nowhere/x"),
        ({"members": ["scripted/nay"]}, "two members"),
        ({"members": ["scripted/nay", "scripted/yea"], "colour": "red"}, "colour"),
        ({"members": ["mine", "scripted/yea"]}, "asks itself"),
    ):
        with pytest.raises(BadRequest, match=told):
            gate.ensemble("mine", **given)
    assert (await gate.chat("Is it high?", "mine")).text == "no", "what was refused changed nothing"


async def test_the_name_that_teams_have_written_already_asks_a_real_ensemble(gate: Gate) -> None:
    found = await EnsembleLLM(gate, ["scripted/yea", "scripted/also"]).generate_with_consensus("Is it high?")
    assert (found.response, found.consensus_score, found.requires_review) == ("yes", 1.0, False)
    assert found.responses == {"scripted/yea": "yes", "scripted/also": "Yes."} and found.cost_usd == 0.008
    with pytest.raises(ComportaError, match="scripted/broken"):
        await EnsembleLLM(gate, ["scripted/yea", "scripted/broken"]).generate_with_consensus("Is it high?")


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("{ensemble: {members: [scripted/yea, typo/x]}}", "'typo/x' is neither"),
        ("{ensemble: {members: [scripted/yea, panel]}}", "asks itself"),
        ("{ensemble: {members: [scripted/yea, scripted/nay], strategy: fuse, judge: nowhere}}", "'nowhere' is neither"),
        ("{ensemble: {members: [scripted/yea, scripted/nay], strategy: vote, field: '$['}}", "JSON path"),
        ("{ensemble: {members: [{model: scripted/yea, params: {n: many}}, scripted/nay]}}", "parameter 'n'"),
        (
            "{model: scripted/yea, ensemble: {members: [scripted/yea, scripted/nay]}}",
            "either a `model` or an `ensemble`",
        ),
    ],
)
async def test_a_mistake_in_the_configuration_is_told_with_its_line(
    tmp_path: Path, database_dsn: str, variant: str, told: str
) -> None:
    lines = CONFIG.format(dsn=database_dsn).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  panel:"))
    lines[at + 1] = f"    variants: [{variant}]"
    (tmp_path / "comporta.yaml").write_text("\n".join(lines))
    folder = Folder(tmp_path / "data")
    with pytest.raises(ConfigError) as refused:
        known(load_settings(Places(tmp_path / "comporta.yaml", folder), {}), folder)
    assert told in refused.value.message and f"comporta.yaml:{at + 2}" in refused.value.message
