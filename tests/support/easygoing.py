"""A provider that takes whatever it gets, on OpenAI's wire and Anthropic's: what is refused then was refused by us."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from comporta.testing import fake_responses
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Answer, Route, Seen, Step, frame
from comporta.types import JSON

_ANTHROPIC: JSON = {
    "id": "msg_easy", "type": "message", "role": "assistant", "model": "easy",
    "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip


class Easygoing(FakeOpenAI):
    """Both wires on one port: `{url}/v1` for OpenAI's, `{url}` for Anthropic's."""

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            **{name: _whole(route) for name, route in super().routes().items()},
            ("POST", "/v1/responses"): _response,
            ("POST", "/v1/embeddings"): _embeddings,
            ("POST", "/v1/messages"): _message,
            ("POST", "/v1/messages/count_tokens"): lambda seen, step: _answer({"input_tokens": 3}),
        }

    def _refused_chat(self, body: JSON) -> Answer | None:
        return None


@contextmanager
def easygoing() -> Iterator[Easygoing]:
    """One that runs in a thread of its own, for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    upstream = Easygoing()
    asyncio.run_coroutine_threadsafe(upstream.start(), loop).result(10)
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(upstream.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def _whole(route: Route) -> Route:
    """JSON knows one kind of number: 3.0 choices are three."""

    def answer(seen: Seen, step: Step) -> Answer:
        if seen.json.get("n") is not None:
            seen.json["n"] = int(seen.json["n"])
        return route(seen, step)

    return answer


def _answer(value: JSON) -> Answer:
    return Answer(body=msgspec.json.encode(value))


def _response(seen: Seen, step: Step) -> Answer:
    if seen.json.get("input") is None:
        seen.json["input"] = "what went before"
    return fake_responses.answer(seen, step)


def _embeddings(seen: Seen, step: Step) -> Answer:
    """As many vectors as there are texts, however long they were asked to be."""
    given = seen.json["input"]
    count = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    vector = "AACAPwAAAAA=" if seen.json.get("encoding_format") == "base64" else [1.0, 0.0]
    data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return _answer({"object": "list", "data": data, "model": "easy", "usage": usage})


def _message(seen: Seen, step: Step) -> Answer:
    if not seen.json.get("stream"):
        return _answer(_ANTHROPIC)
    start = {**_ANTHROPIC, "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    return Answer(
        content_type="text/event-stream",
        frames=[
            frame({"type": "message_start", "message": start}, "message_start"),
            frame({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start"),
            frame(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
                "content_block_delta",
            ),
            frame({"type": "content_block_stop", "index": 0}, "content_block_stop"),
            frame(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 2},
                },
                "message_delta",
            ),
        ],
        end=frame({"type": "message_stop"}, "message_stop"),
    )
