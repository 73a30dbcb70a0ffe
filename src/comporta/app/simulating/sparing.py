"""Fewer tokens, providers' own caches and batches in a replay: what each would have taken off the price of a call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache

from msgspec import Struct, structs

from comporta.app.known import Known
from comporta.app.simulating.policy import SimulatedSettings, WaitingSection
from comporta.app.simulating.recorded import Recorded
from comporta.gateway.attempt import Reached, TimeLimits
from comporta.gateway.optimizing import NOTE as TOKENS
from comporta.gateway.optimizing import Embed, Optimizing
from comporta.gateway.prompt_caching import NOTE as MARKED
from comporta.gateway.prompt_caching import Mode, PromptCaching, prefixes_of
from comporta.pipeline import Call, replay
from comporta.providers.base import Query
from comporta.text.optimizing.settings import Policy, policy_of
from comporta.text.token_tables import Tables
from comporta.text.tokens import Count, Counter
from comporta.types import Event, Input, Price, Usage

#: What providers take off for a batch that may take a day, as their price pages say (looked at in November 2026).
DISCOUNTS: Mapping[str, float] = {
    "openai": 0.5, "azure": 0.5, "anthropic": 0.5, "gemini": 0.5, "mistral": 0.5, "groq": 0.5, "together": 0.5,
    "fireworks": 0.5,
}  # fmt: skip
#: So long a provider keeps a prefix that is not read again (Anthropic's page on prompt caching, 2026).
_HOLDS_S = 300.0
_MOST_PREFIXES = 65_536
_MOST_COUNTS = 4_096
#: The wires whose providers cache what is marked, and nothing else; others find prefixes by themselves.
_MARKED = frozenset({"anthropic"})


class Remembering(Counter):
    """Counts of texts that come again and again: the same instructions stand before every question."""

    def __init__(self, tables: Tables | None = None) -> None:
        super().__init__(tables)
        self._count = lru_cache(_MOST_COUNTS)(super().count)

    def count(self, text: str, model: str | None = None) -> Count:
        return self._count(text, model)


class Shortened(Struct, frozen=True):
    """A prompt in fewer tokens; `saved` by estimate."""

    asked: Input
    saved: int


class Tokens:
    """The stage `shorten` itself, on calls of the past."""

    def __init__(self, settings: SimulatedSettings, counter: Counter, embed: Embed) -> None:
        self._general = policy_of(settings.optimize)
        self._routes = {
            name: policy_of(settings.optimize, route.optimize) for name, route in settings.routes.items()
        }  # fmt: skip
        self._optimizing = Optimizing(self._policy, counter, lambda call, tokens: None, embed, _unwatched)

    def _policy(self, call: Call) -> Policy | None:
        return self._general if call.target is None else self._routes.get(call.target.route, self._general)

    async def of(self, call: Call) -> Shortened | None:
        """None where nothing is taken out. Puts the shorter prompt into the call."""
        if not self._optimizing.applies(call):
            return None
        await self._optimizing.stage(call, _nothing)
        note = (call.notes or {}).get(TOKENS)
        saved = 0 if note is None else int(note["saved"])
        return Shortened(call.input, saved) if saved > 0 else None


def _unwatched(call: Call, came: Input, policy: Policy, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    return events


async def _nothing(call: Call) -> AsyncIterator[Event]:
    return replay(())


def fewer(usage: Usage, saved: int) -> Usage:
    """The usage of a prompt without some of its tokens: first those that were paid in full."""
    plain = min(saved, usage.input)
    return structs.replace(usage, input=usage.input - plain, cached=max(0, usage.cached - (saved - plain)))


class Prefixes:
    """Providers' own caches: where today's code would mark prefixes, and what reading them again costs."""

    def __init__(
        self, settings: SimulatedSettings, known: Known, price_of: Callable[[Call, Usage], Price | None]
    ) -> None:
        self._modes: Mapping[str, Mode] = {
            name: one.prompt_caching for name, one in settings.routes.items() if one.prompt_caching is not None
        }
        self._general = settings.prompt_caching
        self._settings = settings
        self._known = known
        self._now_s = 0.0
        self._caching = PromptCaching(self._mode, price_of, lambda: self._now_s)
        #: Until when a provider keeps each prefix.
        self._held: OrderedDict[bytes, float] = OrderedDict()
        #: Calls whose provider finds prefixes by itself: their records already hold what that saves.
        self.by_itself = 0

    def _mode(self, call: Call) -> Mode:
        target = call.target
        if target is None:
            return "off"
        own = self._modes.get(target.route, self._general)
        section = self._settings.providers.get(target.provider)
        return own if own is not None else "off" if section is None else section.prompt_caching

    def of(self, recorded: Recorded, call: Call, usage: Usage) -> Usage | None:
        """What the provider would have counted; None where its cache changes nothing."""
        provider = None if call.target is None else self._known.providers.get(call.target.provider)
        if provider is None or call.target is None or call.kind != "chat" or self._mode(call) == "off":
            return None
        if provider.row.wire not in _MARKED:
            self.by_itself += 1
            return None
        if usage.cached or usage.cache_write:
            # Marked then, by the client or by us: there is nothing to gain.
            return None
        self._now_s = recorded.at_s
        query = Query("chat", call.input, call.target.model)
        self._caching.applied(call, Reached(provider.speaks, provider.bare, query, None, TimeLimits()))
        marks = (call.notes or {}).get(MARKED, {}).get("marks", ())
        return self._counted(query, f"{provider.name}/{query.model}", marks, usage)

    def _counted(self, query: Query, place: str, marks: list[str], usage: Usage) -> Usage | None:
        """What is read is what lies there of earlier calls; what is written goes on to the last mark."""
        found = prefixes_of(query, place)
        ends = [*found.standing, *found.ends]
        marked = [one for one in found.standing if one.name in marks] + (found.ends[-1:] if "last" in marks else [])
        if not marked:
            return None
        whole = max(one.size for one in ends)
        read = max((one.size for one in ends if self._held.get(one.digest, 0.0) >= self._now_s), default=0)
        wanted = max(one.size for one in marked)
        for one in marked:
            self._keep(one.digest)
        cached = round(usage.input * min(read, wanted) / whole)
        written = round(usage.input * max(0, wanted - read) / whole)
        return structs.replace(usage, input=usage.input - cached - written, cached=cached, cache_write=written)

    def _keep(self, digest: bytes) -> None:
        self._held[digest] = self._now_s + _HOLDS_S
        self._held.move_to_end(digest)
        if len(self._held) > _MOST_PREFIXES:
            self._held.popitem(last=False)


class Waiting:
    """Calls that could have waited for a batch."""

    def __init__(self, section: WaitingSection, known: Known) -> None:
        self._routes = frozenset(section.routes)
        self._tags = {
            name: frozenset([values] if isinstance(values, str) else values) for name, values in section.tags.items()
        }
        self._discount = section.discount
        self._known = known

    @property
    def says(self) -> bool:
        """Whether any call could wait."""
        return bool(self._routes or self._tags)

    def discount(self, recorded: Recorded, provider: str) -> float:
        """The share that a batch takes off; 0 for a call that can't wait, and where its provider has no batches."""
        target = recorded.target
        routed = target is not None and target.route in self._routes
        if not routed and not any(recorded.tags.get(name) in values for name, values in self._tags.items()):
            return 0.0
        if self._discount is not None:
            return self._discount
        found = self._known.providers.get(provider)
        return 0.0 if found is None else DISCOUNTS.get(found.row.name, 0.0)
