"""The texts that the attack classifier learns from: data of others, texts by grammar, documents with one planted."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.grammar import Grammar, dressed

LANGUAGES = ("en", "pt", "es")
#: Texts by grammar of each language: attacks, and harmless ones.
ATTACKS, HARMLESS = 2600, 3600
#: Documents of each language: with a planted sentence, and without.
DOCUMENTS = 700
#: Texts of each language made of several harmless ones, and as many with an attack among them.
COMPOUND = 350
#: Techniques that stand in documents, where nobody but the model reads them.
PLANTED = ("hidden", "exfiltration", "override", "turns")
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")


class Sample(NamedTuple):
    """A text, 1 for an attack, and where it comes from. `+`, `-` and `~` begin the sources that are made here."""

    text: str
    label: int
    lang: str
    source: str
    place: str = "said"


def rows_of(data: Path, name: str) -> list[dict[str, Any]]:
    """A file of the data: JSON lines, gzipped."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def grammars() -> dict[str, Grammar]:
    """The grammar of each language."""
    return {lang: Grammar(Path(__file__).parent / f"{lang}.txt") for lang in LANGUAGES}


def given(data: Path) -> list[Sample]:
    """What the data says."""
    return [
        Sample(row["text"], row["label"], "en" if row["lang"] == "en/de" else row["lang"], row["source"])
        for row in rows_of(data, "injection")
    ]


def made(rng: random.Random) -> Iterator[Sample]:
    """Texts by grammar; a technique with more forms has more texts, but not as many more."""
    for lang, grammar in grammars().items():
        for label, sign, parts, count in (
            (1, "+", grammar.attacks, ATTACKS), (0, "-", grammar.harmless, HARMLESS),
        ):  # fmt: skip
            total = sum(len(forms) ** 0.5 for forms in parts.values())
            for name, forms in parts.items():
                for text in grammar.many(forms, int(count * len(forms) ** 0.5 / total), rng):
                    yield Sample(dressed(text, rng), label, lang, f"{sign} {name}")
        yield from _compound(lang, grammar, rng)


def _compound(lang: str, grammar: Grammar, rng: random.Random) -> Iterator[Sample]:
    """Longer texts of several parts: what people paste together, and what attacks hide among."""
    harmless = [form for name, forms in grammar.harmless.items() if name != "paper" for form in forms]
    roles = grammar.harmless["role"]
    attacks = [form for forms in grammar.attacks.values() for form in forms]
    for _ in range(COMPOUND):
        glue = rng.choice((" ", "\n", "\n- ", "\n\n"))
        parts = [grammar.one(form, rng) for form in rng.choices(harmless, k=rng.randrange(1, 7))]
        opening = grammar.one(rng.choice(roles), rng)
        yield Sample(glue.join([opening, *parts]), 0, lang, "- compound")
        parts.insert(rng.randrange(len(parts) + 1), grammar.one(rng.choice(attacks), rng))
        yield Sample(glue.join(parts), 1, lang, "+ compound")


def contexts(data: Path) -> dict[str, list[str]]:
    """Prose of each language: the passages of the data on groundedness."""
    found: dict[str, dict[str, None]] = {lang: {} for lang in LANGUAGES}
    for row in rows_of(data, "groundedness"):
        found[row["lang"]][row["context"]] = None
    return {lang: list(texts) for lang, texts in found.items()}


def documents(data: Path, samples: Sequence[Sample], rng: random.Random) -> Iterator[Sample]:
    """Documents without and with one sentence to the model, somewhere; of the same language."""
    prose = contexts(data)
    for lang in LANGUAGES:
        planted = _planted(samples, lang)
        papers = [s.text for s in samples if s.lang == lang and s.source == "- paper"]
        for at in range(DOCUMENTS):
            yield Sample(_document(prose[lang], papers, rng), 0, lang, "~ clean", "document")
            text, source = rng.choice(planted[at % len(planted)])
            host = _document(prose[lang], papers, rng)
            yield Sample(_with(host, text, rng), 1, lang, f"~ {source}", "document")
        asks = [s.text for s in samples if s.lang == lang and s.source in ("- everyday", "alpaca_queries")]
        for _ in range(DOCUMENTS // 2):
            yield Sample(f"{rng.choice(asks)}\n\n{_document(prose[lang], papers, rng)}", 0, lang, "~ asked about")


def _planted(samples: Sequence[Sample], lang: str) -> list[list[tuple[str, str]]]:
    """What is planted, by kind: attacks of our own, and plain wishes, which are out of place in a document."""
    own = [(s.text, "planted attack") for s in samples if s.lang == lang and s.source[2:] in PLANTED]
    wishes = [
        (s.text, "planted wish") for s in samples
        if s.lang == lang and s.source in ("bipia_text_train", "alpaca_queries", "- everyday")
        and len(s.text) < 160 and "\n" not in s.text
    ]  # fmt: skip
    return [own, wishes]


def _document(prose: Sequence[str], papers: Sequence[str], rng: random.Random) -> str:
    if rng.random() < 0.3:
        return "\n".join(rng.sample(papers, rng.randrange(2, 7)))
    text = rng.choice(prose)
    sentences = _SENTENCE_END.split(text)
    first = rng.randrange(max(len(sentences) - 4, 1))
    wanted = rng.randrange(300, 2500)
    kept, length = [], 0
    for sentence in sentences[first:]:
        kept.append(sentence[:600])
        length += len(kept[-1])
        if length > wanted:
            break
    return " ".join(kept)


def _with(host: str, text: str, rng: random.Random) -> str:
    parts = _SENTENCE_END.split(host) if "\n" not in host else host.split("\n")
    at = rng.choice((0, len(parts) // 2, rng.randrange(len(parts) + 1), len(parts)))
    glue = rng.choice((" ", " ", "\n", "\n\n"))
    return glue.join(part for part in (" ".join(parts[:at]), text, " ".join(parts[at:])) if part)
