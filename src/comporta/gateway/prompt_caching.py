"""Which prefixes are worth a place in their provider's own cache, and what that saved.

A provider asks more for writing into its cache (Anthropic a quarter more) and far less for reading: a prefix that never
comes again would cost. With `auto` one is marked from the second time on that it comes within five minutes, as long as
such a cache holds; with `always` from the first.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct, structs

from comporta.gateway.attempt import Reached
from comporta.pipeline import Call
from comporta.providers.base import Caching, Query
from comporta.providers.prompt_caching import minimum_tokens
from comporta.types import Price, Usage

Mode = Literal["off", "auto", "always"]
NOTE = "prompt_caching"
_HOLDS_S = 300.0
_MOST_PREFIXES = 8_192
#: About. A mark on a prefix that is a little too short costs nothing: its provider passes over it.
_BYTES_A_TOKEN = 4
_encoder = msgspec.json.Encoder()


class Prefix(Struct, frozen=True):
    """What a request begins with, up to a place that can be marked; `size` in bytes of JSON."""

    name: str
    digest: bytes
    size: int


class Prefixes(Struct, frozen=True):
    """`standing` is what stays while questions change, the shortest first: tools, the system's text, the first message.
    `ends` is the conversation up to each of what its user said, the last one being the whole."""

    standing: list[Prefix]
    ends: list[Prefix]


class PromptCaching:
    """Looks at what goes out. `mode_of` says what a call's route and provider want, `price_of` what its tokens cost."""

    def __init__(
        self,
        mode_of: Callable[[Call], Mode],
        price_of: Callable[[Call, Usage], Price | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mode_of = mode_of
        self._price_of = price_of
        self._clock = clock
        #: When each prefix came last, the longest ago first.
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def applied(self, call: Call, reached: Reached) -> Reached:
        """What is asked, with what its wire needs to know of caching; the same where nothing is wished."""
        mode = self._mode_of(call)
        if mode == "off" or call.kind != "chat":
            return reached
        prefixes = prefixes_of(reached.query, f"{reached.endpoint.provider}/{reached.query.model}")
        marks = self._marks(prefixes, minimum_tokens(reached.query.model), mode)
        caching = Caching(marks, _key(prefixes, call))
        if NOTE not in (call.notes or {}):
            # Once for all attempts.
            call.at_end(self._tell)
        call.note(NOTE, mode=mode, marks=list(caching.marks))
        return structs.replace(reached, query=structs.replace(reached.query, caching=caching))

    def _marks(self, prefixes: Prefixes, fewest_tokens: int, mode: Mode) -> tuple[str, ...]:
        """The places to mark, the shorter prefix first: the longest standing one that came before, and the end of a
        conversation that goes on."""
        fewest, now_s = fewest_tokens * _BYTES_A_TOKEN, self._clock()
        standing = [one for one in prefixes.standing if one.size >= fewest]
        came = [one for one in standing if self._came(one, now_s)]
        marks = [one.name for one in (standing if mode == "always" else came)][-1:]
        ends = prefixes.ends
        if ends and ends[-1].size >= fewest:
            # All of them, since each has come now.
            went_on = [self._came(end, now_s) for end in ends][:-1]
            if any(went_on) or (mode == "always" and len(ends) > 1):
                marks.append("last")
        return tuple(marks)

    def _came(self, prefix: Prefix, now_s: float) -> bool:
        """Whether a prefix came within the last minutes; it has come now."""
        before_s = self._seen.pop(prefix.digest, None)
        self._seen[prefix.digest] = now_s
        if len(self._seen) > _MOST_PREFIXES:
            self._seen.popitem(last=False)
        return before_s is not None and now_s - before_s <= _HOLDS_S

    def _tell(self, call: Call) -> None:
        usage = call.usage
        if usage is None:
            return
        saved = saved_microusd(usage, self._price_of(call, usage))
        call.note(NOTE, cached=usage.cached, cache_write=usage.cache_write, saved_microusd=saved)


def saved_microusd(usage: Usage, price: Price | None) -> int | None:
    """What the provider's cache saved (below zero: what it cost); None where a price is missing."""
    if price is None or price.input is None:
        return None
    reading = price.input if price.cached is None else price.cached
    writing = price.input if price.cache_write is None else price.cache_write
    return (usage.cached * (price.input - reading) - usage.cache_write * (writing - price.input)) // 1_000_000


def prefixes_of(query: Query, place: str) -> Prefixes:
    """What a query begins with; of another model and provider it is another prefix."""
    given = query.input
    digest = hashlib.blake2b(place.encode(), digest_size=16)
    size = 0

    def taken(name: str, value: object) -> Prefix:
        nonlocal size
        text = _encoder.encode(value)
        digest.update(text)
        size += len(text)
        return Prefix(name, digest.digest(), size)

    standing, ends = [], []
    if given.tools:
        standing.append(taken("tools", sorted(given.tools, key=lambda tool: tool.name)))
    system = [message for message in given.messages if message.role == "system"]
    if system:
        standing.append(taken("system", system))
    turns = [message for message in given.messages if message.role != "system"]
    for at, message in enumerate(turns):
        prefix = taken("first", message)
        if at == 0 and len(turns) > 1:
            standing.append(prefix)
        if message.role != "assistant":
            ends.append(prefix)
    # A given beginning of the answer is no end to go on from.
    return Prefixes(standing, ends if turns and turns[-1].role != "assistant" else [])


def _key(prefixes: Prefixes, call: Call) -> str:
    """The same for calls of one prefix and one conversation: providers send equal keys to one machine."""
    who = "\0".join((call.caller.key_id, call.session or call.user or ""))
    before = next((one.digest for one in reversed(prefixes.standing) if one.name != "first"), b"")
    return f"comporta-{hashlib.blake2b(before + who.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"
