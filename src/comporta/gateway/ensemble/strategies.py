"""What is made of the answers: which one is given, why, and whether a person should look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from comporta.errors import ComportaError
from comporta.evaluation import jsonpath
from comporta.evaluation.base import Unjudged
from comporta.evaluation.replied import json_of
from comporta.gateway.ensemble.asking import Asked, Tools
from comporta.gateway.ensemble.judged import pick
from comporta.gateway.ensemble.likening import vectors_of
from comporta.pipeline import Call
from comporta.providers.base import Query
from comporta.routing.ensemble.likeness import likeness
from comporta.routing.ensemble.plan import Ensemble
from comporta.routing.ensemble.votes import same_as, tally
from comporta.types import JSON


class Asking(Struct):
    """What strategies work with; `calls` takes what is asked beside the members, and `left_s` says for how long."""

    ensemble: Ensemble
    parent: Call
    query: Query
    tools: Tools
    calls: list[Call]
    left_s: float


class Outcome(Struct, frozen=True):
    """Whose answer is given and why; `review` says why a person should look, None where nobody need."""

    winner: Asked
    why: str
    review: str | None = None
    figures: JSON = {}


class NoVote(ComportaError):
    """An answer that has nothing to count; the member is left out."""

    status = 502
    code = "no_vote"


async def consensus(asking: Asking, answers: Sequence[Asked]) -> Outcome:
    """The preferred answer; it needs a look where the answers are not more alike than the threshold."""
    ensemble, preferred = asking.ensemble, answers[0]
    figures: JSON = {"over": ensemble.over, "threshold": ensemble.threshold}
    if len(answers) < 2:
        review = "Only one model answered: there is nothing that it agrees with."
        return Outcome(preferred, "no other answered", review, figures | {"similarity": None})
    if len({same_as(asked.text) for asked in answers}) == 1:
        for asked in answers:
            asked.score = 1.0
        return Outcome(preferred, "the answers are the same", figures=figures | {"similarity": 1.0})
    try:
        texts = [asked.text for asked in answers]
        vectors = await vectors_of(asking.parent, texts, ensemble.embedder, asking.tools, asking.calls)
    except ComportaError as error:
        review = f"How alike the answers are could not be told ({error.code}): {error.message}"
        return Outcome(preferred, "their likeness is unknown", review, figures | {"similarity": None})
    found = likeness(vectors, ensemble.over)
    for asked, score in zip(answers, found.each, strict=True):
        asked.score = score
    figures["similarity"] = round(found.mean, 4)
    told = f"likeness {found.mean:.3f} over the {ensemble.over}, more than {ensemble.threshold:g} asked"
    if found.mean > ensemble.threshold:
        return Outcome(preferred, told, figures=figures)
    return Outcome(preferred, told, f"The models do not agree: {told}.", figures)


async def vote(asking: Asking, answers: Sequence[Asked]) -> Outcome:
    """The answer with most votes; a tie goes to the preferred member's, and is told."""
    voters, keys = votes(asking.ensemble, answers)
    if not voters:
        raise NoVote(f"No answer has anything at `{asking.ensemble.field}` to count.")
    counted = tally(keys, [asked.member.weight for asked in voters])
    weights = dict(counted.weights)
    for asked, key in zip(voters, keys, strict=True):
        asked.score = weights[key]
    winner = voters[keys.index(counted.winner)]
    figures: JSON = {
        "votes": [weight for _, weight in counted.weights], "share": round(counted.share, 4), "tie": counted.tie,
    }  # fmt: skip
    if counted.tie:
        review = f"{len(counted.leading)} answers had as many votes each: {weights[counted.winner]:g}."
        return Outcome(winner, "a tie: the preferred member's answer", review, figures)
    return Outcome(winner, f"{weights[counted.winner]:g} votes, {counted.share:.0%} of all", figures=figures)


def votes(ensemble: Ensemble, answers: Sequence[Asked]) -> tuple[list[Asked], list[str]]:
    """Who has a vote, and what each counts as; who has nothing at the field is left out, and marked so."""
    voters, keys = [], []
    for asked in answers:
        try:
            keys.append(same_as(asked.text if ensemble.field is None else _at(ensemble.field, asked.text)))
        except ValueError as error:
            asked.ended("failed", NoVote(f"Nothing to count: {error}."))
        else:
            voters.append(asked)
    return voters, keys


def _at(field: str, text: str) -> Any:
    """What stands at a path of an answer's JSON. Raises ValueError that says what is missing."""
    found = jsonpath.values(jsonpath.parse(field), json_of(text, anywhere=True))
    if not found:
        raise ValueError(f"there is nothing at `{field}`")
    return found[0]


async def best_of(asking: Asking, answers: Sequence[Asked]) -> Outcome:
    """The answer that a judge picks; where it can't be asked, the preferred one, for a person to look at."""
    ensemble = asking.ensemble
    assert ensemble.judge is not None, "the configuration has seen to it"
    if len({asked.text.strip() for asked in answers}) == 1:
        return Outcome(answers[0], "the answers are the same: no judge was asked")
    try:
        best, reason = await pick(
            asking.parent, asking.query, ensemble.judge, ensemble.rubric, answers, asking.tools, asking.left_s,
            asking.calls,
        )  # fmt: skip
    except Unjudged as error:
        review = f"No judge could pick the best answer: {error.message}"
        return Outcome(answers[0], "the preferred member's, without a judge", review, {"judged": False})
    best.score = 1.0
    # The judge's words may quote what was said: they go to reviews and answers, and stand in no note.
    return Outcome(best, "the judge's choice", figures={"judged": True, "reason": reason})
