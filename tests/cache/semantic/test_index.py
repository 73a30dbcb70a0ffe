"""The index in memory: the nearest as exact comparison finds them, and never one of another scope."""

from __future__ import annotations

import numpy
import pytest

from comporta.cache.semantic.index import Index, Vectors

SIZE = 384


def drawn(rows: int, random: numpy.random.Generator, size: int = SIZE) -> Vectors:
    """Vectors of a few topics, as the questions of one product are."""
    topics = random.standard_normal((20, size))
    topics /= numpy.linalg.norm(topics, axis=1, keepdims=True)
    made = topics[random.integers(0, 20, rows)] + 0.9 * random.standard_normal((rows, size)) / numpy.sqrt(size)
    made /= numpy.linalg.norm(made, axis=1, keepdims=True)
    return numpy.asarray(made, numpy.float32)


def near(vector: Vectors, cosine: float, random: numpy.random.Generator) -> Vectors:
    """Another vector at that cosine."""
    aside = random.standard_normal(len(vector))
    aside -= (aside @ vector) * vector
    aside /= numpy.linalg.norm(aside)
    return numpy.asarray(cosine * vector + numpy.sqrt(1 - cosine**2) * aside, numpy.float32)


@pytest.mark.parametrize("size", [SIZE, 1024])
def test_the_nearest_is_found_as_exact_comparison_finds_it(size: int) -> None:
    random = numpy.random.default_rng(7)
    vectors = drawn(3_000, random, size)
    index = Index(size)
    for begin in range(0, 3_000, 500):
        rows = range(begin, begin + 500)
        index.add(rows, [b"s"] * 500, [9e9] * 500, vectors[begin : begin + 500])
    found = 0
    for at in random.integers(0, 3_000, 200):
        asked = near(vectors[at], random.uniform(0.85, 0.99), random)
        exact = vectors @ asked
        best = index.search([b"s"], asked, 0.8, 3, 0.0)
        found += bool(best) and best[0][0] == int(exact.argmax())
        assert all(abs(alike - float(exact[id])) < 0.002 for id, alike in best)
    assert found >= 199, "one in two hundred may lie beyond the signs that are looked at"


def test_look_ups_find_nothing_of_another_tenant() -> None:
    """WIRE 30. Every tenant holds the very same questions: a look-up may only find its own.

    `make bench-cache` does it a hundred thousand times, through the whole stage's own scopes.
    """
    random = numpy.random.default_rng(8)
    tenants, questions = 100, 50
    vectors = drawn(questions, random, 64)
    index = Index(64)
    scopes = [f"tenant {tenant}".encode() for tenant in range(tenants)]
    for tenant, scope in enumerate(scopes):
        ids = range(tenant * questions, (tenant + 1) * questions)
        index.add(ids, [scope] * questions, [9e9] * questions, vectors)
    assert len(index) == 5_000
    foreign = missed = 0
    for look_up in range(5_000):
        tenant, asked = look_up % tenants, look_up * 7 % questions
        found = index.search([scopes[tenant]], vectors[asked], 0.99, 2, 0.0)
        missed += not found
        foreign += any(id // questions != tenant for id, _ in found)
    assert (foreign, missed) == (0, 0)
    assert index.search([b"nobody"], vectors[0], 0.0, 5, 0.0) == []


def test_what_has_expired_or_was_taken_out_is_not_found() -> None:
    vectors = drawn(3, numpy.random.default_rng(9))
    index = Index(SIZE)
    index.add([1, 2, 3], [b"s"] * 3, [100.0, 200.0, 200.0], vectors)
    assert index.search([b"s"], vectors[0], 0.99, 5, 99.0)[0][0] == 1
    assert index.search([b"s"], vectors[0], 0.99, 5, 100.0) == []
    index.remove(b"s", 2)
    assert index.search([b"s"], vectors[1], 0.99, 5, 99.0) == [] and len(index) == 2


def test_an_entry_that_was_stored_again_is_found_once() -> None:
    vectors = drawn(1, numpy.random.default_rng(10))
    index = Index(SIZE)
    for _ in range(3):
        index.add([5], [b"s"], [9e9], vectors)
    assert [id for id, _ in index.search([b"s", b"s"], vectors[0], 0.5, 5, 0.0)] == [5]
    index.remove(b"s", 5)
    assert index.search([b"s"], vectors[0], 0.5, 5, 0.0) == [] and len(index) == 0


def test_vectors_of_another_size_are_refused() -> None:
    index = Index(SIZE)
    with pytest.raises(ValueError, match="64 numbers in an index of 384"):
        index.add([1], [b"s"], [9e9], drawn(1, numpy.random.default_rng(1), 64))
    with pytest.raises(ValueError, match="384"):
        index.vector(b"\0" * 16)
