"""A simulation finds the very hits that a live gate has on the same traffic: real gate, database and embedder."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import comporta
from comporta.app.gate import Gate
from comporta.app.simulating.policy import read_policy
from comporta.app.simulating.recorded import pages
from comporta.app.simulating.recorded_traffic import window_of
from comporta.app.simulating.running import Replaying
from comporta.app.simulating.standing import tools_of
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.minilm import builder_hash
from comporta.testing.servers import Postgres
from comporta.testing.upstream import Step
from comporta.types import Caller

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: "{openai}/v1", api_key: sk-test-00000000000000}}
retry: {{attempts: 1}}
models:
  openai/gpt-4o: {{price: {{input: 2.5, output: 10}}}}
  openai/gpt-4o-mini: {{price: {{input: 0.15, output: 0.6}}}}
routes:
  faq: {{model: openai/gpt-4o}}
  warm: {{variants: [{{model: openai/gpt-4o, params: {{temperature: 0.9}}}}]}}
  cut: {{model: openai/cut}}
  private: {{model: openai/gpt-4o, content: off}}
"""
POLICY = """
cache:
  enabled: true
  semantic: {enabled: true, shadow: 0%}
"""
ANA, BEN = Caller("k1", team="a", admin=True), Caller("k2", team="b", admin=True)
TRAFFIC = (
    ("faq", ANA, "How do I reset my password?"),
    ("faq", ANA, "How do I reset my password?"),
    ("faq", ANA, "How can I reset my password?"),
    ("faq", BEN, "How do I reset my password?"),
    ("faq", BEN, "How do I reset my password?"),
    ("faq", ANA, "How do I disable my password?"),
    ("warm", ANA, "How do I reset my password?"),
    ("warm", ANA, "How can I reset my password?"),
    ("warm", BEN, "How can I reset my password?"),
    ("faq", ANA, "Como é que eu mudo a minha senha?"),
    ("faq", ANA, "Como é que eu mudo a minha senha?"),
    ("cut", ANA, "Cut me off, please."),
    ("cut", ANA, "Cut me off, please."),
    ("faq", BEN, "How could I reset my password?"),
    ("faq", ANA, "When does the shop open on 5 May?"),
    ("faq", ANA, "When does the shop open on 6 May?"),
)
Opened = Callable[[str, str], AbstractAsyncContextManager[Gate]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def opened(tmp_path: Path, fake: FakeOpenAI, pytestconfig: pytest.Config) -> Iterator[Opened]:
    def made(dsn: str, more: str) -> AbstractAsyncContextManager[Gate]:
        folder = tmp_path / ("on" if more else "off")
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "cache").symlink_to(pytestconfig.cache.mkdir(f"minilm-{builder_hash()}"))
        path = folder / "comporta.yaml"
        path.write_text(CONFIG.format(dsn=dsn, openai=fake.url) + more)
        return comporta.open(path, data=folder / "data")

    yield made
    gc.collect()


async def patient(gate: Gate) -> None:
    """Looks by meaning take as long as they take: this machine may be busy with other tests."""
    semantic = gate.caching.recalling.semantic
    semantic._limit_s = semantic.vectors._limit_s = 30.0
    await semantic.vectors.warm()
    gate.caching.exact.semantic = semantic


async def ask_all(gate: Gate, fake: FakeOpenAI) -> list[str]:
    """What the cache said of each call of the traffic."""
    fake.script(*[Step(text="Cut", finish="length")] * 2, model="cut")
    said = []
    for route, caller, text in TRAFFIC:
        call = gate.call(text, route, caller=caller)
        await gate.ask(call)
        said.append("miss" if call.cache == "bypass" else call.cache)
        # What was said is found again when it is written: a live gate does that within a second.
        await gate.caching.recalling.semantic.writing.flush()
    return said


async def test_a_simulation_finds_the_hits_that_the_live_gate_had(
    opened: Opened, postgres: Postgres, database_dsn: str, fake: FakeOpenAI, tmp_path: Path
) -> None:
    live_dsn = postgres.create_database()
    try:
        async with opened(live_dsn, POLICY) as gate:
            await patient(gate)
            live = await ask_all(gate, fake)
    finally:
        postgres.drop_database(live_dsn)
    assert live.count("hit") >= 3 and live.count("semantic") >= 2, live
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    async with opened(database_dsn, "") as gate:
        assert set(await ask_all(gate, fake)) == {"miss"}, "this gate has no cache"
        await gate._drain_all()
        found = await kinds(gate, policy, tmp_path)
        report = await gate.simulate(policy)
    assert found == ["exact" if one == "hit" else one for one in live]
    (lever,) = report.levers
    assert (lever.details["exact"], lever.details["semantic"]) == (live.count("hit"), live.count("semantic"))
    assert lever.hits == len([one for one in live if one != "miss"])


async def kinds(gate: Gate, policy_file: Path, folder: Path) -> list[str]:
    """What the replay says of each call."""
    policy = read_policy(policy_file, next(one for one in gate.loaded.files if one.suffix == ".yaml"), {})
    tools = await tools_of(policy, gate.database, gate.folder.cache)
    replaying, said = Replaying(policy, tools), []
    counts = replaying.all.tallies["cache"].counts
    async for page in pages(gate.database, window_of("1h", None)):
        for recorded in page:
            before = dict(counts)
            await replaying.take(recorded)
            said.append(next((k for k in ("exact", "semantic", "shared") if counts[k] > before.get(k, 0)), "miss"))
    tools.close()
    return said
