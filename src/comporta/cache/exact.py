"""The stage `recall`: an answer given before to the same team is given again, event by event; a new one is kept."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping

from comporta.cache.entry import Entry, Row, decoded, encoded, is_complete, mark_of, size_of
from comporta.cache.far import Far
from comporta.cache.key import key_of
from comporta.cache.memory import Memory
from comporta.cache.policy import CachePolicy, Wish, wish_of
from comporta.cache.sharing import Sharing
from comporta.pipeline import Call, Next, replay
from comporta.store.people import digest_of
from comporta.types import Event

Policy = Callable[[Call], CachePolicy | None]

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
        wish = wish_of(call.headers.get("cache-control"))
        key = key_of(call) if wish.read or wish.store else None
        if key is None:
            return await next(call)
        if wish.read:
            entry = await self._look_up(key, policy, wish)
            if entry is not None:
                return _given_again(call, entry)
            call.cache = "miss"
        keeping = Keeping(call, policy, key, self._keep)
        call.at_end(keeping.ended)
        shared = policy.share and wish.read
        keeping.over(await (self.sharing.join(key, call, next) if shared else next(call)))
        return keeping

    async def _look_up(self, key: bytes, policy: CachePolicy, wish: Wish) -> Entry | None:
        """The answer of that key, young enough for the route and for the client."""
        now_s = self._clock()
        oldest_s = now_s - min(policy.ttl_s, wish.max_age_s)
        body = self.memory.get(key, now_s)
        if body is not None:
            entry = decoded(body)
            if entry is not None and entry.stored_s > oldest_s:
                return entry
        far = self._far()
        body = await far.get(key) if far is not None else None
        if body is None:
            return None
        entry = decoded(body)
        if entry is None or entry.stored_s <= now_s - policy.ttl_s or self._is_forgotten(entry.owner, entry.stored_s):
            return None
        self.memory.put(key, body, entry.stored_s + policy.ttl_s)
        return entry if entry.stored_s > oldest_s else None

    def _is_forgotten(self, owner: bytes | None, at_s: float) -> bool:
        """Whether what is of then was answered to a user who was erased since."""
        return bool(self._forgotten) and owner is not None and at_s <= self._forgotten.get(owner, 0.0)

    def _keep(self, key: bytes, call: Call, policy: CachePolicy, events: tuple[Event, ...]) -> None:
        """Keep a complete answer: here at once, and in the layer behind when its writer gets to it."""
        now_s = self._clock()
        owner = None if call.user is None else digest_of(call.user)
        if self._is_forgotten(owner, call.started_s):
            return
        usage = (events and events[-1].usage) or next(
            (e.usage for e in reversed(events) if e.usage is not None), call.usage
        )
        body = encoded(Entry(now_s, events, usage, call.cost_microusd, owner))
        if len(body) > policy.max_entry_bytes:
            return
        self.memory.put(key, body, now_s + policy.ttl_s)
        far = self._far()
        if far is not None:
            caller, target = call.caller, call.target
            tenant = caller.team if caller.team is not None else caller.key_id
            far.offer(
                Row(key, body, now_s, policy.ttl_s, tenant, target.route if target else "", owner, call.started_s)
            )


def _given_again(call: Call, entry: Entry) -> AsyncIterator[Event]:
    call.cache = "hit"
    call.cost_microusd = 0
    call.usage = entry.usage
    return replay(entry.events)


Keep = Callable[[bytes, Call, CachePolicy, tuple[Event, ...]], None]


class Keeping:
    """An answer on its way out, kept when it has come to its end and the call ends well."""

    __slots__ = ("_call", "_complete", "_events", "_inner", "_keep", "_key", "_next", "_policy", "_room")

    def __init__(self, call: Call, policy: CachePolicy, key: bytes, keep: Keep) -> None:
        self._call = call
        self._policy = policy
        self._key = key
        self._keep = keep
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
            self._keep(self._key, call, self._policy, tuple(self._events))
