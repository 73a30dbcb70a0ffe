"""`comporta call` against answers that break off or fail, from a server that says exactly what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli.conftest import Type


class Canned(ThreadingHTTPServer):
    """Answers every POST with `status` and `body`, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = 200
        self.body = b""
        self.asked: dict[str, Any] = {}

    def frames(self, *frames: Any) -> None:
        lines = (f"data: {frame if isinstance(frame, str) else json.dumps(frame)}\n\n" for frame in frames)
        self.body = "".join(lines).encode()


class _Answer(BaseHTTPRequestHandler):
    server: Canned

    def do_POST(self) -> None:
        self.server.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.server.status)
        self.send_header("x-comporta-provider", "openai")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    with Canned() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("COMPORTA_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("COMPORTA_KEY", "cmp-x")
        yield server
        server.shutdown()
        thread.join()


def text(content: str, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": content}}]}


@pytest.fixture
def run(typed: Type, canned: Canned, monkeypatch: pytest.MonkeyPatch) -> Type:
    monkeypatch.setenv("COMPORTA_URL", f"http://127.0.0.1:{canned.server_port}")
    monkeypatch.setenv("COMPORTA_KEY", "cmp-x")
    return typed


def test_a_whole_stream_is_shown_with_its_cost(run: Type, canned: Canned) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.5}}
    canned.frames(text("Hello "), text("twin", 1), text("world"), usage, "[DONE]")
    result = run("call", "-u", "Hi", "-m", "gpt", "--param", "temperature=0.5", "--session", "s1")
    assert (result.code, result.out) == (0, "Hello world\n")
    assert "3 tokens in, 2 out · $0.500000" in result.err
    assert (canned.asked["temperature"], canned.asked["metadata"]) == (0.5, {"session_id": "s1"})


def test_an_error_in_mid_stream_is_told_and_fails_wire_1(run: Type, canned: Canned) -> None:
    """WIRE 1, seen from a client."""
    canned.frames(text("Hel"), {"error": {"message": "the provider broke off", "code": "upstream_cut"}}, "[DONE]")
    result = run("call", "Hi")
    assert (result.code, result.out.strip()) == (1, "Hel")
    assert "the provider broke off" in result.err


@pytest.mark.parametrize("body", [b"", b'data: {"choices": []}\n\n', b"data: {broken\n\n", b"<html>"])
def test_a_stream_without_its_end_is_a_failure_wire_5(run: Type, canned: Canned, body: bytes) -> None:
    """WIRE 5, seen from a client."""
    canned.body = body
    result = run("call", "Hi")
    assert result.code == 1
    assert "broke off" in result.err


def test_a_refusal_before_the_stream_is_told(run: Type, canned: Canned) -> None:
    canned.status, canned.body = 402, b'{"error": {"message": "The budget is used up.", "code": "budget_exceeded"}}'
    result = run("call", "Hi")
    assert (result.code, result.err) == (1, "comporta: The budget is used up.\n")


def test_something_that_is_no_gate_is_recognised(run: Type, canned: Canned) -> None:
    canned.status, canned.body = 500, b"<html>oops</html>"
    assert "not as a Comporta gate does" in run("call", "Hi").err
    canned.status = 200
    assert "does not answer as a Comporta gate" in run("key", "create", "x").err


def test_images_and_system_text_are_sent_in_openais_words(run: Type, canned: Canned, tmp_path: Any) -> None:
    image = tmp_path / "dot.png"
    image.write_bytes(b"\x89PNG")
    canned.frames(text("ok"), "[DONE]")
    run("call", "-s", "Be brief.", "-i", str(image), "-i", "https://example.org/a.jpg", "What is it?")
    system, user = canned.asked["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg"}},
        {"type": "text", "text": "What is it?"},
    ]
