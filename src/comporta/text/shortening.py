"""Makes one text shorter without changing what it says: blank space, what is said twice, passages, at last its end."""

from __future__ import annotations

from comporta.text.optimizing.blank import collapsed
from comporta.text.optimizing.documents import has_code, passages, without
from comporta.text.optimizing.relevance import by_words, fitting
from comporta.text.optimizing.repeats import Seen
from comporta.text.tokens import estimate_tokens


def shortened(text: str, max_tokens: int) -> str:
    """The text without needless blank space and repeated lines, in at most about `max_tokens` tokens.

    Code, quotes, data and tables stay as they are, and so do the indents of lines. Of what comes again the first stays.
    Of a text that is still too long, documents and inner paragraphs go that have least to do with its beginning and
    end; if that is not enough it loses its end, at the last whole line or word that fits. Raises ValueError where
    `max_tokens` is less than 1.
    """
    if max_tokens < 1:
        raise ValueError("max_tokens must be at least 1")
    while True:
        shorter = _cut(_pruned(_tidied(text), max_tokens), max_tokens)
        if shorter == text:
            return text
        # What was cut away may have been the end of a quotation, so that more can be told of the rest.
        text = shorter


def _tidied(text: str) -> str:
    return collapsed(Seen(fewest_words=1).rest(text, instructions=True)).strip("\n")


def _pruned(text: str, max_tokens: int) -> str:
    tokens = estimate_tokens(text)
    found = [one for one in passages(text, loose=True) if not has_code(one)] if tokens > max_tokens else []
    if len(found) < 2:
        return text
    rest = without(text, tuple(found))
    sizes = [estimate_tokens(one.text) for one in found]
    kept = fitting(sizes, by_words(rest, [one.text for one in found]), max_tokens - estimate_tokens(rest))
    return without(text, tuple(one for at, one in enumerate(found) if at not in kept)).strip("\n")


def _cut(text: str, max_tokens: int) -> str:
    if estimate_tokens(text) <= max_tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle]) <= max_tokens:
            low = middle
        else:
            high = middle - 1
    whole = text[:low]
    if low < len(text) and not text[low].isspace():
        # Not in the middle of a word, unless that is all there is.
        whole = whole[: _last_blank(whole)] or whole
    whole = whole.rstrip()
    while whole and estimate_tokens(whole) > max_tokens:
        # An estimate does not grow with every character: what was cut away may have told the language.
        whole = whole[: _last_blank(whole) or len(whole) - 1].rstrip()
    return whole


def _last_blank(text: str) -> int:
    return max(text.rfind(" "), text.rfind("\n"), 0)
