"""Retry, fallback, key rotation, breakers and deadlines, with real providers' faults behind a real gate."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from support.serving import Fakes, Served
from support.talking import until

CONFIG = """
providers:
  openai:
    base_url: {openai}/v1
    credentials:
      - {{name: first, key: sk-first}}
      - {{name: second, key: sk-second}}
    timeouts: {{first_token: 3s, idle: 3s, total: 60s, connect: 10s}}
  single:
    kind: openai
    base_url: {openai}/v1
    api_key: sk-single
  anthropic:
    base_url: {anthropic}
    api_key: sk-ant
  dead:
    kind: openai
    base_url: http://127.0.0.1:9/v1
    api_key: none
models:
  anthropic/c-prefill: {{capabilities: [prefill]}}
retry: {{attempts: 3, first_wait: 20ms, longest_wait: 100ms}}
breaker: {{failures: 5, rest: 4s, longest_rest: 4s}}
routes:
  safe: {{model: openai/r-main, fallback: [anthropic/r-spare]}}
  safe-streamed: {{model: openai/r-main-streamed, fallback: [anthropic/r-spare]}}
  silent: {{model: openai/r-silent, fallback: [anthropic/r-spare]}}
  filtered: {{model: openai/r-filtered, fallback: [anthropic/r-spare]}}
  nowhere:
    model: dead/x
    fallback: [anthropic/r-spare]
  long:
    model: openai/r-short
    larger_context: anthropic/r-large
  polite:
    model: dead/x
    last_resort: We are having trouble right now; please try again in a minute.
  hurried:
    model: openai/r-slow
    fallback: [single/r-slow]
    timeouts: {{total: 1500ms, first_token: 1s}}
  resumed: {{model: single/c-main, fallback: [anthropic/c-spare], on_cut: resume}}
  lonely: {{model: single/c-lonely, fallback: [anthropic/c-other], on_cut: resume}}
  continued: {{model: single/c-first, fallback: [anthropic/c-prefill], on_cut: resume}}
  ended: {{model: single/c-main, fallback: [anthropic/c-spare]}}
  breaking: {{model: single/r-breaking}}
"""
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def steady(fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG.format(openai=fakes.openai.url, anthropic=fakes.anthropic.url))
        served.start()
        yield served
        served.stop()


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read().decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(served: Served, model: str, **body: Any) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=90)
    data = json.dumps({"model": model, "messages": HELLO, **body})
    try:
        connection.request("POST", "/v1/chat/completions", data, {"Authorization": f"Bearer {served.key}"})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def keys_seen(fakes: Fakes, model: str) -> list[str]:
    return [s.headers["authorization"] for s in fakes.openai.seen if s.json.get("model") == model]


@pytest.mark.parametrize("stream", [False, True])
def test_wire_16_a_transient_500_is_asked_again_at_the_same_variant(steady: Served, fakes: Fakes, stream: bool) -> None:
    model = f"r-500-{stream}"
    fakes.openai.script(Step(status=500), Step(text="good"), model=model)
    answer = ask(steady, f"single/{model}", stream=stream)
    assert answer.status == 200 and "good" in answer.body
    assert answer.headers["x-comporta-retries"] == "1"


def test_wire_16_a_reset_before_headers_is_asked_again(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(drop=True), Step(text="good"), model="r-reset")
    assert "good" in ask(steady, "single/r-reset").body


def test_wire_2_a_plain_reply_that_was_cut_is_simply_asked_again(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(cut_after=1), Step(text="good"), model="r-cut")
    assert "good" in ask(steady, "single/r-cut").body


@pytest.mark.parametrize("status", [400, 404, 422])
def test_wire_16_other_4xx_are_never_asked_again(steady: Served, fakes: Fakes, status: int) -> None:
    model = f"r-{status}"
    fakes.openai.script(Step(status=status), Step(text="never"), model=model)
    assert ask(steady, f"single/{model}").status == status
    assert len(keys_seen(fakes, model)) == 1


def test_wire_17_a_refused_key_gives_way_to_the_next_at_once_and_rests(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(status=401), model="r-401")
    answer = ask(steady, "openai/r-401")
    assert answer.status == 200
    refused, good = keys_seen(fakes, "r-401")
    assert refused != good
    for _ in range(4):
        ask(steady, "openai/r-401")
    assert refused not in keys_seen(fakes, "r-401")[2:]


def test_wire_14_when_all_keys_are_refused_it_is_our_fault_and_not_the_callers(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(status=401), model="r-401-single")
    answer = ask(steady, "single/r-401-single")
    assert answer.status == 502 and answer.json["error"]["code"] == "upstream_credential_refused"


def test_wire_15_what_the_upstream_asks_for_is_forwarded_when_it_is_too_long_to_wait(
    steady: Served, fakes: Fakes
) -> None:
    fakes.openai.script(Step(status=429, headers={"Retry-After": "30"}), model="r-429")
    answer = ask(steady, "single/r-429")
    assert answer.status == 429 and answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("stream", [False, True])
def test_the_next_variant_takes_over_and_the_answer_names_it(steady: Served, fakes: Fakes, stream: bool) -> None:
    name = "-streamed" if stream else ""
    fakes.openai.script(Step(status=500), Step(status=500), Step(status=500), model=f"r-main{name}")
    fakes.anthropic.script(Step(text="spare"), model="r-spare")
    answer = ask(steady, f"safe{name}", stream=stream)
    assert answer.status == 200 and "spare" in answer.body
    assert answer.headers["x-comporta-provider"] == "anthropic"
    assert answer.headers["x-comporta-model"] == "r-spare"


def test_a_dead_provider_is_gone_round(steady: Served, fakes: Fakes) -> None:
    fakes.anthropic.script(Step(text="spare"), model="r-spare")
    assert "spare" in ask(steady, "nowhere").body


def test_wire_16_a_silent_variant_is_not_asked_again_but_the_next_one_is(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(first_delay_s=20), model="r-silent")
    fakes.anthropic.script(Step(text="spare"), model="r-spare")
    answer = ask(steady, "silent", stream=True)
    assert answer.status == 200 and "spare" in answer.body
    assert len(keys_seen(fakes, "r-silent")) == 1


def test_wire_16_a_content_filter_is_not_routed_around(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(status=400, error="content_filter"), model="r-filtered")
    answer = ask(steady, "filtered")
    assert answer.status == 400 and answer.json["error"]["code"] == "content_filter"


def test_what_is_too_long_goes_to_the_larger_model(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(status=400, error="context_length_exceeded"), model="r-short")
    fakes.anthropic.script(Step(text="large"), model="r-large")
    answer = ask(steady, "long")
    assert "large" in answer.body and answer.headers["x-comporta-model"] == "r-large"


@pytest.mark.parametrize("stream", [False, True])
def test_the_last_resort_is_marked_as_such(steady: Served, stream: bool) -> None:
    answer = ask(steady, "polite", stream=stream)
    assert answer.status == 200 and "please try again" in answer.body
    assert answer.headers["x-comporta-last-resort"] == "true"


def test_wire_16_one_deadline_bounds_all_attempts(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(delay_s=20), Step(delay_s=20), Step(delay_s=20), model="r-slow")
    started_s = time.monotonic()
    answer = ask(steady, "hurried")
    assert answer.status == 504
    # A second attempt with a limit of its own would wait for the provider.
    assert time.monotonic() - started_s < 18


def test_wire_18_in_an_outage_at_most_a_probe_reaches_the_upstream_and_recovery_is_noticed(
    steady: Served, fakes: Fakes
) -> None:
    fakes.openai.script(*[Step(status=500)] * 5, model="r-breaking")
    for _ in range(3):
        ask(steady, "breaking")
    reached = len(keys_seen(fakes, "r-breaking"))
    resting = [ask(steady, "breaking") for _ in range(5)]
    assert all(a.status == 503 and a.json["error"]["code"] == "upstream_resting" for a in resting)
    assert all(int(a.headers["retry-after"]) >= 1 for a in resting)
    assert len(keys_seen(fakes, "r-breaking")) == reached
    assert until(lambda: ask(steady, "breaking").status == 200)
    assert ask(steady, "breaking").status == 200


def text_of(answer: Answer) -> str:
    frames = [line[6:] for line in answer.body.split("\n") if line.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in map(json.loads, frames) if c.get("choices"))


def test_wire_2_a_cut_stream_is_taken_up_at_the_first_new_token(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three four five", cut_after=4), model="c-main")
    fakes.anthropic.script(Step(text=("one tw", "o three fo", "ur five")), model="c-spare")
    answer = ask(steady, "resumed", stream=True)
    assert text_of(answer) == "one two three four five"
    assert "error" not in answer.body and answer.body.rstrip().endswith("[DONE]")
    assert len({json.loads(x[6:])["id"] for x in answer.body.split("\n") if x.startswith("data: {")}) == 1


def test_wire_2_where_answers_part_ways_a_model_that_can_continue_goes_on(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three four five", cut_after=4), Step(text="another answer"), model="c-first")
    fakes.anthropic.script(Step(text="un deux trois"), Step(text="three four five"), model="c-prefill")
    answer = ask(steady, "continued", stream=True)
    assert text_of(answer).endswith("three four five") and text_of(answer).startswith("one ")
    last = next(s.json for s in reversed(fakes.anthropic.seen) if s.json.get("model") == "c-prefill")
    assert last["messages"][-1]["role"] == "assistant"


def test_wire_2_where_nobody_can_go_on_the_first_failure_is_shown(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three four", cut_after=4), Step(text="another answer"), model="c-lonely")
    fakes.anthropic.script(Step(text="un deux trois"), model="c-other")
    answer = ask(steady, "lonely", stream=True)
    assert '"code":"upstream_cut"' in answer.body.replace(": ", ":")
    assert answer.body.rstrip().endswith("[DONE]")


def test_wire_2_without_the_routes_word_a_cut_stream_ends(steady: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three four", cut_after=4), model="c-main")
    assert "upstream_cut" in ask(steady, "ended", stream=True).body
