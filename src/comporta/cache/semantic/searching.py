"""The nearest entries of a worker: from an index in memory once it is read, from the database until then."""

from __future__ import annotations

import array
import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from comporta.cache.agreement import FLOOR
from comporta.cache.semantic.embedding import Vectors
from comporta.cache.semantic.store import Indexed, SemanticStore

if TYPE_CHECKING:
    from comporta.cache.semantic.index import Index

log = structlog.get_logger("comporta.cache")

_CANDIDATES = 8
#: Entries of other writers may become visible a little after the time they bear.
_OVERLAP_S = 3.0
#: The index can't forget what was deleted: it is read anew after so many refreshes.
_READ_AFTER = 1_800


class Searching:
    """`most` is how many entries the index may hold."""

    def __init__(
        self, store: SemanticStore, vectors: Vectors, most: Callable[[], int], clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._most = most
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recall")
        self._index: Index | None = None
        self._reading: Index | None = None
        self._after = 0
        self._since_s = 0.0
        self._refreshes = 0
        self._seen: dict[int, float] = {}
        #: Hears the numbers of entries that were stored, perhaps anew.
        self.changed: Callable[[Iterable[int]], None] = lambda ids: None

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    @property
    def read(self) -> bool:
        """Whether the index has been read."""
        return self._index is not None

    async def nearest(self, scopes: Sequence[bytes], vector: bytes) -> list[tuple[int, float]]:
        """Number and similarity of the most alike, the most alike first. Raises whatever the database raises."""
        index = self._index
        if index is None:
            numbers = array.array("f", vector).tolist()
            found = await self._store.nearest(scopes, self._vectors.embedded.name, numbers, _CANDIDATES)
            return [one for one in found if one[1] >= FLOOR]
        made = index.vector(vector)
        given = (scopes, made, FLOOR, _CANDIDATES, self._clock())
        if index.small(scopes):
            return index.search(*given)
        return await asyncio.get_running_loop().run_in_executor(self._thread, index.search, *given)

    def remove(self, scope: bytes, id: int) -> None:
        """An entry that is not there any more."""
        if self._index is not None:
            self._index.remove(scope, id)

    def add(self, rows: Sequence[Indexed]) -> None:
        """Entries that were stored, by this worker or another."""
        self.changed([row.id for row in rows])
        for index in (self._index, self._reading):
            if index is not None and rows:
                _put(index, rows)

    async def refresh(self) -> None:
        """Learn what others stored since the last time, or everything where that is due."""
        self._refreshes += 1
        index = self._index
        if index is None or self._refreshes > _READ_AFTER or len(index) > 1.2 * self._most() + 1_000:
            await self._read()
            return
        rows = await self._store.news(self._vectors.embedded.name, self._after, self._since_s - _OVERLAP_S)
        self.add([row for row in rows if self._seen.get(row.id) != row.stored_s])
        for row in rows:
            self._seen[row.id] = row.stored_s
            self._after, self._since_s = max(self._after, row.id), max(self._since_s, row.stored_s)
        self._seen = {id: at_s for id, at_s in self._seen.items() if at_s >= self._since_s - 2 * _OVERLAP_S}

    async def _read(self) -> None:
        vectors = self._vectors
        if not vectors.dimensions:
            return
        # A tenth of a second and 20 MB that a gate without a semantic cache should not pay: the one marked place.
        from comporta.cache.semantic.index import Index  # noqa: PLC0415

        begun_s = await self._store.now_s()
        self._reading = reading = Index(vectors.dimensions)
        after = 0
        try:
            async for rows in self._store.everything(vectors.embedded.name, self._most()):
                _put(reading, rows)
                after = max(after, rows[0].id)
                await asyncio.sleep(0)
        finally:
            self._reading = None
        self._index, self._after, self._since_s, self._refreshes = reading, after, begun_s, 0

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _put(index: Index, rows: Sequence[Indexed]) -> None:
    """Add rows; those with vectors of another size, as another version of the embedder may have left, are told."""
    size = 4 * index.dimensions
    fitting = [row for row in rows if len(row.vector) == size]
    if len(fitting) < len(rows):
        log.warning("cache.vectors_of_another_size", entries=len(rows) - len(fitting), expected=index.dimensions)
    if fitting:
        index.take(
            [row.id for row in fitting], [row.scope for row in fitting], [row.expires_s for row in fitting],
            b"".join([row.vector for row in fitting]),
        )  # fmt: skip
