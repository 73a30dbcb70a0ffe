"""What a question says, in a form in which two can be compared: made once of a text, and kept beside its vector."""

from __future__ import annotations

from msgspec import Struct

from comporta.cache.agreement.amounts import NUMBER_WORDS, numbers_of
from comporta.cache.agreement.asking import asks_for
from comporta.cache.agreement.reading import exact_of, meant, names_of, plain, tokens
from comporta.cache.agreement.small import NEGATIONS, SMALL, TROUBLES, without_idle_negation
from comporta.cache.agreement.tables import tables_of
from comporta.text.language import guess_language
from comporta.text.normal import normalise, visible

#: Counts up when questions are read differently: those read before agree with none until they are read again.
FORM = 2
#: Longer texts are no questions that a short form stands for: they are compared word by word.
LONG_WORDS = 120
_MOST_CHARACTERS = 8_000


class Question(Struct, frozen=True, array_like=True):
    """A text as what it asks for (`asks`), its words that carry meaning, and what must be the same in both."""

    form: int
    language: str
    #: The whole text, in one form of every character.
    text: str
    #: Those that carry meaning, each by the word that stands for its meaning, in order.
    words: tuple[str, ...] = ()
    #: All words, in order.
    tokens: tuple[str, ...] = ()
    asks: str = ""
    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    #: Code, links, addresses, quotes.
    exact: tuple[str, ...] = ()
    #: How often something is denied.
    denials: int = 0
    #: Whether it tells of something that does not work.
    trouble: bool = False

    @property
    def long(self) -> bool:
        return len(self.tokens) > LONG_WORDS


def question_of(text: str, language: str | None) -> Question:
    """A text read; a `language` of None is guessed. Never raises: what can't be read is compared as it stands."""
    shown = visible(text)[:_MOST_CHARACTERS]
    said = (language or _guessed(text)).partition("-")[0].lower()
    # A short text without small words is told apart from no language; most such are as English as their neighbours.
    said = "en" if said == "other" and shown.isascii() else said
    tables = tables_of(said)
    simple = plain(without_idle_negation(shown.lower()) if said == "en" else shown)
    read = list(meant(tokens(simple), tables, said))
    small = SMALL.get(said, frozenset())
    words = tuple(word for word in read if not (word in small or word in NEGATIONS or _counted(word)))
    return Question(
        FORM, said, normalise(text), words, tuple(read), asks_for(simple), numbers_of(simple),
        tuple(name for name in names_of(shown) if not (_counted(name) or name in small or tables.common(name))),
        exact_of(shown), sum(word in NEGATIONS for word in read), any(word in TROUBLES for word in read),
    )  # fmt: skip


def _guessed(text: str) -> str:
    """A language that something speaks for; `other` where nothing does, or as much for two."""
    guess = guess_language(text)
    return guess.code if guess.sure > 0.0 else "other"


def _counted(word: str) -> bool:
    """Whether a word is compared as a number."""
    return word[0].isdigit() or word in NUMBER_WORDS
