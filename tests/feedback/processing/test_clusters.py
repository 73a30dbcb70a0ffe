"""Complaints that are alike come together under a title that says what they are about, and keep it."""

from __future__ import annotations

import random

import numpy as np

from comporta.feedback.processing.clusters import Known, grouped, linked

COLD = (
    "The pizza arrived cold again", "My pizza was cold when it came", "Cold pizza, and the cheese was hard",
    "Third time that the pizza is cold", "They brought a cold pizza",
)  # fmt: skip
LOGIN = (
    "I can't sign in with my password", "The password reset mail never comes", "Sign in fails, password not accepted",
    "It says my password is wrong and it is not", "No way to sign in after the password reset",
)  # fmt: skip
FATURA = (
    "A fatura veio com valor errado", "Cobraram duas vezes na fatura", "O valor da fatura está errado de novo",
    "Minha fatura tem uma cobrança errada", "Faturas erradas todo mês",
)  # fmt: skip
ALONE = ("The map froze", "Why is there no dark colour", "Ela falou do tempo em Marte")


def test_each_sort_of_complaint_is_a_cluster_with_its_words_as_title() -> None:
    texts = [*COLD, *LOGIN, *FATURA, *ALONE]
    random.Random(4).shuffle(texts)
    found = {group.title: {texts[at] for at in group.places} for group in grouped(texts)}
    by_sort = {sort: next((title for title, held in found.items() if held <= set(sort)), None) for sort in
               (COLD, LOGIN, FATURA)}  # fmt: skip
    assert len(found) == 3 and None not in by_sort.values()
    assert "pizza" in str(by_sort[COLD]) and "password" in str(by_sort[LOGIN]) and "fatura" in str(by_sort[FATURA])
    assert all(len(found[str(title)]) >= 4 for title in by_sort.values())


def test_a_cluster_keeps_its_name_when_more_complaints_come_in_another_order() -> None:
    first = grouped([*COLD[:4], *LOGIN[:4]])
    known = [Known(one.id, one.title, one.terms) for one in first]
    more = [*LOGIN, *ALONE, *COLD, "Pizza cold and late"]
    second = grouped(more, known=known)
    assert {one.id for one in second} == {one.id for one in first}
    assert {one.title for one in second} == {one.title for one in first}
    assert [one.id for one in grouped(more, known=known)] == [one.id for one in second]


def test_few_or_unlike_texts_make_no_cluster() -> None:
    assert grouped([]) == [] and grouped(list(COLD[:2])) == [] and grouped(list(ALONE)) == []
    assert grouped(["???", "!!!", "..."]) == []


def test_average_linkage_joins_what_is_alike_on_the_whole() -> None:
    draw = np.random.default_rng(1)
    centres = np.eye(3)[draw.integers(0, 3, 60)]
    rows = centres + draw.normal(0, 0.1, (60, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cells = linked(rows @ rows.T, 0.6)
    assert sorted(map(len, cells)) == sorted(np.bincount(centres.argmax(axis=1)).tolist())
    assert all(len({int(centres[at].argmax()) for at in cell}) == 1 for cell in cells)
