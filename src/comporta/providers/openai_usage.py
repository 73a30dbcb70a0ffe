"""Token counts and finish words of OpenAI-like upstreams, put into the canonical ones (WIRE 10, 28)."""

from __future__ import annotations

from typing import Any, Final

from comporta.types import Finish, Usage

#: OpenAI's words, and those that servers of the same protocol use instead.
FINISHES: Final[dict[str, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
}
#: Words that a client of OpenAI's API knows; with any other the upstream's own text is not passed on.
KNOWN_FINISHES: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


def _count(counts: Any, *names: str) -> int:
    """The first of the counts that is there; anything but a positive number counts as none."""
    if type(counts) is not dict:
        return 0
    for name in names:
        value = counts.get(name)
        if (type(value) is int or type(value) is float) and value > 0:
            return int(value)
    return 0


def _portions(total: int, *counts: int) -> list[int]:
    """Disjoint portions of a total, each cut to what is left; the last is the remainder."""
    portions = []
    for count in counts:
        portions.append(min(count, total))
        total -= portions[-1]
    return [*portions, total]


def usage_of(counts: Any) -> Usage | None:
    """Usage in disjoint buckets; None where the upstream gave nothing, or nothing but noughts.

    OpenAI counts cached, written, audio and image tokens among the prompt's and reasoning among the completion's.
    xAI adds reasoning on top instead, which its total gives away. DeepSeek and Moonshot name the cached tokens
    elsewhere.
    """
    prompt = _count(counts, "prompt_tokens", "input_tokens")
    completion = _count(counts, "completion_tokens", "output_tokens")
    if not prompt and not completion:
        return None
    if len(counts) <= 3 and counts.get("total_tokens") == prompt + completion:
        # Nothing else is counted: so it is with most servers.
        return Usage(input=prompt, output=completion)
    inside = counts.get("prompt_tokens_details") or counts.get("input_tokens_details")
    outside = counts.get("completion_tokens_details") or counts.get("output_tokens_details")
    reasoning = _count(outside, "reasoning_tokens") or _count(counts, "reasoning_tokens")
    if reasoning and _count(counts, "total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    cached, written, audio_in, image_in, text = _portions(
        prompt,
        _count(inside, "cached_tokens") or _count(counts, "prompt_cache_hit_tokens", "cached_tokens"),
        _count(inside, "cache_write_tokens", "cache_creation_tokens"),
        _count(inside, "audio_tokens"),
        _count(inside, "image_tokens"),
    )
    reasoning, audio_out, output = _portions(completion, reasoning, _count(outside, "audio_tokens"))
    return Usage(
        input=text, cached=cached, cache_write=written, audio_in=audio_in, image_in=image_in,
        output=output, reasoning=reasoning, audio_out=audio_out,
    )  # fmt: skip
