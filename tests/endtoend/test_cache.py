"""The exact cache through the gate, by the official SDKs: each answer is given again in its own form."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import httpx
import openai
import pytest

from comporta.cache.far import REST_S
from comporta.testing.servers import short_folder
from comporta.testing.upstream import FakeUpstream, Step, ToolAsk
from comporta.types import Usage
from support.serving import CONFIG, SECRETS, Fakes, Served
from support.talking import until

CACHE = """
cache:
  enabled: true
  ttl: 1h
"""
ROUTES = """
  quick:
    model: openai/quick
    cache: {ttl: 5s}
  uncached:
    model: openai/uncached
    cache: {enabled: false}
  shared:
    model: openai/shared
    cache: {share: true}
"""
HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


def configured(fakes: Fakes) -> str:
    config = CONFIG.format(
        openai=fakes.openai.url, anthropic=fakes.anthropic.url, gemini=fakes.gemini.url, ollama=fakes.ollama.url
    )
    return config.replace("\nroutes:", "\nroutes:" + ROUTES.rstrip()) + CACHE


@pytest.fixture(scope="module")
def cached(fakes: Fakes) -> Iterator[Served]:
    """A gate with caches on."""
    with short_folder() as folder:
        served = Served(folder, configured(fakes), SECRETS)
        served.start()
        yield served
        assert served.stop() == 0, served.output


@pytest.fixture
def client(cached: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{cached.url}/v1", api_key=cached.key, max_retries=0) as client:
        yield client


def asked(fake: FakeUpstream, model: str) -> int:
    """How many requests for a model reached the provider."""
    return sum(1 for seen in list(fake.seen) if seen.json.get("model") == model)


def test_a_plain_answer_is_given_again_whole(client: openai.OpenAI, fakes: Fakes) -> None:
    """WIRE 12: several choices, log probabilities, reasoning and annotations survive."""
    fakes.openai.script(
        Step(text="Olá!", reasoning="Let me think.", logprobs=True, usage=Usage(input=11, output=5)),
        Step(text="Something else."), model="plain-again",
    )  # fmt: skip
    answers = [
        client.chat.completions.with_raw_response.create(
            model="openai/plain-again", messages=HELLO, n=2, logprobs=True, extra_headers={"x-request-id": f"again-{i}"}
        )
        for i in range(2)
    ]
    assert [a.headers["x-comporta-cache"] for a in answers] == ["miss", "hit"]
    assert [a.headers["x-request-id"] for a in answers] == ["again-0", "again-1"]
    assert answers[1].headers["x-comporta-cost-usd"] == "0.000000"
    assert answers[0].text == answers[1].text
    reply = answers[1].parse()
    assert len(reply.choices) == 2 and reply.choices[1].logprobs is not None
    assert reply.choices[0].message.model_extra == {"reasoning_content": "Let me think."}
    assert asked(fakes.openai, "plain-again") == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_stream_is_given_again_as_a_stream(client: openai.OpenAI, fakes: Fakes, provider: str) -> None:
    """WIRE 12."""
    fake: FakeUpstream = getattr(fakes, provider)
    tools = (ToolAsk("weather", '{"city": "Faro"}'),)
    fake.script(Step(text="one two three", tools=tools), Step(text="other"), model="stream-again")
    runs = []
    for state in ("miss", "hit"):
        raw = client.chat.completions.with_raw_response.create(
            model=f"{provider}/stream-again", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        assert raw.headers["x-comporta-cache"] == state
        runs.append([chunk.model_dump(exclude={"id", "created"}) for chunk in raw.parse()])
    for chunk in (runs[0][-1], runs[1][-1]):
        chunk["usage"].pop("cost", None)
    assert runs[0] == runs[1] and len(runs[0]) > 3
    assert asked(fake, "stream-again") <= 1


def test_a_plain_and_a_streamed_answer_are_kept_apart(client: openai.OpenAI, fakes: Fakes) -> None:
    """WIRE 30."""
    fakes.openai.script(Step(text="plain"), Step(text="streamed"), model="forms")
    assert client.chat.completions.create(model="openai/forms", messages=HELLO).choices[0].message.content == "plain"
    for _ in range(2):
        stream = client.chat.completions.create(model="openai/forms", messages=HELLO, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "streamed"


def test_anthropic_answers_are_given_again_in_their_own_words(cached: Served, fakes: Fakes) -> None:
    fakes.anthropic.script(Step(text="Bom dia", reasoning="Hm."), Step(text="other"), model="claude-again")
    with anthropic.Anthropic(base_url=cached.url, api_key=cached.key, max_retries=0) as client:
        plain = [
            client.messages.with_raw_response.create(
                model="anthropic/claude-again", max_tokens=50, messages=[{"role": "user", "content": "Hi"}]
            )
            for _ in range(2)
        ]
        assert plain[0].text() == plain[1].text() and plain[1].headers["x-comporta-cache"] == "hit"
        fakes.anthropic.script(Step(text="a b c", reasoning="Hm."), Step(text="other"), model="claude-stream")
        finals = []
        for _ in range(2):
            with client.messages.stream(
                model="anthropic/claude-stream", max_tokens=50, messages=[{"role": "user", "content": "Hi"}]
            ) as stream:
                finals.append(stream.get_final_message())
    assert finals[0] == finals[1] and finals[0].content[-1].type == "text"


def test_responses_and_embeddings_are_given_again(client: openai.OpenAI, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="first"), Step(text="second"), model="responses-again")
    texts = [client.responses.create(model="openai/responses-again", input="Hi").output_text for _ in range(2)]
    assert texts == ["first", "first"]
    vectors = [client.embeddings.create(model="openai/embed-again", input=["a", "b"]).data for _ in range(2)]
    assert vectors[0] == vectors[1] and asked(fakes.openai, "embed-again") == 1


def test_a_cut_answer_is_never_kept(client: openai.OpenAI, fakes: Fakes) -> None:
    """WIRE 30."""
    fakes.openai.script(Step(text="one two three four", cut_after=3), Step(text="whole"), model="cut-cache")
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="openai/cut-cache", messages=HELLO, stream=True))
    stream = client.chat.completions.create(model="openai/cut-cache", messages=HELLO, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "whole"


def state_of(client: openai.OpenAI, model: str, *, content: str = "Hello", stream: bool = False, **headers: str) -> str:
    answer = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": content}], stream=stream,
        extra_headers={k.replace("_", "-"): v for k, v in headers.items()},
    )  # fmt: skip
    return answer.headers["x-comporta-cache"]


def test_a_request_may_say_what_the_cache_does(client: openai.OpenAI, fakes: Fakes) -> None:
    model = "openai/control"
    assert state_of(client, model, cache_control="no-store") == "bypass"
    assert state_of(client, model) == "miss"
    assert state_of(client, model, cache_control="no-cache") == "bypass"
    assert state_of(client, model, cache_control="max-age=60") == "hit"
    assert state_of(client, model, cache_control="max-age=0") == "miss"
    assert all("cache-control" not in seen.headers for seen in fakes.openai.seen)


def test_a_route_has_its_own_time_and_its_own_switch(client: openai.OpenAI) -> None:
    assert [state_of(client, "quick"), state_of(client, "quick")] == ["miss", "hit"]
    assert until(lambda: state_of(client, "quick") == "miss")
    assert [state_of(client, "uncached"), state_of(client, "uncached")] == ["bypass", "bypass"]


def test_nothing_is_cached_where_content_may_not_be_kept(client: openai.OpenAI) -> None:
    for route in ("hashed", "silent"):
        assert [state_of(client, route), state_of(client, route)] == ["bypass", "bypass"]


def test_another_team_is_not_given_the_answer(cached: Served, client: openai.OpenAI, fakes: Fakes) -> None:
    """WIRE 30."""
    keys = []
    for name, team in (("a", "red"), ("b", "blue"), ("c", "red")):
        head = {"Authorization": f"Bearer {cached.key}"}
        made = httpx.post(
            f"{cached.url}/admin/keys", json={"name": f"cache-{name}", "team": team}, headers=head, timeout=90
        )
        keys.append(made.json()["secret"])
    states = [state_of(client.with_options(api_key=key), "openai/teams") for key in keys]
    assert states == ["miss", "miss", "hit"]


def test_the_record_says_that_a_hit_cost_nothing(cached: Served, client: openai.OpenAI, fakes: Fakes) -> None:
    fakes.openai.script(Step(usage=Usage(input=1000, output=500)), model="gpt-4o-mini")
    body = {"model": "openai/gpt-4o-mini", "messages": HELLO}
    for number in range(2):
        client.chat.completions.create(**body, extra_headers={"x-request-id": f"recorded-{number}"})  # type: ignore[call-overload]
    found: dict[str, Any] = {}
    until_s = time.monotonic() + 90
    while len(found) < 2 and time.monotonic() < until_s:
        head = {"Authorization": f"Bearer {cached.key}"}
        page = httpx.get(f"{cached.url}/admin/calls", headers=head, timeout=90).json()
        found = {c["request_id"]: c for c in page["data"] if c["request_id"].startswith("recorded-")}
        time.sleep(0.1)
    first, again = found["recorded-0"], found["recorded-1"]
    assert (first["cache"], again["cache"]) == ("miss", "hit")
    assert first["cost_microusd"] > 0 and again["cost_microusd"] == 0
    assert again["usage"] == first["usage"]


@pytest.mark.parametrize("stream", [False, True])
def test_calls_at_the_same_time_share_one_upstream_call(
    cached: Served, client: openai.OpenAI, fakes: Fakes, stream: bool
) -> None:
    text = f"shared {stream}"
    fakes.openai.script(Step(text="one two three", delay_s=2.0, token_delay_s=0.05), model="shared")
    before = asked(fakes.openai, "shared")

    def ask(_: int) -> tuple[str, str]:
        raw = client.chat.completions.with_raw_response.create(
            model="shared", messages=[{"role": "user", "content": text}], stream=stream
        )
        answer: Any = raw.parse()
        if not stream:
            return raw.headers["x-comporta-cache"], answer.choices[0].message.content
        words = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
        return raw.headers["x-comporta-cache"], words

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert sorted(answers) == [("hit", "one two three")] * 5 + [("miss", "one two three")]
    assert asked(fakes.openai, "shared") == before + 1


def test_the_first_callers_leaving_does_not_end_the_answer_for_the_second(
    cached: Served, client: openai.OpenAI, fakes: Fakes
) -> None:
    fakes.openai.script(Step(text="a b c d e f", token_delay_s=0.5), model="shared")
    before = asked(fakes.openai, "shared")
    leaving: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "leaving"}]
    first = client.chat.completions.create(model="shared", messages=leaving, stream=True)
    next(iter(first))
    second = client.chat.completions.create(model="shared", messages=leaving, stream=True)
    first.close()
    assert "".join(c.choices[0].delta.content or "" for c in second if c.choices) == "a b c d e f"
    assert asked(fakes.openai, "shared") == before + 1
    assert state_of(client, "shared", content="leaving", stream=True) == "hit"


def test_two_workers_share_through_redis(fakes: Fakes, redis_url: str) -> None:
    config = configured(fakes) + f"redis:\n  url: {redis_url}\nserver:\n  workers: 2\n"
    with short_folder() as folder:
        served = Served(folder, config, SECRETS)
        served.start()
        try:
            # A look that takes too long on a busy machine is a miss, and a rest: some rounds may have more of them.
            assert any(hits(served, begin) >= 27 for begin in range(0, 80, 10))
        finally:
            assert served.stop() == 0


def hits(served: Served, begin: int) -> int:
    """How many of thirty questions that were asked before, ten three times each, one of the workers knows.

    A connection of its own each: the kernel spreads them over both workers. Each worker alone would know half of the
    answers at first, so that about nine of these were misses.
    """
    questions = range(begin, begin + 10)
    assert [posted(served, number) for number in questions] == ["miss"] * 10
    time.sleep(0.5)
    return [posted(served, number) for number in questions for _ in range(3)].count("hit")


def posted(served: Served, number: int) -> str:
    """What the cache made of a question, asked over a new connection."""
    answer = httpx.post(
        f"{served.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {served.key}"},
        json={"model": "openai/workers", "messages": [{"role": "user", "content": f"question {number}"}]},
        timeout=90,
    )
    return answer.headers["x-comporta-cache"]


def test_answers_outlive_a_restart(fakes: Fakes) -> None:
    """Several are asked for: a look that takes too long on a busy machine is a miss, and the store rests after it."""
    with short_folder() as folder, contextlib.ExitStack() as stack:

        def stopped(served: Served) -> None:
            assert served.stop() == 0

        def started() -> openai.OpenAI:
            served = Served(folder, configured(fakes), SECRETS)
            served.start()
            stack.callback(stopped, served)
            return stack.enter_context(openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0))

        client = started()
        assert {state_of(client, f"openai/restart-{n}") for n in range(12)} == {"miss"}
        stack.close()
        client = started()
        numbers = iter(range(12))

        def found() -> bool:
            if state_of(client, f"openai/restart-{next(numbers)}") == "hit":
                return True
            time.sleep(REST_S)
            return False

        assert until(found)
