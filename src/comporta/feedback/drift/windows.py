"""Two windows over a stream, the reference and the latest items, and when they are compared. Bounded, and no I/O."""

from __future__ import annotations

import datetime
import random

import numpy as np
from msgspec import Struct

from comporta.feedback.drift.changes import Change, Floats, Test


class Sizes(Struct, frozen=True):
    """How many items the windows hold, after how many new ones they are compared, and the reference's least time.

    A `fixed` reference stays what it is, whatever is found.
    """

    reference: int = 400
    current: int = 200
    every: int = 50
    fewest: int = 100
    reference_lasts_s: float = 0.0
    fixed: bool = False


class Item(Struct, frozen=True):
    """One of a stream; `number` counts them."""

    number: int
    at: datetime.datetime
    vector: Floats
    call_id: str | None = None
    user: str | None = None


class Found(Struct, frozen=True):
    """A change, with the items that show it and the time since when it shows."""

    change: Change
    since: datetime.datetime
    items: tuple[Item, ...]
    n_before: int
    n_after: int


class Windows:
    """The windows of one stream. `taken` counts items since the reference began, `tested` is where it looked last.

    While the reference fills for longer than it has room for, it holds an even sample of what came by (a reservoir;
    Vitter 1985), so that a busy route's reference is its whole first day.
    """

    def __init__(
        self, test: Test, sizes: Sizes, reference: list[Item], current: list[Item], *, taken: int = 0, tested: int = 0,
        began_at: datetime.datetime | None = None,
    ) -> None:  # fmt: skip
        self.reference = reference
        self.current = current
        self.taken = taken
        self.tested = tested
        self.began_at = began_at
        self._test = test
        self._sizes = sizes

    def take(self, item: Item) -> list[Found]:
        """One more item; what was found by it. After a change the reference is gathered anew, from where it shows."""
        self.began_at = self.began_at or item.at
        self.taken += 1
        if self._fills(item):
            self._put(item)
            return []
        self.current = [*self.current, item][-self._sizes.current :]
        if self.taken - self.tested < self._sizes.every or len(self.current) < self._sizes.fewest:
            return []
        self.tested = self.taken
        return self._look()

    def _fills(self, item: Item) -> bool:
        assert self.began_at is not None
        short = len(self.reference) < self._sizes.reference
        young = (item.at - self.began_at).total_seconds() < self._sizes.reference_lasts_s
        return not self.current and not self._sizes.fixed and (short or young)

    def _put(self, item: Item) -> None:
        if len(self.reference) < self._sizes.reference:
            self.reference = [*self.reference, item]
            return
        place = random.Random(item.number).randrange(self.taken)
        if place < len(self.reference):
            self.reference = [*self.reference[:place], *self.reference[place + 1 :], item]

    def _look(self) -> list[Found]:
        before, after = _matrix(self.reference), _matrix(self.current)
        changes = self._test(before, after, self.current[-1].number)
        if not changes:
            return []
        found = [self._found(change) for change in changes]
        if not self._sizes.fixed:
            # What came before is in the same window: with it in the reference the change would be told once more.
            self.reference = self.current[max(change.starts for change in changes) :]
            self.began_at = self.reference[0].at
        self.current, self.taken, self.tested = [], len(self.reference), 0
        return found

    def _found(self, change: Change) -> Found:
        items = tuple(self.current[at] for at in change.shown)
        return Found(change, self.current[change.starts].at, items, len(self.reference), len(self.current))


def _matrix(items: list[Item]) -> Floats:
    return np.stack([one.vector for one in items])
