"""What two questions disagree on: each reason names what differs, and one is enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from comporta.cache.agreement import vectors
from comporta.cache.agreement.asking import sharply_other
from comporta.cache.agreement.lemmas import lemma
from comporta.cache.agreement.measures import near
from comporta.cache.agreement.question import Question
from comporta.cache.agreement.small import ACTIONS, TROUBLES
from comporta.cache.agreement.tables import Tables, tables_of

#: From so large a share of common words on, what is left differs on purpose.
_NEARLY_THE_SAME = 0.5
#: With less in common, opposites and things of one sort stand in sentences that say different things with them.
_SOMEHOW_THE_SAME = 0.2
#: So many words make a sentence that one of them can be exchanged in.
_A_FRAME = 3
#: So many words with meaning make a frame that hides what stands in it.
_A_LONG_FRAME = 6
_MOST_TOLD = 40


class Agreement(Struct, frozen=True):
    """Whether nothing was found that tells the questions apart; `reasons` are what was, as `number: 5 or 6`."""

    agrees: bool
    reasons: tuple[str, ...] = ()


def agreement(asked: Question, kept: Question) -> Agreement:
    """Compare two questions. Pure, and without regard to how alike their vectors are."""
    if asked.form != kept.form:
        return Agreement(False, ("form: read by another version",))
    if asked.text == kept.text and asked.exact == kept.exact and asked.language == kept.language:
        return Agreement(True)
    reasons = tuple(_reasons(asked, kept))
    return Agreement(not reasons, reasons)


def _reasons(asked: Question, kept: Question) -> Iterator[str]:
    if asked.language != kept.language:
        yield f"language: {asked.language} or {kept.language}"
    if asked.numbers != kept.numbers:
        yield _told("number", _left(asked.numbers, kept.numbers), _left(kept.numbers, asked.numbers))
    if asked.exact != kept.exact:
        yield _told("code or quote", _left(asked.exact, kept.exact), _left(kept.exact, asked.exact))
    yield from _names(asked, kept)
    if sharply_other(asked.asks, kept.asks) or _does(asked, kept) or _does(kept, asked):
        yield f"asks: {asked.asks} or {kept.asks}"
    tables = tables_of(asked.language)
    mine, theirs = _left(asked.words, kept.words), _left(kept.words, asked.words)
    common = overlap(asked, kept)
    yield from _opposites(asked, kept, tables, mine, theirs)
    if common >= _SOMEHOW_THE_SAME:
        yield from _sorts(tables, mine, theirs)
    yield from _order(asked, kept)
    yield from _exchanged(asked, kept)
    if (asked.long or kept.long) and (mine or theirs):
        yield _told("words of a long text", mine, theirs)
    elif common >= _NEARLY_THE_SAME and min(len(asked.words), len(kept.words)) >= _A_LONG_FRAME:
        yield from _replaced(mine, theirs)


def _does(one: Question, other: Question) -> bool:
    """Whether one asks for a fact (*how long is the warranty*), and the other how to do something with the thing."""
    done = ACTIONS.intersection(other.words)
    return one.asks in _FACTS and other.asks in _DEEDS and bool(done) and ACTIONS.isdisjoint(one.words)


def _left(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """Those that the others have not, each as often as it is more."""
    rest, left = list(others), []
    for one in some:
        if one in rest:
            rest.remove(one)
        else:
            left.append(one)
    return [one for one in left if one not in others] or left if len(set(some)) != len(some) else left


def _told(what: str, mine: Sequence[str], theirs: Sequence[str]) -> str:
    return f"{what}: {' '.join(mine)[:_MOST_TOLD] or 'none'} or {' '.join(theirs)[:_MOST_TOLD] or 'none'}"


def _names(asked: Question, kept: Question) -> Iterator[str]:
    mine = [name for name in asked.names if not _says(kept, name)]
    theirs = [name for name in kept.names if not _says(asked, name)]
    if (mine and theirs) or ((mine or theirs) and overlap(asked, kept) >= _NEARLY_THE_SAME):
        yield _told("name", mine, theirs)


def _says(question: Question, name: str) -> bool:
    """Whether a name stands in it, in whatever letters, or as part of a longer word."""
    if name in question.names:
        return True
    parts = name.replace("&", "-").split("-")
    return all(part in question.tokens or lemma(part) in question.tokens for part in parts)


def overlap(asked: Question, kept: Question) -> float:
    """The share of words that both have of all that either has: of those with meaning, or of all, whichever is more."""
    return max(_share(asked.words, kept.words), _share(asked.tokens, kept.tokens))


def _share(some: Sequence[str], others: Sequence[str]) -> float:
    mine, theirs = set(some), set(others)
    return len(mine & theirs) / max(1, len(mine | theirs))


def _opposites(
    asked: Question, kept: Question, tables: Tables, mine: Sequence[str], theirs: Sequence[str]
) -> Iterator[str]:
    """Opposites tell apart, and so does a denial; both together (`not available`, `unavailable`) do not."""
    opposed = [(a, b) for a in mine for b in theirs if tables.opposed(a, b)]
    denied = asked.denials % 2 != kept.denials % 2
    common = overlap(asked, kept)
    if opposed and not denied and common >= _SOMEHOW_THE_SAME:
        yield _told("opposite", [opposed[0][0]], [opposed[0][1]])
    if denied and not opposed and common >= _NEARLY_THE_SAME:
        yield f"denial: {asked.denials} or {kept.denials}"
    if asked.trouble != kept.trouble and common > 0 and not set(mine).union(theirs) - TROUBLES:
        yield "trouble: told by one alone"


def _sorts(tables: Tables, mine: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    for a in mine:
        sorts = tables.sorts_of(a)
        for b in theirs:
            both = sorts & tables.sorts_of(b)
            if both:
                yield _told(min(both), [a], [b])
                return


def _exchanged(asked: Question, kept: Question) -> Iterator[str]:
    """One word in the place of another, all others the same: another question, unless the two are near in meaning."""
    mine, theirs = (tuple(word for word in one.tokens if word not in _POINTING) for one in (asked, kept))
    other = [(a, b) for a, b in zip(mine, theirs, strict=False) if a != b]
    if len(mine) != len(theirs) or len(other) != 1 or min(len(asked.tokens), len(kept.tokens)) < _A_FRAME:
        return
    ((a, b),) = other
    if frozenset((a, b)) in _OTHER_WAY:
        yield _told("order", [a], [b])
    elif _weighs(a, asked) and _weighs(b, kept) and not _gets(a, b) and not near(a, b, vectors.shipped()):
        yield _told("word", [a], [b])


def _replaced(mine: Sequence[str], theirs: Sequence[str]) -> Iterator[str]:
    """A thing in the place of another in a long frame: much else is the same, and so makes such texts alike."""
    words = vectors.shipped()
    if mine and theirs and not any(near(a, b, words) for a in mine for b in theirs):
        yield _told("word", mine, theirs)


def _weighs(word: str, question: Question) -> bool:
    """Whether a question may be about a word: one with meaning, or a small one that can say what is to be done."""
    return word in question.words or word in _LIGHT


def _gets(one: str, other: str) -> bool:
    """Whether both are ways to come by a thing: who claims a refund wants to get it."""
    return one in _GETTING and other in _GETTING


def _order(asked: Question, kept: Question) -> Iterator[str]:
    """Words that changed places: around `to`, `from`, `than` and the like, or all the same words in another order."""
    if _SYMMETRIC.isdisjoint(asked.tokens):
        for role in _ROLES.intersection(asked.tokens, kept.tokens):
            (before, after), (theirs_before, theirs_after) = _around(asked, role), _around(kept, role)
            if after != theirs_after and after in theirs_before and theirs_after in before:
                yield f"order: {role} {after} or {role} {theirs_after}"
                return
        if len(asked.words) > 1 and _shuffled(asked.tokens, kept.tokens):
            yield "order: the same words in another order"


def _around(question: Question, role: str) -> tuple[tuple[str, ...], str]:
    """The words with meaning before the last such preposition, and the first one after it."""
    at = len(question.tokens) - 1 - question.tokens[::-1].index(role)
    after = (word for word in question.tokens[at + 1 :] if word in question.words)
    return tuple(word for word in question.tokens[:at] if word in question.words), next(after, "")


def _shuffled(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether two have the same words in another order, which is more than a clause moved to the front."""
    n = len(mine)
    if sorted(mine) != sorted(theirs) or tuple(mine) == tuple(theirs):
        return False
    twice = tuple(mine) * 2
    return not any(twice[i : i + n] == tuple(theirs) for i in range(1, n))


#: What is asked for by questions after facts, and by those after something to do.
_FACTS, _DEEDS = frozenset(("who", "when", "duration", "often", "count", "measure")), frozenset(("how", "whether"))
#: Words that only point at the thing.
_POINTING = frozenset(("a", "an", "the", "my", "your", "our", "their", "his", "her", "this", "that", "these", "those"))
#: Small words that make another question in the place of others: they say what is done, or are things themselves.
_LIGHT = frozenset(("get", "find", "see", "use", "make", "know", "need", "take", "help", "ask", "case", "person"))
_GETTING = frozenset(("get", "have", "find", "see", "make", "know", "need", "take", "receive", "request", "claim",
                      "collect", "download", "access", "locate", "view", "want", "check", "apply", "buy"))  # fmt: skip
_OTHER_WAY = frozenset(frozenset(("from", way)) for way in ("to", "into", "onto"))
#: Words behind which two things may change places.
_ROLES = frozenset(("from", "to", "into", "than", "before", "after", "by", "over", "against"))
#: Words whose two things may change places without a difference.
_SYMMETRIC = frozenset(("connect", "link", "integrate", "compare", "difference", "between", "combine", "merge", "pair",
                        "sync", "synchronise", "synchronize", "equal", "same", "and"))  # fmt: skip
