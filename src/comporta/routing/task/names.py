"""The usual tasks, the many names that people have for them, and what a name says of how hard its calls are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Complexity = Literal["low", "medium", "high"]
#: What people write for them.
ComplexityWord = Literal["low", "medium", "high", "simple", "easy", "moderate", "normal", "complex", "hard"]
COMPLEXITIES: Final[tuple[Complexity, ...]] = ("low", "medium", "high")

#: What the classifier knows. The order is that of its weights.
TASKS: Final = (
    "classification", "extraction", "summarisation", "translation", "question_answering", "code", "creative_writing",
    "reasoning", "chat",
)  # fmt: skip
#: A guess that is less sure counts as none. On sentences that nobody trained with 19 of 20 surer ones are right.
SURE_AT: Final = 0.45
#: The row that holds for calls of no other.
DEFAULT: Final = "default"
_DEFAULTS = frozenset({DEFAULT, "general", "other", "others", "any", "*"})

_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "classification": ("classify", "classifier", "categorisation", "categorization", "labelling", "labeling", "intent",
                       "sentiment", "sentiment_analysis", "moderation", "tagging", "triage"),
    "extraction": ("extract", "data_extraction", "information_extraction", "entity_extraction", "ner", "parsing",
                   "structured_output"),
    "summarisation": ("summarization", "summary", "summaries", "summarise", "summarize", "document_summary", "digest"),
    "translation": ("translate", "localisation", "localization"),
    "question_answering": ("qa", "faq", "questions", "queries", "query", "lookup", "knowledge", "rag", "support",
                           "question_answer"),
    "code": ("coding", "code_generation", "code_review", "programming", "debugging", "sql", "code_completion"),
    "creative_writing": ("creative", "writing", "content_generation", "content", "copywriting", "story", "marketing",
                         "content_creation"),
    "reasoning": ("math", "maths", "mathematics", "analysis", "planning", "logic", "problem_solving", "decisions",
                  "reasoning_math"),
    "chat": ("conversation", "chatbot", "smalltalk", "small_talk", "dialogue", "assistant", "messaging"),
})  # fmt: skip
_USUAL: Final = MappingProxyType({name: task for task, names in _NAMES.items() for name in (task, *names)})
#: First words that say how hard, or how urgent, a task is.
_HARD: Final[Mapping[str, Complexity | None]] = MappingProxyType({
    "simple": "low", "basic": "low", "easy": "low", "short": "low", "complex": "high", "advanced": "high",
    "hard": "high", "critical": "high", "deep": "high", "real_time": None, "realtime": None, "fast": None,
    "quick": None, "live": None, "interactive": None,
})  # fmt: skip


def plain(name: str) -> str:
    """A name as names are compared: lower case, words with `_` between them."""
    return "_".join(name.strip().lower().replace("-", " ").replace("_", " ").replace("/", " ").split())


def usual_of(name: str) -> str | None:
    """The usual task that a name means; None where it means none."""
    word = plain(name)
    found = _USUAL.get(word)
    if found is not None:
        return found
    for first in _HARD:
        if word.startswith(first + "_"):
            return _USUAL.get(word[len(first) + 1 :])
    return None


def hardness_of(name: str) -> Complexity | None:
    """How hard a name says that its calls are; None where it says nothing."""
    word = plain(name)
    return next((hard for first, hard in _HARD.items() if word.startswith(first + "_")), None)


def is_default(name: str) -> bool:
    """Whether a row's task is a word for «everything else»."""
    return plain(name) in _DEFAULTS or name.strip() == "*"
