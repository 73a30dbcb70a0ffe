"""A fake of Ollama's own API: its official client can't tell it from the real one, and it refuses what that does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from comporta.testing.ollama_rules import check_chat, check_embed
from comporta.testing.rules import Broken
from comporta.testing.upstream import Answer, FakeUpstream, Route, Seen, Step
from comporta.types import JSON

_MODELS: Final = ("llama3.2:3b", "nomic-embed-text:latest")
_CREATED: Final = "2026-01-01T00:00:00.000000Z"
_REASONS: Final = {"tool_calls": "stop", "content_filter": "stop"}
_DIMENSIONS: Final = 8


class FakeOllama(FakeUpstream):
    """Chat as JSON lines, embeddings and the list of models, on 127.0.0.1. Models named `missing…` are not pulled."""

    wire = "ollama"

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            ("POST", "/api/chat"): _checked(_chat, check_chat),
            ("POST", "/api/embed"): _checked(_embed, check_embed),
            ("GET", "/api/tags"): _tags,
            ("GET", "/api/version"): _version,
        }

    def failure(self, seen: Seen, step: Step) -> bytes:
        return _envelope(step.message)


def _envelope(message: str) -> bytes:
    return msgspec.json.encode({"error": message})


def _line(value: JSON) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _checked(route: Route, check: Callable[[JSON], None]) -> Route:
    def answer(seen: Seen, step: Step) -> Answer:
        try:
            if not seen.valid:
                raise Broken("invalid character in the request body")
            check(seen.json)
        except Broken as broken:
            return Answer(status=broken.status, body=_envelope(broken.message))
        return route(seen, step)

    return answer


# ---- chat -----------------------------------------------------------------------------------------------------------


def _chat(seen: Seen, step: Step) -> Answer:
    base = {"model": step.model or seen.json["model"], "created_at": _CREATED}
    if seen.json.get("stream", True):
        return Answer(
            frames=[_line({**base, **line, "done": False}) for line in _lines(step)],
            end=_line({**base, "message": {"role": "assistant", "content": ""}, **_end(seen, step)}),
            content_type="application/x-ndjson",
            error=_line({"error": step.message}),
            garbage=b'{"model": "llama3.2:3b", "message": {\n',
        )
    message: JSON = {"role": "assistant", "content": _text(step)}
    if step.reasoning:
        message["thinking"] = step.whole_reasoning
    if step.tools:
        message["tool_calls"] = _calls(step)
    whole: JSON = {**base, "message": message, **_end(seen, step)}
    if step.logprobs:
        whole["logprobs"] = [_logprob(token) for token in step.tokens]
    return Answer(body=msgspec.json.encode(whole))


def _text(step: Step) -> str:
    if step.refusal:
        return step.refusal
    return "" if step.tools and step.text == Step().text else step.whole_text


def _lines(step: Step) -> Iterator[JSON]:
    for token in step.reasoning_tokens:
        yield {"message": {"role": "assistant", "content": "", "thinking": token}}
    for token in step.tokens if _text(step) == step.whole_text else (_text(step),):
        line: JSON = {"message": {"role": "assistant", "content": token}}
        if step.logprobs:
            line["logprobs"] = [_logprob(token)]
        if token:
            yield line
    for call in _calls(step):
        yield {"message": {"role": "assistant", "content": "", "tool_calls": [call]}}


def _calls(step: Step) -> list[JSON]:
    """Calls have no id here, as with many versions of the server, unless the script gives one."""
    calls: list[JSON] = []
    for tool in step.tools:
        call: JSON = {"function": {"name": tool.name, "arguments": msgspec.json.decode(tool.arguments)}}
        calls.append({"id": tool.id, **call} if tool.id else call)
    return calls


def _logprob(token: str) -> JSON:
    return {"token": token, "logprob": -0.25, "top_logprobs": [{"token": token, "logprob": -0.25}]}


def _end(seen: Seen, step: Step) -> JSON:
    reason = step.finish or "stop"
    end: JSON = {"done": True, "done_reason": _REASONS.get(reason, reason), "total_duration": 1000, "load_duration": 10}
    if not step.omit_usage:
        usage = step.usage_for(seen)
        end |= {"prompt_eval_count": usage.prompt, "eval_count": usage.completion}
    return end


# ---- the rest -------------------------------------------------------------------------------------------------------


def _embed(seen: Seen, step: Step) -> Answer:
    given = seen.json["input"]
    texts = [given] if isinstance(given, str) else given
    vectors = step.vectors or tuple(_vector(text, seen.json.get("dimensions", _DIMENSIONS)) for text in texts)
    body = {"model": seen.json["model"], "embeddings": vectors, "prompt_eval_count": step.usage_for(seen).prompt}
    return Answer(body=msgspec.json.encode(body))


def _vector(text: str, length: int) -> tuple[float, ...]:
    """Numbers drawn from the text: the same text gives the same vector."""
    return tuple(int.from_bytes(blake2b(f"{n}{text}".encode(), digest_size=2).digest()) / 65536 for n in range(length))


def _tags(seen: Seen, step: Step) -> Answer:
    models: list[JSON] = [
        {"name": name, "model": name, "modified_at": _CREATED, "size": 2_000_000_000, "digest": "0" * 64, "details": {}}
        for name in _MODELS
    ]
    return Answer(body=msgspec.json.encode({"models": models}))


def _version(seen: Seen, step: Step) -> Answer:
    return Answer(body=msgspec.json.encode({"version": "0.13.0"}))
