"""What a provider can do wrong on the wire, byte by byte, behind a real gate: never does it pass for an answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comporta.testing.asking import cut
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from support.bodies import ASKED, TOOLS, Spoken, plains, streams
from support.raw import Ending, Plan, RawUpstream, chunked, head
from support.serving import Fakes, Served
from support.talking import Answer, ask, chat, until

CONFIG = """
providers:
  chat: {{kind: openai, base_url: "{raw}/v1", api_key: sk-x, timeouts: {limits}}}
  anthropic: {{base_url: "{raw}", api_key: sk-x, timeouts: {limits}}}
  gemini: {{base_url: "{raw}", api_key: sk-x, timeouts: {limits}}}
  ollama: {{base_url: "{raw}", timeouts: {limits}}}
  good: {{kind: openai, base_url: "{good}/v1", api_key: sk-x, timeouts: {limits}}}
  nobody: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: sk-x}}
retry: {{attempts: 1}}
breaker: {{failures: 100000, share: 100%, of: 100000}}
routes:
  patient:
    model: good/patient
    retry: {{attempts: 3, first_wait: 10ms, longest_wait: 2s}}
logging: {{format: json}}
records: {{content: off}}
"""
LIMITS = "{first_token: 2s, idle: 2s, total: 60s, connect: 10s}"
Framing = Literal["chunked", "length", "until closed"]
FRAMINGS: list[Framing] = ["chunked", "length", "until closed"]
#: Provider in the configuration and door for each recorded wire.
WAYS = {
    "openai chat": ("chat", "/v1/chat/completions"),
    "openai chat, two choices": ("chat", "/v1/chat/completions"),
    "openai completions": ("chat", "/v1/completions"),
    "openai responses": ("chat", "/v1/responses"),
    "anthropic": ("anthropic", "/v1/messages"),
    "gemini": ("gemini", "/v1/chat/completions"),
    "ollama": ("ollama", "/v1/chat/completions"),
}
TYPES = {"ollama": "application/x-ndjson"}


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    with RawUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def faulty(raw: RawUpstream, fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, CONFIG.format(raw=raw.url, good=fakes.openai.url, limits=LIMITS))
        served.start()
        yield served
        assert served.stop() == 0, served.output


@pytest.fixture(scope="module")
def spoken() -> dict[str, Spoken]:
    return {one.name: one for one in streams()}


@pytest.fixture(scope="module")
def whole() -> dict[str, Spoken]:
    return {one.name: one for one in plains()}


def framed(one: Spoken, framing: Framing, size: int, *, stream: bool) -> bytes:
    """The provider's whole answer, as HTTP."""
    kind = TYPES.get(one.name, "text/event-stream") if stream else "application/json"
    if framing == "chunked":
        return head(kind, "Transfer-Encoding: chunked", "Connection: close") + chunked(one.body, size)
    if framing == "length":
        return head(kind, f"Content-Length: {len(one.body)}", "Connection: close") + one.body
    return head(kind, "Connection: close") + one.body


def asked(gate: Served, name: str, *, stream: bool) -> Answer:
    """One call through the door that speaks the wire's own words, where there is one."""
    provider, path = WAYS[name]
    body: dict[str, Any] = {**ASKED, "model": f"{provider}/{model_of(name)}", "stream": stream}
    if path == "/v1/chat/completions":
        body |= {"n": 2} if "two" in name else {"tools": TOOLS}
    elif path == "/v1/messages":
        body |= {"max_tokens": 50}
    else:
        del body["messages"]
        body |= {"prompt" if path == "/v1/completions" else "input": "Olá"}
    return ask(gate, path, body)


def model_of(name: str) -> str:
    return "w-" + name.replace(" ", "-").replace(",", "")


def succeeded(name: str, answer: Answer) -> bool:
    """Whether a stream says of itself that it is whole; a failed one must say that, too."""
    if answer.status != 200:
        assert answer.json["error"]["message"]
        return False
    frames = frames_of(answer)
    said = [json.loads(frame) for frame in frames if frame != "[DONE]"]
    failed = any(isinstance(one.get("error"), dict) or one.get("type") in ("error", "response.failed") for one in said)
    if WAYS[name][1] == "/v1/messages":
        ended = bool(said[-1].get("type") == "message_stop")
    elif WAYS[name][1] == "/v1/responses":
        ended = bool(said[-1].get("type") == "response.completed")
    else:
        assert frames[-1] == "[DONE]", "the terminator always goes out on these doors"
        ended = not failed
    assert failed != ended, answer.body
    return ended


def frames_of(answer: Answer) -> list[str]:
    blocks = [block for block in answer.body.decode().split("\n\n") if block.strip() and not block.startswith(":")]
    return [line[6:] for block in blocks for line in block.split("\n") if line.startswith("data: ")]


def essence(answer: Answer) -> list[Any]:
    """The frames of a stream, without what is made anew for each."""
    assert answer.status == 200, answer.body
    text = "\n".join(frames_of(answer))
    for name in ("id", "created", "created_at", "completed_at", "item_id", "call_id"):
        text = blank(text, name)
    return text.split("\n")


def blank(text: str, name: str) -> str:
    return re.sub(rf'"{name}":("[^"]*"|[\d.]+)', f'"{name}":0', text)


def ends_at(one: Spoken) -> int:
    """How many bytes hold the whole answer with its terminator: what comes after them is no loss."""
    decoder = one.wire.decoder(one.query)
    for length in range(len(one.body)):
        if any(event.last for event in decoder.feed(one.body[length : length + 1])):
            return length + 1
    return len(one.body) + 1


# ---- cuts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.integers(0, 1 << 14), max_size=12), size=st.integers(1, 400), framing=st.sampled_from(FRAMINGS)
)
def test_wire_5_any_cut_of_the_bytes_on_the_wire_gives_the_same_answer(
    faulty: Served, raw: RawUpstream, spoken: dict[str, Spoken], name: str, places: list[int], size: int,
    framing: Framing,
) -> None:  # fmt: skip
    one = spoken[name]
    raw.plan(model_of(name), Plan((framed(one, "length", 0, stream=True),)))
    at_once = essence(asked(faulty, name, stream=True))
    raw.plan(model_of(name), Plan(tuple(cut(framed(one, framing, size, stream=True), places))))
    answer = asked(faulty, name, stream=True)
    assert succeeded(name, answer) and essence(answer) == at_once


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    share=st.floats(0, 1, exclude_max=True), size=st.integers(1, 400), framing=st.sampled_from(FRAMINGS),
    ending=st.sampled_from(["close", "reset"]),
)  # fmt: skip
def test_wire_2_a_stream_cut_at_any_byte_is_never_a_success(
    faulty: Served, raw: RawUpstream, spoken: dict[str, Spoken], name: str, share: float, size: int, framing: Framing,
    ending: Ending,
) -> None:  # fmt: skip
    one = spoken[name]
    data = framed(one, framing, size, stream=True)
    at = int(share * len(data))
    sent = data[:at].partition(b"\r\n\r\n")[2]
    raw.plan(model_of(name), Plan((data[:at],), ending))
    answer = asked(faulty, name, stream=True)
    if not succeeded(name, answer):
        return
    # Whole all the same: its terminator came, or it ended as bodies without a length do after its finish.
    came = unchunked(sent) if framing == "chunked" else sent
    if ends_at(one) <= len(came):
        return
    assert framing == "until closed" and ending == "close", (framing, ending, came[-80:])
    raw.plan(model_of(name), Plan((data,)))
    assert texts(answer) == texts(asked(faulty, name, stream=True))


def unchunked(data: bytes) -> bytes:
    """What of a chunked body has come, whole chunks and the begun one."""
    found = b""
    while data:
        line, _, rest = data.partition(b"\r\n")
        try:
            size = int(line, 16)
        except ValueError:
            return found
        found, data = found + rest[:size], rest[size + 2 :]
        if not size:
            return found
    return found


def texts(answer: Answer) -> list[str]:
    """The text pieces of a stream, of whatever door."""
    return re.findall(r'"(?:text|content|delta|arguments)":("(?:[^"\\]|\\.)*")', answer.body.decode())


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    share=st.floats(0, 1, exclude_max=True), size=st.integers(1, 400), framing=st.sampled_from(FRAMINGS),
    ending=st.sampled_from(["close", "reset"]),
)  # fmt: skip
def test_wire_5_a_plain_reply_cut_at_any_byte_is_a_failure(
    faulty: Served, raw: RawUpstream, whole: dict[str, Spoken], name: str, share: float, size: int, framing: Framing,
    ending: Ending,
) -> None:  # fmt: skip
    one = whole[name]
    data = framed(one, framing, size, stream=False)
    raw.plan(model_of(name), Plan((data,)))
    assert asked(faulty, name, stream=False).status == 200
    at = int(share * len(data))
    came = data[:at].partition(b"\r\n\r\n")[2]
    if len(unchunked(came) if framing == "chunked" else came) >= len(one.body.rstrip()) and framing != "length":
        at = data.index(b"\r\n\r\n") + 4
    raw.plan(model_of(name), Plan((data[:at],), ending))
    answer = asked(faulty, name, stream=False)
    assert answer.status == 502, (data[:at][-80:], answer.body)
    assert answer.json["error"]["message"]


# ---- refused, silent, slow, garbage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_refuses_connections_is_a_502_that_says_so(faulty: Served, stream: bool) -> None:
    answer = chat(faulty, "nobody/x", stream=stream)
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_unreachable")
    assert "refused" in answer.json["error"]["message"]


@pytest.mark.parametrize("door", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_silent_upstream_is_a_504_in_the_clients_own_envelope(faulty: Served, raw: RawUpstream, door: str) -> None:
    raw.plan("mute", Plan((), "hang"))
    body: dict[str, Any] = {"model": "chat/mute", "stream": True, "max_tokens": 5, "messages": ASKED["messages"]}
    if door == "/v1/responses":
        body = {"model": "chat/mute", "stream": True, "input": "Hi"}
    started_s = time.monotonic()
    answer = ask(faulty, door, body)
    assert answer.status == 504 and time.monotonic() - started_s < 40, "the limit for all of it is a minute"
    assert ("type" in answer.json) == (door == "/v1/messages")


def test_an_upstream_slow_after_the_first_token_is_waited_for_and_one_that_stops_is_not(
    faulty: Served, fakes: Fakes
) -> None:
    fakes.openai.script(Step(text="one two three", token_delay_s=0.3), model="slow-after")
    answer = chat(faulty, "good/slow-after", stream=True)
    assert b"three" in answer.body and b'"error"' not in answer.body
    fakes.openai.script(Step(text="one two three", stall_after=3), model="stops-after")
    answer = chat(faulty, "good/stops-after", stream=True)
    assert b"idle_timeout" in answer.body and frames_of(answer)[-1] == "[DONE]"


GARBAGE = {
    "no HTTP at all": (b"SSH-2.0-OpenSSH_9.2\r\n",),
    "bytes of nothing": (bytes(range(256)) * 8,),
    "a bad status line": (b"HTTP/1.1 abc OK\r\n\r\n",),
    "a bad header": (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n{}",),
    "a page": (head("text/html", "Connection: close") + b"<html><body>It works!</body></html>",),
    "a page that says it is JSON": (head("application/json", "Connection: close") + b"<html>",),
    "JSON of something else": (head("application/json", "Connection: close") + b'{"hello": "world"}',),
    "nothing": (head("application/json", "Content-Length: 0", "Connection: close"),),
    "bad chunks": (head("text/event-stream", "Transfer-Encoding: chunked") + b"zz\r\nnonsense\r\n",),
    "a negative chunk": (head("text/event-stream", "Transfer-Encoding: chunked") + b"-5\r\nnonsense\r\n",),
    "two lengths": (head("application/json", "Content-Length: 2", "Content-Length: 3", "Connection: close") + b"{}",),
    "a length that is none": (head("application/json", "Content-Length: many", "Connection: close") + b"{}",),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 40_000,),
    "gzip that was not asked for": (
        head("application/json", "Content-Encoding: gzip", "Connection: close") + b"\x1f\x8b\x08\x00\xff\xff",
    ),
    "frames of nothing": (head("text/event-stream", "Connection: close") + b"data: {\n\ndata: 7\n\n: x\n\n" * 50,),
    "binary frames": (head("text/event-stream", "Connection: close") + b"data: \xff\xfe\x00\n\n" * 5,),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_the_providers_fault_in_every_form_and_none_of_it_reaches_the_client(
    faulty: Served, raw: RawUpstream, kind: str, stream: bool
) -> None:
    raw.plan("garbage", Plan(GARBAGE[kind]))
    answer = chat(faulty, "chat/garbage", stream=stream)
    assert answer.status in (502, 504), (answer.status, answer.body)
    for word in (b"It works", b"SSH", b"hello", b"nonsense"):
        assert word not in answer.body
    assert faulty.ready()


# ---- failures that pass ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_wire_15_a_short_retry_after_is_waited_for_whole_and_then_it_is_asked_again(
    faulty: Served, fakes: Fakes, stream: bool
) -> None:
    fakes.openai.script(Step(status=429, headers={"Retry-After-Ms": "300"}), Step(text="good"), model="patient")
    started_s = time.monotonic()
    answer = chat(faulty, "patient", stream=stream)
    assert answer.status == 200 and b"good" in answer.body
    assert time.monotonic() - started_s >= 0.3
    assert answer.headers["x-comporta-retries"] == "1"


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
def test_wire_16_a_failure_that_may_pass_is_asked_again_and_the_good_answer_is_the_only_one_seen(
    faulty: Served, fakes: Fakes, status: int
) -> None:
    fakes.openai.script(Step(status=status), Step(text="good"), model="patient")
    answer = chat(faulty, "patient", stream=True)
    assert answer.status == 200 and b"good" in answer.body and b"error" not in answer.body
    assert answer.headers["x-comporta-retries"] == "1"


def test_after_all_of_it_the_gate_serves_and_nothing_is_in_flight(faulty: Served, fakes: Fakes) -> None:
    assert chat(faulty, "good/fine").status == 200
    shown = until(lambda: b"comporta_calls_in_flight 0" in ask(faulty, "/metrics").body or None)
    assert shown
