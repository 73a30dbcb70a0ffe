"""Chains inside a Python program: made there, run there, with prompts of the registry."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psycopg
import pytest

import comporta
from comporta.app.gate import Gate
from comporta.compat import Chain, Router, Step
from comporta.errors import BadRequest, ConfigError, Conflict, NotFound, UpstreamTimeout
from comporta.prompts.kept import Source

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  scripted:
    options: {{script: {{where: {{text: "second"}}, slow: {{first_delay: 30}}, "*": {{}}}}}}
models:
  scripted/echo: {{price: {{input: $1000, output: $1000}}}}
cache: {{enabled: true}}
"""
ROUTES = """
routes:
  quiet: {model: "chain:filed", content: "off"}
  masked:
    model: chain:twice
    guardrails: {output: [{type: regex, pattern: 'nightingale-[0-9]+', label: BIRD, action: mask}]}
"""
FILE = "model: scripted/echo\nsteps: [{name: a, prompt: 'Filed {input}'}]"
PROMPT = """
id: support
version: 1.0.0
model: scripted/echo
user_prompt_template: "Help {customer} with {input}"
variables: [customer, input]
"""

Opened = Callable[[], AbstractAsyncContextManager[Gate]]


@pytest.fixture
def folder(tmp_path: Path, database_dsn: str) -> Iterator[Path]:
    (tmp_path / "comporta.yaml").write_text(CONFIG.format(dsn=database_dsn))
    (tmp_path / "chains").mkdir()
    (tmp_path / "chains" / "filed.yaml").write_text(FILE)
    yield tmp_path
    # A connection whose making was cancelled is let go by the collector, and PostgreSQL drops no database before that.
    gc.collect()


@pytest.fixture
def opened(folder: Path) -> Opened:
    return lambda: comporta.open(folder / "comporta.yaml", data=folder / "data")


CHAIN = Chain(
    "mine",
    [
        Step("first", "Say {input}", "said", lambda context: len(context["input"]) > 2, "scripted/echo"),
        Router(
            "which",
            {"first": Step("one", "One {said}"), "second": Step("two", "Two {said} {name}", model="scripted/echo")},
            "Which of them? {said}",
            model="scripted/where",
        ),
    ],
)


async def test_a_chain_made_in_python_runs_and_is_known_by_its_name(opened: Opened, database_dsn: str) -> None:
    async with opened() as gate:
        ran = await gate.chain(CHAIN).run("hello", name="Ana")
        assert ran.text == "Two Say hello Ana"
        assert ran.outputs["said"] == "Say hello" and ran.outputs["which"] == "second" and ran.outputs["one"] is None
        assert [(step.name, step.status) for step in ran.steps] == [("first", "ok"), ("which", "ok"), ("two", "ok")]
        assert ran.usage is not None and ran.usage.output == 2 + 1 + 4
        assert ran.cost_microusd is None, "of one model the price is unknown"
        streamed = [e async for e in gate.chain(CHAIN).stream("hello", {"name": "Ana"})]
        assert "".join(d.text for e in streamed for d in e.deltas) == "Two Say hello Ana"
        reply = await gate.chat("hello", model="chain:mine", variables={"name": "Rui"})
        assert reply.text == "Two Say hello Rui"
    with psycopg.connect(database_dsn) as connection:
        doors = connection.execute("select door, count(*) from call group by door").fetchall()
    assert dict(doors) == {"python": 3, "chain": 9}


async def test_a_chain_of_the_folder_is_run_by_its_name(opened: Opened) -> None:
    async with opened() as gate:
        ran = await gate.chain("filed").run("this")
        assert (ran.text, ran.cost_microusd) == ("Filed this", 4000)
        with pytest.raises(NotFound):
            gate.chain("nowhere")
        with pytest.raises(Conflict, match=r"stands in .*filed.yaml"):
            gate.chain(Chain("filed", [Step("a", "Say {input}")]))


async def test_a_chain_that_can_not_be_taken_leaves_everything_as_it_was(opened: Opened) -> None:
    async with opened() as gate:
        with pytest.raises(ConfigError, match="asks itself without an end"):
            gate.chain(Chain("loop", [Step("a", model="chain:loop")]))
        with pytest.raises(BadRequest, match="output of a later step"):
            gate.chain(Chain("early", [Step("a", "Say {b}"), Step("b", "And {input}")]))
        with pytest.raises(ConfigError, match="step 'a': the parameter 'temperature' is wrong"):
            gate.chain(Chain("hot", [Step("a", "Say {input}", params={"temperature": "hot"})]))
        await gate.chain(Chain("kept", [Step("a", "Kept {input}", model="scripted/echo")])).run("x")
        with pytest.raises(ConfigError):
            gate.chain(Chain("kept", [Step("a", model="chain:kept")]))
        assert [n for n in gate.known.names() if n.startswith("chain:")] == ["chain:kept", "chain:filed"]
        assert (await gate.chain("kept").run("x")).text == "Kept x"
        assert (await gate.chain("filed").run("x")).text == "Filed x"


async def test_a_step_asks_with_a_prompt_of_the_registry_and_its_record_says_so(
    opened: Opened, database_dsn: str
) -> None:
    async with opened() as gate:
        await gate.prompts.push([Source("support.yaml", PROMPT)], by="ana")
        tags = {"commit_sha": "abc", "author": "ana", "model_version": "1"}
        await gate.prompts.deploy("support", "1.0.0", "production", by="rui", tags=tags)
        ran = await gate.chain(Chain("ask", [Step("a", "support")])).run("it", customer="Ana")
        assert ran.text == "Help Ana with it" and ran.steps[0].prompt == "support@1.0.0"
    with psycopg.connect(database_dsn) as connection:
        row = connection.execute(
            "select prompt_id, prompt_version, prompt_label, deploy->>'commit_sha' from call where door = 'chain'"
        ).fetchone()
    assert row == ("support", "1.0.0", "production", "abc")


async def test_a_prompts_guards_hold_in_a_chain_too(opened: Opened) -> None:
    file = (
        "id: birds\nversion: 1.0.0\nmodel: scripted/echo\nuser_prompt_template: 'I am {input}'\nvariables: [input]\n"
        "guardrails: {input: [{type: regex, pattern: 'nightingale-[0-9]+', label: BIRD, action: mask}]}\n"
    )
    async with opened() as gate:
        await gate.prompts.push([Source("birds.yaml", file)], by="ana")
        chain = Chain("birds", [Step("a", "birds@1.0.0"), Step("b", "Say {a}", model="scripted/echo")])
        assert (await gate.chain(chain).run("nightingale-7")).text == "Say I am [BIRD]"


async def test_what_a_route_guards_and_keeps_holds_for_the_steps_of_its_chain(
    opened: Opened, folder: Path, database_dsn: str
) -> None:
    file = folder / "comporta.yaml"
    file.write_text(file.read_text() + ROUTES)
    (folder / "chains" / "twice.yaml").write_text(
        "model: scripted/echo\nsteps: [{name: a, prompt: 'I am {input}'}, {name: b, prompt: '{a}'}]"
    )
    async with opened() as gate:
        await gate.chat("a secret", "quiet")
        assert (await gate.chat("nightingale-7", "masked")).text == "I am [BIRD]"
    with psycopg.connect(database_dsn) as connection:
        kept = connection.execute("select door, capture, prompt from call where reply is null").fetchall()
        said = connection.execute("select reply from call where door = 'chain' and reply is not null").fetchall()
    assert sorted(kept) == [("chain", "off", None), ("python", "off", None)]
    assert len(said) == 2 and all("nightingale" not in str(one) for one in said)


async def test_an_answer_of_a_chain_is_never_taken_from_a_cache_but_those_of_its_steps_are(opened: Opened) -> None:
    async with opened() as gate:
        for cost in (4000, 0):
            call = gate.call("this", model="chain:filed", temperature=0)
            await gate.ask(call)
            assert (call.cache, call.cost_microusd) == ("bypass", cost)


async def test_the_time_that_a_program_gives_bounds_the_whole_chain(opened: Opened) -> None:
    chain = Chain(
        "slow", [Step("a", "Say {input}", model="scripted/echo"), Step("b", "Wait {a}", model="scripted/slow")]
    )
    async with opened() as gate:
        with pytest.raises(UpstreamTimeout, match="failed at its step 'b'") as told:
            await gate.chain(chain).run("x", timeout_s=0.3)
        assert (told.value.details or {})["steps"][0]["output"] == "Say x"


async def test_a_name_that_chains_have_is_taken(folder: Path, opened: Opened) -> None:
    config = folder / "comporta.yaml"
    config.write_text(config.read_text() + "routes: {'chain:filed': {model: scripted/echo}}\n")
    with pytest.raises(ConfigError, match=r"chain:filed.*is the name of a chain"):
        async with opened():
            pass


async def test_a_cycle_through_a_route_is_refused(folder: Path, opened: Opened) -> None:
    config = folder / "comporta.yaml"
    config.write_text(config.read_text() + "routes: {around: {model: 'chain:filed'}}\n")
    (folder / "chains" / "filed.yaml").write_text("steps:\n  - {name: a, prompt: 'Say {input}', model: around}\n")
    with pytest.raises(ConfigError, match=r"filed.yaml:2: steps\[0\]: asks itself without an end: filed → filed"):
        async with opened():
            pass


async def test_a_folder_that_is_named_must_be_there(folder: Path, opened: Opened) -> None:
    config = folder / "comporta.yaml"
    config.write_text(config.read_text() + "chains: {folder: flows}\n")
    with pytest.raises(ConfigError, match="flows: is not there"):
        async with opened():
            pass
    (folder / "chains").rename(folder / "flows")
    async with opened() as gate:
        assert (await gate.chain("filed").run("x")).text == "Filed x"
