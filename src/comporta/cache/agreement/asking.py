"""What a question asks for: a person, a time, a reason, a price, a way; by its first words."""

from __future__ import annotations

import re

#: In order: the first that is found anywhere in a plain text says it, but for the last ones, which must begin it.
_KINDS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("often", r"\bhow (?:often|frequently|many times)\b"),
        ("duration", r"\bhow (?:long|much time|many (?:\w+ )?(?:second|minute|hour|day|week|month|year)s?)\b"
                     r"|\bfor what period\b|\bduration\b|\buntil when\b|\bhow soon\b"),
        ("cost", r"\bhow (?:much|expensive|costly)\b.*\b(?:cost|pay|charge|price|fee)"
                 r"|\b(?:what|which)\b.*\b(?:cost|price|fee)s?\b"
                 r"|\bhow (?:expensive|costly)\b|\bwhat do (?:you charge|i pay)\b"),
        ("count", r"\bhow (?:many|much)\b|\bnumber of\b|\bcount of\b"),
        ("measure", r"\bhow (?:tall|high|deep|wide|big|large|heavy|old|fast|far|late|early|hot|cold)\b"),
        ("why", r"\bwhy\b|\bhow come\b|\breasons?\b|\bwhat (?:makes|made|causes|caused|could make)\b"),
        ("when", r"\bwhen\b|\b(?:what|which) (?:time|date|day|year|month|hour)\b|\bby when\b"),
        ("who", r"\bwho\b|\bwhom\b|\bwhose\b"),
        ("where", r"\bwhere\b|\b(?:what|which) place\b"),
        ("hard", r"\bhow (?:hard|difficult|easy|effective|useful|good)\b"),
        ("how", r"\bhow\b|\bways? (?:to|of)\b|\bsteps\b|\bprocess\b|\bprocedure\b"),
        ("what", r"\bwhat\b|\bwhich\b"),
        ("whether", r"^(?:and |so |hi |hello |please )*(?:can|could|may|might|is|are|am|was|were|do|does|did"
                    r"|will|would|should|must|has|have|had)\b|\bpossible\b"),
    )
)  # fmt: skip
#: Kinds that can't stand for each other; any other kind may.
_SHARP = frozenset(("often", "duration", "cost", "count", "why", "when", "who", "measure"))
_NEAR = frozenset((frozenset(("when", "duration")), frozenset(("duration", "measure")), frozenset(("when", "measure")),
                   frozenset(("count", "duration")), frozenset(("count", "cost")), frozenset(("count", "measure")),
                   frozenset(("often", "count"))))  # fmt: skip


#: Pairs that can't either, though each may stand for others.
_APART = frozenset(
    map(
        frozenset,
        (
            ("who", "where"),
            ("who", "how"),
            ("hard", "how"),
            ("hard", "where"),
            *(("where", kind) for kind in ("often", "duration", "cost", "count", "why")),
        ),
    )
)


def asks_for(text: str) -> str:
    """What a plain text asks for; empty where it is a statement or a few words."""
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), "")


def sharply_other(one: str, other: str) -> bool:
    """Whether an answer to the one sort of question can't be one to the other."""
    if one == other or not one or not other:
        return False
    if one in _SHARP and other in _SHARP:
        return frozenset((one, other)) not in _NEAR
    return frozenset((one, other)) in _APART
