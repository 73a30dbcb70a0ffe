"""Ensembles over HTTP: the body and headers of every door, streams, the review queue, a client that leaves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from comporta.testing.servers import short_folder
from support.serving import Served
from support.talking import ask, chat, recorded, until

CONFIG = """
providers:
  scripted:
    options:
      script:
        ten: {text: "ten metres"}
        nine: {text: "nine metres"}
        slow: {text: "late", first_delay: 20}
        quick: {text: "here it is", token_delay: 0.01}
        broken: {error: {status: 503}}
        writer: {text: "ten, most say"}
        "*": {}
routes:
  split: {variants: [{ensemble: {strategy: vote, members: [scripted/ten, scripted/nine]}}]}
  first: {variants: [{ensemble: {strategy: first, members: [scripted/slow, scripted/quick]}}]}
  fused: {variants: [{ensemble: {strategy: fuse, judge: scripted/writer, members: [scripted/ten, scripted/nine]}}]}
  endless: {variants: [{ensemble: {strategy: vote, members: [scripted/slow, scripted/slow]}}]}
  few: {variants: [{ensemble: {strategy: vote, members: [scripted/ten, scripted/broken]}}]}
retry: {attempts: 1}
breaker: {failures: 1000, share: 100%}
"""


@pytest.fixture(scope="module")
def gate() -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG)
        served.start()
        yield served
        assert served.stop() == 0, served.output


def test_a_tie_is_told_in_body_and_headers_and_decided_by_a_reviewer(gate: Served) -> None:
    answer = chat(gate, "split", "How high?")
    assert answer.status == 200 and answer.text == "ten metres", answer.body
    told = answer.json["comporta"]["ensemble"]
    assert told["tie"] and told["requires_review"] and told["alternatives"][0]["text"] == "nine metres"
    assert answer.headers["x-comporta-requires-review"] == "true" and "tie" in answer.headers["x-comporta-ensemble"]
    assert answer.json["usage"]["total_tokens"] == 8, "of both"
    review = f"/admin/reviews/{told['review_id']}"
    assert until(lambda: ask(gate, review).status == 200)
    assert ask(gate, review).json["payload"]["texts"] == {"scripted/ten": "ten metres", "scripted/nine": "nine metres"}
    decided = ask(gate, f"{review}/decide", {"verdict": "reject", "choice": "scripted/nine"})
    assert decided.status == 200 and decided.json["state"] == "done"

    def scored() -> Any:
        return {one["name"]: one["value"] for one in ask(gate, f"/admin/scores?call={answer.call}").json["data"]}

    assert until(lambda: scored() == {"review": False, "review_choice": "scripted/nine"}), scored()
    note = recorded(gate, answer.call)["call"]["notes"]["ensemble"]
    assert note["review"] == told["review_id"] and [one["status"] for one in note["members"]] == ["answered"] * 2


def test_other_doors_tell_it_too(gate: Served) -> None:
    said = {"model": "split", "messages": [{"role": "user", "content": "How high?"}], "max_tokens": 20}
    message = ask(gate, "/v1/messages", said)
    assert message.status == 200 and message.json["content"][0]["text"] == "ten metres"
    assert message.json["comporta"]["ensemble"]["winner"] == "scripted/ten"
    response = ask(gate, "/v1/responses", {"model": "split", "input": "How high?"})
    assert response.status == 200 and response.json["comporta"]["ensemble"]["requires_review"]


def test_the_openai_sdk_reads_answers_and_streams_of_ensembles(gate: Served) -> None:
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        asked: Any = [{"role": "user", "content": "How high?"}]
        whole = client.chat.completions.create(model="split", messages=asked)
        assert whole.choices[0].message.content == "ten metres" and whole.model_extra is not None
        assert whole.model_extra["comporta"]["ensemble"]["strategy"] == "vote"
        for model, text in (("first", "here it is"), ("fused", "ten, most say")):
            with client.chat.completions.create(model=model, messages=asked, stream=True) as stream:
                assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == text
        with pytest.raises(openai.BadRequestError, match="stream: buffer") as refused:
            client.chat.completions.create(model="split", messages=asked, stream=True)
        assert refused.value.param == "stream"
        with pytest.raises(openai.APIStatusError, match="scripted/broken: upstream_fault") as failed:
            client.chat.completions.create(model="few", messages=asked)
        assert failed.value.status_code == 502 and failed.value.code == "ensemble_failed"


def test_a_client_that_leaves_cancels_every_member(gate: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)
    body = json.dumps({"model": "endless", "messages": [{"role": "user", "content": "How high?"}], "user": "leaving"})
    headers = {"Authorization": f"Bearer {gate.key}", "Content-Type": "application/json", "X-Request-Id": "left-it"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    assert until(lambda: ask(gate, "/admin/status").json["in_flight"] >= 3)
    connection.close()

    def outcomes() -> Any:
        return sorted(one["outcome"] for one in ask(gate, "/admin/calls?user=leaving").json["data"])

    assert until(lambda: len(outcomes()) == 3) and outcomes() == ["client_closed"] * 3
    assert ask(gate, "/admin/status").json["in_flight"] == 0
