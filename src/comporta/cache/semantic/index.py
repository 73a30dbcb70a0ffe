"""Vectors in memory, by scope: the nearest of a hundred thousand in well under a millisecond, on one core.

Each vector is known by 128 signs of its projections on fixed directions (Charikar, STOC 2002): two vectors at an angle
of a differ in about 128·a/π of them, so that counting bits leaves a few hundred of a hundred thousand, and those are
compared by their numbers in eight bits. numpy is imported with this module, which a gate without it does not load.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

_WORDS = 2
_BITS = 64 * _WORDS
#: Vectors of a cosine of .5 differ in 43 signs of 128 on average, give or take 5: nearly all are within the widest.
_BOUNDS = range(57)
#: So many are compared by their numbers, those with the fewest different signs.
_COMPARED = 512
_SEED = 20_240_607
_FEWEST_ROWS = 4
#: Scopes with fewer rows are searched where they are asked: it holds others up for less than a millisecond, and handing
#: the search to a thread and back takes two thirds of one (`make bench-cache`).
INLINE_ROWS = 131_072
Vectors = NDArray[numpy.float32]
Near = tuple[int, float]


class Index:
    """Adds come from one thread; searches may run in another meanwhile."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._directions = _directions(dimensions)
        self._buckets: dict[bytes, _Bucket] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many rows were added and not taken out; those that have expired count until the next reading."""
        return self._count

    def size(self, scopes: Iterable[bytes]) -> int:
        """How many rows a search in these scopes looks at."""
        return sum(bucket.rows for scope in scopes if (bucket := self._buckets.get(scope)) is not None)

    def add(self, ids: Sequence[int], scopes: Sequence[bytes], expires_s: Sequence[float], vectors: Vectors) -> None:
        """Rows with vectors of length one, one per row. Raises ValueError for vectors of another size."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dimensions:
            raise ValueError(f"vectors of {vectors.shape[-1]} numbers in an index of {self.dimensions}")
        codes = self._codes(vectors)
        scales = numpy.abs(vectors).max(axis=1) / 127.0 + 1e-12
        small = numpy.rint(vectors / scales[:, None]).astype(numpy.int8)
        by_scope: dict[bytes, list[int]] = {}
        for at, scope in enumerate(scopes):
            by_scope.setdefault(scope, []).append(at)
        numbers, until = numpy.asarray(ids, numpy.int64), numpy.asarray(expires_s, numpy.float64)
        for scope, rows in by_scope.items():
            bucket = self._buckets.get(scope)
            if bucket is None:
                bucket = self._buckets[scope] = _Bucket(self.dimensions)
            bucket.add(numbers[rows], until[rows], codes[:, rows], small[rows], scales[rows])
        self._count += len(ids)

    def take(self, ids: Sequence[int], scopes: Sequence[bytes], expires_s: Sequence[float], vectors: bytes) -> None:
        """The same with vectors as they are stored: float32, one after another."""
        self.add(ids, scopes, expires_s, numpy.frombuffer(vectors, "<f4").reshape(-1, self.dimensions))

    def vector(self, stored: bytes) -> Vectors:
        """A vector as it is stored, to search with. Raises ValueError for one of another size."""
        vector: Vectors = numpy.frombuffer(stored, "<f4")
        if len(vector) != self.dimensions:
            raise ValueError(f"a vector of {len(vector)} numbers in an index of {self.dimensions}")
        return vector

    def small(self, scopes: Iterable[bytes]) -> bool:
        """Whether a search in these scopes is short enough to be made where it is asked."""
        return self.size(scopes) <= INLINE_ROWS

    def remove(self, scope: bytes, id: int) -> None:
        """Find it no more."""
        bucket = self._buckets.get(scope)
        if bucket is not None:
            self._count -= bucket.remove(id)

    def search(self, scopes: Sequence[bytes], vector: Vectors, floor: float, limit: int, now_s: float) -> list[Near]:
        """The most alike in these scopes, those at least `floor` alike, the most alike first, each once.

        A number in the store with a similarity, to about a thousandth.
        """
        code = self._codes(vector[None, :])[:, 0]
        found: dict[int, float] = {}
        for scope in scopes:
            bucket = self._buckets.get(scope)
            if bucket is not None:
                found.update(bucket.search(code, vector, floor, limit, now_s))
        return sorted(found.items(), key=lambda one: -one[1])[:limit]

    def _codes(self, vectors: Vectors) -> NDArray[numpy.uint64]:
        """128 signs of each vector, as columns of two words."""
        signs = vectors @ self._directions > 0
        packed = numpy.packbits(signs, axis=1).view(numpy.uint64)
        return numpy.ascontiguousarray(packed.T)


class _Bucket:
    """The rows of one scope. Arrays are replaced when they grow, so that a search keeps those it began with."""

    __slots__ = ("_codes", "_expires_s", "_ids", "_scales", "_small", "rows")

    def __init__(self, dimensions: int) -> None:
        self.rows = 0
        self._ids: NDArray[numpy.int64] = numpy.empty(_FEWEST_ROWS, numpy.int64)
        self._expires_s: NDArray[numpy.float64] = numpy.empty(_FEWEST_ROWS, numpy.float64)
        self._codes: NDArray[numpy.uint64] = numpy.empty((_WORDS, _FEWEST_ROWS), numpy.uint64)
        self._small: NDArray[numpy.int8] = numpy.empty((_FEWEST_ROWS, dimensions), numpy.int8)
        self._scales: NDArray[numpy.float32] = numpy.empty(_FEWEST_ROWS, numpy.float32)

    def add(self, ids: Any, expires_s: Any, codes: Any, small: Any, scales: Any) -> None:
        begin, end = self.rows, self.rows + len(ids)
        if end > len(self._ids):
            self._grow(max(end, 2 * len(self._ids)))
        self._ids[begin:end] = ids
        self._expires_s[begin:end] = expires_s
        self._codes[:, begin:end] = codes
        self._small[begin:end] = small
        self._scales[begin:end] = scales
        # Last: a search in another thread sees whole rows only.
        self.rows = end

    def _grow(self, room: int) -> None:
        held = self.rows
        for name in ("_ids", "_expires_s", "_scales"):
            old = getattr(self, name)
            new = numpy.empty(room, old.dtype)
            new[:held] = old[:held]
            setattr(self, name, new)
        small = numpy.empty((room, self._small.shape[1]), numpy.int8)
        small[:held] = self._small[:held]
        codes = numpy.empty((_WORDS, room), numpy.uint64)
        codes[:, :held] = self._codes[:, :held]
        self._small, self._codes = small, codes

    def remove(self, id: int) -> int:
        """How many rows had that number: an entry that was stored anew has several."""
        at = numpy.flatnonzero(self._ids[: self.rows] == id)
        self._expires_s[at] = 0.0
        return len(at)

    def search(
        self, code: NDArray[numpy.uint64], vector: Vectors, floor: float, limit: int, now_s: float
    ) -> list[Near]:
        rows = self.rows
        # A small scope as it lies; of a large one the rows with the fewest different signs.
        at = slice(rows) if rows <= _COMPARED else self._closest(code, rows)
        alike = (self._small[at] @ vector) * self._scales[at]
        alike[self._expires_s[at] <= now_s] = -1.0
        fit = numpy.flatnonzero(alike >= floor)
        if not len(fit):
            return []
        ids = self._ids[at]
        order = fit[numpy.argsort(-alike[fit])[:limit]]
        return [(int(ids[one]), float(alike[one])) for one in order]

    def _closest(self, code: NDArray[numpy.uint64], rows: int) -> NDArray[numpy.int64]:
        """The rows with the fewest different signs."""
        different = numpy.bitwise_count(self._codes[0, :rows] ^ code[0])
        for word in range(1, _WORDS):
            different += numpy.bitwise_count(self._codes[word, :rows] ^ code[word])
        # The narrowest bound that leaves enough: counting is ten times as fast as picking, so only the last one picks.
        bound = bisect.bisect_left(_BOUNDS, _COMPARED, key=lambda one: int(numpy.count_nonzero(different <= one)))
        at = numpy.flatnonzero(different <= _BOUNDS[min(bound, len(_BOUNDS) - 1)])
        if len(at) > _COMPARED:
            at = at[numpy.argpartition(different[at], _COMPARED)[:_COMPARED]]
        return at


def _directions(dimensions: int) -> Vectors:
    """Fixed directions, at right angles as far as there is room: their signs then tell more than random ones'."""
    random = numpy.random.default_rng(_SEED)
    blocks = []
    missing = _BITS
    while missing > 0:
        turned, _ = numpy.linalg.qr(random.standard_normal((dimensions, min(dimensions, missing))))
        blocks.append(turned)
        missing -= turned.shape[1]
    return numpy.concatenate(blocks, axis=1).astype(numpy.float32)
