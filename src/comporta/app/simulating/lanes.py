"""One replay with some of the levers: each alone, and all together in the order in which a call meets them."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from comporta.app.simulating.recall import CacheReplay, Found
from comporta.app.simulating.recorded import Recorded
from comporta.app.simulating.sparing import Prefixes, Waiting, fewer
from comporta.app.simulating.steering import PriceOf, Steered
from comporta.cache.semantic.asked import THRESHOLD_FACT
from comporta.pipeline import Call
from comporta.providers.catalogue import cost_microusd
from comporta.types import Input, Price, Target, Usage

#: In the order in which a call meets them.
LEVERS = ("routing", "tokens", "cache", "prompt_caching", "batching")


class Changed(Struct, frozen=True):
    """A call with what was found out once for all lanes: another model, and its prompt in fewer tokens (with either
    model)."""

    recorded: Recorded
    target: Target
    asked: Input
    steered: Steered | None = None
    shorter: tuple[Input, int] | None = None
    shorter_there: tuple[Input, int] | None = None


class Tally:
    """What one lever did in one lane: calls it touched, micro-dollars it saved, and what it counts beside that."""

    def __init__(self) -> None:
        self.touched = 0
        self.saved_microusd = 0
        #: Calls it touched whose price nobody knows: they are in no saving.
        self.unpriced = 0
        self.counts: Counter[str] = Counter()
        self.by_kind: Counter[str] = Counter()
        self.by_target: Counter[str] = Counter()

    def take(self, before: int | None, after: int | None) -> int | None:
        """A call that came to cost `after` in place of `before`; what it costs from here on."""
        self.touched += 1
        if before is None or after is None:
            self.unpriced += 1
            return before
        self.saved_microusd += before - after
        return after


class Lane:
    """One replay. `levers` says which of them hold; the cache, the prefixes and the calls that wait are its own."""

    def __init__(
        self, levers: frozenset[str], price_of: PriceOf, *, cache: CacheReplay | None = None,
        prefixes: Prefixes | None = None, waiting: Waiting | None = None,
    ) -> None:  # fmt: skip
        self.levers = levers
        self.tallies = {name: Tally() for name in LEVERS if name in levers}
        self.before_microusd = 0
        self.after_microusd = 0
        self._price_of = price_of
        self._cache = cache
        self._prefixes = prefixes
        self._waiting = waiting

    async def take(self, changed: Changed) -> Found | None:
        """One call more; what the cache says of it, where there is one."""
        recorded = changed.recorded
        before = cost = recorded.full_microusd
        target, asked, usage = changed.target, changed.asked, recorded.usage
        if "routing" in self.levers and changed.steered is not None:
            target, usage = changed.steered.target, changed.steered.usage
            tally = self.tallies["routing"]
            cost = tally.take(cost, changed.steered.cost_microusd)
            tally.by_target[f"{target.provider}/{target.model}"] += 1
        if "tokens" in self.levers:
            asked, usage, cost = self._shortened(changed, target, asked, usage, cost)
        call = recorded.call(target, asked)
        if "routing" in self.levers and changed.steered is not None and changed.steered.similarity is not None:
            call.facts[THRESHOLD_FACT] = changed.steered.similarity
        found = None if self._cache is None else await self._cache.take(recorded, call, cost)
        if found is not None and self._looked(found, recorded, cost):
            cost = None if cost is None else 0
        elif recorded.whole:
            cost = self._at_provider(recorded, call, target, usage, cost)
        self.before_microusd += before or 0
        self.after_microusd += cost or 0
        return found

    def _shortened(
        self, changed: Changed, target: Target, asked: Input, usage: Usage | None, cost: int | None
    ) -> tuple[Input, Usage | None, int | None]:
        shorter = changed.shorter if target is changed.target else changed.shorter_there
        if shorter is None:
            return asked, usage, cost
        asked, saved = shorter
        tally = self.tallies["tokens"]
        tally.counts["tokens"] += saved
        if usage is None:
            return asked, usage, tally.take(cost, None)
        less = fewer(usage, saved)
        return asked, less, tally.take(cost, self._less(cost, target, changed.recorded, usage, less))

    def _looked(self, found: Found, recorded: Recorded, cost: int | None) -> bool:
        tally = self.tallies["cache"]
        tally.counts["looked"] += found.kind != "off"
        tally.counts["doubtful"] += found.doubtful
        tally.counts[f"reason:{found.reason}"] += bool(found.reason in _TOLD)
        if found.kind in ("miss", "off"):
            return False
        tally.counts[found.kind] += 1
        tally.counts["wrong"] += found.kind == "semantic" and found.meaning != recorded.meaning
        tally.counts["again"] += recorded.hit != ""
        tally.by_kind[found.kind] += cost or 0
        tally.take(cost, None if cost is None else 0)
        return True

    def _at_provider(
        self, recorded: Recorded, call: Call, target: Target, usage: Usage | None, cost: int | None
    ) -> int | None:
        if self._prefixes is not None and usage is not None:
            counted = self._prefixes.of(recorded, call, usage)
            if counted is not None:
                tally = self.tallies["prompt_caching"]
                tally.counts["cached"] += counted.cached
                tally.counts["written"] += counted.cache_write
                cost = tally.take(cost, self._less(cost, target, recorded, usage, counted))
        if self._waiting is not None and cost is not None:
            discount = self._waiting.discount(recorded, target.provider)
            if discount:
                cost = self.tallies["batching"].take(cost, round(cost * (1 - discount)))
        return cost

    def _less(self, cost: int | None, target: Target, recorded: Recorded, old: Usage, new: Usage) -> int | None:
        """What a call costs with another usage: as much less as today's prices make of the difference."""
        prices = [self._price_of(target, recorded.model, one) for one in (old, new)]
        known = [_cost(one, price) for one, price in zip((old, new), prices, strict=True)]
        if cost is None or known[0] is None or known[1] is None:
            return None
        return max(0, cost - (known[0] - known[1]))


#: Why a question was not compared by meaning, where that is worth telling.
_TOLD = frozenset({"language", "masked", "embedder"})


def _cost(usage: Usage, price: Price | None) -> int | None:
    return None if price is None else cost_microusd(usage, price)
