"""The stages `limit` and `spend`: who may ask how much, and for how much money (WIRE 14, 15, 29).

Everything that a call must pass is taken in one step, so the stage `limit` asks for money as well; `spend` refuses
where there was none. What was taken is given back when the call ends, however it ends: tokens as they really were,
money as the call really cost.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from comporta.budget.estimate import input_tokens
from comporta.budget.purses import Purse, Purses
from comporta.counters.base import Correction, Counters, Give, Lease, Money, Take, Taken, Window
from comporta.errors import BudgetExceeded, ComportaError, RateLimited
from comporta.keys.limits import Limit, Limits
from comporta.keys.rows import KeyRow
from comporta.pipeline import Call, Next
from comporta.telemetry.record import is_hit
from comporta.types import Event

_FACT = "admitted"
_SIZED = "input_tokens"
#: Where the door finds further headers of an answer.
HEADERS = "headers"
#: A call that waits for another one to end looks so soon again, then less often.
_LOOK_S = (0.02, 0.25)
#: What a place among concurrent calls is worth waiting for, as far as anybody can tell.
_SOON_S = 1.0
_WORDS = {"requests": "requests a minute", "tokens": "tokens a minute", "concurrent": "calls at the same time"}


class Rule(Struct, frozen=True, gc=False):
    """One figure that a call must keep to, in words."""

    per: str
    name: str
    kind: str
    limit: int
    wait_s: float


class Asked:
    """Windows and leases as they are gathered, each with the rule behind it."""

    __slots__ = ("estimate", "lease_rules", "leases", "rules", "tokens", "windows")

    def __init__(self, estimate: Callable[[], int]) -> None:
        self.estimate = estimate
        self.tokens = 0
        self.windows: list[Window] = []
        self.rules: list[Rule] = []
        self.leases: list[Lease] = []
        self.lease_rules: list[Rule] = []

    def add(self, per: str, name: str, limit: Limit) -> None:
        key = f"{per}:{name}"
        if limit.requests_per_minute is not None:
            self.windows.append(Window(f"{key}:r", limit.requests_per_minute))
            self.rules.append(Rule(per, name, "requests", limit.requests_per_minute, limit.wait_s))
        if limit.tokens_per_minute is not None:
            self.tokens = self.tokens or max(self.estimate(), 1)
            self.windows.append(Window(f"{key}:t", limit.tokens_per_minute, self.tokens))
            self.rules.append(Rule(per, name, "tokens", limit.tokens_per_minute, limit.wait_s))
        if limit.concurrent is not None:
            self.leases.append(Lease(f"{key}:c", limit.concurrent))
            self.lease_rules.append(Rule(per, name, "concurrent", limit.concurrent, limit.wait_s))


class Admitted:
    """What a call holds: of the caller's limits, of those towards the provider, and of its budgets."""

    __slots__ = ("counted", "held_microusd", "leases", "purses", "refused", "towards", "towards_leases")

    def __init__(self, purses: list[Purse]) -> None:
        self.purses = purses
        self.held_microusd = 0
        #: The refusal of money, told by the stage `spend`.
        self.refused: Taken | None = None
        self.leases: tuple[str, ...] = ()
        #: Token windows: key, second, and how many were counted.
        self.counted: list[tuple[str, int, int]] = []
        self.towards: list[tuple[str, int, int]] = []
        self.towards_leases: tuple[str, ...] = ()

    def give(self, call: Call) -> Give:
        """All of it back, at what the call came to."""
        usage = call.usage
        tokens = 0 if usage is None or is_hit(call.cache) else usage.total
        cost = call.cost_microusd or 0
        return Give(
            call.id,
            tuple([Correction(key, second, tokens - n) for key, second, n in (*self.counted, *self.towards)]),
            (*self.leases, *self.towards_leases),
            tuple([(purse.key, cost) for purse in self.purses]),
        )


def admitted(call: Call) -> Admitted | None:
    """What the call holds; None where no limit and no budget concerned it so far."""
    return call.facts.get(_FACT)


def admit(call: Call, counters: Counters, purses: list[Purse]) -> Admitted:
    """Begin to hold: from now on the call gives back at its end."""
    held = Admitted(purses)
    call.facts[_FACT] = held
    call.at_end(lambda call: counters.give(held.give(call)))
    return held


def token_counts(windows: Sequence[Window], second: int) -> list[tuple[str, int, int]]:
    return [(w.key, second, min(w.amount, w.limit)) for w in windows if w.key.endswith(":t")]


class Admission:
    """Both stages. `key_row` finds a key's own limits; `foresee` the most a call may cost, None where nobody knows."""

    def __init__(
        self,
        counters: Counters,
        limits: Callable[[], Limits],
        key_row: Callable[[str], KeyRow | None],
        purses: Purses,
        foresee: Callable[[Call], int | None],
    ) -> None:
        self._counters = counters
        self._limits = limits
        self._key_row = key_row
        self._purses = purses
        self._foresee = foresee

    async def limit(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """The stage `limit`. Raises RateLimited."""
        asked = self._asked(call)
        purses = self._purses.of(call.caller) if call.kind != "count" else []
        if not asked.windows and not asked.leases and not purses:
            return await next(call)
        held = admit(call, self._counters, purses)
        amount = (self._foresee(call) or 0) if purses else 0
        take = Take(call.id, tuple(asked.windows), tuple(asked.leases), money_of(purses, amount), whole=False)
        taken = await taking(self._counters, self._purses, take, asked, purses)
        call.facts[HEADERS] = headers(asked.rules, taken)
        if taken.refused == "money":
            held.refused = taken
        elif taken.refused is not None:
            raise _limited(_rule(asked, taken), taken.wait_s)
        else:
            held.counted = token_counts(asked.windows, taken.second)
            held.leases = tuple([lease.key for lease in asked.leases])
            held.held_microusd = amount if taken.held else 0
        return await next(call)

    async def spend(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """The stage `spend`. Raises BudgetExceeded where a budget has nothing left."""
        held = admitted(call)
        if held is not None and held.refused is not None:
            raise used_up(held.purses[held.refused.index])
        return await next(call)

    def _asked(self, call: Call) -> Asked:
        limits, caller = self._limits(), call.caller
        asked = Asked(lambda: tokens_of(call))
        key_limit = limits.of_key(caller.key_id, caller.name, self._key_row(caller.key_id))
        if key_limit is not None:
            asked.add("key", caller.key_id, key_limit)
        if limits.pers:
            if caller.team is not None and (limit := limits.of("team", caller.team)):
                asked.add("team", caller.team, limit)
            if call.user is not None and (limit := limits.of("user", call.user)):
                # Two teams' users of one name are two users.
                asked.add("user", f"{caller.team or caller.key_id}/{call.user}", limit)
            if limit := limits.of("route", call.model):
                asked.add("route", call.model, limit)
        return asked


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


def money_of(purses: list[Purse], amount: int) -> tuple[Money, ...]:
    return tuple([Money(p.key, p.budget.limit_microusd, amount, p.end_s) for p in purses])


async def taking(counters: Counters, known: Purses, take: Take, asked: Asked, purses: list[Purse]) -> Taken:
    """Take, after waiting for room where the limit that has none says so, and for the ledger where it must be asked."""
    taken = await counters.take(take)
    if taken.refused is None:
        return taken
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
    return (asked.rules if taken.refused == "window" else asked.lease_rules)[taken.index]


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


def headers(rules: Sequence[Rule], taken: Taken) -> list[tuple[str, str]]:
    """`x-ratelimit-…` of the limit that has least left, of either kind (WIRE 15)."""
    least: dict[str, tuple[int, int, float]] = {}
    for rule, level in zip(rules, taken.levels, strict=False):
        left = (rule.limit - level.total, rule.limit, level.reset_s)
        if rule.kind not in least or left < least[rule.kind]:
            least[rule.kind] = left
    found: list[tuple[str, str]] = []
    for kind, (remaining, limit, reset_s) in least.items():
        found += [
            (f"x-ratelimit-limit-{kind}", str(limit)),
            (f"x-ratelimit-remaining-{kind}", str(max(remaining, 0))),
            (f"x-ratelimit-reset-{kind}", f"{math.ceil(reset_s)}s"),
        ]
    return found
