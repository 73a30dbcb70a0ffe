"""WIRE's lines on streams, envelopes and requests, read off the gate's own bytes by a plain HTTP client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from comporta.testing.upstream import Step, ToolAsk
from comporta.types import Usage
from support.serving import SECRETS, Fakes, Served
from support.talking import until

HELLO = [{"role": "user", "content": "Hello"}]


class Answer:
    """A whole answer: status, headers, body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def frames(self) -> list[str]:
        """The data of each frame of a stream, comments aside."""
        blocks = [block for block in self.body.decode().split("\n\n") if block.strip()]
        return ["\n".join(line[6:] for line in b.split("\n") if line.startswith("data: ")) for b in blocks]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(frame) for frame in self.frames if frame != "[DONE]"]

    @property
    def text(self) -> str:
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in self.chunks if c.get("choices"))


def post(gate: Served, body: Any, path: str = "/v1/chat/completions", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {gate.key}", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    try:
        connection.request("POST", path, data, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def get(gate: Served, path: str, secret: str | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {secret or gate.key}"})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def chat(gate: Served, model: str, **body: Any) -> Answer:
    return post(gate, {"model": model, "messages": HELLO, **body})


# ---- streams ----


def test_wire_1_a_failure_in_mid_stream_is_an_error_frame_then_the_terminator(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three four five", cut_after=4), model="w1")
    answer = chat(gate, "openai/w1", stream=True)
    assert answer.status == 200
    assert answer.text.startswith("one")
    assert answer.frames[-1] == "[DONE]"
    assert json.loads(answer.frames[-2])["error"]["code"] == "upstream_cut"


def test_wire_2_an_error_before_the_first_content_is_a_real_status(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="never seen", error_after=1, role_only_first=True), model="w2")
    answer = chat(gate, "openai/w2", stream=True)
    assert answer.status >= 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["error"]["code"]


def test_wire_2_a_stream_that_ends_without_content_is_no_answer(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="never seen", cut_after=1), model="w2b")
    assert chat(gate, "openai/w2b", stream=True).status == 502


@pytest.mark.parametrize("stream", [False, True])
def test_wire_3_an_error_inside_a_200_is_an_error(gate: Served, fakes: Fakes, stream: bool) -> None:
    fakes.openai.script(Step(error_after=0), model=f"w3-{stream}")
    answer = chat(gate, f"openai/w3-{stream}", stream=stream)
    assert answer.status >= 400 and "error" in answer.json


def test_wire_3_an_error_after_content_is_visible(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three", error_after=3), model="w3c")
    answer = chat(gate, "openai/w3c", stream=True)
    assert "error" in json.loads(answer.frames[-2]) and answer.frames[-1] == "[DONE]"


def test_wire_4_done_goes_out_though_the_upstream_omits_it(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two", omit_done=True, usage=Usage(input=3, output=2)), model="w4")
    answer = chat(gate, "openai/w4", stream=True, stream_options={"include_usage": True})
    assert answer.text == "one two"
    assert answer.frames[-1] == "[DONE]"
    assert answer.chunks[-1]["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("size", [1, 3, 17])
def test_wire_5_frames_cut_anywhere_give_the_same_text(gate: Served, fakes: Fakes, size: int) -> None:
    fakes.openai.script(Step(text="açúcar e café ☕ com leite", split_bytes=size), model=f"w5-{size}")
    assert chat(gate, f"openai/w5-{size}", stream=True).text == "açúcar e café ☕ com leite"


def test_wire_5_one_malformed_frame_is_skipped(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one two three", garbage_after=2), model="w5g")
    answer = chat(gate, "openai/w5g", stream=True)
    assert answer.text == "one two three" and answer.frames[-1] == "[DONE]"


def test_wire_5_a_plain_body_cut_before_its_end_is_a_failure(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(cut_after=1), model="w5c")
    answer = chat(gate, "openai/w5c")
    assert answer.status == 502 and answer.json["error"]["code"] == "upstream_cut"


def test_wire_7_usage_is_always_asked_for_and_shown_only_when_asked(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="a b"), Step(text="a b"), model="w7")
    quiet = chat(gate, "openai/w7", stream=True)
    told = chat(gate, "openai/w7", stream=True, stream_options={"include_usage": True})
    assert all("usage" not in c or c["usage"] is None for c in quiet.chunks)
    assert all(c["choices"] for c in quiet.chunks)
    assert told.chunks[-1]["choices"] == [] and told.chunks[-1]["usage"]["total_tokens"] > 0
    asked = [s.json for s in fakes.openai.seen if s.json.get("model") == "w7"]
    assert all(body["stream_options"]["include_usage"] for body in asked)


@pytest.mark.parametrize(
    ("name", "stream", "step"),
    [
        ("before headers", False, Step(delay_s=30)),
        ("plain body", False, Step(stall_after=0)),
        ("before the first chunk", True, Step(first_delay_s=30)),
        ("mid-stream", True, Step(text="one two three four", stall_after=3)),
    ],
)
def test_wire_8_the_upstream_request_ends_when_the_client_leaves(
    gate: Served, fakes: Fakes, name: str, stream: bool, step: Step
) -> None:
    model = "w8-" + name.replace(" ", "-")
    fakes.openai.script(step, model=model)
    body = json.dumps({"model": f"patient/{model}", "messages": HELLO, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", gate.port)) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + gate.key.encode()
            + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )  # fmt: skip
        seen = wait_for(fakes, model)
        time.sleep(0.3)
    # The gate's own limits, and the fake's, are longer than this.
    assert until(seen.gone.is_set, 25), "the upstream never noticed"


def wait_for(fakes: Fakes, model: str) -> Any:
    found = until(lambda: [seen for seen in list(fakes.openai.seen) if seen.json.get("model") == model])
    assert found, "the request never reached the upstream"
    return found[-1]


def test_wire_9_content_is_forwarded_as_it_comes(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text=("one ", "two ", "three"), token_delay_s=1.0), model="w9")
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)
    body = json.dumps({"model": "openai/w9", "messages": HELLO, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {gate.key}"})
    response = connection.getresponse()
    times = []
    while line := response.readline():
        if b'"content":"' in line.replace(b'": "', b'":"') and b'"content":""' not in line:
            times.append(time.monotonic())
    connection.close()
    assert len(times) == 3
    assert times[2] - times[0] > 0.4


def test_wire_10_the_first_delta_has_the_role_and_tools_end_as_tool_calls(gate: Served, fakes: Fakes) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    for provider in ("openai", "anthropic", "gemini", "ollama"):
        getattr(fakes, provider).script(Step(text="", tools=(ToolAsk("f", "{}"),), finish="stop"), model="w10")
        answer = chat(gate, f"{provider}/w10", stream=True, tools=[tool])
        choices = [c["choices"][0] for c in answer.chunks if c["choices"]]
        assert choices[0]["delta"]["role"] == "assistant", provider
        assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["tool_calls"], provider


def test_wire_11_tool_deltas_have_an_index_each_and_id_and_name_once(gate: Served, fakes: Fakes) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    asks = (ToolAsk("f", '{"a": "first"}'), ToolAsk("f", '{"a": "second"}'))
    for provider in ("openai", "anthropic", "gemini", "ollama"):
        getattr(fakes, provider).script(Step(text="Let me see.", tools=asks), model="w11")
        answer = chat(gate, f"{provider}/w11", stream=True, tools=[tool])
        deltas = [t for c in answer.chunks if c["choices"] for t in c["choices"][0]["delta"].get("tool_calls") or ()]
        assert {d["index"] for d in deltas} == {0, 1}, provider
        for index in (0, 1):
            mine = [d for d in deltas if d["index"] == index]
            assert sum("id" in d and d["id"] is not None for d in mine) == 1, provider
            assert sum(bool(d["function"].get("name")) for d in mine) == 1, provider
            written = "".join(d["function"].get("arguments") or "" for d in mine)
            assert json.loads(written) == json.loads(asks[index].arguments), provider


def test_wire_12_what_an_upstream_cannot_do_is_a_400(gate: Served) -> None:
    for field, value in (("n", 3), ("logprobs", True)):
        answer = chat(gate, "anthropic/w12", **{field: value})
        assert answer.status == 400, answer.body
        assert answer.json["error"]["code"] == "unsupported_parameter"


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "ollama"])
def test_wire_12_fields_that_make_another_answer_are_refused_where_they_mean_nothing(
    gate: Served, provider: str
) -> None:
    asked: tuple[tuple[str, str, Any], ...] = (
        ("/v1/chat/completions", "response_format", {"type": "grammar", "grammar": "x"}),
        ("/v1/chat/completions", "web_search_options", {}),
        ("/v1/responses", "conversation", "conv_1"), ("/v1/responses", "prompt", {"id": "pmpt_1"}),
        ("/v1/responses", "background", True), ("/v1/completions", "suffix", "the end"),
        ("/v1/completions", "echo", True), ("/v1/completions", "prompt", ["one", "two"]),
    )  # fmt: skip
    for path, field, value in asked:
        body: dict[str, Any] = {"model": f"{provider}/w12b", **{"/v1/responses": {"input": "Hello"}}.get(path, {})}
        body |= {"messages": HELLO} if path.startswith("/v1/chat") else {}
        body |= {"prompt": "Hello"} if path == "/v1/completions" else {}
        answer = post(gate, {**body, field: value}, path)
        assert answer.status == 400, (field, answer.body)
        assert answer.json["error"]["param"] == field, (field, answer.body)
    kept = post(gate, {"model": f"{provider}/w12b", "input": "Hello", "background": False}, "/v1/responses")
    assert kept.status == 200, kept.body


@pytest.mark.parametrize("stream", [False, True])
def test_wire_12_logprobs_and_unknown_fields_survive(gate: Served, fakes: Fakes, stream: bool) -> None:
    fakes.openai.script(Step(text="one two", logprobs=True, reasoning="hm"), model=f"w12-{stream}")
    answer = chat(gate, f"openai/w12-{stream}", stream=stream, logprobs=True)
    assert b'"logprobs"' in answer.body and b'"reasoning_content"' in answer.body


# ---- envelopes ----


def test_wire_13_each_client_gets_its_own_envelope(gate: Served) -> None:
    ours = post(gate, b"{broken")
    assert ours.status == 400
    assert set(ours.json["error"]) == {"message", "type", "param", "code"}
    theirs = post(gate, b"{broken", "/v1/messages")
    assert theirs.status == 400
    assert theirs.json["type"] == "error" and theirs.json["error"]["type"] == "invalid_request_error"


def test_wire_14_upstream_failures_have_the_statuses_that_are_the_callers_business(gate: Served, fakes: Fakes) -> None:
    long = Step(status=400, error="context_length_exceeded")
    cases = (
        (Step(status=401), 502, "upstream_credential_refused"), (Step(status=403), 502, "upstream_credential_refused"),
        (Step(status=429, headers={"Retry-After": "7"}), 429, "upstream_rate_limited"), (long, 400, long.error),
        (Step(status=500), 502, "upstream_fault"), (Step(delay_s=30), 504, "first_token_timeout"),
    )  # fmt: skip
    for number, (step, status, code) in enumerate(cases):
        model = f"w14-{number}"
        # Asked again, it fails again.
        fakes.openai.script(*[step] * 8, model=model)
        answer = chat(gate, f"openai/{model}", stream=True)
        assert (answer.status, answer.json["error"]["code"]) == (status, code)
    unknown = post(gate, {"model": "support", "messages": HELLO}, authorization="Bearer nobody")
    assert unknown.status == 401 and unknown.json["error"]["code"] == "invalid_api_key"


def test_wire_19_silence_has_limits_of_its_own(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(first_delay_s=30), model="w19a")
    answer = chat(gate, "openai/w19a", stream=True)
    assert answer.status == 504 and answer.json["error"]["code"] == "first_token_timeout"
    fakes.openai.script(Step(text="one two three", stall_after=3), model="w19b")
    stalled = chat(gate, "openai/w19b", stream=True)
    assert json.loads(stalled.frames[-2])["error"]["code"] == "idle_timeout"
    assert stalled.frames[-1] == "[DONE]"


# ---- requests ----


def test_wire_20_unknown_parameters_travel_untouched_and_absent_ones_are_not_sent(gate: Served, fakes: Fakes) -> None:
    chat(gate, "openai/w20", some_new_field={"deep": [1, 2]}, temperature=0.25)
    sent = next(s.json for s in reversed(fakes.openai.seen) if s.json.get("model") == "w20")
    assert sent["some_new_field"] == {"deep": [1, 2]}
    assert sent["temperature"] == 0.25
    assert None not in sent.values()


def test_wire_20_dropped_hints_are_reported(gate: Served, fakes: Fakes) -> None:
    answer = chat(gate, "anthropic/w20", seed=7, presence_penalty=0.5)
    assert answer.status == 200, answer.body
    assert set(answer.headers["x-comporta-dropped"].split(", ")) == {"seed", "presence_penalty"}
    sent = next(s.json for s in reversed(fakes.anthropic.seen) if s.json.get("model") == "w20")
    assert "seed" not in sent and None not in sent.values()


def test_wire_21_stale_headers_are_not_copied(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(headers={"Set-Cookie": "a=b", "X-Secret": "no"}), model="w21")
    answer = chat(gate, "openai/w21")
    assert "set-cookie" not in answer.headers and "x-secret" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_wire_22_request_ids_are_kept_or_made_and_the_answer_says_where_it_came_from(
    gate: Served, fakes: Fakes
) -> None:
    kept = post(gate, {"model": "support", "messages": HELLO}, x_request_id="my-id.42")
    assert kept.headers["x-request-id"] == "my-id.42"
    made = post(gate, {"model": "support", "messages": HELLO, "stream": True}, x_request_id="bad id\t" + "x" * 200)
    assert made.headers["x-request-id"] not in ("", "bad id\t" + "x" * 200)
    failed = post(gate, {"model": "nowhere", "messages": HELLO}, x_request_id="failed-1")
    assert failed.headers["x-request-id"] == "failed-1"
    for name in ("route", "variant", "model", "provider", "retries", "cache"):
        assert f"x-comporta-{name}" in kept.headers and f"x-comporta-{name}" in made.headers
    fakes.openai.script(Step(model="w22-2026-01-01"), model="w22")
    assert chat(gate, "openai/w22").json["model"] == "w22-2026-01-01"


def test_wire_23_large_bodies_pass_and_too_large_ones_are_413(gate: Served, fakes: Fakes) -> None:
    large = post(gate, {"model": "openai/w23", "messages": [{"role": "user", "content": "x" * 9_000_000}]})
    assert large.status == 200
    refused = post(gate, b"x" * (21 * 1024 * 1024))
    assert refused.status == 413 and refused.json["error"]["code"] == "request_too_large"


def test_wire_24_vectors_come_in_order_in_the_form_and_size_that_was_asked_for(gate: Served, fakes: Fakes) -> None:
    texts = ["one", "two", "three"]
    for provider in ("openai", "gemini", "ollama", "scripted"):
        body = {"model": f"{provider}/w24", "input": texts, "dimensions": 4}
        plain = post(gate, {**body, "encoding_format": "float"}, "/v1/embeddings").json
        packed = post(gate, {**body, "encoding_format": "base64"}, "/v1/embeddings").json
        assert [item["index"] for item in plain["data"]] == [0, 1, 2], provider
        for one, other in zip(plain["data"], packed["data"], strict=True):
            numbers = struct.unpack("<4f", base64.b64decode(other["embedding"]))
            assert one["embedding"] == pytest.approx(numbers, abs=1e-6), provider
        assert plain["usage"]["prompt_tokens"] > 0, provider
        for place, text in enumerate(texts):
            alone = post(gate, {**body, "input": text, "encoding_format": "float"}, "/v1/embeddings").json
            assert alone["data"][0]["embedding"] == pytest.approx(plain["data"][place]["embedding"]), provider


def test_wire_25_models_are_those_the_key_may_use_and_a_change_shows_by_itself(gate: Served) -> None:
    def listed(secret: str) -> set[str]:
        return {model["id"] for model in get(gate, "/v1/models", secret).json["data"]}

    secret = post(gate, {"name": "w25", "allow": ["support", "w25-new"]}, "/admin/keys").json["secret"]
    assert listed(secret) == {"support"}
    added = post(gate, {"name": "w25-new", "provider": "scripted", "model": "m"}, "/admin/models")
    assert added.status == 201, added.body
    assert until(lambda: "w25-new" in listed(secret))
    refused = post(gate, {"model": "think", "messages": HELLO}, authorization=f"Bearer {secret}")
    assert refused.status in (403, 404), refused.body


def test_wire_26_anthropics_own_headers_marks_and_tools_pass_or_are_refused(gate: Served, fakes: Fakes) -> None:
    kept = {"type": "ephemeral"}
    body = {
        "model": "anthropic/w26", "max_tokens": 9, "messages": HELLO,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": kept}],
    }  # fmt: skip
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    head = {"anthropic_version": "2023-06-01", "anthropic_beta": "one-2025-01-01,two-2025-01-01"}
    answer = post(gate, {**body, "tools": tools}, "/v1/messages", **head)
    assert answer.status == 200, answer.body
    sent = next(s for s in reversed(fakes.anthropic.seen) if s.json.get("model") == "w26")
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.headers["anthropic-beta"] == "one-2025-01-01,two-2025-01-01"
    assert sent.json["system"][0]["cache_control"] == kept and sent.json["tools"] == tools
    elsewhere = post(gate, {**body, "model": "openai/w26", "tools": tools}, "/v1/messages", **head)
    assert elsewhere.status == 400 and elsewhere.json["error"]["type"] == "invalid_request_error"
    counted = post(gate, {k: v for k, v in body.items() if k != "max_tokens"}, "/v1/messages/count_tokens")
    assert counted.status == 200 and counted.json["input_tokens"] > 0


def test_wire_26_thoughts_of_other_models_are_not_shown_to_anthropic(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="one", reasoning="hm"), model="w26t")
    body = {"model": "openai/w26t", "max_tokens": 9, "messages": HELLO}
    said = post(gate, body, "/v1/messages").json["content"]
    assert [block["type"] for block in said] == ["thinking", "text"]
    signed = {"type": "thinking", "thinking": "mine", "signature": "c2lnbmVkLWJ5LXRoZS1mYWtl"}
    turns = [*HELLO, {"role": "assistant", "content": [signed, *said]}, *HELLO]
    answer = post(gate, {**body, "model": "anthropic/w26t", "messages": turns}, "/v1/messages")
    assert answer.status == 200, answer.body
    sent = next(s for s in reversed(fakes.anthropic.seen) if s.json.get("model") == "w26t")
    assert sent.json["messages"][1]["content"] == [signed, said[1]]


@pytest.mark.parametrize("stream", [False, True])
def test_wire_28_every_wire_counts_the_same_tokens_in_the_same_buckets(
    gate: Served, fakes: Fakes, stream: bool
) -> None:
    usage = Usage(input=5, cached=3, output=7, reasoning=2)
    for provider in ("openai", "anthropic", "gemini"):
        getattr(fakes, provider).script(Step(text="one", usage=usage), model="w28")
        answer = chat(
            gate, f"{provider}/w28", stream=stream, stream_options={"include_usage": True} if stream else None
        )
        told = (answer.chunks[-1] if stream else answer.json)["usage"]
        assert told["prompt_tokens"] == 8 and told["prompt_tokens_details"]["cached_tokens"] == 3, provider
        assert told["completion_tokens"] == 9 and told["total_tokens"] == 17, provider
        assert told["completion_tokens_details"]["reasoning_tokens"] == 2, provider
        assert "cost" not in told and "x-comporta-cost-usd" not in answer.headers, "an unknown price is not 0"


def test_wire_27_a_failed_response_is_an_error_and_an_incomplete_one_no_stop(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(text="half a sen", finish="length"), model="w27")
    answer = post(gate, {"model": "openai/w27", "input": "Hello"}, "/v1/responses")
    assert answer.json["status"] == "incomplete"
    fakes.anthropic.script(Step(text="half a sen", finish="length"), model="w27")
    translated = post(gate, {"model": "anthropic/w27", "input": "Hello"}, "/v1/responses")
    assert translated.json["status"] == "incomplete"


# ---- bad input ----


def bad_bodies() -> Iterator[Any]:
    yield pytest.param(b"", id="empty")
    yield pytest.param(b"[]", id="a list")
    yield pytest.param(b"null", id="null")
    yield pytest.param(b'{"model": "support"}', id="no messages")
    yield pytest.param(b'{"messages": []}', id="no model")
    yield pytest.param(b'{"model": 1, "messages": []}', id="a number as model")
    yield pytest.param(b"[" * 100_000, id="deep nesting")
    yield pytest.param(b'{"model": "support", "messages": [{"role": "nobody", "content": "x"}]}', id="unknown role")
    yield pytest.param(
        b'{"model": "support\\u0000", "messages": [{"role": "user", "content": "x"}]}', id="NUL in model"
    )
    yield pytest.param(b"\xff\xfe{}", id="not UTF-8")


@pytest.mark.parametrize("body", tuple(bad_bodies()))
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
def test_bad_input_is_a_clear_4xx_and_leaves_the_gate_serving(gate: Served, path: str, body: bytes) -> None:
    answer = post(gate, body, path)
    assert 400 <= answer.status < 500
    assert answer.json["error"]["message"]
    assert gate.ready()


def test_a_lone_surrogate_and_a_nul_in_the_text_are_answered_and_recorded_without_harm(
    gate: Served, fakes: Fakes
) -> None:
    body = b'{"model": "openai/odd", "messages": [{"role": "user", "content": "a\\u0000b\\ud800c"}]}'
    answer = post(gate, body)
    assert answer.status in (200, 400), answer.body
    assert gate.ready()


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "ollama"])
def test_answers_nested_too_deep_are_the_providers_fault(gate: Served, fakes: Fakes, provider: str) -> None:
    fakes_of = getattr(fakes, provider)
    fakes_of.script(*[Step(body=b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")] * 8, model="deep")
    assert chat(gate, f"{provider}/deep").status == 502


def test_a_query_with_a_nul_is_refused(gate: Served) -> None:
    answer = get(gate, "/metrics/llm?route=%00")
    assert answer.status == 400 and answer.json["error"]["code"] == "bad_query"


def test_planted_secrets_are_in_no_log_and_no_answer(gate: Served, fakes: Fakes) -> None:
    fakes.openai.script(Step(status=401), Step(status=500), Step(status=400), model="leak")
    bodies = [chat(gate, "openai/leak").body for _ in range(3)]
    for secret in SECRETS.values():
        assert all(secret.encode() not in body for body in bodies)
        assert secret not in gate.output
