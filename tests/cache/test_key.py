"""Keys of calls: the same for what means the same, another one for anything that may change the answer."""

from __future__ import annotations

import itertools
import json
import random
import string
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from comporta.cache.key import PROMPT_FACT, key_of
from comporta.gateway.answering import call_of
from comporta.gateway.doors.anthropic_messages import AnthropicMessages
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.doors.openai_responses import OpenAIResponses
from comporta.pipeline import Call
from comporta.types import JSON, Caller, Target

BODY: JSON = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TARGET = Target(route="r", variant="v", provider="p", model="m")
DOORS = (OpenAIChat(), AnthropicMessages(), OpenAIResponses())


def call_for(
    body: JSON | None = None, *, caller: Caller | None = None, target: Target = TARGET, door: int = 0,
    prompt: str | None = None, **headers: str,
) -> Call:  # fmt: skip
    given = {k.replace("_", "-"): v for k, v in headers.items()}
    parsed = DOORS[door].parse(msgspec.json.encode(body or BODY), given)
    call = call_of(DOORS[door].name, parsed, caller or Caller("key-1", team="red"), given)
    call.target = target
    if prompt is not None:
        call.facts[PROMPT_FACT] = prompt
    return call


def key(body: JSON | None = None, **more: Any) -> bytes:
    found = key_of(call_for(body, **more))
    assert found is not None
    return found


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same JSON with the keys of every object in another order."""
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: shuffled(value[name], rng) for name in names}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


_leaves = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8)
_leaves = _leaves.filter(lambda v: not isinstance(v, str) or v.isprintable())
_values = st.recursive(
    _leaves,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("abc", max_size=3), v, max_size=3),
    max_leaves=8,
)
_parts = st.fixed_dictionaries({"type": st.just("text"), "text": st.sampled_from(["a", "b", "ab"])})
_contents = st.sampled_from(["a", "b", "ab"]) | st.lists(_parts, min_size=1, max_size=2)
_messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer"]), "content": _contents}),
    min_size=1, max_size=3,
)  # fmt: skip
_bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(["x", "y"]), "messages": _messages},
    optional={
        "temperature": st.sampled_from([0, 0.0, 0.5, 1, 1.0]), "user": st.sampled_from(["u", "w"]),
        "n": st.sampled_from([1, 2]), "metadata": st.just({"a": "b"}), "new_field": _values, "other_field": _values,
    },
)  # fmt: skip


def essence(body: JSON) -> str:
    """What of a body matters, written down another way than the key does."""
    kept = {k: v for k, v in body.items() if k not in ("model", "user", "metadata")}
    kept["messages"] = [
        {**m, "content": m["content"][0]["text"]} if isinstance(m["content"], list) and len(m["content"]) == 1 else m
        for m in body["messages"]
    ]
    for name, value in kept.items():
        if isinstance(value, float) and abs(value) < 2**53 and value == int(value):
            kept[name] = int(value)
    return json.dumps(kept, sort_keys=True)


@settings(deadline=None, max_examples=300)
@given(_bodies, _bodies)
def test_two_bodies_have_one_key_exactly_when_all_that_matters_is_the_same(one: JSON, other: JSON) -> None:
    """WIRE 30."""
    assert (key(one) == key(other)) == (essence(one) == essence(other))


@settings(deadline=None, max_examples=100)
@given(_bodies, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(body: JSON, rng: random.Random) -> None:
    assert key(body) == key(shuffled(body, rng))


def test_whatever_may_change_the_answer_changes_the_key() -> None:
    """WIRE 30."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    bodies: list[JSON] = [
        {}, {"temperature": 0.1}, {"temperature": 0.2}, {"top_p": 0.1}, {"seed": 1}, {"seed": 2}, {"max_tokens": 5},
        {"max_completion_tokens": 5}, {"n": 2}, {"stop": ["a"]}, {"stop": ["a", "b"]}, {"tools": [tool]},
        {"tools": [tool, tool]}, {"tools": [tool], "tool_choice": "required"}, {"logprobs": True}, {"unknown": 1},
        {"unknown": True}, {"unknown": "1"}, {"unknown": [1]}, {"unknown": None}, {"stream": True},
        {"response_format": {"type": "json_object"}}, {"reasoning_effort": "low"}, {"store": True},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"messages": [{"role": "system", "content": "Hello"}]},
        {"messages": [{"role": "developer", "content": "Hello"}]},
        {"messages": [{"role": "user", "content": "Hello "}]}, {"messages": [{"role": "user", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "Hello", "name": "ana"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}, image]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}]},
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "x"}]},
    ]  # fmt: skip
    keys = [key({**BODY, **changed}) for changed in bodies]
    keys += [
        key(caller=Caller("key-1", team="blue")), key(caller=Caller("key-1")), key(caller=Caller("key-2")),
        key(caller=Caller("key-1", team="key-1")), key(caller=Caller("key-1", team="")),
        key(target=Target("r2", "v", "p", "m")), key(target=Target("r", "v", "p2", "m")),
        key(target=Target("r", "v", "p", "m2")), key(target=Target("r", "v", "p", "m", {"temperature": 0.1})),
        key(prompt="1.0.0"), key(prompt="1.0.1"), key(anthropic_beta="b"), key(anthropic_version="2023-06-01"),
        key({**BODY, "max_tokens": 5}, door=1), key({"model": "m", "input": "Hello"}, door=2),
        key({"model": "m", "input": "Hello", "previous_response_id": "resp_1"}, door=2),
    ]  # fmt: skip
    same = [(i, j) for i, j in itertools.combinations(range(len(keys)), 2) if keys[i] == keys[j]]
    assert not same


def test_an_input_that_a_stage_changed_is_known_by_what_it_says_now() -> None:
    def edited(text: str, **body: Any) -> bytes | None:
        call = call_for({"model": "m", "messages": [{"role": "user", "content": text}], **body})
        call.input = call.input.edit()
        return key_of(call)

    keys = {edited("a"), edited("b"), edited("a", temperature=0.5), edited("a", other=1), edited("a", other=2)}
    assert len(keys) == 5 and None not in keys
    assert edited("a", user="ana", metadata={"a": "b"}) == edited("a")
    assert edited("a") != key({"model": "m", "messages": [{"role": "user", "content": "a"}]})


def test_who_asks_within_a_team_and_what_the_stream_shows_do_not_matter() -> None:
    assert key(caller=Caller("key-1", team="red")) == key(caller=Caller("key-2", team="red", name="other"))
    assert key({**BODY, "user": "ana", "metadata": {"x": "y"}, "safety_identifier": "z"}) == key()
    streamed = {**BODY, "stream": True}
    assert key({**streamed, "stream_options": {"include_usage": True}}) == key(streamed) != key()
    assert key(cache_control="max-age=5") == key()
    assert key(target=Target("r", "another", "p", "m", credential="second")) == key()


def test_ten_thousand_pairs_of_tenants_never_share() -> None:
    """WIRE 30."""
    rng = random.Random(7)
    alphabet = string.ascii_letters + string.digits + '",[]{}:\\ \u00e9'

    def tenant() -> Caller:
        name = "".join(rng.choices(alphabet, k=rng.randint(1, 6)))
        return Caller(name) if rng.random() < 0.5 else Caller("same", team=name)

    call = call_for()
    for _ in range(10_000):
        found = []
        for caller in (one := tenant(), other := tenant()):
            call.caller = caller
            found.append(key_of(call))
        alike = one.team == other.team and (one.team is not None or one.key_id == other.key_id)
        assert (found[0] == found[1]) == alike


def test_answers_that_hang_on_something_else_have_no_key() -> None:
    assert key_of(call_for({"model": "m", "input": "Hi", "conversation": "conv_1"}, door=2)) is None
    assert key_of(call_for({"model": "m", "input": "Hi", "background": True}, door=2)) is None
    call = call_for()
    call.target = None
    assert key_of(call) is None


def test_a_body_without_canonical_json_has_no_key() -> None:
    call = call_for()
    assert call.input.raw is not None
    call.input.raw["odd"] = "a\ud800b"
    assert key_of(call) is None
