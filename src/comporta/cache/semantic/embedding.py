"""Questions to vectors for the cache: within a limit of time, and never a reason for a call to fail."""

from __future__ import annotations

import array
import asyncio
import math
import time
from collections.abc import Callable

import structlog

from comporta.cache.semantic.asked import Embedded
from comporta.embedding.base import Embedder

log = structlog.get_logger("comporta.cache")

#: A question that takes longer is asked of the model as if there were no cache.
_LIMIT_S = 0.5
#: So long an embedder that failed is left alone; it is told once until it works again.
_REST_S = 30.0
#: A vector is of length one when the embedder says so; numbers in eight bits need no more.
_TOLERANCE = 0.01


class Vectors:
    """Asks one embedder, of which `embedded` says what scopes need to know."""

    def __init__(
        self, embedder: Embedder, embedded: Embedded, *, limit_s: float = _LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.embedder = embedder
        self.embedded = embedded
        self._limit_s = limit_s
        self._clock = clock
        self._rests_until_s = 0.0
        self._told = False
        #: How many numbers its vectors have: as it says, or as its first vector has; 0 while nobody knows.
        self.dimensions = embedder.dimensions
        #: Questions that got no vector.
        self.failures = 0

    async def warm(self) -> None:
        """Load the model now, where it is one of this process; what is missing is told once."""
        warm = getattr(self.embedder, "warm", None)
        try:
            if warm is not None:
                await warm()
            else:
                self._sound((await self.embedder.embed(["How do I begin?"]))[0])
        except Exception as error:
            self._failed(error)

    async def mend(self) -> None:
        """Try again to load a model that could not be loaded, when it has rested."""
        if self._clock() >= self._rests_until_s and (self.dimensions == 0 or not self.ready):
            await self.warm()

    @property
    def ready(self) -> bool:
        """Whether a vector is to be had at once: not while the model is being loaded, or after it failed."""
        return self._clock() >= self._rests_until_s and getattr(self.embedder, "ready", True)

    async def vector(self, text: str) -> bytes | None:
        """float32 bytes of a vector of length one; None where there is none in time. Never raises."""
        if not self.ready:
            return None
        try:
            async with asyncio.timeout(self._limit_s):
                (numbers,) = await self.embedder.embed([text])
            made = self._sound(numbers)
        except TimeoutError:
            # Many ask at once: the next one may be in time.
            self.failures += 1
            return None
        except Exception as error:
            self._failed(error)
            return None
        self._told = False
        return made

    async def english(self, text: str) -> bool:
        """Whether the embedder's own words make up a text: it knows English ones whole, and others by pieces."""
        count = getattr(self.embedder, "count", None)
        if count is None or not text.isascii():
            return False
        words = len(text.split())
        try:
            (pieces,) = await count([text])
        except Exception as error:
            self._failed(error)
            return False
        return bool(pieces <= 1 + 1.5 * words)

    def _sound(self, numbers: tuple[float, ...]) -> bytes:
        """Raises ValueError for vectors that can't be compared."""
        if self.dimensions and len(numbers) != self.dimensions:
            raise ValueError(f"a vector of {len(numbers)} numbers where {self.dimensions} were expected")
        length = math.sqrt(math.fsum(one * one for one in numbers))
        if not math.isfinite(length) or length < _TOLERANCE:
            raise ValueError("a vector without length, or with a number that is none")
        self.dimensions = len(numbers)
        scaled = numbers if abs(length - 1) < 1e-4 else [one / length for one in numbers]
        return array.array("f", scaled).tobytes()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._rests_until_s = self._clock() + _REST_S
        if not self._told:
            self._told = True
            log.warning(
                "cache.embedder_failed", embedder=self.embedded.name, kind=type(error).__name__,
                reason=str(error)[:300], effect="exact answers only", again_in_s=_REST_S,
            )  # fmt: skip
