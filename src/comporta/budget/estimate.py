"""What a call can come to at most, near enough: held before it is asked, settled at the real cost after it."""

from __future__ import annotations

from comporta.types import (
    Audio,
    File,
    Image,
    Input,
    Part,
    Price,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

#: Stands in where a client does not say how much may be written.
OUTPUT_TOKENS = 4096
#: What an image may come to; bytes would be far off.
_IMAGE_TOKENS = 2_000
#: A part's or a tool's own frame.
_FRAME_TOKENS = 8
_MILLION = 1_000_000


def input_tokens(given: Input) -> int:
    """An upper bound: no token is shorter than a byte."""
    size = 0
    for message in given.messages:
        size += _FRAME_TOKENS
        for part in message.parts:
            # Nearly all of them, so they are looked for first.
            size += _bytes(part.text) if part.__class__ is Text else _part(part)
    for text in given.texts:
        size += _bytes(text) if isinstance(text, str) else len(text)
    for tool in given.tools:
        size += len(str(tool.parameters)) + len(tool.name) + len(tool.description or "") + _FRAME_TOKENS
    if given.response_format is not None:
        size += len(str(given.response_format.schema))
    return size


def _part(part: Part) -> int:
    if isinstance(part, Text):
        return _bytes(part.text)
    if isinstance(part, Image):
        return _IMAGE_TOKENS
    if isinstance(part, ToolCall):
        return _bytes(part.arguments) + _FRAME_TOKENS
    if isinstance(part, ToolResult):
        return sum([_part(inner) for inner in part.parts])
    if isinstance(part, Reasoning | Refusal):
        return _bytes(part.text)
    if isinstance(part, Audio | File):
        return len(part.data or "") // 4 + _IMAGE_TOKENS
    return len(str(part.value))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def output_tokens(given: Input, params: dict[str, object], most: int | None) -> int:
    """What may be written: as asked, else as the variant says, else 4,096 or what the model can."""
    asked = given.max_tokens or params.get("max_tokens")
    tokens = asked if isinstance(asked, int) else min(OUTPUT_TOKENS, most or OUTPUT_TOKENS)
    count = given.n if given.n > 1 else params.get("n")
    return tokens * max(count if isinstance(count, int) else 1, 1)


def worst_rates(price: Price) -> tuple[int | None, int | None]:
    """The dearest rate that may hold for what is read and for what is written; None where there is no price."""
    rates_in = (price.input, price.cached, price.cache_write)
    rates_out = (price.output, price.reasoning)
    return (
        None if price.input is None else max(rate for rate in rates_in if rate is not None),
        None if price.output is None else max(rate for rate in rates_out if rate is not None),
    )


def worst_microusd(rates: tuple[int | None, int | None], tokens_in: int, tokens_out: int) -> int | None:
    """At the dearest rates; None where a side that is used has no price."""
    rate_in, rate_out = rates
    if (tokens_in and rate_in is None) or (tokens_out and rate_out is None):
        return None
    return -(-(tokens_in * (rate_in or 0) + tokens_out * (rate_out or 0)) // _MILLION)
