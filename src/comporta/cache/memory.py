"""The nearest layer of the cache: the answers used last, in this process, bounded in bytes and in number."""

from __future__ import annotations

from collections import OrderedDict

#: What an entry takes beside its bytes: two headers of `bytes`, a tuple, a float and its place in the mapping.
_OVERHEAD_BYTES = 320


class Memory:
    """Encoded entries by key, each with the epoch second at which it expires; the one unused longest goes first."""

    def __init__(self, max_bytes: int, max_entries: int) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._held: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        #: What is held now, with what each entry takes beside its own bytes.
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now_s: float, stale: bool = False) -> bytes | None:
        """The entry, unless it has expired; where `stale` will do, also then, as long as there was room for it."""
        found = self._held.get(key)
        if found is None or (found[1] <= now_s and not stale):
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: bytes, body: bytes, expires_s: float) -> None:
        """Hold an entry in place of an older one; what is too large for all of the room is not held."""
        self.drop(key)
        size = _size(key, body)
        if size > self._max_bytes or not self._max_entries:
            return
        self._held[key] = (body, expires_s)
        self.bytes += size
        self._shrink()

    def drop(self, key: bytes) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self.bytes -= _size(key, found[0])

    def ending(self, mark: bytes) -> list[bytes]:
        """The entries whose encoded form ends so."""
        return [body for body, _ in self._held.values() if body.endswith(mark)]

    def drop_ending(self, mark: bytes) -> int:
        """Drop those entries; how many there were."""
        keys = [key for key, (body, _) in self._held.items() if body.endswith(mark)]
        for key in keys:
            self.drop(key)
        return len(keys)

    def resize(self, max_bytes: int, max_entries: int) -> None:
        """Other bounds, from now on."""
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._shrink()

    def _shrink(self) -> None:
        while self.bytes > self._max_bytes or len(self._held) > self._max_entries:
            key, (body, _) = self._held.popitem(last=False)
            self.bytes -= _size(key, body)


def _size(key: bytes, body: bytes) -> int:
    return len(key) + len(body) + _OVERHEAD_BYTES
