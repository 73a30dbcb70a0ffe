"""Vectors of answers, to tell how alike they are: by the local model, or by a provider's through the gate."""

from __future__ import annotations

from collections.abc import Sequence

from comporta.embedding.base import Embedder
from comporta.embedding.minilm import NAME as MINILM
from comporta.errors import Unavailable
from comporta.gateway.ensemble.asking import DOOR, Tools
from comporta.pipeline import Call, Gathered, child_of
from comporta.routing.ensemble.likeness import Vector, middle, unit
from comporta.text.tags import guess_tag, primary
from comporta.types import Input

#: Embedders that know English alone.
_ENGLISH_ONLY = frozenset({MINILM})
#: A guess at a language that is less sure than that doesn't stand in the way.
_SURE = 0.2
#: The local model reads 256 tokens: longer answers are looked at in pieces of so many words, up to so many pieces.
_PIECE_WORDS = 150
_MOST_PIECES = 12


async def vectors_of(
    parent: Call, texts: Sequence[str], embedder: str | None, tools: Tools, calls: list[Call]
) -> list[Vector]:
    """A vector of length one for each text. Raises ComportaError where they can't be had, or would mean nothing."""
    if embedder is not None:
        return await _by_provider(parent, texts, embedder, tools, calls)
    _readable(tools.embedder, texts)
    return [await _by_pieces(text, tools.embedder) for text in texts]


async def _by_pieces(text: str, embedder: Embedder) -> Vector:
    # One at a time: what the int8 model says of a text depends a little on the others in its batch.
    return middle([(await embedder.embed([piece]))[0] for piece in pieces(text)])


def pieces(text: str) -> list[str]:
    """A text in pieces that the local model reads whole; of a very long one the same number, evenly spread."""
    words = text.split()
    cut = [" ".join(words[at : at + _PIECE_WORDS]) for at in range(0, len(words), _PIECE_WORDS)] or [""]
    if len(cut) <= _MOST_PIECES:
        return cut
    return [cut[at * (len(cut) - 1) // (_MOST_PIECES - 1)] for at in range(_MOST_PIECES)]


async def _by_provider(
    parent: Call, texts: Sequence[str], embedder: str, tools: Tools, calls: list[Call]
) -> list[Vector]:
    call = child_of(parent, Input(texts=tuple(texts)), embedder, door=DOOR)
    call.kind = "embed"
    tools.made(parent, call, True)
    calls.append(call)
    gathered, answer = Gathered(), tools.stream(call)
    try:
        async for event in answer:
            gathered.add(event)
    finally:
        await answer.aclose()
    found = [unit([float(one) for one in vector]) for vector in gathered.reply().vectors if not isinstance(vector, str)]
    if len(found) != len(texts) or len({len(vector) for vector in found}) != 1:
        raise Unavailable(f"'{embedder}' gave {len(found)} usable vectors for {len(texts)} texts.", code="no_vectors")
    return found


def _readable(embedder: Embedder, texts: Sequence[str]) -> None:
    if embedder.name not in _ENGLISH_ONLY:
        return
    for text in texts:
        guess = guess_tag(text)
        if primary(guess.tag) != "en" and guess.sure >= _SURE:
            raise Unavailable(
                f"{embedder.name} knows English alone, and an answer is in {guess.tag}: name an `embedder` that knows "
                "it.",
                code="language_unknown",
            )
