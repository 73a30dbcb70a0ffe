"""What a call will about cost at a model: a guess to choose by, where a budget holds the most that it can come to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from comporta.errors import BadRequest
from comporta.providers.catalogue import ModelFacts, cost_microusd
from comporta.routing.task.names import Complexity
from comporta.text.tokens import count
from comporta.types import Image, Input, Text, ToolResult, Usage

#: What answers of a task are usually like, in tokens. A translation is as long as its text.
WRITTEN: Final[Mapping[str, int]] = MappingProxyType({
    "classification": 15, "extraction": 150, "summarisation": 220, "question_answering": 220, "code": 600,
    "creative_writing": 700, "reasoning": 700, "chat": 160,
})  # fmt: skip
USUAL_TOKENS: Final = 300
#: Calls without a text to go by, by how hard they are: tokens in and out.
SIZES: Final[Mapping[Complexity, tuple[int, int]]] = MappingProxyType(
    {"low": (300, 150), "medium": (1_000, 400), "high": (4_000, 1_200)}
)
#: Longer texts are counted by their beginning: the rest is likely to be of the same kind.
_COUNTED: Final = 8_000
_IMAGE_TOKENS: Final = 800
_MESSAGE_TOKENS: Final = 4


class Estimate(Struct, frozen=True):
    """What a call is likely to cost; `cost_microusd` None where the model's price is unknown.

    `exact` says that the input's tokens were counted by the tokenizer's own table, `by` which family's. Prices are
    those of the configuration, else of the catalogue `as_of` that day.
    """

    model: str
    tokens_in: int
    tokens_out: int
    cost_microusd: int | None
    exact: bool
    by: str
    as_of: str = ""
    input_microusd: int | None = None
    output_microusd: int | None = None


def tokens_in(given: Input, model: str | None = None) -> int:
    """About how many tokens an input is for a model."""
    total = 3
    for message in given.messages:
        total += _MESSAGE_TOKENS
        for part in message.parts:
            total += _part(part, model)
    for tool in given.tools:
        total += (len(str(tool.parameters)) + len(tool.description or "") + len(tool.name)) // 4 + _MESSAGE_TOKENS
    if given.response_format is not None and given.response_format.schema:
        total += len(str(given.response_format.schema)) // 4
    return total + sum(_text(text, model) if isinstance(text, str) else len(text) for text in given.texts)


def _part(part: object, model: str | None) -> int:
    if isinstance(part, Text):
        return _text(part.text, model)
    if isinstance(part, Image):
        return _IMAGE_TOKENS
    if isinstance(part, ToolResult):
        return sum(_part(inner, model) for inner in part.parts)
    return len(str(getattr(part, "arguments", ""))) // 4


def _text(text: str, model: str | None) -> int:
    if len(text) <= _COUNTED:
        return count(text, model).tokens
    return count(text[:_COUNTED], model).tokens * len(text) // _COUNTED


def tokens_out(given: Input, task: str | None, read: int) -> int:
    """About how many tokens will be written: what answers of the task are like, at most what the call allows."""
    usual = read if task == "translation" else WRITTEN.get(task or "", USUAL_TOKENS)
    wanted = min(usual, given.max_tokens) if given.max_tokens else usual
    return max(wanted, 1) * max(given.n, 1)


def cost_of(facts: ModelFacts, read: int, written: int) -> int | None:
    """Micro-dollars at a model's price; None where it is unknown."""
    usage = Usage(input=read, output=written)
    price = facts.price_for(usage)
    return None if price is None else cost_microusd(usage, price)


def estimated(model: str, facts: ModelFacts, given: Input, task: str | None, as_of: str) -> Estimate:
    """The estimate for one model. Raises BadRequest where the input does not fit it."""
    text = "".join(message.text for message in given.messages)
    how = count(text[:_COUNTED], model)
    read = tokens_in(given, model)
    if facts.context is not None and read > facts.context:
        raise BadRequest(
            f"This is about {read:,} tokens, and '{model}' takes {facts.context:,}.", code="context_length_exceeded"
        )
    written = tokens_out(given, task, read)
    return Estimate(
        model, read, written, cost_of(facts, read, written), how.exact, how.by, as_of, cost_of(facts, read, 0),
        cost_of(facts, 0, written),
    )  # fmt: skip
