"""Which sentences of a given text answer a question: what is asked, what can be quoted, what is near enough."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from operator import mul

from msgspec import Struct

from comporta.text.normal import content_words, normalise, words
from comporta.text.sentences import sentences
from comporta.types import Message, Text, ToolResult

#: More would be no answer any more.
MOST_QUOTED = 3
#: As many passages as are embedded for one answer; of a longer text those that share words come first.
MOST_EMBEDDED = 400
#: How near the best passage must be to count as an answer: found by trial on questions with and without one. The model
#: knows English best; what asks nothing ("Hello") must be nearer; shared words alone are another scale.
ENOUGH_IN_ENGLISH, ENOUGH_ELSEWHERE, ENOUGH_UNASKED, ENOUGH_BY_WORDS = 0.30, 0.435, 0.45, 0.34
#: How near to the best one another passage must be to be quoted beside it.
BESIDE = 0.85
#: Words of the same beginning are taken as forms of one word, if it is this long and this share of the shorter.
_BEGINNING_CHARACTERS, _BEGINNING_SHARE = 4, 0.6
_LABEL = re.compile(r"^[ \t]*(?:question|pergunta|pregunta|questão|q|p)\s*:\s*", re.IGNORECASE | re.MULTILINE)
_HEADING = re.compile(r"^\s*(?:context|contexto|text|texto)\s*:\s*", re.IGNORECASE)

Vector = Sequence[float]


class Task(Struct, frozen=True):
    """What is asked, and the passages that may answer it, in document order."""

    question: str
    passages: tuple[str, ...]


def read_task(messages: Sequence[Message], own: Sequence[str]) -> Task | None:
    """The last user text as the question, all other text as passages; None where the user says nothing.

    Assistant turns that begin with one of `own` are this model's earlier answers: quoting them would quote quotes.
    """
    last = max((i for i, m in enumerate(messages) if m.role == "user" and _texts(m)), default=None)
    if last is None:
        return None
    *before, asked = _texts(messages[last])
    inner, question = split_question(asked)
    given: list[str] = []
    for i, message in enumerate(messages):
        if i == last:
            given += [*before, *inner, *_results(message)]
        elif not (message.role == "assistant" and message.text.startswith(tuple(own))):
            given += [*_texts(message), *_results(message)]
    return Task(question, _passages(given, question))


def _texts(message: Message) -> list[str]:
    return [p.text for p in message.parts if isinstance(p, Text) and p.text.strip()]


def _results(message: Message) -> list[str]:
    inner = [p for part in message.parts if isinstance(part, ToolResult) for p in part.parts]
    return [p.text for p in inner if isinstance(p, Text)]


def split_question(text: str) -> tuple[list[str], str]:
    """One message apart: the text that goes with the question, and the question."""
    labels = list(_LABEL.finditer(text))
    if labels:
        question, _, after = text[labels[-1].end() :].strip().partition("\n\n")
        return [text[: labels[-1].start()], after], question.strip()
    found = sentences(text)
    asking = [i for i, sentence in enumerate(found) if sentence.rstrip("\"'”»)").endswith("?")]
    if asking and len(found) > 1:
        place = asking[-1]
        return ["\n\n".join(found[:place]), "\n\n".join(found[place + 1 :])], found[place]
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip()]
    if not asking and len(paragraphs) > 1:
        return ["\n\n".join(paragraphs[:-1])], paragraphs[-1].strip()
    return [], text.strip()


def _passages(texts: Sequence[str], question: str) -> tuple[str, ...]:
    """Sentences, each once; a question goes with the sentence after it, as lists of questions and answers have it."""
    kept: dict[str, str] = {}
    asked = normalise(question)
    for text in texts:
        for passage in _with_answers(sentences(_HEADING.sub("", text))):
            key = normalise(passage)
            if key != asked:
                kept.setdefault(key, passage)
    return tuple(kept.values())


def _with_answers(found: Sequence[str]) -> Iterator[str]:
    asked = ""
    for sentence in found:
        if sentence.endswith("?"):
            asked = sentence
        else:
            yield f"{asked} {sentence}" if asked else sentence
            asked = ""


def by_words(task: Task) -> list[float]:
    """How much of what the question asks for each passage names, rare words counting more: 0 to 1."""
    named = [0.0] * len(task.passages)
    places = _places(task.passages)
    whole = 0.0
    for word in dict.fromkeys(content_words(task.question)):
        at = set().union(
            *(found for other, found in places.get(word[:_BEGINNING_CHARACTERS], ()) if _same(word, other))
        )
        weight = math.log(1 + len(named) / (1 + len(at)))
        whole += weight
        for i in at:
            named[i] += weight
    return [value / whole for value in named] if whole else named


def _places(passages: Sequence[str]) -> dict[str, list[tuple[str, set[int]]]]:
    """The words of the passages with where they stand, by their first characters."""
    at: dict[str, set[int]] = {}
    for i, passage in enumerate(passages):
        for word in content_words(passage):
            at.setdefault(word, set()).add(i)
    places: dict[str, list[tuple[str, set[int]]]] = {}
    for word, found in at.items():
        places.setdefault(word[:_BEGINNING_CHARACTERS], []).append((word, found))
    return places


def _same(a: str, b: str) -> bool:
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a == b or shared >= max(_BEGINNING_CHARACTERS, _BEGINNING_SHARE * min(len(a), len(b)))


def candidates(named: Sequence[float]) -> list[int]:
    """The passages worth embedding, in document order."""
    if len(named) <= MOST_EMBEDDED:
        return list(range(len(named)))
    return sorted(sorted(range(len(named)), key=lambda i: -named[i])[:MOST_EMBEDDED])


def likeness(a: Vector, b: Vector) -> float:
    """The cosine of two vectors of length one."""
    return math.fsum(map(mul, a, b))


def both(like: float, named: float, english: bool) -> float:
    """Meaning and words together; the model knows English best, so elsewhere shared words count more."""
    share = 0.2 if english else 0.4
    return (1 - share) * like + share * named


def enough(question: str, english: bool) -> float:
    """How near the best passage must be for this question."""
    if not question.rstrip().endswith("?") and len(words(question)) < 4:
        return ENOUGH_UNASKED
    return ENOUGH_IN_ENGLISH if english else ENOUGH_ELSEWHERE


def quotable(scores: Sequence[tuple[int, float]], least: float) -> list[int]:
    """The passages to quote, in document order: near enough, and hardly further off than the best."""
    ranked = sorted(scores, key=lambda item: -item[1])[:MOST_QUOTED]
    if not ranked or ranked[0][1] < least:
        return []
    least = max(least, BESIDE * ranked[0][1])
    return sorted(i for i, score in ranked if score >= least)
