"""Which keys a store may hold: a Bloom filter, so that a call never asked before costs no question to the database."""

from __future__ import annotations

_PROBES = 6
_BITS_PER_KEY = 12
_FEWEST_BITS, _MOST_BITS = 1 << 20, 1 << 26


class Filter:
    """A set of digests that may answer «maybe» for one that was never added, and never «no» for one that was.

    Up to `room` keys it is wrong about one time in a hundred. Beyond about five million (8 MiB) it grows no more and is
    wrong more often, which costs questions and never an answer.
    """

    def __init__(self, expected: int) -> None:
        bits = _FEWEST_BITS
        while bits < expected * _BITS_PER_KEY and bits < _MOST_BITS:
            bits *= 2
        self._mask = bits - 1
        self._field = bytearray(bits // 8)
        #: How many keys it is made for, and how many were added.
        self.room = bits // _BITS_PER_KEY if bits < _MOST_BITS else 1 << 62
        self.count = 0

    def add(self, key: bytes) -> None:
        self.count += 1
        field, mask = self._field, self._mask
        at, step = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:16], "big") | 1
        for _ in range(_PROBES):
            place = at & mask
            field[place >> 3] |= 1 << (place & 7)
            at += step

    def __contains__(self, key: bytes) -> bool:
        field, mask = self._field, self._mask
        at = int.from_bytes(key[:8], "big")
        place = at & mask
        if not field[place >> 3] >> (place & 7) & 1:
            # Most keys were never added, and most of those are told by the first look.
            return False
        step = int.from_bytes(key[8:16], "big") | 1
        for _ in range(_PROBES - 1):
            at += step
            place = at & mask
            if not field[place >> 3] >> (place & 7) & 1:
                return False
        return True
