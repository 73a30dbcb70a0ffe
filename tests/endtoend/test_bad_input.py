"""Bad input over the wire: a clear 4xx in the client's own envelope, and a gate that goes on serving."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import jsonschema
import openai
import pytest

from comporta.testing.servers import short_folder
from support.easygoing import easygoing
from support.serving import Served
from support.talking import Answer, ask, chat, until

CONFIG = """
server: {{body_timeout: 4s, max_body: 20MB}}
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-easygoing-000000000000000}}
  anthropic: {{base_url: "{url}", api_key: sk-ant-easygoing-000000000000000}}
  offline: {{}}
routes:
  support: {{model: openai/any}}
"""
CHAT = b'{"model":"support","messages":[{"role":"user","content":%b}]}'
MESSAGE = b'{"model":"anthropic/any","max_tokens":5,"messages":[{"role":"user","content":%b}]}'
#: A body for each door, with a place for a text.
DOORS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": b'{"model":"support","prompt":%b}',
    "/v1/responses": b'{"model":"support","input":%b}',
    "/v1/embeddings": b'{"model":"support","input":%b}',
    "/v1/messages": MESSAGE,
    "/v1/messages/count_tokens": MESSAGE,
}
GOOD = CHAT % b'"Hello"'


@pytest.fixture(scope="module")
def gate() -> Iterator[Served]:
    """At the end nothing in its log was unforeseen."""
    with easygoing() as upstream, short_folder() as folder:
        served = Served(folder, CONFIG.format(url=upstream.url))
        served.start()
        yield served
        assert served.stop() == 0, served.output
        assert "unexpected_failure" not in served.output and "Traceback" not in served.output, served.output


class Sent:
    """The answer to raw bytes."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in headers)}

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["error"]["code"]
        return code


def send(gate: Served, *pieces: bytes, leave: bool = False) -> Sent:
    """Send bytes as they are on a connection of their own; `leave` closes our side, as a client that breaks off."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=90) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if leave:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # answered before all was sent
        return Sent(b"".join(_received(connection)))


def _received(connection: socket.socket) -> Iterator[bytes]:
    """One answer: its head, and as much body as that tells of."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, f"closed without an answer: {data[:200]!r}"
        data += piece
    yield data
    told = [line for line in data.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(told[0].partition(b":")[2]) - len(data.partition(b"\r\n\r\n")[2]) if told else 0
    while left > 0:
        piece = connection.recv(65536)
        if not piece:
            return
        left -= len(piece)
        yield piece


def head(gate: Served, *headers: bytes, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1".encode(),
        b"host: gate",
        f"authorization: Bearer {gate.key}".encode(),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def length(number: int) -> bytes:
    return b"content-length: %d" % number


CHUNKED = b"transfer-encoding: chunked"


def post(gate: Served, body: bytes, path: str, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)
    try:
        sent = {"authorization": f"Bearer {gate.key}", "content-type": "application/json", **headers}
        connection.request("POST", path, body, sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def refused(answer: Answer, path: str, status: int = 400, code: str | None = None) -> str:
    """Checks that an answer is a refusal in the words of the door's own wire; what it tells."""
    assert answer.status == status, (path, answer.body[:300])
    assert answer.headers["x-request-id"]
    error = answer.json["error"]
    if path.startswith("/v1/messages"):
        assert answer.json["type"] == "error" and set(error) == {"type", "message"}
    else:
        assert set(error) == {"message", "type", "param", "code"}
        assert code is None or error["code"] == code, error
    message: str = error["message"]
    return message


def serves(gate: Served) -> None:
    assert chat(gate, "support").status == 200


# ---- JSON -----------------------------------------------------------------------------------------------------------

#: What stands for a text, and words that the refusal must hold.
BROKEN = {
    "a raw NUL": (b'"a\0b"', "not valid JSON"),
    "half a surrogate pair, escaped": (b'"a\\ud800b"', "without its other half"),
    "the other half, escaped": (b'"a\\udc00b"', "without its other half"),
    "half a surrogate pair, raw": (b'"a\xed\xa0\x80b"', "not valid UTF-8"),
    "a byte that is no UTF-8": (b'"a\xffb"', "not valid UTF-8"),
    "a longer form than needed": (b'"\xc0\xaf"', "not valid UTF-8"),
    "NaN": (b"NaN", "not valid JSON"),
    "Infinity": (b"-Infinity", "not valid JSON"),
    "a number beyond all bounds": (b"1e400", "out of range"),
    "an integer of 500 digits": (b"9" * 500, "not a number"),
    "an integer of 10,000 digits": (b"9" * 10_000, "out of range"),
    "100,000 arrays in each other": (b"[" * 100_000 + b"]" * 100_000, "nested more than 100"),
    "100,000 objects in each other": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 100"),
    "100,000 brackets that never close": (b"[" * 100_000, "nested more than 100"),
    "101 levels": (b"[" * 100 + b"]" * 100, "nested more than 100"),
    "a quote too few": (b'"abc', "not valid JSON"),
    "a boolean": (b"true", "not a boolean"),
    "an object": (b"{}", "not an object"),
}


@pytest.mark.parametrize("path", DOORS)
def test_json_that_is_none_or_says_nothing_sensible_is_refused_in_the_clients_own_envelope(
    gate: Served, path: str
) -> None:
    """WIRE 13"""
    for name, (value, words) in BROKEN.items():
        told = refused(post(gate, DOORS[path] % value, path), path)
        assert words in told, f"{name}: {told}"
    for body, words in (
        (b"", "it is empty"), (b"  ", "it is empty"), (b"\xef\xbb\xbf{}", "byte order mark"), (b"[]", "not an array"),
        (b"null", "not null"), (b"{'model': 1}", "not valid JSON"), (GOOD + GOOD, "trailing"),
        (b"model=support", "not valid JSON"), (b"\x1f\x8b\x08\x00", "not valid JSON"),
    ):  # fmt: skip
        assert words in refused(post(gate, body, path), path, code="invalid_json"), body
    serves(gate)


PROBES: tuple[Any, ...] = (
    True, False, -(10**30), -3, -1, 0, 129, 10**30, -2.5, 1e300, "", "word", "a\0b", [], [1], [[1]], [{}], [None], {},
    {"type": 1}, {"type": ""},
)  # fmt: skip


@pytest.mark.parametrize("path", DOORS)
def test_a_value_of_the_wrong_type_is_refused_with_the_fields_name_whatever_the_field(gate: Served, path: str) -> None:
    page = ask(gate, "/openapi.json", key=None).json
    reference = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = page["components"]["schemas"][reference.rsplit("/", 1)[1]]["properties"]
    asked = 0
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", gate.port, timeout=90)) as connection:
        for name, schema in fields.items():
            if name == "previous_response_id":
                continue  # one that can't be any is not found: 404
            allowed = jsonschema.Draft202012Validator({"components": page["components"], **schema})
            for probe in (probe for probe in PROBES if not allowed.is_valid(probe)):
                body = json.loads(DOORS[path] % b'"Hello"') | {name: probe}
                connection.request("POST", path, json.dumps(body), {"authorization": f"Bearer {gate.key}"})
                answer = Answer(connection.getresponse())
                assert answer.status == 400, (name, probe)
                assert name in refused(answer, path), (name, probe)
                asked += 1
    assert asked > 50
    serves(gate)


def test_the_last_of_two_keys_of_the_same_name_counts(gate: Served) -> None:
    body = b'{"model":"nowhere","model":"support","messages":"x","messages":[{"role":"user","content":"Hello"}]}'
    assert post(gate, body, "/v1/chat/completions").status == 200


def test_what_is_only_much_is_answered(gate: Served) -> None:
    hello = {"role": "user", "content": "Hello"}
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    for body in (
        {"messages": [hello] * 10_000},
        {"messages": [hello], "tools": [tool] * 1000},
        {"messages": [hello], **{f"unknown-{n}": n for n in range(20_000)}},
        {"messages": [hello], "unknown": [{}] * 200_000},
        {"messages": [hello], "metadata": {"text": "[" * 100_000}},
        {"messages": [hello | {"content": "a\0" + "b" * 5_000_000}]},
        {"messages": [hello], "user": "u" * 100_000},
        {"messages": [hello], "seed": 10**1000},
    ):
        answer = post(gate, json.dumps({"model": "support", **body}).encode(), "/v1/chat/completions")
        assert answer.status == 200, (str(body)[:100], answer.body)
    nested = b'{"messages":[' + b'{"a":' * 98 + b"[" + b"{}," * 100_000 + b"[{}]]" + b"}" * 98 + b"]}"
    assert "nested more than 100" in refused(post(gate, nested, "/v1/chat/completions"), "/v1/chat/completions")
    serves(gate)


# ---- size, length, coding -------------------------------------------------------------------------------------------

FIFTY_MB = 50_000_000


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_fifty_megabytes_are_refused_with_the_limit_however_they_are_sent(gate: Served, path: str) -> None:
    """WIRE 23"""
    piece = b" " * 1_000_000
    answer = post(gate, piece * 50, path)
    assert str(FIFTY_MB) in refused(answer, path, 413, "request_too_large")
    chunk = b"%x\r\n" % len(piece) + piece + b"\r\n"
    sent = send(gate, head(gate, CHUNKED, path=path), *[chunk] * 50, b"0\r\n\r\n")
    assert sent.status == 413 and b"larger than" in sent.body
    serves(gate)


def test_a_promise_of_a_petabyte_is_not_waited_for(gate: Served) -> None:
    sent = send(gate, head(gate, length(10**15)), b"{")
    assert (sent.status, sent.code) == (413, "request_too_large")
    serves(gate)


def test_memory_is_bounded_and_given_back_after_large_bodies(gate: Served) -> None:
    """Eight such rounds would come to a gigabyte, were anything kept of them."""

    def used_mb() -> float:
        return sum(_rss_mb(pid) for pid, command in gate.processes().items() if "postgres" not in command)

    # Other tests have asked this gate before: what it holds of them is no matter here.
    before_mb = peak_mb = used_mb()
    for _ in range(8):
        for body in (b'{"model":"support","x":[' + b"{}," * 1_000_000 + b"1]}", CHAT % (b'"%b"' % (b"a" * 15_000_000))):
            post(gate, body, "/v1/chat/completions")
        peak_mb = max(peak_mb, used_mb())
    assert peak_mb < before_mb + 450
    assert until(lambda: used_mb() < before_mb + 200), (before_mb, used_mb())


def _rss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


@pytest.mark.parametrize("path", DOORS)
def test_a_compressed_body_is_refused_whatever_it_would_unfold_to(gate: Served, path: str) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    answer = post(gate, bomb, path, **{"content-encoding": "gzip"})
    assert "uncompressed" in refused(answer, path, 415, "unsupported_encoding")
    assert post(gate, DOORS[path] % b'"Hello"', path, **{"content-encoding": "identity"}).status == 200


def test_a_body_that_breaks_off_is_told_so(gate: Served) -> None:
    for large in (b"", b" " * 100_000):
        sent = send(gate, head(gate, length(len(GOOD + large) + 10)), GOOD + large, leave=True)
        assert (sent.status, sent.code) == (400, "incomplete_body")
    cut = send(gate, head(gate, CHUNKED), b"ff\r\n" + GOOD[:20], leave=True)
    assert (cut.status, cut.code) == (400, "invalid_json"), "the server ends a broken chunk like a whole one"
    garbled = send(gate, head(gate, CHUNKED), b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n")
    assert (garbled.status, garbled.code) == (400, "invalid_json")
    serves(gate)


def test_a_body_slower_than_the_limit_is_not_waited_for(gate: Served) -> None:
    for announced in (length(100), length(100_000), CHUNKED):
        sent = send(gate, head(gate, announced), b'5\r\n{"a":\r\n' if announced == CHUNKED else b"{")
        assert (sent.status, sent.code) == (408, "body_timeout")
    anthropics = send(gate, head(gate, length(100), path="/v1/messages"), b"{")
    assert anthropics.status == 408 and json.loads(anthropics.body)["error"]["type"] == "timeout_error"
    serves(gate)


# ---- requests that granian answers itself, or lets through ----------------------------------------------------------


def test_heads_that_are_no_http_are_refused_by_the_server_itself(gate: Served) -> None:
    """There the gate's own code sees nothing: no envelope, but a status."""
    million = [b"x-%d: y\r\n" % n for n in range(1_000_000)]
    start = head(gate, length(0))[:-2]
    for pieces, status in (
        ([head(gate, length(3), length(5)), GOOD], 400),
        ([head(gate, b"content-length: -5"), GOOD], 400),
        ([head(gate, b"content-length: five"), GOOD], 400),
        ([head(gate, b"content-length: " + b"9" * 30), GOOD], 400),
        ([start, *(b"".join(million[n : n + 10_000]) for n in range(0, 1_000_000, 10_000)), b"\r\n"], 431),
        ([start, b"x-large: " + b"y" * 10_000_000 + b"\r\n\r\n"], 431),
        ([start, b"x-nul: a\0b\r\n\r\n"], 400),
        ([start, b"two words: a\r\n\r\n"], 400),
        ([start, b"no colon\r\n\r\n"], 400),
        ([head(gate, path="/" + "a" * 100_000)], 414),
        ([head(gate, path="/\x01")], 400),
        ([b"POST /v1/messages HTTP/9.9\r\n\r\n"], 400),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200], 400),
    ):
        assert send(gate, *pieces).status == status, pieces[0][-60:]
    serves(gate)


def test_odd_but_lawful_heads_are_served(gate: Served) -> None:
    for headers in (
        [length(len(GOOD)), length(len(GOOD))],
        [length(len(GOOD)), b"x-large: " + b"y" * 60_000],
        [length(len(GOOD)), *(b"x-%d: y" % n for n in range(80))],
        [length(len(GOOD)), b"x-comporta-session: \xff\xfe", "x-comporta-user: José".encode()],
        [length(len(GOOD)), b"x-request-id: " + b"a" * 10_000],
    ):
        assert send(gate, head(gate, *headers), GOOD).status == 200, headers[-1][:50]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_wrong_methods_and_paths_are_told(gate: Served, path: str) -> None:
    anthropics = path == "/v1/messages"
    wire = [b"anthropic-version: 2023-06-01"] if anthropics else []
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "post"):
        sent = send(gate, head(gate, length(len(GOOD)), *wire, method=method, path=path), GOOD)
        assert sent.status == 405 and sent.headers["allow"] == "POST", method
        assert (json.loads(sent.body).get("type") == "error") is anthropics
    for wrong in (
        "/v1/nothing",
        path + "/",
        "/" + path,
        path.upper(),
        "/v1/%00",
        "/v1/%ff%fe",
        "/v1/..",
        "/v1/%ed%a0%80",
    ):
        sent = send(gate, head(gate, length(len(GOOD)), *wire, path=wrong), GOOD)
        assert sent.status == 404 and b"There is nothing at" in sent.body, wrong
        assert (json.loads(sent.body).get("type") == "error") is anthropics
    serves(gate)


def test_keys_that_cannot_be_any_are_refused(gate: Served) -> None:
    for key in (b"", b"\xff\xfe", b"a" * 50_000, b"cmp-" + b"\xc3\xa9" * 20, b"cmp- two words"):
        lines = [b"POST /v1/messages HTTP/1.1", b"host: gate", b"authorization: Bearer " + key, length(len(GOOD))]
        sent = send(gate, b"\r\n".join(lines) + b"\r\n\r\n", GOOD)
        assert sent.status == 401 and json.loads(sent.body)["error"]["type"] == "authentication_error", key[:20]


def test_queries_that_cannot_be_read_are_refused(gate: Served) -> None:
    many = "&".join(f"a{n}=1" for n in range(1000))
    for query in (
        many,
        "team=%00",
        "team=a%00b",
        "%00=a",
        "window=999d",
        "window=9" * 50,
        "nobody=1",
        "group_by=nothing",
    ):
        answer = ask(gate, f"/metrics/llm?{query}")
        assert answer.status == 400 and answer.json["error"]["message"], query
    assert ask(gate, "/metrics/llm?team=%ff%fe").status == 200


def test_a_crowd_of_connections_that_say_nothing_leaves_the_gate_serving(gate: Served) -> None:
    crowd = [socket.create_connection(("127.0.0.1", gate.port), timeout=90) for _ in range(200)]
    try:
        for number, connection in enumerate(crowd):
            connection.sendall((b"", b"POST", head(gate, length(10)))[number % 3])
        serves(gate)
    finally:
        for connection in crowd:
            connection.close()
    serves(gate)


# ---- SDKs -----------------------------------------------------------------------------------------------------------


def test_openais_sdk_tells_its_user_what_is_wrong(gate: Served) -> None:
    hello: Any = [{"role": "user", "content": "Hello"}]
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as wrong:
            client.chat.completions.create(model="support", messages=hello, extra_body={"temperature": "hot"})
        assert (wrong.value.param, wrong.value.code) == ("temperature", "invalid_request")
        with pytest.raises(openai.BadRequestError) as empty:
            client.chat.completions.create(model="support", messages=[])
        assert empty.value.param == "messages"
        with pytest.raises(openai.APIStatusError) as large:
            client.chat.completions.create(model="support", messages=[{"role": "user", "content": "a" * FIFTY_MB}])
        assert (large.value.status_code, large.value.code) == (413, "request_too_large")
        assert client.chat.completions.create(model="support", messages=hello).choices[0].message.content


def test_anthropics_sdk_tells_its_user_what_is_wrong(gate: Served) -> None:
    with anthropic.Anthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as client:

        def ask_with(content: Any, **more: Any) -> Any:
            messages: Any = [{"role": "user", "content": content}]
            return client.messages.create(model="anthropic/any", max_tokens=5, messages=messages, extra_body=more)

        with pytest.raises(anthropic.BadRequestError, match=r"temperature must be a number"):
            ask_with("Hello", temperature="hot")
        with pytest.raises(anthropic.BadRequestError, match=r"content\[0\]\.text is required"):
            ask_with([{"type": "text"}])
        with pytest.raises(anthropic.APIStatusError) as large:
            ask_with("a" * FIFTY_MB)
        body: Any = large.value.body
        assert large.value.status_code == 413 and body["error"]["type"] == "request_too_large"
        assert ask_with("Hello").content[0].text
