"""What limits ask of a call, made ready once for all calls that they concern, so that a call only has to be counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from comporta.counters.base import Lease, Window
from comporta.keys.limits import Limit, Limits
from comporta.keys.rows import KeyRow
from comporta.pipeline import Call
from comporta.types import Target

_K = TypeVar("_K")
_V = TypeVar("_V")

#: What was made ready is remembered for so many: keys and users come and go.
_REMEMBERED = 16_384


class Rule(Struct, frozen=True, gc=False):
    """One figure that a call must keep to, in words."""

    per: str
    name: str
    kind: str
    limit: int
    wait_s: float
    #: Headers of an answer: the limit's own, and the names of those for what is left and when it begins anew.
    shown: tuple[str, str] = ("", "")
    remaining: str = ""
    reset: str = ""


class Asked(Struct, frozen=True):
    """Windows and leases of all that concerns a call, each with the rule behind it; `tokens` are the last `windows`."""

    ready: Ready
    windows: tuple[Window, ...] = ()
    tokens: tuple[Window, ...] = ()


class Ready(Struct, frozen=True):
    """The same but for the number of tokens; `rules` are of the windows, those of requests first."""

    requests: tuple[Window, ...] = ()
    tokens: tuple[tuple[str, int], ...] = ()
    rules: tuple[Rule, ...] = ()
    leases: tuple[Lease, ...] = ()
    lease_keys: tuple[str, ...] = ()
    lease_rules: tuple[Rule, ...] = ()
    #: Whether several rules are of one kind, so that the tightest must be looked for.
    several: bool = False

    def asked(self, amount: int) -> Asked:
        """With the tokens of a call, where they are counted."""
        if not self.tokens:
            return Asked(self, self.requests)
        tokens = tuple([Window(key, limit, amount or 1) for key, limit in self.tokens])
        return Asked(self, self.requests + tokens, tokens)


NOTHING = Ready()
_Known = tuple[Limits, KeyRow | None, str | None, Ready]
#: Of those who ask, a call on behalf of another is counted by its tokens alone: the request was counted at the door,
#: and a key with room for one call at a time could not wait for its own step.
_WHO = ("key", "team", "user")


class Callers:
    """Who asks: what the limits of a call's key, team, user and route ask of it.

    `route_of` gives the one name of a route that may be asked for by several.
    """

    def __init__(self, route_of: Callable[[str], str] = str) -> None:
        self._route_of = route_of
        self._held: dict[tuple[str, str | None, str | None, bool], _Known] = {}

    def of(self, call: Call, limits: Limits, row: KeyRow | None) -> Ready:
        caller = call.caller
        nested = call.depth > 0
        place = (caller.key_id, call.user if limits.users else None, call.model if limits.routes else None, nested)
        known = self._held.get(place)
        if known is not None and known[0] is limits and known[1] is row and known[2] == caller.team:
            return known[3]
        ready = _ready(_asking(call, limits, row, self._route_of), _WHO if nested else ())
        _remember(self._held, place, (limits, row, caller.team, ready))
        return ready


class Targets:
    """Who is asked: what the limits towards a provider, a model and a credential ask of a request."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str | None], tuple[Limits, Ready]] = {}

    def of(self, target: Target, limits: Limits) -> Ready:
        place = (target.provider, target.model, target.credential)
        known = self._held.get(place)
        if known is not None and known[0] is limits:
            return known[1]
        ready = _ready(_towards(target, limits))
        _remember(self._held, place, (limits, ready))
        return ready


def _remember(held: dict[_K, _V], place: _K, value: _V) -> None:
    if len(held) >= _REMEMBERED:
        del held[next(iter(held))]
    held[place] = value


_Found = list[tuple[str, str, Limit | None]]


def _asking(call: Call, limits: Limits, row: KeyRow | None, route_of: Callable[[str], str]) -> _Found:
    caller = call.caller
    found: _Found = [("key", caller.key_id, limits.of_key(caller.key_id, caller.name, row))]
    if caller.team is not None:
        found.append(("team", caller.team, limits.of("team", caller.team)))
    if call.user is not None:
        # Two teams' users of one name are two users.
        found.append(("user", f"{caller.team or caller.key_id}/{call.user}", limits.of("user", call.user)))
    route = route_of(call.model)
    found.append(("route", route, limits.of("route", route)))
    return found


def _towards(target: Target, limits: Limits) -> _Found:
    provider, model = target.provider, f"{target.provider}/{target.model}"
    found: _Found = [
        ("provider", provider, limits.of("provider", provider)),
        ("model", model, limits.of("model", model)),
    ]
    if target.credential is not None:
        credential = f"{target.provider}/{target.credential}"
        found.append(("credential", credential, limits.of("credential", credential)))
    return found


def _ready(found: _Found, by_tokens: Sequence[str] = ()) -> Ready:
    requests: list[tuple[Window, Rule]] = []
    tokens: list[tuple[tuple[str, int], Rule]] = []
    leases: list[tuple[Lease, Rule]] = []
    for per, name, limit in found:
        if limit is None:
            continue
        key = f"{per}:{name}"
        whole = per not in by_tokens
        if limit.requests_per_minute is not None and whole:
            most = limit.requests_per_minute
            requests.append((Window(f"{key}:r", most), _rule(per, name, "requests", most, limit.wait_s)))
        if limit.tokens_per_minute is not None:
            most = limit.tokens_per_minute
            tokens.append(((f"{key}:t", most), _rule(per, name, "tokens", most, limit.wait_s)))
        if limit.concurrent is not None and whole:
            rule = Rule(per, name, "concurrent", limit.concurrent, limit.wait_s)
            leases.append((Lease(f"{key}:c", limit.concurrent), rule))
    if not (requests or tokens or leases):
        return NOTHING
    return Ready(
        requests=_firsts(requests),
        tokens=_firsts(tokens),
        rules=_seconds(requests) + _seconds(tokens),
        leases=_firsts(leases),
        lease_keys=tuple([lease.key for lease, _ in leases]),
        lease_rules=_seconds(leases),
        several=len(requests) > 1 or len(tokens) > 1,
    )


def _rule(per: str, name: str, kind: str, limit: int, wait_s: float) -> Rule:
    shown = (f"x-ratelimit-limit-{kind}", str(limit))
    return Rule(per, name, kind, limit, wait_s, shown, f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}")


def _firsts(pairs: Sequence[tuple[_V, Rule]]) -> tuple[_V, ...]:
    return tuple([first for first, _ in pairs])


def _seconds(pairs: Sequence[tuple[object, Rule]]) -> tuple[Rule, ...]:
    return tuple([rule for _, rule in pairs])
