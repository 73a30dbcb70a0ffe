"""Chains on a real gate: asked through every door, paid for once, permitted by key, followed while they change."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import anthropic
import openai
import pytest

from comporta.testing.servers import short_folder
from support.serving import Served
from support.talking import ask, chat, recorded, until

#: A thousand micro-dollars a word, in or out.
CONFIG = """
providers:
  scripted:
    options:
      script:
        kind: {text: '{"kind":"invoice"}'}
        where: {text: "Billing"}
        endless: {tokens: 5000, token_delay: 0.02}
        broken: {error: {status: 503}}
        "*": {}
models:
  scripted/echo: {price: {input: $1000, output: $1000}}
  scripted/kind: {price: {input: $0, output: $1000}}
routes:
  careful:
    variants:
      - model: chain:broken
    fallback: [scripted/echo]
  analysed: {model: "chain:analysis"}
retry: {attempts: 1}
breaker: {failures: 1000, share: 100%}
limits:
  - {per: route, name: scripted/guarded, requests_per_minute: 1}
"""
CHAINS = {
    "analysis": """
        description: What a document is, then what it says.
        variables:
          customer: {required: false, default: somebody}
        steps:
          - {name: kind, model: scripted/kind, prompt: "Classify {input}", output: json}
          - {name: answer, model: scripted/echo, prompt: "{customer} asks {input}"}
        """,
    "outer": """
        model: scripted/echo
        steps:
          - {name: first, prompt: "Before {input}"}
          - {name: second, chain: analysis}
        """,
    "broken": """
        steps:
          - {name: good, model: scripted/echo, prompt: "Kept {input}"}
          - {name: bad, model: scripted/broken, prompt: "Lost {input}"}
        """,
    "long": """
        steps:
          - {name: quick, model: scripted/echo, prompt: "Soon {input}"}
          - {name: slow, model: scripted/endless, prompt: "Later {input}"}
        """,
    "guarded": "steps: [{name: only, model: scripted/guarded, prompt: 'See {input}'}]",
}


@pytest.fixture(scope="module")
def gate() -> Iterator[Served]:
    with short_folder() as folder:
        (folder / "chains").mkdir()
        for name, text in CHAINS.items():
            (folder / "chains" / f"{name}.yaml").write_text(dedent(text))
        served = Served(folder, CONFIG)
        served.start()
        yield served
        assert served.stop() == 0, served.output


def key(gate: Served, name: str, **facts: Any) -> str:
    secret: str = ask(gate, "/admin/keys", {"name": name, **facts}).json["secret"]
    assert until(lambda: ask(gate, "/v1/models", key=secret).status == 200)
    return secret


def children(gate: Served, trace: str) -> list[Any]:
    """The calls of a trace but the first, oldest first."""
    found: list[Any] = ask(gate, f"/admin/calls?trace={trace}").json["data"]
    return sorted((one for one in found if one["parent_id"]), key=lambda one: str(one["started_at"]))


def all_children(gate: Served, trace: str, count: int) -> list[Any]:
    """The same once there are so many."""
    assert until(lambda: len(children(gate, trace)) == count)
    return children(gate, trace)


def test_a_chain_is_asked_like_a_model_and_is_one_trace(gate: Served) -> None:
    answer = chat(gate, "chain:analysis", "two words", variables={"customer": "Ana"})
    assert answer.text == "Ana asks two words"
    # kind: 1 word out; answer: 4 in and 4 out, at 1,000 micro-dollars each.
    assert answer.headers["x-comporta-cost-usd"] == "0.009000"
    record = recorded(gate, answer.call)
    steps = [span["attributes"] for span in record["spans"] if span["name"] == "step"]
    assert [(step["step"], step["status"], step["cost_microusd"]) for step in steps] == [
        ("kind", "ok", 1000), ("answer", "ok", 8000),
    ]  # fmt: skip
    below = all_children(gate, record["call"]["trace_id"], 2)
    assert [one["parent_id"] for one in below] == [answer.call] * 2
    assert [one["door"] for one in below] == ["chain"] * 2
    assert [step["call"] for step in steps] == [one["id"] for one in below]
    assert sum(one["cost_microusd"] for one in below) == 9000
    assert (record["call"]["cost_microusd"], record["call"]["usage"]) == (0, None), "the steps have it"
    assert answer.json["usage"]["completion_tokens"] == sum(one["usage"]["output"] for one in below)


def test_a_budget_is_charged_once_for_each_step(gate: Served) -> None:
    secret = key(gate, "spender", feature="spender")
    body = {"name": "spender", "scope": "feature", "value": "spender", "period": "month", "limit_microusd": 10**8}
    budget = ask(gate, "/admin/budgets", body).json["id"]
    for _ in range(3):
        assert chat(gate, "chain:analysis", "two words", key=secret).status == 200

    def spent() -> int:
        return int(ask(gate, f"/admin/budgets/{budget}").json["spent_microusd"])

    assert until(lambda: spent() >= 27_000)
    time.sleep(1.2)
    assert spent() == 27_000
    summary = ask(gate, "/metrics/llm?window=1h", key=secret).json
    assert "0.027" in json.dumps(summary)


def test_a_used_up_budget_refuses_the_step_and_says_which(gate: Served) -> None:
    secret = key(gate, "broke", feature="broke")
    body = {"name": "broke", "scope": "feature", "value": "broke", "period": "month", "limit_microusd": 1}
    assert ask(gate, "/admin/budgets", body).status == 201
    answer = until(
        lambda: one if (one := chat(gate, "chain:analysis", "two words", key=secret)).status == 402 else None
    )
    assert answer is not None and answer.json["error"]["code"] == "budget_exceeded"
    assert answer.json["error"]["details"]["step"] == "kind"


def test_a_chain_is_one_request_of_its_key_however_many_steps_it_has(gate: Served) -> None:
    secret = key(gate, "two", requests_per_minute=2)
    assert [chat(gate, "chain:outer", key=secret).status for _ in range(3)] == [200, 200, 429]


def test_a_key_with_room_for_one_call_at_a_time_may_ask_a_chain(gate: Served) -> None:
    secret = key(gate, "narrow", concurrent=1)
    assert chat(gate, "chain:outer", key=secret).status == 200


def test_the_limit_of_a_route_holds_for_steps_that_ask_it(gate: Served) -> None:
    assert chat(gate, "chain:guarded").status == 200
    refused = chat(gate, "chain:guarded")
    assert refused.status == 429 and "failed at its step 'only'" in refused.json["error"]["message"]


def test_a_key_may_be_given_chains_alone(gate: Served) -> None:
    secret = key(gate, "chains", allow=["chain:*"])
    assert chat(gate, "chain:analysis", key=secret).status == 200
    assert chat(gate, "scripted/echo", key=secret).status == 403
    listed = {one["id"] for one in ask(gate, "/v1/models", key=secret).json["data"]}
    assert listed >= {f"chain:{name}" for name in CHAINS}
    assert all(name.startswith("chain:") for name in listed)
    other = key(gate, "one", allow=["chain:outer"])
    assert chat(gate, "chain:outer", key=other).status == 200, "and what it asks is its author's choice"
    assert chat(gate, "chain:analysis", key=other).status == 403


def test_a_chain_is_asked_through_every_chat_door(gate: Served) -> None:
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        said = client.responses.create(model="chain:analysis", input="two words", extra_body={"variables": {}})
        assert said.output_text == "somebody asks two words"
        assert said.usage is not None and said.usage.output_tokens == 5
        with client.responses.create(model="chain:analysis", input="two words", stream=True) as events:
            assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == (
                "somebody asks two words"
            )
        done = client.completions.create(model="chain:analysis", prompt="two words")
        assert done.choices[0].text == "somebody asks two words"
    with anthropic.Anthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as claude:
        asked: Any = {
            "model": "chain:analysis",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": "two words"}],
        }
        message = claude.messages.create(**asked, extra_body={"variables": {"customer": "Rui"}})
        assert message.content[0].text == "Rui asks two words"
        with claude.messages.stream(**asked) as stream:
            assert stream.get_final_text() == "somebody asks two words"


def test_a_chain_streams_its_last_step_with_the_usage_and_cost_of_all(gate: Served) -> None:
    asked: Any = {"messages": [{"role": "user", "content": "two words"}], "stream_options": {"include_usage": True}}
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        chunks: list[Any] = list(client.chat.completions.create(model="chain:analysis", stream=True, **asked))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == ["somebody", " asks", " two", " words"]
    usage = chunks[-1].usage
    assert usage is not None and usage.completion_tokens == 5
    assert usage.model_dump()["cost"] == pytest.approx(0.009)


def test_chains_within_chains_add_up_and_are_one_trace(gate: Served) -> None:
    answer = chat(gate, "chain:outer", "x")
    assert answer.text == "somebody asks x"
    # first: 2 + 2 words; inner: 1 + 3 + 3.
    assert answer.headers["x-comporta-cost-usd"] == "0.011000"
    trace = recorded(gate, answer.call)["call"]["trace_id"]
    below = all_children(gate, trace, 4)
    assert sum(one["cost_microusd"] for one in below) == 11_000
    assert len({one["parent_id"] for one in below}) == 2


def test_a_failure_says_which_step_and_what_came_before(gate: Served) -> None:
    answer = chat(gate, "chain:broken", "this")
    error = answer.json["error"]
    assert answer.status == 502 and error["code"] == "upstream_fault"
    assert error["message"].startswith("The chain 'broken' failed at its step 'bad': ")
    good, bad = error["details"]["steps"]
    assert (good["step"], good["status"], good["output"]) == ("good", "ok", "Kept this")
    assert (bad["step"], bad["status"], bad["code"]) == ("bad", "failed", "upstream_fault")
    record = recorded(gate, answer.call)
    assert [(s["attributes"]["step"], s["error"]) for s in record["spans"] if s["name"] == "step"] == [
        ("good", None), ("bad", "upstream_fault"),
    ]  # fmt: skip
    assert recorded(gate, good["call"])["reply"][0]["text"] == "Kept this"
    with (
        anthropic.Anthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as claude,
        pytest.raises(anthropic.APIStatusError) as told,
    ):
        claude.messages.create(model="chain:broken", max_tokens=5, messages=[{"role": "user", "content": "x"}])
    assert told.value.body["error"]["details"]["step"] == "bad"  # type: ignore[index]


def test_a_chain_is_a_variant_and_another_one_takes_over_from_it(gate: Served) -> None:
    assert chat(gate, "analysed", "two words").text == "somebody asks two words"
    answer = chat(gate, "careful", "two words")
    assert (answer.text, answer.headers["x-comporta-provider"]) == ("two words", "scripted")
    assert answer.headers["x-comporta-cost-usd"] == "0.004000"
    assert recorded(gate, answer.call)["call"]["cost_microusd"] == 4000


def test_a_client_that_leaves_ends_the_step_that_runs(gate: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)
    body = {"model": "chain:long", "messages": [{"role": "user", "content": "x"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {gate.key}"})
    response = connection.getresponse()
    call = response.headers["x-comporta-call"]
    assert response.readline()
    response.close()
    connection.close()
    record = recorded(gate, call)
    assert record["call"]["outcome"] == "client_closed"
    below = all_children(gate, record["call"]["trace_id"], 2)
    assert [one["outcome"] for one in below] == ["ok", "client_closed"]
    assert [span["attributes"]["status"] for span in record["spans"] if span["name"] == "step"] == ["ok", "left"]


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"variables": {"custmer": "x"}}, 400, "did you mean 'customer'"),
        ({"variables": 3}, 400, "variables must be an object"),
        ({"n": 2}, 400, "takes no n"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]}, 400, "takes no tools"),
    ],
)
def test_what_a_chain_does_not_take_is_a_400_that_says_so(
    gate: Served, body: dict[str, Any], status: int, why: str
) -> None:
    answer = chat(gate, "chain:analysis", **body)
    assert answer.status == status and why in answer.json["error"]["message"]


def test_a_chain_that_is_not_there_is_a_404_with_the_nearest(gate: Served) -> None:
    answer = chat(gate, "chain:analisis")
    assert answer.status == 404 and "chain:analysis" in answer.json["error"]["message"]


def test_a_changed_file_holds_from_the_next_call_on_and_a_broken_one_changes_nothing(gate: Served) -> None:
    file = Path(gate.folder) / "chains" / "fresh.yaml"
    file.write_text("steps: [{name: a, model: scripted/echo, prompt: 'One {input}'}]")
    assert until(lambda: chat(gate, "chain:fresh", "x").status == 200)
    file.write_text("steps: [{name: a, model: scripted/echo, prompt: 'Two {input}'}]")
    assert until(lambda: chat(gate, "chain:fresh", "x").text == "Two x")
    file.write_text("steps: [{name: a, model: chain:fresh}]")
    assert until(lambda: "asks itself without an end: fresh" in gate.output)
    assert "fresh.yaml:1" in gate.output
    assert chat(gate, "chain:fresh", "x").text == "Two x"
    file.unlink()
    assert until(lambda: chat(gate, "chain:fresh", "x").status == 404)


def test_a_gate_does_not_start_on_chains_that_do_not_hold() -> None:
    with short_folder() as folder:
        (folder / "chains").mkdir()
        (folder / "chains" / "a.yaml").write_text("steps:\n  - name: a\n    prompt: 'Say {later}'\n    chain: b\n")
        (folder / "chains" / "b.yaml").write_text("steps:\n  - name: a\n    chain: a\n  - nmae: b\n")
        served = Served(folder, CONFIG)
        with pytest.raises(AssertionError, match="serve ended with 2"):
            served.start()
        assert "b.yaml:4: steps[1].nmae: unknown key; did you mean 'name'?" in served.output
