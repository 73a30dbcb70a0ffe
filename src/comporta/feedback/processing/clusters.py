"""Complaints that are alike: average-linkage clusters of their vectors, with titles of the words that set them apart.

Clusters keep their names: one that resembles a cluster of the last round takes over its id and title, so that figures
of the same complaint add up over weeks.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from comporta.feedback.drift.changes import Floats
from comporta.feedback.processing.lexical import terms_of, weighted
from comporta.text.normal import content_words, words

#: Complaints whose mean likeness to a cluster is less stay out of it: of words, and of the model's vectors.
LEAST_LIKE_WORDS, LEAST_LIKE_MODEL = 0.16, 0.42
FEWEST = 3
_SAME = 0.45
_KEPT_TERMS = 40
_TITLE_TERMS = 3


class Known(Struct, frozen=True):
    """A cluster of an earlier round: what it is recognised by."""

    id: str
    title: str
    terms: dict[str, float]


class Group(Struct, frozen=True):
    """A cluster: places of its texts, the most typical first."""

    id: str
    title: str
    terms: dict[str, float]
    places: tuple[int, ...]


def grouped(
    texts: Sequence[str], vectors: Floats | None = None, known: Sequence[Known] = (), fewest: int = FEWEST
) -> list[Group]:
    """The clusters of texts, the largest first. `vectors` are the model's; without them words alone count."""
    if len(texts) < fewest:
        return []
    terms = terms_of(texts)
    rows, names = weighted(terms)
    likeness = rows @ rows.T
    least = LEAST_LIKE_WORDS
    if vectors is not None:
        likeness, least = vectors @ vectors.T, LEAST_LIKE_MODEL
    found = [cell for cell in linked(likeness, least) if len(cell) >= fewest]
    spread = Counter(term for one in terms for term in one)
    made, left = [], list(known)
    for cell in sorted(found, key=lambda one: (-len(one), one)):
        ordered = tuple(sorted(cell, key=lambda at: (-float(likeness[at, cell].mean()), at)))
        mine = _terms(rows[list(cell)].mean(axis=0), names)
        old = _match(mine, left)
        if old is not None:
            left.remove(old)
            made.append(Group(old.id, old.title, mine, ordered))
            continue
        title = title_of([texts[at] for at in ordered], [terms[at] for at in ordered], spread, len(texts))
        made.append(Group(_id(mine, texts[ordered[0]]), title, mine, ordered))
    return made


def linked(likeness: Floats, least: float) -> list[list[int]]:
    """Average linkage by chains of nearest neighbours, down to a mean likeness of `least`; places in each cluster."""
    like = likeness.astype(np.float64, copy=True)
    n = len(like)
    np.fill_diagonal(like, -np.inf)
    size = np.ones(n)
    members: dict[int, list[int]] = {at: [at] for at in range(n)}
    chain: list[int] = []
    open_ = set(range(n))
    while open_:
        if not chain:
            chain = [min(open_)]
        top = chain[-1]
        best = int(np.argmax(like[top]))
        # Of equals the one before in the chain counts as nearest, or the chain would never end.
        if len(chain) > 1 and like[top, chain[-2]] >= like[top, best]:
            best = chain[-2]
        if like[top, best] < least:
            # Its nearest is too far: it is whole. What led to it is nearer to it than to others, and is whole too.
            open_.discard(chain.pop())
            continue
        if len(chain) < 2 or best != chain[-2]:
            chain.append(best)
            continue
        chain = chain[:-2]
        _merge(like, size, members, min(top, best), max(top, best))
        open_.discard(max(top, best))
    return [sorted(one) for one in members.values()]


def _merge(like: Floats, size: Floats, members: dict[int, list[int]], into: int, other: int) -> None:
    """One cluster of two; its likeness to another is the mean over all pairs."""
    mean = (size[into] * like[into] + size[other] * like[other]) / (size[into] + size[other])
    like[into] = mean
    like[:, into] = mean
    like[into, into] = -np.inf
    like[other] = -np.inf
    like[:, other] = -np.inf
    size[into] += size[other]
    members[into] += members.pop(other)


def title_of(texts: Sequence[str], terms: Sequence[Counter[str]], spread: Mapping[str, int], n: int) -> str:
    """The words, or pairs of them, that most of these texts have and few of the others do, as people wrote them."""
    mine = Counter(term for one in terms for term in one)
    scored = {
        term: count / len(terms) * np.log((1 + n) / (1 + spread[term] - count + 1)) * (1.3 if " " in term else 1.0)
        for term, count in mine.items()
        if count >= 2
    }
    chosen: list[str] = []
    for term in sorted(scored, key=lambda one: (-scored[one], one)):
        parts = set(term.split())
        if not any(parts & set(other.split()) for other in chosen):
            chosen.append(term)
        if len(chosen) == _TITLE_TERMS:
            break
    if not chosen:
        return " ".join(words(texts[0])[:6])
    return ", ".join(_written(term, texts) for term in chosen)


def _written(term: str, texts: Sequence[str]) -> str:
    """The commonest way in which a term's stems were written, small words between them left out."""
    stems = term.split()
    forms: Counter[str] = Counter()
    for text in texts:
        said = content_words(text)
        cut = [word[:6] for word in said]
        for at in range(len(said) - len(stems) + 1):
            if cut[at : at + len(stems)] == stems:
                forms[" ".join(said[at : at + len(stems)])] += 1
    return max(sorted(forms), key=lambda form: forms[form]) if forms else term


def _terms(centre: Floats, names: Sequence[str]) -> dict[str, float]:
    """The heaviest terms of a cluster's centre."""
    top = np.argsort(-centre, kind="stable")[:_KEPT_TERMS]
    return {names[at]: round(float(centre[at]), 4) for at in top if at < len(names) and centre[at] > 0}


def _match(mine: Mapping[str, float], known: Sequence[Known]) -> Known | None:
    """The cluster of before that has most of the same terms; None where none has enough."""
    scored = [(_likeness(mine, one.terms), one) for one in known]
    best = max(scored, key=lambda one: one[0], default=None)
    return best[1] if best is not None and best[0] >= _SAME else None


def _likeness(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    shared = sum(weight * b[term] for term, weight in a.items() if term in b)
    lengths = sum(w * w for w in a.values()) * sum(w * w for w in b.values())
    return float(shared / lengths**0.5) if lengths else 0.0


def _id(terms: Mapping[str, float], text: str) -> str:
    named = "\0".join(sorted(terms)[:10]) or text
    return f"complaint-{hashlib.sha256(named.encode()).hexdigest()[:12]}"
