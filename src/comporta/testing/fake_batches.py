"""What the fakes' batch APIs share: batches that end when the test says so, each row answered by the script.

fake.batches.hold = True        # what is begun goes on until this is False again
fake.batches.answers = 3        # of each batch so many rows are answered, the others expire
fake.batches.refusal = "…"      # a batch is begun, and found wrong
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field

from comporta.testing.upstream import Answer
from comporta.types import JSON


class Row(Struct, frozen=True):
    """A request of a batch: its id, its path and its body as JSON text."""

    id: str
    path: str
    body: bytes


class Batch(Struct, kw_only=True):
    """A batch that was begun. `rows` have an answer each once it has ended; None for those that expired."""

    id: str
    rows: Sequence[Row]
    made: JSON = {}
    ended: bool = False
    cancelled: bool = False
    refusal: str | None = None
    answers: list[Answer | None] = field(default_factory=list)


class Batches:
    """The batches of a fake, the newest last; `ask` answers one row."""

    def __init__(self, ask: Callable[[Row], Answer]) -> None:
        self._ask = ask
        self.hold = False
        self.answers: int | None = None
        self.refusal: str | None = None
        self.all: dict[str, Batch] = {}
        #: No id is ever given twice, also after some were taken away.
        self._begun = 0

    def begin(self, prefix: str, rows: Sequence[Row], made: JSON, refusal: str | None = None) -> Batch:
        self._begun += 1
        batch = Batch(id=f"{prefix}{self._begun:06d}", rows=rows, made=made, refusal=refusal or self.refusal)
        batch.ended = batch.refusal is not None
        self.all[batch.id] = batch
        return batch

    def look(self, id: str) -> Batch | None:
        """A batch as it is now: one that is not held has ended by the time somebody looks."""
        batch = self.all.get(id)
        if batch is not None and not batch.ended and not self.hold:
            self._end(batch)
        return batch

    def cancel(self, id: str) -> Batch | None:
        """End a batch at once; what `answers` allows is answered, nothing where it is None."""
        batch = self.all.get(id)
        if batch is not None and not batch.ended:
            batch.cancelled = True
            self._end(batch, self.answers or 0)
        return batch

    def _end(self, batch: Batch, most: int | None = None) -> None:
        most = self.answers if most is None else most
        batch.ended = True
        batch.answers = [
            self._ask(row) if most is None or at < most else None for at, row in enumerate(batch.rows)
        ]  # fmt: skip
