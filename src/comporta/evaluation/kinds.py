"""THE table of assertion kinds: a new kind is one function in a file of its own and one row here."""

from __future__ import annotations

from comporta.evaluation.scorers import acted, calls, data, functions, judged, language, length, likeness, texts, tones
from comporta.evaluation.table import Kind

KINDS: tuple[Kind, ...] = (
    *texts.KINDS,
    *length.KINDS,
    *data.KINDS,
    *language.KINDS,
    *likeness.KINDS,
    *tones.KINDS,
    *judged.KINDS,
    *calls.KINDS,
    *acted.KINDS,
    *functions.KINDS,
)
