"""The offline model: it quotes the sentences of the given text that answer the question, and says that it does so.

It is a real provider (stream, usage, errors) for a machine without any key. Sentences are found by meaning (MiniLM)
and shared words together; where the embedding model is away, by words alone, and the answer says that too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from msgspec import Struct

from comporta.embedding.minilm import MiniLM
from comporta.errors import BadRequest, ComportaError, Unsupported, UpstreamRejected
from comporta.pipeline import new_id
from comporta.providers.base import Endpoint, Query
from comporta.providers.extractive import (
    ENOUGH_BY_WORDS,
    Task,
    both,
    by_words,
    candidates,
    enough,
    likeness,
    quotable,
    read_task,
)
from comporta.providers.offline_phrases import LABELS, PHRASES, Phrases, Spoken, quoted, written
from comporta.text.language import guess_language
from comporta.text.tokens import estimate_tokens
from comporta.types import Delta, Event, Finish, Input, Part, Reasoning, Refusal, Text, ToolCall, ToolResult, Usage

MODEL = "extractive"
#: As many tokens as the model reads; more would keep the one embedding thread busy for seconds.
LONGEST_TOKENS = 16_384
_LONGEST_CHARACTERS = 12 * LONGEST_TOKENS
#: How long an answer waits for an embedding model that is being loaded or built: less than the first-token limit.
PATIENCE_S = 6.0
#: After a failure to load, how long until loading is tried again.
_REST_S = 60.0
_WORD = re.compile(r"\s*\S+|\s+$")


class Found(Struct, frozen=True):
    """What an answer quotes; `why_by_words` says why meaning took no part, None where it did."""

    passages: list[str]
    why_by_words: str | None


class Offline:
    """The model `offline/extractive`."""

    name = "offline"

    def __init__(self, embedder: MiniLM, patience_s: float = PATIENCE_S) -> None:
        self._embedder = embedder
        self._patience_s = patience_s
        self._warming: asyncio.Task[None] | None = None
        self._rests_until_s = 0.0

    async def answer(self, query: Query, endpoint: Endpoint) -> AsyncIterator[Event]:
        """The answer as events. Raises Unsupported or UpstreamRejected before the first of them."""
        check(query)
        await self._settle(query.input)
        tokens, estimated = await self._count(_all_texts(query.input))
        if tokens > LONGEST_TOKENS:
            raise too_long(tokens)
        if query.kind == "count":
            yield Event(usage=Usage(input=tokens, estimated=estimated), model=query.model, whole=True, last=True)
            return
        text, finish, stop_sequence = shortened(await self._say(query.input), query.input)
        output, unsure = await self._count([text])
        usage = Usage(input=tokens, output=output, estimated=estimated or unsure)
        end = Delta(finish=finish, stop_sequence=stop_sequence)
        reply_id = f"offline-{new_id()}"
        if not query.stream:
            delta = Delta(text=text, finish=finish, stop_sequence=stop_sequence)
            yield Event(deltas=(delta,), usage=usage, id=reply_id, model=query.model, whole=True, last=True)
            return
        for word in _WORD.findall(text):
            yield Event(deltas=(Delta(text=word),), id=reply_id, model=query.model)
            await asyncio.sleep(0)
        yield Event(deltas=(end,), id=reply_id, model=query.model)
        yield Event(usage=usage, id=reply_id, model=query.model, last=True)

    async def aclose(self) -> None:
        """Stop waiting for the embedding model; the model itself belongs to whoever made it."""
        if self._warming is not None and not self._warming.done():
            self._warming.cancel()
            await asyncio.wait({self._warming})

    async def _say(self, asked: Input) -> str:
        # In a thread: a long text takes a third of a second to read, and other calls must not wait for it.
        task = await asyncio.to_thread(read_task, asked.messages, LABELS)
        if task is None or not task.question:
            raise BadRequest("The offline model needs a user message with text: it is the question.", param="messages")
        phrases = PHRASES[_language(task)]
        if not task.passages:
            return written(phrases, phrases.nothing_given, None)
        found = await self._find(task, phrases)
        body = quoted(phrases, found.passages) if found.passages else phrases.nothing_near
        return written(phrases, body, found.why_by_words)

    async def _find(self, task: Task, phrases: Phrases) -> Found:
        named = await asyncio.to_thread(by_words, task)
        why = self._why_not(phrases)
        if why is None:
            english = _language(task) == "en"
            places = candidates(named)
            first, *others = await self._embedder.embed([task.question, *(task.passages[i] for i in places)])
            scores = [(i, both(likeness(first, v), named[i], english)) for i, v in zip(places, others, strict=True)]
            chosen = quotable(scores, enough(task.question, english))
        else:
            chosen = quotable(list(enumerate(named)), ENOUGH_BY_WORDS)
        return Found([task.passages[i] for i in chosen], why)

    def _why_not(self, phrases: Phrases) -> str | None:
        """Why the embedding model can't take part now; None where it can."""
        if self._embedder.ready:
            return None
        return phrases.not_ready if self._embedder.installed else phrases.not_installed

    async def _settle(self, asked: Input) -> None:
        """Wait a little, once a call, for an embedding model that is on its way. Raises for too long a text."""
        _refuse_too_long(asked)
        clock = asyncio.get_running_loop().time
        if self._embedder.ready or not self._embedder.installed:
            return
        if self._warming is None or self._warming.done():
            if clock() < self._rests_until_s:
                return
            self._warming = asyncio.create_task(self._embedder.warm())
        warming = self._warming
        await asyncio.wait({warming}, timeout=self._patience_s)
        if warming.done() and not warming.cancelled() and warming.exception() is not None:
            self._rests_until_s = clock() + _REST_S

    async def _count(self, texts: list[str]) -> tuple[int, bool]:
        """Tokens, and whether they are only an estimate, as before the tokenizer is loaded."""
        if self._embedder.ready:
            return sum(await self._embedder.count(texts)), False
        return sum(map(estimate_tokens, texts)), True


def _refuse_too_long(asked: Input) -> None:
    """By characters alone: what is longer than this would only be counted for nothing."""
    characters = sum(map(len, _all_texts(asked)))
    if characters > _LONGEST_CHARACTERS:
        raise too_long(characters // 4)


def _all_texts(asked: Input) -> list[str]:
    return [text for message in asked.messages for part in message.parts for text in _shown(part)]


def _language(task: Task) -> Spoken:
    """The language of the question; where that says too little, of the text; English where neither is known."""
    for text in (task.question, " ".join(task.passages)):
        guess = guess_language(text)
        if guess.sure >= 0.2 and guess.code != "other":
            return guess.code
    return "en"


def _shown(part: Part) -> list[str]:
    if isinstance(part, ToolResult):
        return [text for inner in part.parts for text in _shown(inner)]
    return [part.text] if isinstance(part, Text) else []


def shortened(text: str, asked: Input) -> tuple[str, Finish, str | None]:
    """The text as far as the caller wants it, why it ends, and at which stop sequence."""
    found = [(text.index(stop), stop) for stop in asked.stop if stop and stop in text]
    place, stop = min(found, default=(len(text), None))
    text = text[:place]
    if asked.max_tokens is None or estimate_tokens(text) <= asked.max_tokens:
        return text, "stop", stop
    kept, left = "", asked.max_tokens
    for word in _WORD.findall(text):
        left -= estimate_tokens(word)
        if left < 0:
            break
        kept += word
    return kept, "length", None


# ---- what it can't do -----------------------------------------------------------------------------------------------


def too_long(tokens: int) -> ComportaError:
    return UpstreamRejected(
        f"The offline model reads at most {LONGEST_TOKENS} tokens; the messages have about {tokens}. "
        "Send less text, or use another model.",
        code="context_length_exceeded",
        param="messages",
    )


def check(query: Query) -> None:
    """Refuse what an extractive model can't do (WIRE 12). Raises Unsupported that names the field."""
    if query.model != MODEL:
        raise UpstreamRejected(
            f"The provider has no model {query.model!r}; it has {MODEL!r}.",
            status=404, code="model_not_found", param="model",
        )  # fmt: skip
    if query.kind == "embed":
        raise Unsupported("The offline model makes no embeddings; use `local/all-minilm-l6-v2`.", param="model")
    asked = query.input
    reasons = {
        "tools": (bool(asked.tools), "call tools"),
        "response_format": (asked.response_format is not None and asked.response_format.kind != "text", "write JSON"),
        "n": (asked.n > 1, "give more than one choice"),
        "logprobs": (bool(asked.logprobs or asked.top_logprobs), "give log probabilities"),
        "modalities": (any(m != "text" for m in asked.modalities), "answer in anything but text"),
    }
    for param, (wanted, what) in reasons.items():
        if wanted:
            raise Unsupported(f"The offline model can't {what}: it only quotes the text it is given.", param=param)
    for i, message in enumerate(asked.messages):
        for j, part in enumerate(message.parts):
            _check_part(part, f"messages[{i}].content[{j}]")


def _check_part(part: Part, param: str) -> None:
    if isinstance(part, ToolResult):
        for inner in part.parts:
            _check_part(inner, param)
    elif not isinstance(part, Text | ToolCall | Reasoning | Refusal):
        kind = type(part).__name__.lower()
        raise Unsupported(f"The offline model reads text only, no part of the kind '{kind}'.", param=param)
