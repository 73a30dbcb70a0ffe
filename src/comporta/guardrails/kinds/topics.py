"""Texts that must be about something, or must not."""

from __future__ import annotations

from msgspec import Struct

from comporta.embedding.base import Embedder
from comporta.errors import ConfigError, Unavailable
from comporta.guardrails.base import PASS, Context, Guard, Kind, Tools, Verdict
from comporta.guardrails.grounding.meaning import Meanings
from comporta.guardrails.grounding.reading import read, stem
from comporta.guardrails.looking import Text
from comporta.text.language import guess_language
from comporta.text.normal import content_words, normalise, without_accents

#: Likeness of meanings from which two texts are about the same, and below which they are not: from there to there
#: confidence grows from 0 to 1. Figures of all-MiniLM-L6-v2 on short questions.
_FAR, _NEAR = 0.15, 0.65
_LONGEST_CHARACTERS = 1_200
#: Shorter texts are about nothing in particular: thanks, greetings, numbers.
_FEW_WORDS = 3


class Topic(Struct, frozen=True, forbid_unknown_fields=True):
    """What a topic sounds like. Keywords count by themselves; examples by what they mean, and by their words."""

    name: str
    examples: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


class TopicSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """With `allow`, a text must be about one of these; about one of `deny` it must not be."""

    allow: tuple[Topic, ...] = ()
    deny: tuple[Topic, ...] = ()
    meaning: bool = True


class _Known:
    """A topic made ready."""

    def __init__(self, topic: Topic) -> None:
        if not topic.examples and not topic.keywords:
            raise ConfigError(f"topic: '{topic.name}' needs `examples` or `keywords`")
        self.topic = topic
        self.keywords = tuple(f" {' '.join(_plain(word).split())} " for word in topic.keywords)
        self.words = [frozenset(read(example).stems) for example in topic.examples]

    def by_words(self, said: str, stems: frozenset[str]) -> float:
        """1 for a keyword, else how much of an example's words stand in the text."""
        if any(word in said for word in self.keywords):
            return 1.0
        shares = [len(words & stems) / min(len(words), 6) for words in self.words if words]
        return min(1.0, max(shares, default=0.0))


def topic(settings: TopicSettings, tools: Tools) -> Guard:
    """Finds texts that are off the allowed topics or on a denied one. Raises ConfigError."""
    if not settings.allow and not settings.deny:
        raise ConfigError("topic: give topics under `allow` or `deny`")
    allow, deny = [[_Known(one) for one in some] for some in (settings.allow, settings.deny)]
    near = _Nearness(tools.embedder if settings.meaning else None)

    async def guard(text: Text, context: Context) -> Verdict:
        plain = text.plain[:_LONGEST_CHARACTERS]
        if len(content_words(plain)) < _FEW_WORDS and not any(known.keywords for known in (*allow, *deny)):
            return PASS
        told = [(await near.of(known, plain), known.topic.name) for known in deny]
        worst, name = max(told, default=(0.0, ""))
        method = near.method(plain)
        if worst >= context.threshold:
            facts = {"topic": name, "method": method}
            return Verdict("flag", reason=f"it is about '{name}'", confidence=round(worst, 4), facts=facts)
        if allow and len(content_words(plain)) >= _FEW_WORDS:
            best = max([await near.of(known, plain) for known in allow])
            names = ", ".join(known.topic.name for known in allow)
            return Verdict("flag", reason=f"it is not about {names}", confidence=round(1.0 - best, 4),
                           facts={"method": method})  # fmt: skip
        return PASS

    return guard


class _Nearness:
    """How near a text is to a topic, 0 to 1: by meaning where both are English, by words in other languages."""

    def __init__(self, embedder: Embedder | None) -> None:
        self._meanings = None if embedder is None else Meanings(embedder)

    def method(self, text: str) -> str:
        """By what texts like this one are compared."""
        return "meaning" if self._meanings is not None and guess_language(text).code == "en" else "words"

    async def of(self, known: _Known, text: str) -> float:
        by_words = known.by_words(f" {' '.join(_plain(text).split())} ", frozenset(read(text).stems))
        if by_words >= 1.0 or self._meanings is None or guess_language(text).code != "en":
            return by_words
        english = [one for one in known.topic.examples if guess_language(one).code not in ("pt", "es")]
        try:
            alike = max([await self._meanings.alike(text, one) for one in english], default=0.0)
        except Unavailable:
            return by_words
        return max(by_words, min(1.0, max(0.0, (alike - _FAR) / (_NEAR - _FAR))))


def _plain(text: str) -> str:
    """Words of a text without case, accents and signs, their ends cut as stems are, so that plurals meet."""
    letters = "".join(c if c.isalnum() else " " for c in without_accents(normalise(text)))
    return " ".join(stem(word) if len(word) > _STEMMED else word for word in letters.split())


#: Words up to this length are compared whole: `bet` is not `better`.
_STEMMED = 6

KINDS = (
    Kind("topic", topic, TopicSettings, severity="warning", slow=True, needs="whole", alone=True,
         aliases=("topics", "off_topic"), about="Holds texts to topics, told by examples and keywords."),
)  # fmt: skip
