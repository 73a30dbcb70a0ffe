"""Which limits hold for whom: the configuration's words, and those in the keys themselves. No I/O, no counting."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from comporta.keys.rows import KeyRow
from comporta.keys.settings import LimitSection, Per

#: What is limited in being asked.
_TOWARDS = frozenset({"provider", "model", "credential"})


class Limit(Struct, frozen=True):
    """What may pass; None is without limit. `wait_s` is how long a call may wait for room, 0 refuses at once."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    wait_s: float = 0.0


class Limits:
    """All limits of a configuration. The nearer word holds, figure by figure: a key's own, one by name, one for all."""

    def __init__(self, sections: Iterable[LimitSection]) -> None:
        self._all: dict[Per, Limit] = {}
        self._named: dict[tuple[Per, str], Limit] = {}
        for section in sections:
            limit = _read(section)
            if section.name is None:
                self._all[section.per] = _tighter(self._all.get(section.per), limit)
            else:
                place = (section.per, section.name)
                self._named[place] = _tighter(self._named.get(place), limit)
        for place, limit in self._named.items():
            self._named[place] = _nearer(limit, self._all.get(place[0])) or limit
        pers = frozenset(self._all) | {per for per, _ in self._named}
        #: What is limited at all: the rest need not be looked up.
        self.keys = "key" in pers
        self.users = "user" in pers
        self.routes = "route" in pers
        self.towards = not pers.isdisjoint(_TOWARDS)

    def of(self, per: Per, name: str) -> Limit | None:
        """What holds for one of them."""
        return self._named.get((per, name)) or self._all.get(per)

    def of_key(self, key_id: str, name: str, row: KeyRow | None) -> Limit | None:
        """What holds for a key: by its own row, by its id or name, or for all keys."""
        said = self._said_of_key(key_id, name) if self.keys else None
        if row is None or not (row.requests_per_minute or row.tokens_per_minute or row.concurrent):
            return said
        return _nearer(Limit(row.requests_per_minute, row.tokens_per_minute, row.concurrent), said)

    def _said_of_key(self, key_id: str, name: str) -> Limit | None:
        by_id = self._named.get(("key", key_id))
        return self.of("key", name) if by_id is None else _nearer(by_id, self.of("key", name))


def _read(section: LimitSection) -> Limit:
    wait_s = section.longest_wait if section.on_limit == "wait" else 0.0
    return Limit(section.requests_per_minute, section.tokens_per_minute, section.concurrent, wait_s)


def _tighter(one: Limit | None, other: Limit) -> Limit:
    """Two words for the same: the smaller figure of each kind holds."""
    if one is None:
        return other
    figures = {
        field: min((v for v in (getattr(one, field), getattr(other, field)) if v is not None), default=None)
        for field in ("requests_per_minute", "tokens_per_minute", "concurrent")
    }
    return Limit(**figures, wait_s=min(one.wait_s, other.wait_s))


def _nearer(near: Limit | None, far: Limit | None) -> Limit | None:
    if near is None or far is None:
        return near or far
    return structs.replace(
        near,
        requests_per_minute=near.requests_per_minute or far.requests_per_minute,
        tokens_per_minute=near.tokens_per_minute or far.tokens_per_minute,
        concurrent=near.concurrent or far.concurrent,
        wait_s=near.wait_s or far.wait_s,
    )
