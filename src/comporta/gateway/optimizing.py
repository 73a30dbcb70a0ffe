"""The stage `shorten`: a prompt in fewer tokens, where its route says so.

What it saved stands on the record (`notes.tokens`) and in the header `x-comporta-tokens`. A failure of its own costs
the saving and not the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog
from msgspec import Struct

from comporta.gateway.admission import HEADERS
from comporta.guardrails.parts import PASSAGE
from comporta.pipeline import Call, Next
from comporta.text.language import guess_language
from comporta.text.optimizing.conversation import Shortened, shorten
from comporta.text.optimizing.relevance import by_words
from comporta.text.optimizing.settings import Policy
from comporta.text.tokens import Count, Counter
from comporta.types import Event, Input, Message, Text, ToolCall, ToolResult

log = structlog.get_logger("comporta.optimize")

HEADER = "x-comporta-tokens"
NOTE = "tokens"
#: A call with this fact is asked as it came: the copy that an optimised one is compared with.
AS_IT_CAME = "as_it_came"
_DONE = "shortened"
#: Texts up to here take less time than the way to a thread.
_SHORT_CHARACTERS = 2_000

Embed = Callable[[Sequence[str]], Awaitable[list[tuple[float, ...]]]]


class Saved(Struct, frozen=True):
    """What optimising came to, over all calls of this process."""

    calls: int = 0
    tokens: int = 0


class Optimizing:
    """The stage. `price_of` gives micro-dollars per million tokens of input, None where unknown; `embed` vectors of
    texts, for relevance by meaning; `watch` may watch an optimised call's answer."""

    def __init__(
        self,
        policy_of: Callable[[Call], Policy | None],
        counter: Counter,
        price_of: Callable[[Call, int], int | None],
        embed: Embed,
        watch: Callable[[Call, Input, Policy, AsyncIterator[Event]], AsyncIterator[Event]],
    ) -> None:
        self._policy_of = policy_of
        self._counter = counter
        self._price_of = price_of
        self._embed = embed
        self._watch = watch
        self.saved = Saved()

    def applies(self, call: Call) -> bool:
        """Whether there is anything to do for a call."""
        return call.kind == "chat" and self._policy_of(call) is not None and AS_IT_CAME not in call.facts

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        policy = self._policy_of(call)
        if policy is None:
            return await next(call)
        came = call.input
        if call.facts.get(_DONE) == (id(came.messages), policy):
            # A fallback passes here again.
            return await next(call)
        changed = await self._shorten(call, policy)
        call.facts[_DONE] = (id(call.input.messages), policy)
        events = await next(call)
        return self._watch(call, came, policy, events) if changed else events

    async def _shorten(self, call: Call, policy: Policy) -> bool:
        messages = call.input.messages
        model = None if call.target is None else call.target.model
        try:
            before = self._count(messages, model)
            if before.tokens < policy.min_tokens:
                return False
            done = await self._work(messages, policy, model)
            after = self._count(done.messages, model) if done.messages is not messages else before
        except Exception as error:
            log.error("optimize.failed", kind=type(error).__name__, call=call.id, exc_info=error)
            return False
        better = after.tokens < before.tokens
        if better:
            call.input = call.input.edit(messages=done.messages)
        self._tell(call, before, after if better else before, done if better else Shortened(messages, {}))
        return better

    async def _work(self, messages: tuple[Message, ...], policy: Policy, model: str | None) -> Shortened:
        def count(text: str) -> int:
            return self._counter.count(text, model).tokens

        by_meaning = policy.context_tokens is not None and policy.relevance == "meaning"
        if not by_meaning and sum(len(message.text) for message in messages) <= _SHORT_CHARACTERS:
            return shorten(messages, policy, count, by_words, PASSAGE)
        loop = asyncio.get_running_loop()

        def meaning(question: str, passages: Sequence[str]) -> Sequence[float]:
            return asyncio.run_coroutine_threadsafe(self._likeness(question, passages), loop).result()

        return await asyncio.to_thread(shorten, messages, policy, count, meaning if by_meaning else by_words, PASSAGE)

    async def _likeness(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        """How near passages are to a question; by words where the embedder can't say."""
        guess = guess_language(question)
        if guess.code != "en" and guess.sure > 0:
            return by_words(question, passages)
        try:
            asked, *others = await self._embed([question, *passages])
        except Exception as error:
            log.warning("optimize.no_meaning", kind=type(error).__name__, then="passages are weighed by their words")
            return by_words(question, passages)
        return [sum(a * b for a, b in zip(asked, other, strict=True)) for other in others]

    def _count(self, messages: Sequence[Message], model: str | None) -> Count:
        counts = [self._counter.count(text, model) for message in messages for text in _texts(message.parts)]
        by = counts[0] if counts else self._counter.count("", model)
        return Count(sum(one.tokens for one in counts), all(one.exact for one in counts), by.by)

    def _tell(self, call: Call, before: Count, after: Count, done: Shortened) -> None:
        saved = before.tokens - after.tokens
        worth = self._price_of(call, before.tokens)
        self.saved = Saved(self.saved.calls + (saved > 0), self.saved.tokens + saved)
        call.note(
            NOTE, before=before.tokens, after=after.tokens, saved=saved, by=after.by, how=after.how,
            saved_microusd=None if worth is None else saved * worth // 1_000_000, steps=dict(done.steps),
        )  # fmt: skip
        head = [one for one in call.facts.get(HEADERS, ()) if one[0] != HEADER]
        call.facts[HEADERS] = [*head, (HEADER, f"before={before.tokens}; after={after.tokens}")]


def _texts(parts: Sequence[object]) -> list[str]:
    found: list[str] = []
    for part in parts:
        if isinstance(part, Text):
            found.append(part.text)
        elif isinstance(part, ToolCall):
            found.append(part.arguments)
        elif isinstance(part, ToolResult):
            found += _texts(part.parts)
    return found
