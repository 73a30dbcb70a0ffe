"""A fake of Anthropic's API that its official SDK can't tell from the real one, and that refuses what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from comporta.testing.anthropic_rules import check, check_headers
from comporta.testing.fake_anthropic_batches import MessageBatches
from comporta.testing.fake_batches import Batches
from comporta.testing.rules import Broken
from comporta.testing.upstream import Answer, FakeUpstream, Route, Script, Seen, Step, frame
from comporta.types import JSON, Usage

_STOPS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_KINDS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip
_MODELS: Final = ("claude-sonnet-5-5", "claude-haiku-4-5")


class FakeAnthropic(FakeUpstream):
    """Messages, token counts, models and batches, on 127.0.0.1."""

    wire = "anthropic"

    def __init__(self, default: Script | None = None, port: int = 0) -> None:
        super().__init__(default, port)
        self.batches = Batches(lambda row: self.answer_row(row.path, row.body))
        self._batched = MessageBatches(self.batches, _refusal, lambda: self.url)

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            ("POST", "/v1/messages"): _checked(_message, counting=False),
            ("POST", "/v1/messages/count_tokens"): _checked(_count, counting=True),
            ("GET", "/v1/models"): _models,
            ("GET", "/v1/models/{name}"): _model,
            **{place: _headed(route) for place, route in self._batched.routes().items()},
        }

    def failure(self, seen: Seen, step: Step) -> bytes:
        default = "overloaded_error" if step.status == 200 else "api_error"
        return _envelope(step.error or _KINDS.get(step.status, default), step.message)


def _envelope(kind: str, message: str) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"})


def _refusal(status: int, message: str) -> Answer:
    return Answer(status=status, body=_envelope(_KINDS.get(status, "api_error"), message))


def _headed(route: Route) -> Route:
    """Of batches the headers are looked at (some have no body, and no word for its kind); the rest is theirs."""

    def answer(seen: Seen, step: Step) -> Answer:
        try:
            check_headers({"content-type": "application/json", **seen.headers})
        except Broken as broken:
            return Answer(status=broken.status, body=_envelope(broken.kind or "invalid_request_error", broken.message))
        return route(seen, step)

    return answer


def _checked(route: Route, *, counting: bool) -> Route:
    def answer(seen: Seen, step: Step) -> Answer:
        try:
            check_headers(seen.headers)
            if not seen.valid:
                raise Broken("The request body is not valid JSON")
            check(seen.json, seen.headers.get("anthropic-version"), counting=counting)
        except Broken as broken:
            kind = broken.kind or "invalid_request_error"
            return Answer(status=broken.status, body=_envelope(kind, broken.message))
        return route(seen, step)

    return answer


def _message(seen: Seen, step: Step) -> Answer:
    blocks = list(_blocks(seen, step))
    message = {
        "id": "msg_fake01",
        "type": "message",
        "role": "assistant",
        "model": step.model or seen.json["model"],
        "content": blocks,
        **_stop(seen, step, blocks),
        "usage": usage_words(step.usage_for(seen)),
    }
    if not seen.json.get("stream"):
        return Answer(body=msgspec.json.encode(message))
    error = _envelope(step.error or "overloaded_error", step.message)
    return Answer(
        frames=list(_frames(message, step)),
        end=frame({"type": "message_stop"}, "message_stop"),
        content_type="text/event-stream",
        error=b"event: error\ndata: " + error + b"\n\n",
        garbage=b'event: content_block_delta\ndata: {"type": "content_block_delta", "broken\n\n',
    )


def usage_words(usage: Usage) -> JSON:
    """Usage as the API says it: input without what was cached, output with thinking."""
    words: JSON = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output + usage.reasoning,
    }
    if usage.reasoning:
        words["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return words


def _blocks(seen: Seen, step: Step) -> Iterator[JSON]:
    if step.reasoning:
        yield {"type": "thinking", "thinking": step.whole_reasoning, "signature": "c2lnbmVkLWJ5LXRoZS1mYWtl"}
    tools = [(tool.id, tool.name, msgspec.json.decode(tool.arguments)) for tool in step.tools]
    forced = _forced(seen.json) if not tools else None
    if forced is not None:
        tools = [(None, forced, _object(step.whole_text))]
    elif step.refusal:
        yield {"type": "text", "text": step.refusal}
    elif step.whole_text and not (tools and step.text == Step().text):
        yield {"type": "text", "text": step.whole_text}
    for number, (name, tool, value) in enumerate(tools):
        yield {"type": "tool_use", "id": name or f"toolu_fake{number}", "name": tool, "input": value}


def _forced(body: JSON) -> str | None:
    """The tool that the model has to call, whatever the script says."""
    choice = body.get("tool_choice", {})
    if choice.get("type") == "tool":
        return str(choice["name"])
    return str(body["tools"][-1]["name"]) if choice.get("type") == "any" else None


def _object(text: str) -> JSON:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = None
    return value if isinstance(value, dict) else {}


def _stop(seen: Seen, step: Step, blocks: list[JSON]) -> JSON:
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    reason = "refusal" if step.refusal else reason
    if step.finish is not None:
        reason = _STOPS.get(step.finish, step.finish)
    sequence = seen.json.get("stop_sequences", [None])[0] if reason == "stop_sequence" else None
    return {"stop_reason": reason, "stop_sequence": sequence}


# ---- streams --------------------------------------------------------------------------------------------------------


def _frames(message: JSON, step: Step) -> Iterator[bytes]:
    usage = message["usage"]
    start = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield frame({"type": "message_start", "message": start}, "message_start")
    yield frame({"type": "ping"}, "ping")
    for number, block in enumerate(message["content"]):
        yield _event("content_block_start", number, content_block=_opened(block))
        for delta in _deltas(block, step):
            yield _event("content_block_delta", number, delta=delta)
        yield _event("content_block_stop", number)
    end = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    spent = {"output_tokens": 0} if step.omit_usage else {**usage}
    yield frame({"type": "message_delta", "delta": end, "usage": spent}, "message_delta")


def _event(kind: str, index: int, **fields: Any) -> bytes:
    return frame({"type": kind, "index": index, **fields}, kind)


def _opened(block: JSON) -> JSON:
    empty: dict[str, Callable[[], JSON]] = {
        "text": lambda: {"text": ""},
        "thinking": lambda: {"thinking": "", "signature": ""},
        "tool_use": lambda: {"input": {}},
    }
    return {**block, **empty[block["type"]]()}


def _deltas(block: JSON, step: Step) -> Iterator[JSON]:
    if block["type"] == "text":
        tokens = step.tokens if block["text"] == step.whole_text else (block["text"],)
        yield from ({"type": "text_delta", "text": token} for token in tokens)
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": token} for token in step.reasoning_tokens)
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["input"]:
        yield {"type": "input_json_delta", "partial_json": ""}
        text = msgspec.json.encode(block["input"]).decode()
        half = len(text) // 2
        yield {"type": "input_json_delta", "partial_json": text[:half]}
        yield {"type": "input_json_delta", "partial_json": text[half:]}


# ---- the rest -------------------------------------------------------------------------------------------------------


def _count(seen: Seen, step: Step) -> Answer:
    return Answer(body=msgspec.json.encode({"input_tokens": step.usage_for(seen).prompt}))


def _listed(name: str) -> JSON:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2025-10-01T00:00:00Z",
        "lifecycle": "active",
    }


def _models(seen: Seen, step: Step) -> Answer:
    data = [_listed(name) for name in _MODELS]
    page = {"data": data, "has_more": False, "first_id": _MODELS[0], "last_id": _MODELS[-1]}
    return Answer(body=msgspec.json.encode(page))


def _model(seen: Seen, step: Step) -> Answer:
    name = seen.match["name"]
    if name not in _MODELS:
        return Answer(status=404, body=_envelope("not_found_error", f"model: {name}"))
    return Answer(body=msgspec.json.encode(_listed(name)))
