"""What is made of answers without asking anybody: likeness, votes, preference, and what may be configured."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from comporta.routing.ensemble.likeness import likeness, middle, unit
from comporta.routing.ensemble.plan import Ensemble, Member, ensemble_of
from comporta.routing.ensemble.settings import EnsembleSection
from comporta.routing.ensemble.votes import same_as, tally

# ---- likeness -------------------------------------------------------------------------------------------------------


def at_cosines(*cosines: float) -> list[list[float]]:
    """Three unit vectors whose pairs have these cosines: of first and second, first and third, second and third."""
    ab, ac, bc = cosines
    y = math.sqrt(1 - ab * ab)
    cy = (bc - ac * ab) / y
    return [[1, 0, 0], [ab, y, 0], [ac, cy, math.sqrt(1 - ac * ac - cy * cy)]]


def test_the_mean_over_the_pairs_is_that_of_the_three_cosines() -> None:
    found = likeness(at_cosines(0.9, 0.8, 0.7), "pairs")
    assert found.mean == pytest.approx(0.8)
    assert found.each == pytest.approx((0.85, 0.8, 0.75))


def test_the_matrix_with_its_diagonal_flatters_three_answers_of_775_pass_at_85() -> None:
    vectors = at_cosines(0.775, 0.775, 0.775)
    assert likeness(vectors, "pairs").mean == pytest.approx(0.775)
    assert likeness(vectors, "matrix").mean == pytest.approx(0.85)


@given(st.integers(2, 8), st.integers(0, 2**32))
def test_the_matrix_is_never_below_the_pairs_and_the_order_means_nothing(count: int, seed: int) -> None:
    draw = random.Random(seed)
    vectors = [unit([draw.gauss(0, 1) for _ in range(6)]) for _ in range(count)]
    pairs, matrix = likeness(vectors, "pairs"), likeness(vectors, "matrix")
    assert -1.000001 <= pairs.mean <= matrix.mean <= 1.000001
    order = draw.sample(range(count), count)
    again = likeness([vectors[at] for at in order], "pairs")
    assert again.mean == pytest.approx(pairs.mean)
    assert again.each == pytest.approx([pairs.each[at] for at in order])


def test_one_answer_agrees_with_nobody() -> None:
    with pytest.raises(ValueError, match="two answers"):
        likeness([[1.0, 0.0]], "pairs")


def test_a_text_in_pieces_lies_between_them() -> None:
    assert middle([[1.0, 0.0], [0.0, 1.0]]) == pytest.approx([math.sqrt(0.5)] * 2)
    assert list(unit([0.0, 0.0])) == [0.0, 0.0]


# ---- votes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The answer is 42.", "the  ANSWER is 42"),
        ("1,000.50 EUR", "1000.5 eur"),
        ("-3.0", "-3"),
        ("+7", "7"),
        ("\u22125", "-5"),
        ("Yes!", "yes"),
        ("well-known", "well known"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u201cParis\u201d", "Paris"),
        (3.0, 3),
        ({"a": "X.", "b": 1}, {"b": 1.0, "a": "x"}),
        (["A ", 1], ["a", 1.0]),
        (True, "true"),
    ],
)
def test_the_same_said_otherwise_is_one_answer(one: Any, other: Any) -> None:
    assert same_as(one) == same_as(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("-3", "3"), ("1.5", "15"), ("yes", "no"), ("10", "100"), ([1, 2], [2, 1]), ({"a": 1}, {"b": 1}), (None, False)],
)
def test_what_differs_counts_apart(one: Any, other: Any) -> None:
    assert same_as(one) != same_as(other)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_any_answer_can_be_counted_and_counting_it_again_changes_nothing(answer: Any) -> None:
    key = same_as(answer)
    assert isinstance(key, str) and same_as(answer) == key


WEIGHTS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0.1, 0.2, 0.5, 1.0, 3.0])), min_size=1)


@given(WEIGHTS)
def test_the_winner_has_most_votes_and_a_tie_goes_to_the_first_voter(votes: list[tuple[str, float]]) -> None:
    keys, weights = [key for key, _ in votes], [weight for _, weight in votes]
    found = tally(keys, weights)
    sums = {key: math.fsum(w for k, w in votes if k == key) for key in keys}
    most = max(sums.values())
    assert math.isclose(sums[found.winner], most)
    assert set(found.leading) == {key for key, one in sums.items() if math.isclose(one, most, rel_tol=1e-9)}
    assert found.winner == next(key for key in keys if key in found.leading)
    assert found.tie == (len(found.leading) > 1)
    assert dict(found.weights) == pytest.approx(sums) and 0 < found.share <= 1.0000001


@given(WEIGHTS, st.randoms(use_true_random=False))
def test_who_leads_does_not_depend_on_the_order_of_the_votes(
    votes: list[tuple[str, float]], draw: random.Random
) -> None:
    keys, weights = zip(*votes, strict=True)
    mixed = draw.sample(votes, len(votes))
    again = tally([key for key, _ in mixed], [weight for _, weight in mixed])
    assert set(again.leading) == set(tally(keys, weights).leading)


# ---- preference and configuration -----------------------------------------------------------------------------------


def test_the_preferred_comes_first_then_the_heaviest_then_the_first_listed() -> None:
    members = tuple(Member(name, f"p/{name}", weight) for name, weight in (("a", 1), ("b", 2), ("c", 1), ("d", 2)))
    assert [one.name for one in Ensemble("e", members).by_preference(members)] == ["b", "d", "a", "c"]
    assert [one.name for one in Ensemble("e", members, prefer="c").by_preference(members)] == ["c", "b", "d", "a"]


def section(**given: Any) -> EnsembleSection:
    return EnsembleSection.model_validate({"members": ["p/a", "p/b"], **given})


def test_members_are_named_by_their_models_and_told_apart_where_they_are_the_same() -> None:
    made = ensemble_of("r/x", section(members=["p/a", {"model": "p/a", "params": {"seed": 2}}, "p/a", {"model": "p/b",
                       "name": "second", "weight": 2}]))  # fmt: skip
    assert [one.name for one in made.members] == ["p/a", "p/a#2", "p/a#3", "second"]
    assert [one.again for one in made.members] == [True, False, True, False], "the same model asked the same way"
    assert (made.quorum, made.threshold, made.over, made.wait_s) == (2, 0.85, "pairs", 30.0)


def test_the_fastest_answer_needs_no_quorum_and_may_be_one_members() -> None:
    assert ensemble_of("r/x", section(strategy="first", members=["p/a"])).quorum == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"members": ["p/a"]}, "two members"),
        ({"members": []}, "at least 1"),
        ({"members": ["p/a"] * 11}, "at most 10"),
        ({"prefer": "p/c"}, "names no member: there are p/a, p/b"),
        ({"quorum": 3}, "more than the 2 members"),
        ({"quorum": 0}, "greater than or equal to 1"),
        ({"strategy": "best_of"}, "give a `judge`"),
        ({"strategy": "vote", "judge": "p/j"}, "no other strategy"),
        ({"field": "$.x"}, "strategy: vote"),
        ({"strategy": "first", "quorum": 1}, "no `quorum`"),
        ({"threshold": 1.5}, "more than the whole"),
        ({"threshold": "nan"}, ""),
        ({"wait": "0s"}, "greater than 0"),
        ({"members": [{"model": "p/a", "weight": 0}, "p/b"]}, "greater than 0"),
        ({"members": [{"model": "p/a", "weight": float("nan")}, "p/b"]}, ""),
        ({"strategy": "guess"}, "consensus"),
    ],
)
def test_what_can_not_be_done_is_refused_with_the_reason(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        section(**given)
    assert told in str(refused.value)
