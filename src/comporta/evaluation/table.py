"""A row of the table of assertion kinds: the word that a file says, how it is read, and what it is."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from comporta.config.tree import Path
from comporta.evaluation.base import Scorer
from comporta.prompts.reading import Reading

#: Reads the entry at a path into a scorer; None where mistakes were noted.
ReadKind = Callable[[Reading, Path], Scorer | None]


class Kind(Struct, frozen=True):
    """One kind of assertion. `options` are the keys that may stand beside its word."""

    word: str
    read: ReadKind
    says: str
    options: tuple[str, ...] = ()
    #: Why a file may not say it yet, although it is understood.
    refused: str = ""
