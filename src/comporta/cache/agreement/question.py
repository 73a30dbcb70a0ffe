"""What a question says, in a form in which two can be compared: made once of a text, and kept beside its vector."""

from __future__ import annotations

from msgspec import Struct

from comporta.text.language import guess_language
from comporta.text.normal import content_words, normalise

#: Counts up when questions are read differently: those read before agree with none until they are read again.
FORM = 1


class Question(Struct, frozen=True, array_like=True):
    """A text as what it asks (`asks`), its words that carry meaning, and what must be the same in both."""

    form: int
    language: str
    text: str
    words: tuple[str, ...] = ()
    asks: str = ""
    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    negated: bool = False


def question_of(text: str, language: str | None) -> Question:
    """A text read; a `language` of None is guessed. Never raises: what can't be read is compared as it stands."""
    said = language or guess_language(text).code
    return Question(FORM, said, normalise(text), content_words(text))
