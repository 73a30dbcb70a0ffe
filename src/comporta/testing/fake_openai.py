"""A fake of OpenAI's API, honest enough for its own SDK: chat, completions, responses, embeddings, models, batches.

It checks requests as OpenAI does (key, model, roles, tool results that answer a call, `stream_options` on a stream
only) and answers with the fields that OpenAI sends. `strict=True` also refuses fields that OpenAI does not know, where
compatible servers pass over them.
"""

from __future__ import annotations

import hashlib
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from comporta.testing import fake_responses
from comporta.testing.fake_batches import Batches
from comporta.testing.fake_openai_batches import Files
from comporta.testing.upstream import Answer, FakeUpstream, Route, Script, Seen, Step, ToolAsk, frame
from comporta.types import JSON, Usage

CREATED: Final = 1_700_000_000
_DONE: Final = b"data: [DONE]\n\n"
_KNOWN: Final = frozenset(
    {"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
     "max_tokens", "messages", "metadata", "modalities", "model", "n", "parallel_tool_calls", "prediction",
     "presence_penalty", "prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed",
     "service_tier", "stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools",
     "top_logprobs", "top_p", "user", "verbosity", "web_search_options"}
)  # fmt: skip
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
#: Status to the error's type and code.
_ERRORS: Final[dict[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    409: ("conflict_error", None),
    422: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}


def envelope(status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
    """OpenAI's error envelope."""
    kind, usual = _ERRORS.get(status, ("server_error", None))
    if code == "insufficient_quota":
        kind = code
    error = {"message": message, "type": kind, "param": param, "code": code or usual}
    return msgspec.json.encode({"error": error})


def refusal(status: int, message: str, code: str | None = None, param: str | None = None) -> Answer:
    return Answer(status=status, body=envelope(status, message, code, param))


class FakeOpenAI(FakeUpstream):
    """OpenAI on 127.0.0.1. `key` is the only one that is let in, where it is given; `models` are those it lists."""

    wire = "openai"

    def __init__(
        self,
        default: Script | None = None,
        port: int = 0,
        *,
        key: str | None = None,
        strict: bool = False,
        models: tuple[str, ...] = ("gpt-4o-mini", "text-embedding-3-small"),
    ) -> None:
        super().__init__(default, port)
        self.key = key
        self.strict = strict
        self.models = models
        self.batches = Batches(lambda row: self.answer_row(row.path, row.body))
        self._files = Files(self.batches, refusal)

    @property
    def base_url(self) -> str:
        return self.url + "/v1"

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            ("POST", "/v1/chat/completions"): self._checked(self.chat),
            ("POST", "/v1/completions"): self._checked(self.completions),
            ("POST", "/v1/embeddings"): self._checked(self.embeddings),
            ("POST", "/v1/responses"): self._checked(fake_responses.answer),
            ("GET", "/v1/models"): self._checked(self.listing),
            **{place: self._known(route) for place, route in self._files.routes().items()},
        }

    def failure(self, seen: Seen, step: Step) -> bytes:
        status = step.status if step.status >= 400 else 500
        return envelope(status, step.message, step.error)

    # ---- checks ----

    def _checked(self, route: Route) -> Route:
        def answer(seen: Seen, step: Step) -> Answer:
            return self._refused(seen) or route(seen, step)

        return answer

    def _known(self, route: Route) -> Route:
        """Of files and batches the key alone is looked at; the rest is theirs."""
        return lambda seen, step: self._unknown(seen) or route(seen, step)

    def _unknown(self, seen: Seen) -> Answer | None:
        scheme, _, secret = seen.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not secret:
            return refusal(401, "You didn't provide an API key.")
        if self.key is not None and secret != self.key:
            return refusal(401, f"Incorrect API key provided: {secret}.")
        return None

    def _refused(self, seen: Seen) -> Answer | None:
        unknown = self._unknown(seen)
        if unknown is not None:
            return unknown
        if seen.method == "GET":
            return None
        if not seen.valid:
            return refusal(400, "We could not parse the JSON body of your request.")
        if not isinstance(seen.json.get("model"), str):
            return refusal(400, "you must provide a model parameter", param="model")
        if not seen.json.get("stream") and seen.json.get("stream_options") is not None:
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            return refusal(400, message, param="stream_options")
        return None

    def _refused_chat(self, body: JSON) -> Answer | None:
        unknown = next((name for name in body if name not in _KNOWN), None) if self.strict else None
        if unknown is not None:
            return refusal(400, f"Unknown parameter: '{unknown}'.", "unknown_parameter", unknown)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return refusal(400, "Invalid 'messages': expected a non-empty array.", param="messages")
        if "max_tokens" in body and "max_completion_tokens" in body:
            message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
            return refusal(400, message, "invalid_parameter_combination", "max_tokens")
        wrong = _wrong_in(messages)
        return None if wrong is None else refusal(400, wrong[1], param=wrong[0])

    # ---- routes ----

    def chat(self, seen: Seen, step: Step) -> Answer:
        body = seen.json
        refused = self._refused_chat(body)
        if refused is not None:
            return refused
        identity = f"chatcmpl-fake{len(self.seen)}"
        model = step.model or body["model"]
        if not body.get("stream"):
            return Answer(body=msgspec.json.encode(_completion(identity, model, seen, step)))
        return Answer(
            content_type="text/event-stream",
            frames=_chunks(identity, model, seen, step),
            end=_DONE,
            error=b"data: " + self.failure(seen, step) + b"\n\n",
        )

    def completions(self, seen: Seen, step: Step) -> Answer:
        body = seen.json
        if body.get("prompt") is None:
            return refusal(400, "you must provide a prompt", param="prompt")
        head = {"id": f"cmpl-fake{len(self.seen)}", "object": "text_completion", "created": CREATED}
        head["model"] = step.model or body["model"]
        finish = step.finish or "stop"
        if not body.get("stream"):
            choices = [_text_choice(i, step.whole_text, finish) for i in range(body.get("n") or 1)]
            return Answer(body=msgspec.json.encode({**head, "choices": choices, **_usage(seen, step)}))
        frames = []
        for choice in range(body.get("n") or 1):
            frames += [frame({**head, "choices": [_text_choice(choice, token, None)]}) for token in step.tokens]
            frames.append(frame({**head, "choices": [_text_choice(choice, "", finish)]}))
        if _asks_usage(body) and not step.omit_usage:
            frames.append(frame({**head, "choices": [], **_usage(seen, step)}))
        error = b"data: " + self.failure(seen, step) + b"\n\n"
        return Answer(content_type="text/event-stream", frames=frames, end=_DONE, error=error)

    def embeddings(self, seen: Seen, step: Step) -> Answer:
        body = seen.json
        given = body.get("input")
        texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
        if given is None or texts == []:
            return refusal(400, "'$.input' is invalid.", param="input")
        size = body.get("dimensions") or 8
        vectors = step.vectors or tuple(vector_of(text, size) for text in texts)
        write: Callable[[tuple[float, ...]], Any] = _base64 if body.get("encoding_format") == "base64" else list
        data = [{"object": "embedding", "index": i, "embedding": write(v)} for i, v in enumerate(vectors)]
        count = step.usage_for(seen).prompt
        usage = {"prompt_tokens": count, "total_tokens": count}
        model = step.model or body["model"]
        return Answer(body=msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage}))

    def listing(self, seen: Seen, step: Step) -> Answer:
        rows = [{"id": m, "object": "model", "created": CREATED, "owned_by": "fake"} for m in self.models]
        return Answer(body=msgspec.json.encode({"object": "list", "data": rows}))


# ---- checks of messages ---------------------------------------------------------------------------------------------


def _wrong_in(messages: list[Any]) -> tuple[str, str] | None:
    """Field and message of the first thing that OpenAI would refuse."""
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            return f"messages[{i}].role", f"Invalid value: '{role}'."
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return f"messages[{i}].role", "A message with role 'tool' must answer a preceding 'tool_calls'."
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return f"messages[{i}]", f"These tool calls have no answer: {', '.join(sorted(open_calls))}."
        calls = message.get("tool_calls") or ()
        says = calls or any(message.get(name) is not None for name in ("content", "function_call", "audio"))
        if role == "assistant" and not says:
            return f"messages[{i}].content", "Invalid value for 'content': expected a string, got null."
        wrong = _wrong_content(message.get("content"))
        if wrong is not None:
            return f"messages[{i}].content", wrong
        open_calls |= {call["id"] for call in calls}
    return None


def _wrong_content(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return None
    if not isinstance(content, list) or not content:
        return "Invalid value for 'content': expected a string or a non-empty array."
    for part in content:
        kind = part.get("type")
        if kind not in _PARTS:
            return f"Invalid value: '{kind}'."
        if kind == "image_url":
            url = part["image_url"]["url"] if isinstance(part.get("image_url"), dict) else ""
            if not url.startswith(("https://", "http://", "data:image/")):
                return "Invalid 'image_url': expected a URL or a base64 data URL of an image."
    return None


# ---- chat -----------------------------------------------------------------------------------------------------------


def usage_json(usage: Usage) -> JSON:
    """OpenAI's counts: the prompt's include cached ones, the completion's include reasoning."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": usage.audio_in},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_out,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _usage(seen: Seen, step: Step) -> JSON:
    return {} if step.omit_usage else {"usage": usage_json(step.usage_for(seen))}


def _asks_usage(body: JSON) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _finish(step: Step) -> str:
    return step.finish or ("tool_calls" if step.tools else "stop")


def _call_id(tool: ToolAsk, place: int) -> str:
    return tool.id or f"call_fake{place}"


def _logprobs(tokens: tuple[str, ...]) -> JSON:
    content = [
        {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []} for token in tokens
    ]
    return {"content": content, "refusal": None}


def _completion(identity: str, model: str, seen: Seen, step: Step) -> JSON:
    message: JSON = {"role": "assistant", "content": step.whole_text or None, "refusal": step.refusal or None}
    message["annotations"] = []
    if step.reasoning:
        message["reasoning_content"] = step.whole_reasoning
    if step.tools:
        message["content"] = step.whole_text if isinstance(step.text, tuple) else None
        message["tool_calls"] = [
            {"id": _call_id(t, i), "type": "function", "function": {"name": t.name, "arguments": t.arguments}}
            for i, t in enumerate(step.tools)
        ]
    elif step.refusal:
        message["content"] = None
    wants = seen.json.get("logprobs") or step.logprobs
    logprobs = _logprobs(step.tokens) if wants else None
    choices = [
        {"index": i, "message": message, "logprobs": logprobs, "finish_reason": _finish(step)}
        for i in range(seen.json.get("n") or 1)
    ]
    head = {"id": identity, "object": "chat.completion", "created": CREATED, "model": model, "choices": choices}
    return {**head, **_usage(seen, step), "service_tier": "default", "system_fingerprint": "fp_fake"}


def _chunks(identity: str, model: str, seen: Seen, step: Step) -> list[bytes]:
    body = seen.json
    head: JSON = {"id": identity, "object": "chat.completion.chunk", "created": CREATED, "model": model}
    head |= {"service_tier": "default", "system_fingerprint": "fp_fake"}
    rest: JSON = {"usage": None} if _asks_usage(body) else {}
    frames: list[bytes] = []

    def say(choice: int, delta: JSON, finish: str | None = None, logprobs: JSON | None = None) -> None:
        written = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        frames.append(frame({**head, "choices": [written], **rest}))

    for choice in range(body.get("n") or 1):
        deltas = _deltas(step)
        opening = {"role": "assistant", "content": None if step.tools else "", "refusal": None}
        if step.role_only_first or not deltas:
            say(choice, opening)
        else:
            deltas[0] = {"role": "assistant", **deltas[0]}
        for delta in deltas:
            wants = body.get("logprobs") or step.logprobs
            text = delta.get("content")
            say(choice, delta, logprobs=_logprobs((text,)) if wants and text else None)
        say(choice, {}, _finish(step))
    if _asks_usage(body) and not step.omit_usage:
        frames.append(frame({**head, "choices": [], **_usage(seen, step)}))
    return frames


def _deltas(step: Step) -> list[JSON]:
    deltas: list[JSON] = [{"reasoning_content": token} for token in step.reasoning_tokens]
    if step.refusal:
        return deltas + [{"refusal": piece} for piece in step.refusal_tokens]
    if not step.tools or isinstance(step.text, tuple):
        deltas += [{"content": token} for token in step.tokens]
    for place, tool in enumerate(step.tools):
        function = {"name": tool.name, "arguments": ""}
        deltas.append(
            {"tool_calls": [{"index": place, "id": _call_id(tool, place), "type": "function", "function": function}]}
        )
        for start in range(0, len(tool.arguments), 7):
            piece = {"index": place, "function": {"arguments": tool.arguments[start : start + 7]}}
            deltas.append({"tool_calls": [piece]})
    return deltas


def _text_choice(index: int, text: str, finish: str | None) -> JSON:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


# ---- embeddings -----------------------------------------------------------------------------------------------------


def vector_of(text: Any, size: int) -> tuple[float, ...]:
    """A unit vector made from the text alone: equal texts have equal vectors."""
    digest = hashlib.sha256(msgspec.json.encode(text)).digest()
    numbers = [digest[i % 32] / 255 - 0.5 for i in range(size)]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return tuple(number / length for number in numbers)


def _base64(vector: tuple[float, ...]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
