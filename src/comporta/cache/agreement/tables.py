"""The words that mean the same, the opposite, or another thing of the same sort: tables of our own, by language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

from msgspec import Struct

from comporta.cache.agreement.lemmas import lemma

#: Languages that have tables; others are compared by numbers, names, code and quotes alone.
LANGUAGES = ("en", "pt", "es")


class Tables(Struct, frozen=True):
    """All that is known of a language's words, each in its basic form."""

    #: An expression as its words -> the one word that stands for it.
    meanings: Mapping[tuple[str, ...], str] = {}
    #: The first word of expressions -> how many words the longest of them has.
    lengths: Mapping[str, int] = {}
    antonyms: frozenset[tuple[str, str]] = frozenset()
    #: All words of the antonyms.
    opposites: frozenset[str] = frozenset()
    #: A word -> the sorts of things it is one of.
    sorts: Mapping[str, frozenset[str]] = {}

    def opposed(self, one: str, other: str) -> bool:
        """Whether one is the opposite of the other, by the table or by what it begins with."""
        if (one, other) in self.antonyms or _prefixed(one, other) or _prefixed(other, one):
            return True
        a, b = self._positive(one), self._positive(other)
        return (a, b) != (one, other) and (a, b) in self.antonyms

    def _positive(self, word: str) -> str:
        """`largest` and `larger` as `large`, by the word that stands for it; other words as they are."""
        for ending in ("est", "er"):
            stem = word.removesuffix(ending)
            if stem != word and len(stem) >= 3:
                forms = (stem, stem + "e", stem[:-1], stem.removesuffix("i") + "y")
                found = next((form for form in forms if (form,) in self.meanings or form in self.opposites), None)
                if found is not None:
                    return self.meanings.get((found,), found)
        return word

    def common(self, word: str) -> bool:
        """Whether a word is in the table of meanings, and so is no name whatever its letters."""
        return (word,) in self.meanings or (lemma(word),) in self.meanings

    def sorts_of(self, word: str) -> frozenset[str]:
        return self.sorts.get(word, frozenset())


def _prefixed(one: str, other: str) -> bool:
    """`unavailable` and `available`; `decode` and `code` are no such pair, hence the least length."""
    return len(other) >= 4 and one.endswith(other) and one[: -len(other)] in _PREFIXES


_PREFIXES = frozenset(("un", "in", "im", "il", "ir", "dis", "non", "de", "mis", "anti", "des", "in"))


@cache
def tables_of(language: str) -> Tables:
    """The tables of a language; empty ones where it has none."""
    if language not in LANGUAGES:
        return Tables()
    meanings: dict[tuple[str, ...], str] = {}
    for words, word in _meanings(language):
        meanings.setdefault(words, word)
    canonical = {words[0]: word for words, word in meanings.items() if len(words) == 1}

    def one(word: str) -> str:
        basic = lemma(word, language)
        return canonical.get(word, canonical.get(basic, basic))

    opposed = [(one(a), one(b)) for a, b, *_ in (line.split() for line in _lines(language, "antonyms"))]
    antonyms = frozenset((a, b) for a, b in opposed if a != b)
    sorts: dict[str, set[str]] = {}
    for line in _lines(language, "classes"):
        name, _, members = line.partition(":")
        for member in members.split(","):
            sorts.setdefault(one(member.strip()), set()).add(name)
    both = antonyms | {(b, a) for a, b in antonyms}
    lengths: dict[str, int] = {}
    for words in meanings:
        lengths[words[0]] = max(len(words), lengths.get(words[0], 1))
    return Tables(meanings, lengths, both, frozenset(a for a, _ in both), {k: frozenset(v) for k, v in sorts.items()})


def _meanings(language: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for line in _lines(language, "synonyms"):
        word, _, expressions = line.partition(":")
        yield (word,), word
    for line in _lines(language, "synonyms"):
        word, _, expressions = line.partition(":")
        for expression in expressions.split(","):
            words = tuple(expression.split())
            yield words, word
            yield tuple(lemma(one, language) for one in words), word


def _lines(language: str, name: str) -> Iterator[str]:
    text = (resources.files("comporta.cache.agreement") / "tables" / f"{language}.{name}.txt").read_text("utf-8")
    return (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
