"""Replays of made-up records: order in time, tenants, levers alone and together, what is told of the unknown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from comporta.app.pricing import Pricing
from comporta.app.simulating.policy import Policy, read_policy
from comporta.app.simulating.recorded import Recorded
from comporta.app.simulating.report import Lever, Report
from comporta.app.simulating.running import Replaying, Tools, simulate
from comporta.app.simulating.standing import known_of
from comporta.text.tokens import Counter
from comporta.types import Caller, Choice, Image, Input, Message, Target, Text, Usage

CONFIG = """
providers:
  openai: {api_key: none}
  anthropic: {api_key: none}
models:
  openai/big: {price: {input: 10, output: 10}}
  openai/small: {price: {input: 1, output: 1}}
  anthropic/claude-big: {price: {input: 10, cached: 1, cache_write: 12.5, output: 10}}
routes:
  faq: {model: openai/big}
  read: {model: anthropic/claude-big}
  secret: {model: openai/big, content: off}
"""
LONG = "A clause of the contract. " * 400


def policy_of(folder: Path, text: str) -> Policy:
    (folder / "comporta.yaml").write_text(CONFIG)
    (folder / "policy.yaml").write_text(text)
    return read_policy(folder / "policy.yaml", folder / "comporta.yaml", {})


def tools_of(policy: Policy, folder: Path) -> Tools:
    known, _ = known_of(policy, folder, {})

    async def embed(texts: Sequence[str]) -> list[tuple[float, ...]]:
        raise AssertionError("nothing is compared by meaning here")

    return Tools(
        known=known, price_of=Pricing(lambda: known, dict).price, counter=Counter(), embed=embed, embedding=None,
        quality=lambda row, member: None, threshold_of=lambda route, least: least,
    )  # fmt: skip


def one(at_s: float, text: str = "Hello?", **more: Any) -> Recorded:
    given: dict[str, Any] = {
        "id": f"0-{at_s}", "at_s": at_s, "took_s": 1.0, "first_s": 0.1, "caller": Caller("k", team="a"), "kind": "chat",
        "door": "openai.chat", "stream": False, "model": "faq", "target": Target("faq", "openai/big", "openai", "big"),
        "asked": Input(messages=(Message("user", (Text(text),)),)), "choices": (Choice(0, "Hi.", finish="stop"),),
        "usage": Usage(input=100, output=100), "full_microusd": 2_000, "paid_microusd": 2_000,
    }  # fmt: skip
    return Recorded(**{**given, **more})


async def report(folder: Path, policy: str, calls: Sequence[Recorded]) -> Report:
    read = policy_of(folder, policy)

    async def pages() -> AsyncIterator[Sequence[Recorded]]:
        for call in calls:
            yield [call]

    return await simulate(pages(), read, tools_of(read, folder), ("then", "now"))


def lever(found: Report, name: str) -> Lever:
    return next(one for one in found.levers if one.name == name)


CACHE = "cache: {enabled: true, ttl: 1h}\n"


async def hits(folder: Path, calls: Sequence[Recorded], policy: str = CACHE) -> int:
    return lever(await report(folder, policy, calls), "cache").hits or 0


async def test_an_answer_is_given_again_from_its_end_until_its_time_is_up(tmp_path: Path) -> None:
    assert await hits(tmp_path, [one(0), one(0.5), one(0.9)]) == 0, "the first answer has not come yet"
    assert await hits(tmp_path, [one(0), one(1.0), one(3_600.9)]) == 2
    assert await hits(tmp_path, [one(0), one(3_601.1), one(3_602.2)]) == 1, "the second answer took its place"


async def test_calls_under_way_share_one_where_the_policy_says_so(tmp_path: Path) -> None:
    share = "cache: {enabled: true, share: true}\n"
    assert await hits(tmp_path, [one(0), one(0.5), one(0.9), one(2)], share) == 3


async def test_nobody_gets_what_another_tenant_was_answered(tmp_path: Path) -> None:
    others = [Caller("k", team="b"), Caller("k2", team="a"), Caller("k"), Caller("k3")]
    calls = [one(0), *(one(10 + at, caller=caller) for at, caller in enumerate(others))]
    assert await hits(tmp_path, calls) == 1, "only the other key of the same team"


@pytest.mark.parametrize(
    "other",
    [
        {"stream": True}, {"door": "anthropic.messages"}, {"target": Target("faq", "openai/small", "openai", "small")},
        {"asked": Input(messages=(Message("user", (Text("Hello?"),)),), temperature=0.2)},
    ],
    ids=["stream", "door", "model", "parameters"],
)  # fmt: skip
async def test_what_may_change_an_answer_is_part_of_the_question(tmp_path: Path, other: dict[str, Any]) -> None:
    assert await hits(tmp_path, [one(0), one(10, **other)]) == 0


@pytest.mark.parametrize(
    "first",
    [
        {"choices": (Choice(0, "Hi", finish="length"),)}, {"choices": ()}, {"whole": False}, {"reached": False},
        {"asked": None}, {"target": None},
    ],
    ids=["cut", "no answer", "failed", "refused", "no content", "not routed"],
)  # fmt: skip
async def test_only_whole_answers_are_given_again(tmp_path: Path, first: dict[str, Any]) -> None:
    assert await hits(tmp_path, [one(0, **first), one(10)]) == 0


async def test_what_costs_less_than_the_least_is_not_kept(tmp_path: Path) -> None:
    dear = "cache: {enabled: true, min_cost: $0.01}\n"
    assert await hits(tmp_path, [one(0), one(10)], dear) == 0
    assert await hits(tmp_path, [one(0, full_microusd=10_000), one(10)], dear) == 1


async def test_routes_without_content_have_no_cache_as_live(tmp_path: Path) -> None:
    secret: dict[str, Any] = {"target": Target("secret", "openai/big", "openai", "big")}
    found = await report(tmp_path, CACHE, [one(0, **secret), one(10, **secret)])
    assert lever(found, "cache").hits == 0 and lever(found, "cache").details["looked_up"] == 0


async def test_savings_of_the_levers_overlap_and_the_sum_says_by_how_much(tmp_path: Path) -> None:
    policy = CACHE + "routes: {faq: {model: openai/small}}\nbatches: {routes: [faq], discount: 50%}\n"
    found = await report(tmp_path, policy, [one(0), one(10)])
    assert found.read_microusd == 4_000
    alone = {lever.name: lever.saved_microusd for lever in found.levers}
    assert alone == {"routing": 3_600, "cache": 2_000, "batching": 2_000}
    # Both go to the small model (200 each), the second is a hit (0), the first waits (100).
    assert found.together_microusd == 3_900 and found.overlap_microusd == sum(alone.values()) - 3_900
    beside = {lever.name: lever.together_microusd for lever in found.levers}
    assert beside == {"routing": 3_600, "cache": 200, "batching": 100}
    (group,) = found.groups
    assert (group.hits, group.cost_microusd, group.saved_microusd) == (1, 4_000, 3_900)


async def test_a_strategy_leads_calls_by_task_and_says_that_quality_is_unknown(tmp_path: Path) -> None:
    policy = "model_routing: {strategies: {cost: [{task: default, primary: openai/small, required_capabilities: []}]}}"
    found = await report(tmp_path, policy, [one(0), one(1, kind="embed"), one(2, inner=True)])
    routing = lever(found, "routing")
    assert (routing.calls, routing.saved_microusd) == (1, 1_800)
    assert routing.details == {"openai/small": 1}
    assert any("how good" in text and "no scores" in text for text in routing.unknown)


async def test_calls_that_no_model_of_the_policy_can_answer_stay_where_they_went(tmp_path: Path) -> None:
    policy = "model_routing: {strategies: {cost: [{task: default, primary: openai/gpt-3.5-turbo}]}}"
    picture = Input(messages=(Message("user", (Image(url="https://a/b.png"), Text("What is it?"))),))
    huge = Input(messages=(Message("user", (Text("word " * 400_000),)),))
    found = await report(tmp_path, policy, [one(0, asked=picture), one(1, asked=huge)])
    stayed = [text for text in lever(found, "routing").unknown if "stayed where they went" in text]
    assert stayed and stayed[0].startswith(("1 ", "2 "))


async def test_shorter_prompts_save_what_their_tokens_cost(tmp_path: Path) -> None:
    text = "Say what you know.    " * 3 + "\n\n\n\n" + "Say what you know of the harbour of the island.\n\n" * 20
    found = await report(tmp_path, "optimize: {enabled: true, min_tokens: 10}", [one(0, text), one(1, "Short.")])
    tokens = lever(found, "tokens")
    assert tokens.calls == 1 and int(tokens.details["tokens"]) > 20
    assert tokens.saved_microusd == min(int(tokens.details["tokens"]), 100) * 10


async def test_prefixes_that_come_again_are_read_from_the_providers_cache(tmp_path: Path) -> None:
    def asked(question: str) -> Input:
        return Input(messages=(Message("system", (Text(LONG),)), Message("user", (Text(question),))))

    read: dict[str, Any] = {"target": Target("read", "anthropic/claude-big", "anthropic", "claude-big"),
            "usage": Usage(input=3_000, output=10), "full_microusd": 30_100}  # fmt: skip
    calls = [one(at, asked=asked(f"Question {at}?"), **read) for at in (0, 60, 120, 1_000)]
    found = lever(await report(tmp_path, "prompt_caching: auto", calls), "prompt_caching")
    # The second writes it, the third reads it; by the fourth it is gone, and is only seen again.
    assert found.calls == 2
    assert found.details["written_tokens"] == pytest.approx(3_000, rel=0.02)
    assert found.details["read_tokens"] == pytest.approx(3_000, rel=0.02)
    assert found.saved_microusd == pytest.approx(3_000 * 9 - 3_000 * 2.5, rel=0.02)
    openai = await report(tmp_path, "prompt_caching: auto", [structs.replace(one(0), asked=asked("Who?"))])
    assert lever(openai, "prompt_caching").calls == 0, "such providers find prefixes by themselves"


async def test_only_calls_that_could_wait_get_a_batchs_price(tmp_path: Path) -> None:
    calls = [one(0), one(1, tags={"when": "night"}), one(2, tags={"when": "day"}), one(3, hit="exact")]
    found = lever(await report(tmp_path, "batches: {tags: {when: [night, weekend]}}", calls), "batching")
    assert (found.calls, found.saved_microusd) == (1, 1_000)
    nowhere = structs.replace(one(0, tags={"when": "night"}), target=Target("x", "x", "ollama", "m"))
    policy = "batches: {tags: {when: night}}"
    assert lever(await report(tmp_path, policy, [nowhere]), "batching").calls == 0


async def test_hits_of_then_count_at_what_their_answers_had_cost(tmp_path: Path) -> None:
    found = await report(tmp_path, CACHE, [one(0), one(10, hit="exact", paid_microusd=0)])
    assert (found.read_microusd, found.paid_microusd, found.together_microusd) == (4_000, 2_000, 2_000)
    assert any("answered by a cache then" in text for text in found.notes)


async def test_what_could_not_be_read_is_told_and_extrapolated_only_with_a_word(tmp_path: Path) -> None:
    found = await report(tmp_path, CACHE, [one(0), one(10), one(20, asked=None), one(30, asked=None)])
    assert (found.calls, found.read, found.cost_microusd, found.read_microusd) == (4, 2, 8_000, 4_000)
    assert found.together_microusd == 2_000 and found.extrapolated_microusd == 4_000
    assert any("2 of 4 calls are not recorded in full" in text for text in found.notes)
    whole = await report(tmp_path, CACHE, [one(0), one(10)])
    assert whole.extrapolated_microusd is None


async def test_calls_of_unknown_cost_save_nothing_and_are_told(tmp_path: Path) -> None:
    found = await report(tmp_path, CACHE, [one(0, full_microusd=None), one(10, full_microusd=None)])
    cache = lever(found, "cache")
    assert (cache.hits, cache.saved_microusd, cache.unpriced, found.unpriced) == (1, 0, 1, 2)
    assert any("no known price" in text for text in cache.unknown)


async def test_no_calls_at_all_are_a_report_of_nothing(tmp_path: Path) -> None:
    found = await report(tmp_path, CACHE, [])
    assert (found.calls, found.together_share, found.groups) == (0, 0.0, [])


async def test_what_has_expired_is_forgotten(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, "cache: {enabled: true, ttl: 10s}\n")
    replaying = Replaying(policy, tools_of(policy, tmp_path))
    for at in range(4_500):
        await replaying.take(one(at * 2.0, f"Question {at}?"))
    cache = replaying.all._cache
    assert cache is not None and len(cache._kept) < 2_600
