"""The stage `recall`: an answer given before to the same team is given again, event by event; a new one is kept.

The very same question is looked for first; then, where a route has that, one that means the same (`semantic`).
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from comporta.cache.clearing import tags_of
from comporta.cache.entry import Entry, Row, decoded, encoded, form_of, is_complete, mark_of, size_of
from comporta.cache.far import Far
from comporta.cache.key import key_of
from comporta.cache.memory import Memory
from comporta.cache.policy import CachePolicy, Wish, wish_of
from comporta.cache.semantic.recall import Hit, Looked, Semantic
from comporta.cache.sharing import Sharing
from comporta.pipeline import Call, Next, replay
from comporta.store.people import digest_of
from comporta.types import Event

Policy = Callable[[Call], CachePolicy | None]

#: What a client wants of the cache (`off`, `exact`), and where it is told what became of it.
HEADER = "x-comporta-cache"
#: In the call's facts: what the header says beyond `call.cache`.
TOLD_FACT = "cache_told"
#: In the call's facts: an answer that is older than its route allows will do, since no model can be asked.
STALE_FACT = "cache_stale"
#: Kinds of calls that have an answer worth keeping.
_KINDS = frozenset({"chat", "embed"})


class ExactCache:
    """The stage. `policy` says what holds for a call's route; `far` gives the layer behind the memory, if there is one.

    `call.cache` says what became of it: `hit`, `miss`, or `bypass` where no old answer was looked for.
    """

    def __init__(
        self, policy: Policy, memory: Memory, far: Callable[[], Far | None], *, clock: Callable[[], float] = time.time
    ) -> None:
        self.memory = memory
        #: Looks for questions that mean the same; None where no route has that.
        self.semantic: Semantic | None = None
        #: Whether answers with these tags, stored then, were cleared since.
        self.cleared: Callable[[Sequence[str], float], bool] = lambda tags, stored_s: False
        self.sharing = Sharing()
        self._policy = policy
        self._far = far
        self._clock = clock
        #: Users who were erased a short while ago, by their hash, and when: calls of before are not kept.
        self._forgotten: Mapping[bytes, float] = {}

    def forget(self, erased: Mapping[bytes, float]) -> None:
        """Drop what was answered to these users: from memory, and of what is to be written to the layer behind."""
        far = self._far()
        for owner in [owner for owner, at_s in erased.items() if self._forgotten.get(owner) != at_s]:
            self.memory.drop_ending(mark_of(owner))
            if far is not None:
                far.withdraw(owner)
        self._forgotten = erased

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        if call.first_ns:
            # A stream that is taken up again: it was paid for in part, so it can't become a free one any more.
            return await next(call)
        call.cache = "bypass"
        policy = self._policy(call)
        if policy is None or call.kind not in _KINDS:
            return await next(call)
        wish = wish_of(call.headers.get("cache-control"), call.headers.get(HEADER))
        key = key_of(call) if wish.read or wish.store else None
        if key is None:
            return await next(call)
        stale = bool(call.facts.get(STALE_FACT))
        if wish.read:
            entry = await self._look_up(key, policy, wish, stale)
            if entry is not None:
                return _given_again(call, entry, self._clock() - entry.stored_s, policy.ttl_s)
            call.cache = "miss"
        looked: Looked | None = None
        semantic = self.semantic
        if semantic is not None and policy.semantic is not None and wish.alike and not stale:
            looked = await semantic.find(call, policy.semantic, wish)
            if looked.hit is not None:
                return _given_alike(call, looked, looked.hit)
            if looked.told:
                call.facts[TOLD_FACT] = f"{call.cache}; {looked.told}"
        keeping = Keeping(call, policy, key, self._keep, looked)
        call.at_end(keeping.ended)
        shared = policy.share and wish.read
        keeping.over(await (self.sharing.join(key, call, next) if shared else next(call)))
        return keeping

    async def _look_up(self, key: bytes, policy: CachePolicy, wish: Wish, stale: bool) -> Entry | None:
        """The answer of that key, young enough for the client and, unless `stale` will do, for the route."""
        now_s = self._clock()
        ttl_s = math.inf if stale else policy.ttl_s
        oldest_s = now_s - min(ttl_s, wish.max_age_s)
        body = self.memory.get(key, now_s, stale)
        if body is not None:
            entry = decoded(body)
            if entry is not None and entry.stored_s > oldest_s and not self.cleared(entry.tags, entry.stored_s):
                return entry
        far = self._far()
        body = await far.get(key) if far is not None else None
        if body is None:
            return None
        entry = decoded(body)
        if entry is None or entry.stored_s <= now_s - ttl_s or self._is_gone(entry):
            return None
        self.memory.put(key, body, entry.stored_s + policy.ttl_s)
        return entry if entry.stored_s > oldest_s else None

    def _is_gone(self, entry: Entry) -> bool:
        return self.is_forgotten(entry.owner, entry.stored_s) or self.cleared(entry.tags, entry.stored_s)

    def is_forgotten(self, owner: bytes | None, at_s: float) -> bool:
        """Whether what is of then was answered to a user who was erased since."""
        return bool(self._forgotten) and owner is not None and at_s <= self._forgotten.get(owner, 0.0)

    def _keep(
        self, key: bytes, call: Call, policy: CachePolicy, events: tuple[Event, ...], looked: Looked | None
    ) -> None:
        """Keep a complete answer: here at once, and in the layer behind when its writer gets to it."""
        now_s = self._clock()
        owner = None if call.user is None else digest_of(call.user)
        tags = tags_of(call)
        if self.is_forgotten(owner, call.started_s) or self.cleared(tags, call.started_s):
            return
        usage = (events and events[-1].usage) or next(
            (e.usage for e in reversed(events) if e.usage is not None), call.usage
        )
        entry = Entry(now_s, events, usage, call.cost_microusd, tags, form_of(call.door, call.stream), owner)
        body = encoded(entry)
        if len(body) > policy.max_entry_bytes:
            return
        if looked is not None and self.semantic is not None and policy.semantic is not None:
            self.semantic.keep(call, policy.semantic, looked, entry)
        self.memory.put(key, body, now_s + policy.ttl_s)
        far = self._far()
        if far is not None:
            caller, target = call.caller, call.target
            tenant = caller.team if caller.team is not None else caller.key_id
            far.offer(
                Row(key, body, now_s, policy.ttl_s, tenant, target.route if target else "", owner, call.started_s)
            )


def _given_again(call: Call, entry: Entry, age_s: float, ttl_s: float) -> AsyncIterator[Event]:
    call.cache = "hit"
    call.cost_microusd = 0
    call.usage = entry.usage
    call.note("cache", kind="exact", saved_microusd=entry.cost_microusd)
    if age_s >= ttl_s:
        call.note("cache", stale=True)
        call.facts[TOLD_FACT] = f"hit; stale={age_s:.0f}"
    return replay(entry.events)


def _given_alike(call: Call, looked: Looked, hit: Hit) -> AsyncIterator[Event]:
    entry = hit.entry
    call.cache = "semantic"
    call.cost_microusd = 0
    call.usage = entry.usage
    call.facts[TOLD_FACT] = looked.told
    call.note(
        "cache", kind="semantic", similarity=round(hit.similarity, 4), confidence=round(hit.confidence, 4),
        entry=hit.id, seeded=hit.seeded, saved_microusd=entry.cost_microusd,
    )  # fmt: skip
    events = entry.events
    if entry.form != form_of(call.door, call.stream):
        # At another door, or in another form, the upstream's own text would say the wrong thing.
        events = tuple([event if event.raw is None else event.edit() for event in events])
    return replay(events)


Keep = Callable[[bytes, Call, CachePolicy, tuple[Event, ...], Looked | None], None]


class Keeping:
    """An answer on its way out, kept when it has come to its end and the call ends well."""

    __slots__ = ("_call", "_complete", "_events", "_inner", "_keep", "_key", "_looked", "_next", "_policy", "_room")

    def __init__(self, call: Call, policy: CachePolicy, key: bytes, keep: Keep, looked: Looked | None = None) -> None:
        self._call = call
        self._policy = policy
        self._key = key
        self._keep = keep
        self._looked = looked
        self._inner: AsyncIterator[Event] | None = None
        self._events: list[Event] = []
        self._room = policy.max_entry_bytes
        self._complete = False

    def over(self, events: AsyncIterator[Event]) -> None:
        self._inner = events
        self._next = events.__anext__

    def __aiter__(self) -> Keeping:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await self._next()
        except StopAsyncIteration:
            self._complete = True
            raise
        if self._room > 0:
            self._room -= size_of(event)
            self._events.append(event)
            if self._room <= 0:
                self._events.clear()
        return event

    async def aclose(self) -> None:
        aclose = getattr(self._inner, "aclose", None)
        if aclose is not None:
            await aclose()

    def ended(self, call: Call) -> None:
        """Whether to keep it. What cost nothing, too little or an unknown amount is not worth a dear cache's room."""
        if not self._complete or call.error is not None or call.cache.startswith("hit") or self._room <= 0:
            return
        least = self._policy.min_cost_microusd
        if call.facts.get("malformed_frames") or (least and (call.cost_microusd or 0) < least):
            return
        if is_complete(self._events, call.input.n if call.kind == "chat" else 1):
            self._keep(self._key, call, self._policy, tuple(self._events), self._looked)
