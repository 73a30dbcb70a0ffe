"""Entries that were given lately, in this process: a hit that is asked for often need not be read every time.

What is cleared, dropped, erased or replaced elsewhere must not be given from here: clearings and erasures are looked at
with every entry, wherever it came from, and what others store anew is taken out when the index hears of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from comporta.cache.semantic.store import Kept

_MOST_ENTRIES = 4_096
_MOST_BYTES = 16 << 20
#: What an entry takes beside its bytes.
_OVERHEAD_BYTES = 1_000


class Recent:
    """The entries used last, bounded in number and in bytes; `read` gets the others."""

    def __init__(self, read: Callable[[Sequence[int]], Awaitable[list[Kept]]]) -> None:
        self._read = read
        self._held: OrderedDict[int, Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def held(self, id: int) -> Kept | None:
        """The entry, where it is held here."""
        return self._held.get(id)

    async def get(self, ids: Sequence[int]) -> list[Kept]:
        """Those of the entries that are there. Raises what reading raises."""
        missing = [id for id in ids if id not in self._held]
        read = await self._read(missing) if missing else []
        found = [self._held[id] for id in ids if id in self._held]
        for one in found:
            self._held.move_to_end(one.id)
        return found + read

    def used(self, one: Kept) -> None:
        """Hold an entry that was given."""
        if one.id in self._held or _size(one) > _MOST_BYTES // 16:
            return
        self._held[one.id] = one
        self._bytes += _size(one)
        while len(self._held) > _MOST_ENTRIES or self._bytes > _MOST_BYTES:
            self._bytes -= _size(self._held.popitem(last=False)[1])

    def forget(self, ids: Iterable[int]) -> None:
        """Hold these no more: they were stored anew, or are not to be given."""
        for id in ids:
            one = self._held.pop(id, None)
            if one is not None:
                self._bytes -= _size(one)


def _size(one: Kept) -> int:
    return len(one.body) + len(one.vector) + len(one.question) + _OVERHEAD_BYTES
