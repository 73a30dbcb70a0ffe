"""Prompts made ready and lately used, as many as fit into so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from comporta.prompts.prompt import Prompt

_Key = tuple[str, str]


class _Kept(Struct, frozen=True):
    prompt: Prompt
    size: int


class Recent:
    """Versions by id and version; the one that was not used for longest goes first. `limit` is asked at each `put`."""

    def __init__(self, limit_bytes: Callable[[], int]) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, id: str, version: str) -> Prompt | None:
        key = (id, version)
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept.prompt

    def put(self, prompt: Prompt, size: int) -> None:
        """Keep a prompt that takes about `size` bytes; one that is larger than everything together may be is not."""
        self._drop((prompt.id, prompt.version))
        limit = self._limit_bytes()
        if size > limit:
            return
        self._kept[(prompt.id, prompt.version)] = _Kept(prompt, size)
        self.bytes += size
        while self.bytes > limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.bytes -= kept.size
