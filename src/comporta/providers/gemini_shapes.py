"""What Gemini's answers look like, as far as they are read, and what their figures mean."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from comporta.types import JSON, Usage


class Call(Struct, frozen=True):
    name: str | None = None
    id: str | None = None
    args: Any = None


class Blob(Struct, frozen=True, rename="camel"):
    mime_type: str | None = None
    data: str | None = None


class Part(Struct, frozen=True, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: Blob | None = None


class Content(Struct, frozen=True):
    parts: tuple[Part, ...] | None = None


class Candidate(Struct, frozen=True, rename="camel"):
    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    logprobs_result: Any = None


class Modality(Struct, frozen=True, rename="camel"):
    modality: str | None = None
    token_count: int | None = None


class SaidUsage(Struct, frozen=True, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: tuple[Modality, ...] | None = None
    cache_tokens_details: tuple[Modality, ...] | None = None
    candidates_tokens_details: tuple[Modality, ...] | None = None


class Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class Response(Struct, frozen=True, rename="camel"):
    candidates: tuple[Candidate, ...] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: SaidUsage | None = None
    response_id: str | None = None
    model_version: str | None = None
    error: Any = None


class Count(Struct, frozen=True, rename="camel"):
    total_tokens: int | None = None
    cached_content_token_count: int | None = None


class Vector(Struct, frozen=True):
    values: tuple[float, ...] = ()


class Vectors(Struct, frozen=True, rename="camel"):
    embeddings: tuple[Vector, ...] = ()
    usage_metadata: SaidUsage | None = None


RESPONSE: Final = msgspec.json.Decoder(Response)
COUNT: Final = msgspec.json.Decoder(Count)
VECTORS: Final = msgspec.json.Decoder(Vectors)


def usage_of(said: SaidUsage) -> Usage:
    """Disjoint buckets (WIRE 28): the prompt's count includes what was cached, the candidates' excludes thoughts."""
    cached = said.cached_content_token_count or 0
    audio = _of_kind(said.prompt_tokens_details, "AUDIO") - _of_kind(said.cache_tokens_details, "AUDIO")
    image = _of_kind(said.prompt_tokens_details, "IMAGE") - _of_kind(said.cache_tokens_details, "IMAGE")
    spoken = _of_kind(said.candidates_tokens_details, "AUDIO")
    prompt = (said.prompt_token_count or 0) + (said.tool_use_prompt_token_count or 0)
    audio, image = max(0, audio), max(0, image)
    return Usage(
        input=max(0, prompt - cached - audio - image),
        cached=cached,
        audio_in=audio,
        image_in=image,
        output=max(0, (said.candidates_token_count or 0) - spoken),
        reasoning=said.thoughts_token_count or 0,
        audio_out=spoken,
    )


def _of_kind(details: tuple[Modality, ...] | None, kind: str) -> int:
    return sum(item.token_count or 0 for item in details or () if item.modality == kind)


def logprobs_of(result: object) -> JSON | None:
    """Log probabilities in OpenAI's words, which are the canonical ones."""
    if not isinstance(result, dict):
        return None
    tops = result.get("topCandidates") or []
    content: list[JSON] = []
    for number, chosen in enumerate(result.get("chosenCandidates") or []):
        others = tops[number].get("candidates") or [] if number < len(tops) else []
        content.append({**_token(chosen), "top_logprobs": [_token(other) for other in others]})
    return {"content": content} if content else None


def _token(value: JSON) -> JSON:
    token = str(value.get("token", ""))
    return {"token": token, "logprob": value.get("logProbability", 0.0), "bytes": list(token.encode())}
