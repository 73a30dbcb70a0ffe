"""The semantic cache of two workers, and what becomes of calls where its embedder is away or gives something else."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from comporta.embedding.minilm import MiniLM
from comporta.testing.minilm import builder_hash
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from support.serving import CONFIG, SECRETS, Fakes, Served
from support.talking import chat, until

OURS = """
cache:
  enabled: true
  semantic: {enabled: true, shadow: 0%}
"""
THEIRS = """
cache:
  enabled: true
  semantic: {enabled: true, shadow: 0%, embedder: openai/their-embedder}
"""
#: A worker that is late over one vector asks for none for half a minute, and a busy machine is late several times.
PATIENCE_S = 250
pytestmark = pytest.mark.timeout(5 * PATIENCE_S + 120)
RESET, RESET_TOO = "How do I reset my password?", "How can I reset my password?"


def configured(fakes: Fakes, more: str) -> str:
    urls = {name: getattr(fakes, name).url for name in ("openai", "anthropic", "gemini", "ollama")}
    return CONFIG.format(**urls) + more


def state(gate: Served, text: str, model: str = "openai/asked") -> str:
    """What the caches made of a question: exactly, else by meaning."""
    answer = chat(gate, model, text)
    assert answer.status == 200, answer.body
    return answer.headers["x-comporta-cache"].split(";")[0]


def why(gate: Served, text: str) -> str:
    answer = chat(gate, "openai/asked", text)
    assert answer.status == 200, answer.body
    return answer.headers["x-comporta-cache"].partition("reason=")[2]


def test_what_one_worker_keeps_the_other_finds_by_meaning(
    fakes: Fakes, redis_url: str, pytestconfig: pytest.Config
) -> None:
    built: Path = pytestconfig.cache.mkdir(f"minilm-{builder_hash()}")
    model = MiniLM(built)
    asyncio.run(model.warm())
    model.close()
    more = OURS + f"redis:\n  url: {redis_url}\nserver:\n  workers: 2\n"
    with short_folder() as folder:
        served = Served(folder, configured(fakes, more), SECRETS)
        shutil.copytree(built, served.data / "cache")
        served.start()
        try:
            assert state(served, RESET, "openai/two") == "miss"
            # Each question is new to the exact cache and comes over a connection of its own, so that the kernel gives
            # it to either worker. Alone, one of them would never find it.
            blanks = iter(range(1, 1_000))

            def all_find() -> bool:
                found = [state(served, RESET_TOO + " " * next(blanks), "openai/two") for _ in range(12)]
                return found.count("semantic") == len(found)

            assert until(all_find, PATIENCE_S)
        finally:
            assert served.stop() == 0


@pytest.fixture
def gate(fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, configured(fakes, THEIRS), SECRETS)
        served.start()
        yield served
        assert served.stop() == 0, served.output


def test_another_embedder_is_asked_and_calls_are_answered_while_it_is_away_or_changes(
    gate: Served, fakes: Fakes
) -> None:
    says = [Step(vectors=((0.6, 0.8, 0.0, 0.0),))]
    fakes.openai.script(*[lambda seen: says[0]] * 2_000, model="their-embedder")
    assert until(lambda: why(gate, f"How many days has the month number {time.time()}?") == "", PATIENCE_S)
    assert state(gate, RESET) == "miss"
    assert until(lambda: state(gate, RESET_TOO + " " * int(time.time() * 10 % 500)) == "semantic", PATIENCE_S)
    # Its model was changed behind its name: three numbers are no vector among those of four.
    says[0] = Step(vectors=((0.0, 0.6, 0.8),))
    assert until(
        lambda: why(gate, f"How do I reset the password of {time.time()}?") in ("embedder", "store"), PATIENCE_S
    )
    says[0] = Step(status=500)
    assert until(lambda: why(gate, f"How do I reset the password of {time.time()}?") == "embedder", PATIENCE_S)
    says[0] = Step(vectors=((0.6, 0.8, 0.0, 0.0),))
    assert until(lambda: state(gate, RESET_TOO + " " * int(500 + time.time() * 10 % 500)) == "semantic", PATIENCE_S)
