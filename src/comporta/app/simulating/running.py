"""The replay: pages of recorded calls through every lever alone and all of them together, and what came of it."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from msgspec import Struct

from comporta.app.known import Known
from comporta.app.simulating.lanes import LEVERS, Changed, Lane
from comporta.app.simulating.policy import Policy
from comporta.app.simulating.recall import CacheReplay, Embedding, Found, ThresholdOf, cache_policies
from comporta.app.simulating.recorded import Recorded
from comporta.app.simulating.report import QUOTED_HITS, Group, Report, Wrong, share
from comporta.app.simulating.sparing import Prefixes, Tokens, Waiting
from comporta.app.simulating.steering import PriceOf, QualityOf, Routing, Steered, params_of
from comporta.app.simulating.telling import Read, levers_of, notes_of
from comporta.pipeline import Call
from comporta.text.tokens import Counter
from comporta.types import Price, Target, Usage

#: Called with how many calls are done.
Progress = Callable[[int], None]


class Tools(Struct, frozen=True):
    """What a replay asks: names and prices of today, counts, vectors, and what was learnt of answers.

    `embedding` None compares no questions by meaning; `wrong` is how often hits are wrong.
    """

    known: Known
    price_of: PriceOf
    counter: Counter
    embed: Callable[[Sequence[str]], Awaitable[list[tuple[float, ...]]]]
    embedding: Embedding | None
    quality: QualityOf
    threshold_of: ThresholdOf
    wrong: Wrong | None = None
    #: Whether the traffic is made up: then it is known which questions mean the same.
    sample: bool = False
    #: Lets the embedder go.
    close: Callable[[], None] = lambda: None


async def simulate(
    pages: AsyncIterator[Sequence[Recorded]], policy: Policy, tools: Tools, span: tuple[str, str],
    progress: Progress | None = None,
) -> Report:  # fmt: skip
    """What a policy would have saved on calls that come in the order of time. Raises what reading them raises."""
    begun_s = time.monotonic()
    replaying = Replaying(policy, tools)
    async for page in pages:
        for recorded in page:
            await replaying.take(recorded)
        if progress is not None:
            progress(replaying.read.calls)
        # A gate in the same process goes on answering.
        await asyncio.sleep(0)
    return replaying.report(span, time.monotonic() - begun_s)


def spanned(since: datetime.datetime, until: datetime.datetime) -> tuple[str, str]:
    """A window as reports show it."""
    return since.astimezone(datetime.UTC).isoformat(timespec="seconds"), until.astimezone(datetime.UTC).isoformat(
        timespec="seconds"
    )


class _Route:
    """What is counted of one route."""

    def __init__(self) -> None:
        self.calls = self.looked = self.exact = self.semantic = self.wrong = 0
        self.cost_microusd = self.after_microusd = 0


class Replaying:
    """One replay under way."""

    def __init__(self, policy: Policy, tools: Tools) -> None:
        settings = policy.settings
        self._policy = policy
        self._tools = tools
        self.read = Read()
        self._params = params_of(tools.known)
        self._routing = Routing(policy, tools.known, tools.quality, tools.price_of, tools.counter)
        self._tokens = Tokens(settings, tools.counter, tools.embed)
        active = self._active()
        self.alone = {name: self._lane(frozenset({name})) for name in active}
        self.all = self._lane(frozenset(active))
        self._routes: dict[str, _Route] = {}

    def _active(self) -> list[str]:
        waiting = Waiting(self._policy.settings.batches, self._tools.known).says
        return [one for one in LEVERS if one in self._policy.levers and (one != "batching" or waiting)]

    def _lane(self, levers: frozenset[str]) -> Lane:
        settings, tools = self._policy.settings, self._tools

        def price(call: Call, usage: Usage) -> Price | None:
            return None if call.target is None else tools.price_of(call.target, call.model, usage)

        return Lane(
            levers, tools.price_of,
            cache=CacheReplay(
                cache_policies(settings), tools.embedding, tools.threshold_of, settings.cache.semantic.max_entries
            ) if "cache" in levers else None,
            prefixes=Prefixes(settings, tools.known, price) if "prompt_caching" in levers else None,
            waiting=Waiting(settings.batches, tools.known) if "batching" in levers else None,
        )  # fmt: skip

    async def take(self, recorded: Recorded) -> None:
        """One call more, no earlier than the ones before it."""
        self.read.take(recorded)
        target, asked = recorded.target, recorded.asked
        if target is None or asked is None or not recorded.reached:
            return
        changed = await self._changed(recorded, self._params(target))
        self._routing.learn(recorded)
        for lane in self.alone.values():
            await lane.take(changed)
        before_microusd = self.all.after_microusd
        found = await self.all.take(changed)
        self._count(recorded, target, found, self.all.after_microusd - before_microusd)

    async def _changed(self, recorded: Recorded, target: Target) -> Changed:
        """What is the same for every lane is found out once."""
        asked = recorded.asked
        assert asked is not None, "what could not be read is left out before"
        steered: Steered | None = None
        if "routing" in self._policy.levers:
            steered = self._routing.of(recorded, recorded.call(target, asked))
        if "tokens" not in self._policy.levers:
            return Changed(recorded, target, asked, steered)
        shorter = await self._tokens.of(recorded.call(target, asked))
        there = shorter if steered is None else await self._tokens.of(recorded.call(steered.target, asked))
        return Changed(
            recorded, target, asked, steered, None if shorter is None else (shorter.asked, shorter.saved),
            None if there is None else (there.asked, there.saved),
        )  # fmt: skip

    def _count(self, recorded: Recorded, target: Target, found: Found | None, after_microusd: int) -> None:
        route = self._routes.setdefault(target.route, _Route())
        route.calls += 1
        route.cost_microusd += recorded.full_microusd or 0
        route.after_microusd += after_microusd
        if found is not None and found.kind != "off":
            route.looked += 1
            route.exact += found.kind in ("exact", "shared")
            route.semantic += found.kind == "semantic"
            route.wrong += found.kind == "semantic" and found.meaning != recorded.meaning

    # ---- what came of it ----

    def report(self, span: tuple[str, str], took_s: float) -> Report:
        """All of it, after the last call."""
        read, lane, wrong = self.read, self.all, self._wrong()
        levers = levers_of(self.alone, lane, self._policy, read.read_microusd, wrong, self._routing)
        saved = lane.before_microusd - lane.after_microusd
        alone = sum(one.saved_microusd for one in levers)
        whole = read.read_microusd and read.cost_microusd > read.read_microusd
        embedding = self._tools.embedding
        return Report(
            since=span[0], until=span[1], policy=self._policy.name, calls=read.calls, read=read.read,
            cost_microusd=read.cost_microusd, read_microusd=read.read_microusd, paid_microusd=read.paid_microusd,
            unpriced=read.unpriced, levers=levers, together_microusd=saved,
            together_share=share(saved, read.read_microusd), overlap_microusd=alone - saved,
            groups=[self._group(name, one) for name, one in sorted(self._routes.items(), key=_dearest)],
            wrong=wrong, notes=notes_of(self._policy, read, self._tools.embedding is not None),
            took_s=round(took_s, 2), embedded=0 if embedding is None else embedding.made,
            extrapolated_microusd=round(saved * read.cost_microusd / read.read_microusd) if whole else None,
        )  # fmt: skip

    def _wrong(self) -> Wrong | None:
        """How often a semantic hit is wrong: counted where what is asked is known, else as it was measured."""
        lane = self.alone.get("cache")
        if lane is None or not self._tools.sample:
            return self._tools.wrong
        counts = lane.tallies["cache"].counts
        return Wrong.of(counts["wrong"], counts["semantic"], "here, where what is asked is known")

    def _group(self, name: str, route: _Route) -> Group:
        hits = route.exact + route.semantic
        saved = route.cost_microusd - route.after_microusd
        return Group(
            name, route.calls, route.looked, hits, share(hits, route.looked) if route.looked else None, route.exact,
            route.semantic, route.cost_microusd, saved, share(saved, route.cost_microusd),
            QUOTED_HITS.get(name) if self._tools.sample else None, route.wrong if self._tools.sample else None,
        )  # fmt: skip


def _dearest(one: tuple[str, _Route]) -> tuple[int, str]:
    return -one[1].cost_microusd, one[0]
