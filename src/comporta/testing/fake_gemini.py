"""A fake of Google's Gemini API: its official SDK can't tell it from the real one, and it refuses what that refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from comporta.testing.gemini_rules import camel, check_chat, check_count, check_embed, check_headers
from comporta.testing.rules import Broken
from comporta.testing.upstream import Answer, FakeUpstream, Route, Seen, Step, frame
from comporta.types import JSON, Usage

_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_WORDS: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_MODELS: Final = ("gemini-2.5-flash", "gemini-embedding-001")
_SIGNATURE: Final = "c2lnbmVkLWJ5LXRoZS1mYWtl"
_DIMENSIONS: Final = 8


class FakeGemini(FakeUpstream):
    """generateContent, its stream, embeddings, countTokens and models, on 127.0.0.1."""

    wire = "gemini"

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {
            ("POST", "/{version:v1|v1beta}/models/{model}:generateContent"): _checked(_generate, check_chat),
            ("POST", "/{version:v1|v1beta}/models/{model}:streamGenerateContent"): _checked(_stream, check_chat),
            ("POST", "/{version:v1|v1beta}/models/{model}:countTokens"): _checked(_count, check_count),
            ("POST", "/{version:v1|v1beta}/models/{model}:batchEmbedContents"): _checked(_embed, check_embed),
            ("GET", "/{version:v1|v1beta}/models"): _models,
            ("GET", "/{version:v1|v1beta}/models/{model}"): _model,
        }

    def failure(self, seen: Seen, step: Step) -> bytes:
        status = 503 if step.status == 200 else step.status
        return _envelope(status, step.error or _WORDS.get(status, "UNKNOWN"), step.message)

    def model_of(self, seen: Seen) -> str | None:
        return seen.match.get("model")


def _envelope(status: int, word: str, message: str) -> bytes:
    error: JSON = {"code": status, "message": message, "status": word}
    if word == "API_KEY_INVALID":
        error["status"] = "INVALID_ARGUMENT"
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word}]
    elif status == 429:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]
    return msgspec.json.encode({"error": error})


def _checked(route: Route, check: Callable[[JSON, str], None]) -> Route:
    def answer(seen: Seen, step: Step) -> Answer:
        try:
            check_headers(seen.headers, seen.query)
            if not seen.valid:
                raise Broken("Invalid JSON payload received")
            seen.json = camel(seen.json)
            check(seen.json, f"models/{seen.match['model']}")
        except Broken as broken:
            word = broken.kind or _WORDS[broken.status]
            return Answer(status=broken.status, body=_envelope(broken.status, word, broken.message))
        return route(seen, step)

    return answer


# ---- answers --------------------------------------------------------------------------------------------------------


def _generate(seen: Seen, step: Step) -> Answer:
    config = seen.json.get("generationConfig", {})
    parts = [part for group in _groups(seen, step) for part in group]
    candidates = [
        _candidate(index, _joined(parts), step, last=True) for index in range(config.get("candidateCount", 1))
    ]
    return Answer(body=msgspec.json.encode(_response(seen, step, candidates, last=True)))


def _stream(seen: Seen, step: Step) -> Answer:
    if seen.query.get("alt") != "sse":
        return Answer(status=400, body=_envelope(400, "INVALID_ARGUMENT", "This fake streams with alt=sse only"))
    error = _envelope(503, step.error or "UNAVAILABLE", step.message)
    return Answer(frames=list(_frames(seen, step)), content_type="text/event-stream", error=b"data: " + error + b"\n\n")


def _frames(seen: Seen, step: Step) -> Iterator[bytes]:
    """Each group of parts is a chunk; the reason to finish stands in the last one, unless the script leaves it out."""
    groups = _groups(seen, step) or [[{"text": ""}]]
    count = seen.json.get("generationConfig", {}).get("candidateCount", 1)
    for number, parts in enumerate(groups):
        last = number == len(groups) - 1
        for index in range(count):
            candidate = _candidate(index, parts, step, last=last and not step.omit_done)
            yield frame(_response(seen, step, [candidate], last=last and index == count - 1))


def _groups(seen: Seen, step: Step) -> list[list[JSON]]:
    if step.refusal or step.finish == "content_filter":
        return []
    groups: list[list[JSON]] = [[{"text": token, "thought": True}] for token in step.reasoning_tokens]
    if step.text != Step().text or not step.tools:
        groups.extend([{"text": token}] for token in step.tokens)
    calls: list[JSON] = [{"functionCall": _call(tool.name, tool.arguments, tool.id)} for tool in step.tools]
    if calls:
        calls[0]["thoughtSignature"] = _SIGNATURE
        groups.append(calls)
    elif groups and step.reasoning:
        groups[-1][0]["thoughtSignature"] = _SIGNATURE
    return groups


def _call(name: str, arguments: str, call_id: str | None) -> JSON:
    call: JSON = {"name": name, "args": msgspec.json.decode(arguments)}
    return {**call, "id": call_id} if call_id else call


def _joined(parts: list[JSON]) -> list[JSON]:
    """Neighbouring texts of one kind as one part, as a plain answer has them."""
    joined: list[JSON] = []
    for part in parts:
        before = joined[-1] if joined else {}
        if "text" in part and "text" in before and part.get("thought") == before.get("thought"):
            joined[-1] = {**before, **part, "text": before["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


def _candidate(index: int, parts: list[JSON], step: Step, *, last: bool) -> JSON:
    candidate: JSON = {"index": index}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if last:
        reason = "SAFETY" if step.refusal else step.finish or "stop"
        candidate["finishReason"] = _REASONS.get(reason, reason)
        if step.logprobs:
            candidate["logprobsResult"] = _logprobs(step)
    return candidate


def _logprobs(step: Step) -> JSON:
    chosen = [{"token": token, "tokenId": n, "logProbability": -0.25} for n, token in enumerate(step.tokens)]
    return {"chosenCandidates": chosen, "topCandidates": [{"candidates": [token]} for token in chosen]}


def _response(seen: Seen, step: Step, candidates: list[JSON], *, last: bool) -> JSON:
    response: JSON = {
        "candidates": candidates,
        "modelVersion": step.model or seen.match["model"],
        "responseId": "fake-response-1",
    }
    if last and not step.omit_usage:
        response["usageMetadata"] = usage_words(step.usage_for(seen))
    return response


def usage_words(usage: Usage) -> JSON:
    """Usage as the API says it: the prompt's count includes what was cached."""
    audio = [{"modality": "AUDIO", "tokenCount": usage.audio_in}] if usage.audio_in else []
    image = [{"modality": "IMAGE", "tokenCount": usage.image_in}] if usage.image_in else []
    text = [{"modality": "TEXT", "tokenCount": usage.input + usage.cached}]
    return {
        "promptTokenCount": usage.prompt,
        "cachedContentTokenCount": usage.cached,
        "candidatesTokenCount": usage.output,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.total,
        "promptTokensDetails": text + audio + image,
    }


# ---- the rest -------------------------------------------------------------------------------------------------------


def _count(seen: Seen, step: Step) -> Answer:
    return Answer(body=msgspec.json.encode({"totalTokens": step.usage_for(seen).prompt}))


def _embed(seen: Seen, step: Step) -> Answer:
    requests = seen.json["requests"]
    vectors = step.vectors or tuple(_vector(request) for request in requests)
    return Answer(body=msgspec.json.encode({"embeddings": [{"values": vector} for vector in vectors]}))


def _vector(request: JSON) -> tuple[float, ...]:
    """Numbers drawn from the text: the same text gives the same vector."""
    text = "".join(part["text"] for part in request["content"]["parts"])
    length = request.get("outputDimensionality", _DIMENSIONS)
    return tuple(int.from_bytes(blake2b(f"{n}{text}".encode(), digest_size=2).digest()) / 65536 for n in range(length))


def _listed(name: str) -> JSON:
    methods = ["embedContent"] if "embedding" in name else ["generateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "version": "001", "supportedGenerationMethods": methods}


def _models(seen: Seen, step: Step) -> Answer:
    return Answer(body=msgspec.json.encode({"models": [_listed(name) for name in _MODELS]}))


def _model(seen: Seen, step: Step) -> Answer:
    name: Any = seen.match["model"]
    if name not in _MODELS:
        return Answer(status=404, body=_envelope(404, "NOT_FOUND", f"models/{name} is not found"))
    return Answer(body=msgspec.json.encode(_listed(name)))
