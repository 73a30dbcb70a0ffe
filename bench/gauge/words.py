"""What goes over the wire in the bench: the question, the mock's answers, and the check of whatever comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

#: The names of models say what the mock is to do: answer whole, or in so many events, so many ms apart.
PLAIN = "plain"
STREAMS = ("count-31", "count-17")
PACED = "count-31-paced-2"
MODELS = (PLAIN, *STREAMS, PACED)

_MODEL = re.compile(rb"count-(\d+)(?:-paced-(\d+))?")
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_COUNT = re.compile(r"count-(\d+)")

_SAID = "The sluice let the water through in measure. "
#: Together with its envelope an answer of 1 KB.
TEXT = "<<" + _SAID * 16 + ">>"
_COUNTS = {"prompt_tokens": 190, "completion_tokens": 150, "total_tokens": 340}
#: What each upstream answer says it used.
INPUT_TOKENS, OUTPUT_TOKENS = _COUNTS["prompt_tokens"], _COUNTS["completion_tokens"]
#: The JSON of one answer in so many is decoded whole; the text is compared in every one.
_THOROUGH_EVERY = 64
#: Stands in the question where its number goes, so that no two calls ask the same.
_NUMBER = "#" * 12
#: The number of a question that is asked again and again: counting never gets there.
SAME = 10**12 - 1


def question(model: str) -> bytes:
    """A request body of 1 KB."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You keep the gate. " + "Say what passes and how much of it. " * 8},
            {"role": "user", "content": f"Day {_NUMBER}. " + "Go through it hour by hour, please. " * 14},
        ],
        "temperature": 0.5,
        "max_tokens": 500,
    }
    if "count-" in model:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


#: The whole of the next HTTP request.
Ask = Callable[[], bytes]


def asking(
    port: int, model: str, numbers: Iterator[int], path: str = "/v1/chat/completions", key: str = "sk-none"
) -> Ask:
    """HTTP requests with the questions of these numbers."""
    body = question(model)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    before, _, after = (head.encode() + body).partition(_NUMBER.encode())
    return lambda: b"%b%012d%b" % (before, next(numbers), after)


# ---- the mock's side ------------------------------------------------------------------------------------------------


def asked(body: bytes) -> tuple[int, int, bool]:
    """Events wanted (0 = a whole answer), ms between them, and whether usage is wanted at the end."""
    if not _STREAM.search(body):
        return 0, 0, False
    found = _MODEL.search(body)
    if found is None:
        return 31, 0, False
    return int(found[1]), int(found[2] or 0), _USAGE.search(body) is not None


def whole_answer() -> bytes:
    """An HTTP answer with a chat completion of 1 KB."""
    body = json.dumps(
        {
            "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": PLAIN,
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": TEXT}, "logprobs": None,
                "finish_reason": "stop",
            }],
            "usage": _COUNTS,
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def stream_answer(events: int, *, usage: bool) -> tuple[bytes, ...]:
    """An HTTP answer in pieces: the head with the role, a token a piece, the finish, and the end with `[DONE]`."""
    tokens = [_chunk({"content": f"~{i} "}) for i in range(events - 2)]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    last = _frame(b"[DONE]") + b"0\r\n\r\n"
    if usage:
        last = _framed({"choices": [], "usage": _COUNTS}) + last
    return (head + _chunk({"role": "assistant", "content": ""}), *tokens, _chunk({}, "stop"), last)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    return _framed({"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})


def _framed(said: dict[str, Any]) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "count",
        **said,
    }
    return _frame(json.dumps(body, separators=(",", ":")).encode())


def _frame(data: bytes) -> bytes:
    data = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


# ---- the client's side ----------------------------------------------------------------------------------------------


def dechunked(body: bytes) -> bytes:
    """A chunked body put together. Raises ValueError for one that is cut off."""
    parts: list[bytes] = []
    while True:
        size, found, rest = body.partition(b"\r\n")
        if not found:
            raise ValueError("cut off")
        length = int(size.partition(b";")[0], 16)
        if not length:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]


_CONTENT = re.compile(rb'"content":\s*"([^"\\]*)"')


class Check:
    """Whether answers are right: status, wanted marks in the head, and the text, in every single answer.

    The text is taken from the bytes where they are as plain as the mock wrote them. Where they are not, and in each
    64th answer whatever it looks like, the JSON is decoded.
    """

    def __init__(self, model: str, marks: Sequence[bytes] = ()) -> None:
        found = _COUNT.match(model)
        self._tokens = int(found[1]) - 2 if found else 0
        self._said = "".join(f"~{i} " for i in range(self._tokens)) if found else TEXT
        self._said_bytes = self._said.encode()
        self._marks = tuple(marks)
        self._calls = 0
        self.right = 0
        self.wrong = 0
        #: The beginning of the first wrong answer.
        self.first_wrong = b""

    def __call__(self, head: bytes, body: bytes) -> bool:
        self._calls += 1
        good = head[9:12] == b"200" and all(mark in head for mark in self._marks)
        if good and (self._calls % _THOROUGH_EVERY == 1 or not self._reads_right(body)):
            good = self._decodes_right(head, body)
        if good:
            self.right += 1
        else:
            self.missed(head + body)
        return good

    def missed(self, what: bytes) -> None:
        self.wrong += 1
        self.first_wrong = self.first_wrong or what[:400] or b"(connection closed)"

    def _reads_right(self, body: bytes) -> bool:
        return b"".join(_CONTENT.findall(body)) == self._said_bytes and (not self._tokens or b"data: [DONE]" in body)

    def _decodes_right(self, head: bytes, body: bytes) -> bool:
        try:
            if b"chunked" in head.lower():
                body = dechunked(body)
            return self._stream(body) if self._tokens else _text_of([msgspec.json.decode(body)], "message") == TEXT
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, msgspec.MsgspecError):
            return False

    def _stream(self, body: bytes) -> bool:
        frames = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
        if not frames or frames[-1] != b"[DONE]":
            return False
        return _text_of([msgspec.json.decode(frame) for frame in frames[:-1]], "delta") == self._said


def _text_of(bodies: Sequence[Any], part: str) -> str:
    return "".join(choice[part].get("content") or "" for body in bodies for choice in body["choices"])
