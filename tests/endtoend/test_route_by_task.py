"""Routing by task with a real gate and scripted providers: strategies, fallback policies, cascades, live figures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from support.serving import Fakes, Served
from support.talking import Answer, ask, recorded, until

CONFIG = """
providers:
  openai:
    base_url: {openai}/v1
    api_key: sk-first
    timeouts: {{first_token: 3s, idle: 3s, total: 3s, connect: 3s}}
  anthropic: {{base_url: "{anthropic}", api_key: sk-ant}}
models:
  openai/t-cheap: {{price: {{input: $0.1, output: $0.4}}, context: 16000, capabilities: [tools]}}
  openai/t-slow: {{price: {{input: $0.1, output: $0.4}}}}
  openai/t-low: {{price: {{input: $0.1, output: $0.4}}}}
  openai/t-limited: {{price: {{input: $0.1, output: $0.4}}}}
  anthropic/t-dear: {{price: {{input: $10, output: $40}}, context: 200000, capabilities: [vision, tools]}}
  anthropic/t-best: {{price: {{input: $20, output: $80}}, capabilities: [medical_domain]}}
cache: {{enabled: true, store: memory, ttl: 12s}}
retry: {{attempts: 3, first_wait: 20ms, longest_wait: 50ms}}
breaker: {{failures: 100000, share: 100%}}
model_routing:
  strategies:
    cost_optimized:
      - task: simple_classification
        primary: openai/t-cheap
        fallback: anthropic/t-dear
        cost_threshold: $0.01/request
      - {{task: limited, primary: openai/t-limited, fallback: anthropic/t-dear}}
      - {{task: silent, primary: openai/t-slow, fallback: anthropic/t-dear}}
      - task: judged
        primary: openai/t-low
        fallback: openai/t-cheap
        quality_threshold: 0.85
        superior: anthropic/t-best
      - {{task: default, primary: anthropic/t-dear, temperature: 0.1}}
    quality_optimized:
      - task: medical
        primary: anthropic/t-best
        required_capabilities: [medical_domain]
        skip_fallback: true
  fallback_policies:
    on_rate_limit: retry_with_backup_model
    on_quality_drop: escalate_to_superior_model
    on_timeout: return_cached_or_default
    default_reply: We will come back to you.
  quality: {{score: thumbs, min_scores: 3, refresh: 200ms}}
routes:
  desk: {{strategy: cost_optimized}}
  checked:
    cascade: {{models: [openai/t-cheap, anthropic/t-dear], checker: {{regex: "^sure"}}}}
  unstreamed:
    cascade: {{models: [openai/t-cheap, anthropic/t-dear], checker: {{regex: "^sure"}}, stream: refuse}}
  pool:
    balance: least_latency
    variants: [{{model: openai/p-fast}}, {{model: openai/p-slow}}]
"""


@pytest.fixture(scope="module")
def gate(fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG.format(openai=fakes.openai.url, anthropic=fakes.anthropic.url))
        served.start()
        yield served
        assert served.stop() == 0, served.output


def said(gate: Served, model: str, text: str, task: str | None = None, **body: Any) -> Answer:
    headers = {} if task is None else {"x-comporta-task": task}
    asked = {"model": model, "messages": [{"role": "user", "content": text}], **body}
    return ask(gate, "/v1/chat/completions", asked, **headers)


def note(gate: Served, answer: Answer) -> Any:
    """What stands on the record of the decision."""
    return recorded(gate, answer.call)["call"]["notes"]["route"]


def comporta(gate: Served, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "comporta.cli.main", *words, "--json"], env=gate.environment, cwd=gate.folder,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def explained(gate: Served, model: str, text: str) -> Any:
    return ask(gate, "/admin/route/explain", {"model": model, "prompt": text}).json["decision"]


def test_a_callers_task_leads_to_its_row_and_the_decision_stands_on_the_record(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="positive"), model="t-cheap")
    answer = said(gate, "desk", "Great shoes!", "simple_classification")
    assert answer.text == "positive"
    assert answer.headers["x-comporta-task"] == "simple_classification; by=caller"
    assert answer.headers["x-comporta-decision"].startswith("openai/t-cheap")
    told = note(gate, answer)
    assert told["strategy"] == "cost_optimized" and told["chosen"] == "openai/t-cheap"
    assert {one["model"] for one in told["candidates"]} >= {"openai/t-cheap", "anthropic/t-dear"}
    assert comporta(gate, "route", "explain", "--call", answer.call)["chosen"] == "openai/t-cheap"


def test_a_guessed_task_says_how_sure_it_is(gate: Served) -> None:
    text = "Classify this review as positive, negative or neutral: the shoes fell apart in two days."
    told = explained(gate, "strategy:cost_optimized", text)
    assert told["task"] == "classification" and told["sure"] > 0.45 and told["by"] == "classifier"
    assert told["row"] == "simple_classification"
    unsure = explained(gate, "desk", "qwx zrt bnv")
    assert unsure["by"] == "default" and unsure["row"] == "default"


def test_what_a_call_needs_leaves_out_who_is_known_to_lack_it(gate: Served) -> None:
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    told = ask(gate, "/admin/route/explain", {
        "model": "desk", "task": "simple_classification", "messages": [{"role": "user", "content": image}],
    }).json["decision"]  # fmt: skip
    assert told["chosen"] == "anthropic/t-dear"
    assert "lacks vision" in json.dumps(told["candidates"])


def test_an_unknown_task_is_refused_with_the_known_ones(gate: Served) -> None:
    answer = said(gate, "desk", "Hello", "simple_clasification")
    assert answer.status == 400 and answer.json["error"]["code"] == "unknown_task"
    assert "simple_classification" in answer.json["error"]["message"]


def test_a_rate_limit_leads_to_the_backup_at_once(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(*[Step(status=429)] * 3, model="t-limited")
    fakes.anthropic.script(Step(text="from the backup"), model="t-dear")
    answer = said(gate, "desk", "Hello there", "limited")
    assert answer.text == "from the backup"
    told = note(gate, answer)
    assert told["missed"] == [{"model": "limited:openai/t-limited", "error": "upstream_rate_limited"}]
    asked = [one for one in fakes.openai.seen if one.json.get("model") == "t-limited"]
    assert len(asked) == 1, "the limited model was asked again"


def test_a_timeout_gives_what_the_cache_keeps_of_another_model_else_the_default(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(*[Step(status=500)] * 3, *[Step(delay_s=20)] * 30, model="t-slow")
    fakes.anthropic.script(Step(text="kept from before"), model="t-dear")
    before = said(gate, "desk", "What is asked twice?", "silent")
    assert before.text == "kept from before" and before.headers["x-comporta-cache"] == "miss"
    again = said(gate, "desk", "What is asked twice?", "silent")
    assert again.text == "kept from before" and again.headers["x-comporta-cache"] == "hit"
    told = note(gate, again)
    assert told["kept"] is True and told["missed"][0]["error"] == "total_timeout"

    def stale() -> Answer | None:
        answer = said(gate, "desk", "What is asked twice?", "silent")
        assert answer.text == "kept from before" and answer.headers["x-comporta-cache"].startswith("hit")
        return answer if answer.headers["x-comporta-cache"].startswith("hit; stale=") else None

    assert until(stale)
    other = said(gate, "desk", "Nobody has asked this", "silent")
    assert other.text == "We will come back to you." and other.headers["x-comporta-last-resort"] == "true"


def test_a_drop_in_quality_escalates_to_the_superior_model(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(*[Step(text="poor")] * 4, model="t-low")
    fakes.anthropic.script(Step(text="rich"), model="t-best")
    for number in range(4):
        answer = said(gate, "desk", f"Question {number}", "judged")
        assert answer.text == "poor"
        judged = {"call_id": answer.call, "thumbs": "down"}
        assert ask(gate, "/v1/feedback", judged).status in (200, 201, 202)

    def escalated() -> Any:
        told = ask(gate, "/admin/route/explain", {"model": "desk", "task": "judged", "prompt": "Hi"}).json["decision"]
        return told if told["chosen"] == "anthropic/t-best" else None

    told = until(escalated)
    assert told["why"].startswith("escalated")
    low = next(one for one in told["candidates"] if one["model"] == "openai/t-low")
    assert low["quality"]["mean"] == 0.0 and "under 0.85" in low["left_out"]
    assert said(gate, "desk", "Question 5", "judged").text == "rich"


def test_a_cascade_escalates_what_its_checker_refuses_and_counts_both(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="maybe"), model="t-cheap")
    fakes.anthropic.script(Step(text="sure thing"), model="t-dear")
    answer = said(gate, "checked", "Is it so, in the first place?")
    assert answer.text == "sure thing"
    told = note(gate, answer)
    assert told["answered"] == "anthropic/t-dear" and told["missed"][0]["cost_microusd"] > 0
    call = recorded(gate, answer.call)["call"]
    assert call["cost_microusd"] > told["missed"][0]["cost_microusd"]
    fakes.openai.script(Step(text="sure, it is"), model="t-cheap")
    streamed = said(gate, "checked", "And in the second place?", stream=True)
    assert streamed.status == 200 and b"sure" in streamed.body and b"[DONE]" in streamed.body


def test_a_cascade_that_holds_nothing_back_refuses_streams(gate: Served) -> None:
    answer = said(gate, "unstreamed", "Hello", stream=True)
    assert answer.status == 400 and answer.json["error"]["code"] == "cascade_no_stream"


def test_the_faster_of_a_pool_gets_the_calls(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(*[Step(text="fast")] * 30, model="p-fast")
    fakes.openai.script(*[Step(text="slow", delay_s=1.5)] * 30, model="p-slow")
    texts = [said(gate, "pool", f"Call {number}").text for number in range(10)]
    assert texts.count("fast") >= 8, texts


def test_models_are_chosen_and_costs_estimated_from_the_terminal(gate: Served) -> None:
    chosen = comporta(gate, "route", "select", "classification", "--complexity", "low", "--budget", "0.01")
    assert chosen["model"] == "openai/t-cheap"
    asked = {"model": "anthropic/t-dear", "prompt": "Write a story about a clock"}
    cost = ask(gate, "/admin/route/estimate", asked).json
    assert cost["cost_microusd"] > 0 and cost["tokens_in"] > 3 and cost["as_of"]
    listed = ask(gate, "/admin/route/models", method="GET").json["data"]
    assert {one["model"] for one in listed} >= {"openai/t-cheap", "anthropic/t-best"}
