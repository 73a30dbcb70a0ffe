"""Spans of others from the inbox into the tables: many small batches together, and a wrong one by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import structlog
from msgspec import Struct

from comporta.app.around import Around
from comporta.errors import Unavailable
from comporta.providers.catalogue import Catalogue, cost_microusd
from comporta.telemetry.capture import Capture
from comporta.telemetry.otlp.foreign import store
from comporta.telemetry.otlp.inbox import Envelope, Inbox
from comporta.telemetry.otlp.normal import Foreign, Reading, foreign_of, problem_of
from comporta.telemetry.otlp.parsing import Raw, Unreadable, spans_of, unpacked
from comporta.telemetry.scrubbing import Scrubber
from comporta.types import Caller, Usage

log = structlog.get_logger("comporta.otlp")

_SETTLED_S = 3.0
_SPANS_AT_ONCE = 2000
#: So many batches, of so many bytes as they were sent, are read before any of them is stored.
_BATCHES_AT_ONCE = 100
_BYTES_AT_ONCE = 4 << 20


class Batch(Struct, frozen=True):
    """A batch that was read: its sound spans, and how many of the others there were."""

    path: Path
    caller: Caller
    spans: list[Foreign]
    refused: int


class Taking:
    """Reads what the door put into the inbox. `once` reads what lies there and says how many batches that were."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._inbox = Inbox(around.folder.traces, 0)
        self._scrubber = Scrubber()
        self._catalogue = Catalogue.shipped()

    async def once(self, settled_s: float = _SETTLED_S) -> int:
        """`settled_s`: how long a batch lies first, so that the gate's own records of the same calls are there.

        Raises Unavailable: what was not stored is read again.
        """
        waiting = await asyncio.to_thread(self._inbox.waiting, settled_s)
        for paths in portions(waiting):
            batches = await asyncio.to_thread(self._read, paths, self._reading())
            self._around.count("otlp_batches_refused", len(paths) - len(batches))
            for _, own in groupby(batches, key=lambda batch: batch.caller):
                await self._keep(list(own))
        await asyncio.to_thread(self._inbox.tidy)
        return len(waiting)

    def _read(self, paths: Sequence[Path], reading: Reading) -> list[Batch]:
        found = [self._batch(path, reading) for path in paths]
        return [batch for batch in found if batch is not None]

    def _batch(self, path: Path, reading: Reading) -> Batch | None:
        """None for one that can't be read, which is put aside."""
        envelope = self._inbox.read(path)
        if envelope is not None:
            try:
                spans, refused = read(envelope, reading, self._around.settings().otlp.take.max_unpacked)
                return Batch(path, envelope.caller, spans, refused)
            except Unreadable as error:
                log.warning("otlp.batch_refused", key=envelope.caller.name, reason=str(error))
        self._inbox.put_aside(path)
        return None

    async def _keep(self, batches: Sequence[Batch]) -> None:
        """Store batches of one caller together; where that fails, one by one, and put aside those that still do."""
        try:
            await self._store(batches)
        except Unavailable:
            raise
        except Exception as error:
            # One batch that nobody foresaw must not keep those behind it waiting for ever.
            if len(batches) == 1:
                name = batches[0].caller.name
                log.error("otlp.batch_failed", key=name, kind=type(error).__name__, exc_info=error)
                self._around.count("otlp_batches_refused")
                await asyncio.to_thread(self._inbox.put_aside, batches[0].path)
                return
            for batch in batches:
                await self._keep([batch])

    async def _store(self, batches: Sequence[Batch]) -> None:
        spans = [span for batch in batches for span in batch.spans]
        twins = 0
        for start in range(0, len(spans), _SPANS_AT_ONCE):
            twins += await store(self._around.database, spans[start : start + _SPANS_AT_ONCE], batches[0].caller)
        self._around.count("otlp_spans_taken", len(spans))
        self._around.count("otlp_spans_refused", sum(batch.refused for batch in batches))
        self._around.count("otlp_spans_of_gate_calls", twins)
        await asyncio.to_thread(_remove, [batch.path for batch in batches])

    def _reading(self) -> Reading:
        mode = self._around.settings().records.content
        return Reading(Capture(self._scrubber, mode), mode, self._price)

    def _price(self, provider: str, model: str, usage: Usage) -> int | None:
        facts = self._catalogue.find(provider, model)
        price = None if facts is None else facts.price_for(usage)
        return None if price is None else cost_microusd(usage, price)


def portions(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Files in their order, so many together as may be read at once; one that is too large is alone."""
    portion: list[Path] = []
    count = 0
    for path in paths:
        size = _size(path)
        if portion and (len(portion) >= _BATCHES_AT_ONCE or count + size > _BYTES_AT_ONCE):
            yield portion
            portion, count = [], 0
        portion.append(path)
        count += size
    if portion:
        yield portion


def read(envelope: Envelope, reading: Reading, most_bytes: int) -> tuple[list[Foreign], int]:
    """The spans of a batch, and how many of them can't be kept. Raises Unreadable."""
    raw, wrong = spans_of(unpacked(envelope.body, envelope.encoding, most_bytes), envelope.content_type)
    now_ns = time.time_ns()
    sound = [one for one in raw if problem_of(one, now_ns) is None]
    found = [_read_one(one, envelope.caller, reading) for one in sound]
    spans = [span for span in found if span is not None]
    return spans, wrong + len(raw) - len(spans)


def _read_one(raw: Raw, caller: Caller, reading: Reading) -> Foreign | None:
    try:
        return foreign_of(raw, caller, reading)
    except Exception as error:
        # One span that nobody foresaw must not take those beside it along.
        log.warning("otlp.span_refused", key=caller.name, scope=raw.scope, kind=type(error).__name__)
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
