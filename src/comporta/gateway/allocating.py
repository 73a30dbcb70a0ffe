"""The stage `allocate`: a call's own tags, from its header and metadata, put to those of its key, and checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from comporta.budget.allocation import HEADER, Allocation
from comporta.pipeline import Call, Next
from comporta.types import Event


class Allocating:
    """The stage and whom it concerns: calls that say tags, and all of them where the configuration asks for some."""

    def __init__(self, allocation: Callable[[], Allocation]) -> None:
        self._allocation = allocation

    def applies(self, call: Call) -> bool:
        """Whether there is anything to put together or to check."""
        return HEADER in call.headers or not self._allocation().is_open

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """Raises BadRequest."""
        # Taken out: neither providers nor caches have to do with it.
        caller = self._allocation().of(call.caller, call.headers.pop(HEADER, None), call.input.metadata)
        if caller is not call.caller:
            call.caller = caller
            call.tags.update(caller.tags)
        return await next(call)
