"""The stages `limit` and `spend`: who may ask how much, and for how much money (WIRE 14, 15, 29).

Everything that a call must pass is taken in one step, so the stage `limit` asks for money as well; `spend` refuses
where there was none. What was taken is given back when the call ends, however it ends: tokens as they really were,
money as the call really cost.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from comporta.budget.estimate import input_tokens
from comporta.budget.purses import Purse, Purses
from comporta.counters.base import WINDOW_S, Correction, Counters, Give, Level, Money, Take, Taken, Window
from comporta.counters.memory import Memory
from comporta.errors import BudgetExceeded, ComportaError, RateLimited
from comporta.gateway.rules import NOTHING, Asked, Callers, Rule
from comporta.keys.limits import Limits
from comporta.keys.rows import KeyRow
from comporta.pipeline import Call, Next
from comporta.telemetry.record import is_hit
from comporta.types import Event

_FACT = "admitted"
#: In a call's facts: micro-dollars that the call it is made on behalf of holds for it.
COVERED = "covered_microusd"
_SIZED = "input_tokens"
#: Where the door finds further headers of an answer.
HEADERS = "headers"
#: A call that waits for another one to end looks so soon again, then less often.
_LOOK_S = (0.02, 0.25)
#: What a place among concurrent calls is worth waiting for, as far as anybody can tell.
_SOON_S = 1.0
_SECONDS = tuple([f"{seconds}s" for seconds in range(WINDOW_S + 1)])
_WORDS = {"requests": "requests a minute", "tokens": "tokens a minute", "concurrent": "calls at the same time"}

#: Hears what a call under budgets cost when it has ended.
Settled = Callable[[Sequence[Purse], int], None]
#: What a call meets under its budgets before it is sent anywhere; it may refuse it.
Meet = Callable[[Call, Sequence[Purse]], Awaitable[None]]


class Admitted:
    """What a call holds: of the caller's limits, of those towards the provider, and of its budgets."""

    __slots__ = (
        "counted", "held_microusd", "leases", "purses", "refused", "second", "towards", "towards_leases",
        "towards_second",
    )  # fmt: skip

    def __init__(self, purses: Sequence[Purse]) -> None:
        self.purses = purses
        self.held_microusd = 0
        #: The refusal of money, told by the stage `spend`.
        self.refused: Taken | None = None
        self.leases: tuple[str, ...] = ()
        #: Token windows, and the second in which they were counted.
        self.counted: tuple[Window, ...] = ()
        self.second = 0
        self.towards: tuple[Window, ...] = ()
        self.towards_second = 0
        self.towards_leases: tuple[str, ...] = ()

    def give(self, call: Call) -> Give:
        """All of it back, at what the call came to."""
        corrections: tuple[Correction, ...] = ()
        if self.counted or self.towards:
            usage = call.usage
            tokens = 0 if usage is None or is_hit(call.cache) else usage.total
            corrections = corrected(self.counted, self.second, tokens)
            if self.towards:
                corrections += corrected(self.towards, self.towards_second, tokens)
        cost = call.cost_microusd or 0
        leases = self.leases + self.towards_leases
        return Give(call.id, corrections, leases, tuple([(purse.key, cost) for purse in self.purses]))


def corrected(windows: Sequence[Window], second: int, tokens: int) -> tuple[Correction, ...]:
    """What was counted in them turned out to be `tokens`."""
    return tuple([Correction(w.key, second, tokens - min(w.amount, w.limit)) for w in windows])


def admitted(call: Call) -> Admitted | None:
    """What the call holds; None where no limit and no budget concerned it so far."""
    return call.facts.get(_FACT)


def admit(call: Call, counters: Counters, purses: Sequence[Purse], settled: Settled | None = None) -> Admitted:
    """Begin to hold: from now on the call gives back at its end, and `settled` hears what it cost."""
    held = Admitted(purses)
    call.facts[_FACT] = held
    call.at_end(lambda call: counters.give(held.give(call)))
    if purses and settled is not None:
        # Registered after it, so it runs before: what it hears is the same.
        call.at_end(lambda call: settled(purses, call.cost_microusd or 0))
    return held


class Admission:
    """Both stages. `key_row` finds a key's own limits; `foresee` the most a call may cost, None where nobody knows.

    `settled` hears what calls under budgets cost, `meet` is what they meet where a budget says so.
    """

    def __init__(
        self,
        counters: Counters,
        limits: Callable[[], Limits],
        key_row: Callable[[str], KeyRow | None],
        purses: Purses,
        foresee: Callable[[Call], int | None],
        route_of: Callable[[str], str] = str,
        settled: Settled | None = None,
        meet: Meet | None = None,
    ) -> None:
        self._settled = settled
        self._meet = meet
        self._counters = counters
        # Nothing to wait for there, so no coroutine either.
        self._memory = counters if isinstance(counters, Memory) else None
        self._limits = limits
        self._key_row = key_row
        self._purses = purses
        self._foresee = foresee
        self._callers = Callers(route_of)

    async def limit(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """The stage `limit`. Raises RateLimited."""
        ready = self._callers.of(call, self._limits(), self._key_row(call.caller.key_id))
        purses: Sequence[Purse] = self._purses.of(call.caller, call.user) if call.kind != "count" else ()
        if ready is NOTHING and not purses:
            return await next(call)
        asked = ready.asked(tokens_of(call) if ready.tokens else 0)
        held = admit(call, self._counters, purses, self._settled)
        covered: int | None = call.facts.get(COVERED) if purses else None
        amount = (self._foresee(call) or 0) if purses and covered is None else covered or 0
        money = money_of(purses, amount) if covered is None else ()
        take = Take(call.id, asked.windows, ready.leases, money, False)
        memory = self._memory
        taken = memory.take_now(take) if memory is not None else await self._counters.take(take)
        if taken.refused is not None:
            taken = await taking(self._counters, self._purses, take, asked, purses, taken)
        call.facts[HEADERS] = headers(ready.rules, taken, ready.several)
        if taken.refused is None:
            held.counted, held.second = asked.tokens, taken.second
            held.leases = ready.lease_keys
            held.held_microusd = amount if taken.held or covered is not None else 0
        elif taken.refused == "money":
            held.refused = taken
        else:
            raise _limited(_rule(asked, taken), taken.wait_s)
        return await next(call)

    async def book(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """In place of both, for an answer that was paid for already: its cost is counted, and refuses nothing."""
        purses = self._purses.of(call.caller, call.user)
        if purses:
            admit(call, self._counters, purses, self._settled)
        return await next(call)

    async def spend(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """The stage `spend`. Raises BudgetExceeded where a budget has nothing left, RateLimited where it throttles."""
        held = admitted(call)
        if held is not None and held.purses:
            if held.refused is not None:
                raise used_up(held.purses[held.refused.index])
            if self._meet is not None:
                await self._meet(call, held.purses)
        return await next(call)


def sized(call: Call) -> int:
    """The most tokens its input may have; counted again only where a stage has changed the input."""
    known = call.facts.get(_SIZED)
    if known is None or known[0] is not call.input:
        known = call.facts[_SIZED] = (call.input, input_tokens(call.input))
    size: int = known[1]
    return size


def tokens_of(call: Call) -> int:
    """What a call is counted as before it is answered: a token has about four bytes."""
    asked = call.input
    return -(-sized(call) // 4) + (asked.max_tokens or 0) * max(asked.n, 1)


def money_of(purses: Sequence[Purse], amount: int) -> tuple[Money, ...]:
    return tuple([Money(p.key, p.hard_microusd, amount, p.end_s) for p in purses])


async def taking(
    counters: Counters, known: Purses, take: Take, asked: Asked, purses: Sequence[Purse], taken: Taken
) -> Taken:
    """After a first answer: take after waiting for room where the limit that has none says so, and for the ledger."""
    clock = asyncio.get_running_loop().time
    begun_s, look_s = clock(), _LOOK_S[0]
    while True:
        if taken.refused == "unknown":
            await known.learn(purses)
            taken = await counters.take(take)
            continue
        if taken.refused not in ("window", "lease"):
            return taken
        pause_s = taken.wait_s or look_s
        if clock() + pause_s > begun_s + _rule(asked, taken).wait_s:
            return taken
        await asyncio.sleep(pause_s)
        look_s = min(look_s * 2, _LOOK_S[1])
        taken = await counters.take(take)


def _rule(asked: Asked, taken: Taken) -> Rule:
    ready = asked.ready
    return (ready.rules if taken.refused == "window" else ready.lease_rules)[taken.index]


def refusal_of(asked: Asked, taken: Taken) -> tuple[str, float]:
    """What to say, and after how many seconds asking again can help."""
    rule = _rule(asked, taken)
    return told(rule, taken.wait_s), taken.wait_s or _SOON_S


def told(rule: Rule, wait_s: float) -> str:
    again = f" Room is in {wait_s:.0f} s." if wait_s >= 1 else ""
    whose = "This key" if rule.per == "key" else f"The {rule.per} '{rule.name[:100]}'"
    return f"{whose} is limited to {rule.limit} {_WORDS[rule.kind]}.{again}"


def _limited(rule: Rule, wait_s: float) -> ComportaError:
    return RateLimited(told(rule, wait_s), retry_after_s=wait_s or _SOON_S)


def used_up(purse: Purse) -> BudgetExceeded:
    budget = purse.budget
    return BudgetExceeded(f"The budget '{budget.name}' has no room for this call in this {budget.period} (UTC).")


def headers(rules: Sequence[Rule], taken: Taken, several: bool) -> list[tuple[str, str]]:
    """`x-ratelimit-…` of the limit that has least left, of either kind (WIRE 15)."""
    if several:
        least: dict[str, tuple[tuple[int, int, float], Rule, Level]] = {}
        for rule, level in zip(rules, taken.levels, strict=False):
            left = (rule.limit - level.total, rule.limit, level.reset_s)
            if rule.kind not in least or left < least[rule.kind][0]:
                least[rule.kind] = (left, rule, level)
        tightest = [(rule, level) for _, rule, level in least.values()]
    else:
        tightest = [*zip(rules, taken.levels, strict=False)]
    found: list[tuple[str, str]] = []
    for rule, level in tightest:
        remaining = rule.limit - level.total
        found.append(rule.shown)
        found.append((rule.remaining, str(remaining if remaining > 0 else 0)))
        seconds = math.ceil(level.reset_s)
        found.append((rule.reset, _SECONDS[seconds] if 0 <= seconds <= WINDOW_S else f"{seconds}s"))
    return found
