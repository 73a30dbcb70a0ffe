"""Fewer tokens in a gate: shortened prompts, their record and their check, providers' caches, counts that say how."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tokenizers import Tokenizer, models, pre_tokenizers

import comporta
from comporta.app.gate import Gate
from comporta.errors import BadRequest
from comporta.gateway.answering import call_of
from comporta.gateway.doors.anthropic_messages import AnthropicCountTokens
from comporta.gateway.optimize_check import FEWEST
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.minilm import builder_hash
from comporta.testing.upstream import Step
from comporta.types import Caller, Reply, Usage

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai: {{base_url: "{openai}/v1", api_key: sk-test-00000000000000}}
  anthropic: {{base_url: "{anthropic}", api_key: sk-ant-00000000000000, prompt_caching: auto}}
retry: {{attempts: 1}}
optimize: {{min_tokens: 20, check: 0}}
tokens: {{tables: tables}}
models:
  openai/gpt-4o-mini: {{price: {{input: 2, cached: 1, output: 4}}}}
  anthropic/claude-sonnet-4-5: {{price: {{input: 3, cached: 0.3, cache_write: 3.75, output: 15}}}}
routes:
  plain: {{model: openai/gpt-4o-mini}}
  short: {{model: openai/gpt-4o-mini, optimize: {{history: 1, context_tokens: 40}}}}
  checked: {{model: openai/gpt-4o-mini, optimize: {{check: 100%, min_similarity: 0.9}}}}
  meaning: {{model: openai/gpt-4o-mini, optimize: {{context_tokens: 30, relevance: meaning}}}}
  keyed: {{model: openai/gpt-4o-mini, prompt_caching: auto}}
  spaced: {{model: anthropic/claude-sonnet-4-5, prompt_caching: off}}
"""
GAPS = (
    "Say    what  you  know   of   the   harbour,   the   ferry    and   the   lighthouse   of   the   island.\n\n\n\n"
)
Opened = Callable[[], AbstractAsyncContextManager[Gate]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def claude() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic() as fake:
        yield fake


@pytest.fixture
def opened(
    tmp_path: Path, database_dsn: str, fake: FakeOpenAI, claude: FakeAnthropic, pytestconfig: pytest.Config
) -> Iterator[Opened]:
    # The embedder is built once for all tests.
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cache").symlink_to(pytestconfig.cache.mkdir(f"minilm-{builder_hash()}"))
    path = tmp_path / "comporta.yaml"
    path.write_text(CONFIG.format(dsn=database_dsn, openai=fake.url, anthropic=claude.url))
    yield lambda: comporta.open(path, data=tmp_path / "data")
    gc.collect()


def records(dsn: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute("select * from call order by started_at, id").fetchall()


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.01)


async def test_a_prompt_is_shortened_where_its_route_says_so_and_the_record_says_what_that_saved(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    messages = [
        {"role": "system", "content": GAPS * 2},
        {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello  you"},
        {"role": "user", "content": "Goodbye"}, {"role": "assistant", "content": "Goodbye"},
        {"role": "user", "content": "Is   it  `a  b`?"},
    ]  # fmt: skip
    async with opened() as gate:
        await gate.chat(messages, "plain")
        call = gate.call(messages, "short")
        await gate.ask(call)
    whole, short = [seen.json["messages"] for seen in fake.seen]
    assert whole == messages, "nothing is done where nothing is said"
    said = [message["content"] for message in short]
    assert said[1:] == ["Hello", "Hello  you", "Is it `a  b`?"]
    assert "  " not in said[0] and said[0].count("lighthouse") == 1
    before, after = records(database_dsn)
    assert before["notes"] is None or "tokens" not in before["notes"]
    note = after["notes"]["tokens"]
    assert note["saved"] == note["before"] - note["after"] > 15
    assert set(note["steps"]) == {"history", "duplicates", "blank_space"}
    assert note["saved_microusd"] == note["saved"] * 2
    assert (note["by"], note["how"]) == ("o200k", "estimate")
    assert ("x-comporta-tokens", f"before={note['before']}; after={note['after']}") in call.facts["headers"]


async def test_what_comes_to_little_or_gets_no_shorter_goes_out_as_the_client_wrote_it(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    tight = "Say what you know of the harbour, the ferry and the lighthouse of the island and all its people there."
    async with opened() as gate:
        await gate.chat("Hi    there", "short", unknown_field=[1])
        await gate.chat(tight, "short", unknown_field=[1])
    assert [seen.json["messages"][0]["content"] for seen in fake.seen] == ["Hi    there", tight]
    assert all(seen.json["unknown_field"] == [1] for seen in fake.seen)
    small, tight_one = records(database_dsn)
    assert small["notes"] is None or "tokens" not in small["notes"]
    assert tight_one["notes"]["tokens"]["saved"] == 0


async def test_context_is_weighed_by_meaning_where_that_is_wished(opened: Opened, fake: FakeOpenAI) -> None:
    passages = [
        "<document>The lamp is guaranteed to work for three years; defects are repaired free of charge.</document>",
        "<document>Our kitchen serves soup at noon and cake at four, except on Mondays.</document>",
    ]
    text = "\n".join([*passages, "For how long do I have warranty?"])
    async with opened() as gate:
        await gate.chat(text, "meaning")
    assert passages[0] in fake.seen[0].json["messages"][0]["content"]
    assert passages[1] not in fake.seen[0].json["messages"][0]["content"]


async def test_a_sampled_answer_is_compared_with_that_to_the_whole_prompt(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    answers = [Step(text="The ferry leaves at nine."), Step(text="The ferry leaves at nine.")]
    fake.script(*answers)
    async with opened() as gate:
        async with gate.stream(GAPS + "When?", "checked", user="ana") as events:
            said = "".join([delta.text async for event in events for delta in event.deltas])
        await until(lambda: gate.sparing.checks.checked == 1)
        assert gate.sparing.totals()["optimized_calls"] == 1
    assert said == "The ferry leaves at nine."
    short, whole = [seen.json["messages"][0]["content"] for seen in fake.seen]
    assert "  " not in short and whole == GAPS + "When?"
    original, copy = sorted(records(database_dsn), key=lambda row: row["parent_id"] is not None)
    assert copy["parent_id"] == original["id"] and copy["key_id"] == "optimize:checked"
    with psycopg.connect(database_dsn) as connection:
        scores = connection.execute("select name, call_id, number, source from score").fetchall()
    assert [(name, str(call), source) for name, call, _, source in scores] == [
        ("optimize_similarity", str(original["id"]), "code")
    ]
    assert scores[0][2] == pytest.approx(1.0, abs=0.01)


async def test_answers_that_differ_are_told_once_and_in_the_status(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    for _ in range(FEWEST + 1):
        fake.script(Step(text="The ferry leaves at nine o'clock."), Step(text="Bananas grow in warm countries."))
    async with opened() as gate:
        for at in range(FEWEST + 1):
            assert gate.sparing.checks.warnings() == [] or at >= FEWEST
            await gate.chat(GAPS + "When?", "checked")
            await until(lambda n=at: gate.sparing.checks.checked == n + 1)  # type: ignore[misc]
        (warning,) = gate.sparing.checks.warnings()
        assert "'checked'" in warning
    with psycopg.connect(database_dsn) as connection:
        notices = connection.execute("select kind from notice").fetchall()
    assert notices == [("optimize.answers_differ",)]


async def test_a_check_that_fails_is_nobodys_trouble(opened: Opened, fake: FakeOpenAI) -> None:
    fake.script(Step(text="Yes."), Step(status=500))
    async with opened() as gate:
        assert (await gate.chat(GAPS + "Well?", "checked")).text == "Yes."
        await until(lambda: gate.sparing.checks.failed == 1)
        assert gate.sparing.checks.checked == 0


async def test_a_standing_prefix_is_marked_from_its_second_time_and_a_conversation_that_goes_on_at_its_end(
    opened: Opened, database_dsn: str, claude: FakeAnthropic
) -> None:
    system = {"role": "system", "content": "You know the harbour well. " * 400}
    first = [system, {"role": "user", "content": "When does the ferry leave?"}]
    then = [*first, {"role": "assistant", "content": "At nine."}, {"role": "user", "content": "And on Sundays?"}]
    claude.script(Step(text="a"), Step(text="b"), Step(text="c", usage=Usage(input=10, cached=2000, output=5)))
    async with opened() as gate:
        for messages in (first, [system, {"role": "user", "content": "Who are you?"}], then):
            await gate.chat(messages, "anthropic/claude-sonnet-4-5", max_tokens=50)
        await gate.chat(first, "spaced", max_tokens=50)
    bodies = [seen.json for seen in claude.seen]
    mark = {"type": "ephemeral"}
    assert isinstance(bodies[0]["system"], str), "a prefix that may never come again is not paid for"
    assert bodies[1]["system"][-1]["cache_control"] == mark
    assert "cache_control" not in str(bodies[1]["messages"])
    assert bodies[2]["messages"][-1]["content"][-1]["cache_control"] == mark
    assert "cache_control" not in str(bodies[3]), "the route says otherwise"
    note = records(database_dsn)[2]["notes"]["prompt_caching"]
    assert note["marks"] == ["first", "last"]
    assert (note["cached"], note["saved_microusd"]) == (2000, 2000 * 27 // 10)


async def test_openai_gets_tools_in_one_order_and_a_key_of_the_prefix(opened: Opened, fake: FakeOpenAI) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "bca"]
    async with opened() as gate:
        for given in (tools, tools[::-1]):
            await gate.chat("Hello", "keyed", tools=given, user="ana")
        await gate.chat("Hello", "keyed", tools=tools, prompt_cache_key="mine")
        await gate.chat("Hello", "plain", tools=tools)
    one, other, own, plain = [seen.json for seen in fake.seen]
    assert [tool["function"]["name"] for tool in one["tools"]] == ["a", "b", "c"]
    assert one["prompt_cache_key"] == other["prompt_cache_key"]
    assert own["prompt_cache_key"] == "mine", "the client's own wins"
    assert plain["tools"] == tools and "prompt_cache_key" not in plain


async def counted(gate: Gate, model: str) -> tuple[int, Any, str]:
    door = AnthropicCountTokens()
    body = b'{"model": "%s", "messages": [{"role": "user", "content": "one two three four"}]}' % model.encode()
    call = call_of("anthropic", door.parse(body, {}), Caller("k", admin=True), {})
    reply = await gate.ask(call)
    assert reply.usage is not None
    assert call.notes is not None
    return reply.usage.prompt, call.notes["tokens"], dict(call.facts.get("headers", ())).get("x-comporta-tokens", "")


async def test_a_count_of_tokens_says_how_it_is_made(opened: Opened, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    words = Tokenizer(models.WordLevel({"one": 0, "two": 1, "[UNK]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tables / "o200k.json"))
    async with opened() as gate:
        tokens, note, header = await counted(gate, "plain")
        assert (note, header) == ({"how": "estimate", "by": "o200k"}, "estimate; by=o200k")
        deadline_s = time.monotonic() + 90
        while note["how"] == "estimate" and time.monotonic() < deadline_s:
            tokens, note, header = await counted(gate, "plain")
            await asyncio.sleep(0.01)
        assert (note, header) == ({"how": "table", "by": "o200k"}, "table; by=o200k")
        assert tokens == 4 + 7, "four words, and the frame around a message"
        _, note, header = await counted(gate, "anthropic/claude-sonnet-4-5")
        assert (note, header) == ({"how": "provider", "by": "anthropic"}, "")


async def test_short_questions_share_a_call_and_one_left_out_is_asked_again(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    fake.script(Step(text="{}"), Step(text="alone"), Step(text="alone"), Step(text="alone"))
    async with opened() as gate:
        replies = await gate.batch(["one", "two", "three"], "plain", together=10, progress=False)
        assert [reply.text for reply in replies if isinstance(reply, Reply)] == ["alone"] * 3
        assert gate.count_tokens("one two three", "plain").by == "o200k"
        with pytest.raises(BadRequest):
            await gate.batch(["one"], "plain", together=0, progress=False)
    first = fake.seen[0].json
    assert set(json.loads(first["messages"][-1]["content"]).values()) == {"one", "two", "three"}
    assert [seen.json["messages"][-1]["content"] for seen in fake.seen[1:]] == ["one", "two", "three"]
    assert records(database_dsn)[0]["notes"]["together"] == {"questions": 3}
