"""Providers' own caches: what is marked when, what each wire makes of it, and what it saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from comporta.gateway.attempt import Reached, TimeLimits
from comporta.gateway.prompt_caching import Mode, PromptCaching, saved_microusd
from comporta.pipeline import Call
from comporta.providers.anthropic import Anthropic
from comporta.providers.base import Caching, Endpoint, Query
from comporta.providers.gemini import Gemini
from comporta.providers.openai import OpenAI
from comporta.providers.prompt_caching import in_anthropic, minimum_tokens
from comporta.types import Caller, Input, Message, Price, Role, Text, Tool, Usage

LONG = "Everything there is to know about the harbour. " * 200
MARK = {"type": "ephemeral"}
ENDPOINT = Endpoint("anthropic", "http://127.0.0.1:9")
PRICE = Price(input=3_000_000, cached=300_000, cache_write=3_750_000, output=1)


def said(role: Role, text: str) -> Message:
    return Message(role, (Text(text),))


class Clocked:
    """Caching with a clock of the test's own."""

    def __init__(self, mode: Mode = "auto", model: str = "claude-sonnet-4-5") -> None:
        self.now_s = 0.0
        self.model = model
        self.call = Call(kind="chat", input=Input(), model="m", caller=Caller("k"))
        self.caching = PromptCaching(lambda call: mode, lambda call, usage: PRICE, lambda: self.now_s)

    def ask(self, *messages: Message, tools: tuple[Tool, ...] = (), **more: Any) -> Caching | None:
        self.call = Call(kind="chat", input=Input(), model="m", caller=Caller("k"), **more)
        query = Query("chat", Input(messages=messages, tools=tools), self.model)
        reached = Reached(Anthropic(), ENDPOINT, query, None, TimeLimits())
        return self.caching.applied(self.call, reached).query.caching

    def marks(self, *messages: Message, **more: Any) -> tuple[str, ...]:
        found = self.ask(*messages, **more)
        assert found is not None
        return found.marks


def test_a_beginning_is_marked_when_it_comes_again_in_time() -> None:
    clocked = Clocked()
    system = said("system", LONG)
    assert clocked.marks(system, said("user", "one")) == ()
    assert clocked.marks(system, said("user", "two")) == ("system",)
    clocked.now_s = 299
    assert clocked.marks(system, said("user", "three")) == ("system",)
    clocked.now_s = 700
    assert clocked.marks(system, said("user", "four")) == (), "the provider has forgotten it by now"


def test_tools_that_come_again_under_another_system_text_are_marked_by_themselves() -> None:
    clocked = Clocked()
    tools = (Tool("look", LONG), Tool("find", "finds"))
    clocked.ask(said("system", "One."), said("user", "?"), tools=tools)
    assert clocked.marks(said("system", "Two."), said("user", "?"), tools=tools[::-1]) == ("tools",)


def test_a_conversation_that_goes_on_is_marked_at_its_end() -> None:
    clocked = Clocked()
    turns = [said("user", LONG)]
    assert clocked.marks(*turns) == ()
    turns += [said("assistant", "Yes."), said("user", "And then?")]
    assert clocked.marks(*turns) == ("first", "last")
    turns += [said("assistant", "No.")]
    assert "last" not in clocked.marks(*turns), "a given beginning of the answer is no end"


def test_what_is_short_is_never_marked_and_always_marks_from_the_first_time() -> None:
    clocked = Clocked("always")
    assert clocked.marks(said("system", "Be kind."), said("user", "one")) == ()
    assert clocked.marks(said("system", LONG), said("user", "one")) == ("system",)
    assert Clocked("always", "claude-opus-4-5").marks(said("system", LONG), said("user", "one")) == ()


def test_another_model_has_a_cache_of_its_own() -> None:
    clocked = Clocked()
    clocked.ask(said("system", LONG), said("user", "one"))
    clocked.model = "claude-sonnet-5"
    assert clocked.marks(said("system", LONG), said("user", "one")) == ()


def test_off_leaves_the_very_same_request() -> None:
    clocked = Clocked("off")
    reached = Reached(Anthropic(), ENDPOINT, Query("chat", Input(), "m"), None, TimeLimits())
    assert clocked.caching.applied(clocked.call, reached) is reached


def test_calls_of_one_beginning_and_one_session_have_one_key() -> None:
    clocked = Clocked()

    def key(text: str, session: str | None = None) -> str:
        found = clocked.ask(said("system", text), said("user", text), session=session)
        assert found is not None
        return found.key

    assert key("a") == key("a") != key("b")
    assert key("a", "s1") == key("a", "s1") != key("a", "s2")
    assert key("a").startswith("comporta-") and len(key("a")) <= 64


def test_the_record_says_what_was_marked_and_saved() -> None:
    clocked = Clocked()
    clocked.ask(said("system", LONG), said("user", "one"))
    clocked.call.usage = Usage(input=10, cached=1000, cache_write=100, output=5)
    clocked.call.end()
    assert clocked.call.notes == {
        "prompt_caching": {
            "mode": "auto", "marks": [], "cached": 1000, "cache_write": 100,
            "saved_microusd": (1000 * 2_700_000 - 100 * 750_000) // 1_000_000,
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "price", "saved"),
    [
        (Usage(cached=10), None, None),
        (Usage(cached=10), Price(output=1), None),
        (Usage(cached=10), Price(input=2_000_000), 0),
        (Usage(cache_write=1000), PRICE, -750),
    ],
)
def test_what_was_saved_is_unknown_without_a_price_and_below_zero_where_writing_cost_more(
    usage: Usage, price: Price | None, saved: int | None
) -> None:
    assert saved_microusd(usage, price) == saved


def sent(wire: Any, given: Input, caching: Caching | None, **options: Any) -> dict[str, Any]:
    query = Query("chat", given, "model", caching=caching)
    endpoint = Endpoint("p", "http://127.0.0.1:9/v1", options=options)
    body: dict[str, Any] = json.loads(wire.encode(query, endpoint).body)
    return body


TURNS = Input(
    messages=(said("system", "Be kind."), said("user", "one"), said("assistant", "1"), said("user", "two")),
    tools=(Tool("b", "B", {"type": "object"}), Tool("a", "A", {"type": "object"})),
    max_tokens=5,
)


def test_anthropic_is_sent_the_marks_where_they_are_wished() -> None:
    body = sent(Anthropic(), TURNS, Caching(("tools", "system", "first", "last")))
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, MARK]
    assert [tool["name"] for tool in body["tools"]] == ["a", "b"]
    assert body["system"] == [{"type": "text", "text": "Be kind.", "cache_control": MARK}]
    assert [m["content"][-1].get("cache_control") for m in body["messages"]] == [MARK, None, MARK]
    assert "cache_control" not in json.dumps(sent(Anthropic(), TURNS, None))


def test_a_clients_own_marks_win() -> None:
    marked = TURNS.edit(messages=(Message("user", (Text("one", MARK), Text("two"))),))
    body = sent(Anthropic(), marked, Caching(("tools", "system", "last")))
    assert json.dumps(body).count("cache_control") == 1
    whole = {"cache_control": MARK, "messages": [{"role": "user", "content": "Hi"}]}
    assert in_anthropic(whole, Caching(("last",))) is whole


@pytest.mark.parametrize("content", ["", [], [{"type": "thinking", "thinking": "x", "signature": "s"}]])
def test_what_can_not_be_marked_is_not(content: Any) -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    assert in_anthropic(body, Caching(("last", "system", "tools"))) == body


def test_a_clients_own_body_is_marked_too_and_not_changed_for_others() -> None:
    raw = {"system": "Be kind.", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    given = structs.replace(TURNS, wire="anthropic.messages", raw=raw, tools=())
    body = sent(Anthropic(), given, Caching(("system", "last")))
    assert body["system"][0]["cache_control"] == body["messages"][0]["content"][0]["cache_control"] == MARK
    assert raw["system"] == "Be kind." and raw["messages"] == [{"role": "user", "content": "Hi"}]


def test_openai_gets_one_order_of_tools_and_a_key_where_it_takes_one() -> None:
    body = sent(OpenAI(), TURNS, Caching(key="k"), prompt_cache_key=True)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["a", "b"]
    assert body["prompt_cache_key"] == "k"
    assert "prompt_cache_key" not in sent(OpenAI(), TURNS, Caching(key="k"))


def test_gemini_gets_one_order_of_functions() -> None:
    body = sent(Gemini(), TURNS, Caching())
    (tool,) = body["tools"]
    (names,) = ([one["name"] for one in functions] for functions in tool.values())
    assert names == ["a", "b"]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("claude-opus-4-6", 4096), ("claude-haiku-4-5", 4096), ("claude-3-5-haiku-latest", 2048),
     ("claude-sonnet-4-5", 1024), ("claude-opus-4-1", 1024), ("gpt-5", 1024)],
)  # fmt: skip
def test_each_model_has_its_shortest_beginning(model: str, tokens: int) -> None:
    assert minimum_tokens(model) == tokens
