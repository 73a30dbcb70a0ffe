"""The layer in memory and the filter: bounded, exact about time, and never wrong about what was added."""

from __future__ import annotations

import os
import random

from hypothesis import given
from hypothesis import strategies as st

from comporta.cache.filter import Filter
from comporta.cache.memory import Memory

ONE = 1000 + 32 + 320


def digest(number: int) -> bytes:
    return random.Random(number).randbytes(32)


def test_entries_expire_to_the_moment() -> None:
    memory = Memory(10 * ONE, 10)
    memory.put(digest(1), b"answer", 100.0)
    assert memory.get(digest(1), 99.9) == b"answer"
    assert memory.get(digest(1), 100.0) is None
    assert memory.get(digest(1), 100.0, stale=True) == b"answer", "held for as long as there is room"


def test_the_one_unused_longest_goes_first() -> None:
    memory = Memory(3 * ONE, 10)
    for number in (1, 2, 3):
        memory.put(digest(number), bytes(1000), 1e9)
    memory.get(digest(1), 0.0)
    memory.put(digest(4), bytes(1000), 1e9)
    assert [n for n in (1, 2, 3, 4) if memory.get(digest(n), 0.0)] == [1, 3, 4]


def test_what_is_larger_than_all_of_the_room_is_not_held_and_drives_nobody_out() -> None:
    memory = Memory(2 * ONE, 10)
    memory.put(digest(1), bytes(1000), 1e9)
    memory.put(digest(2), bytes(5000), 1e9)
    assert memory.get(digest(1), 0.0) and memory.get(digest(2), 0.0) is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000)), max_size=60), st.integers(0, 8))
def test_neither_bound_is_ever_passed(puts: list[tuple[int, int]], most: int) -> None:
    memory = Memory(5 * ONE, most)
    held = {}
    for number, size in puts:
        memory.put(digest(number), bytes(size), 1e9)
        held[digest(number)] = bytes(size)
        assert memory.bytes <= 5 * ONE and len(memory) <= most
    found = {key: memory.get(key, 0.0) for key in held}
    assert all(body is None or body == held[key] for key, body in found.items())
    assert memory.bytes == sum(len(body) + 352 for body in found.values() if body is not None)


def test_smaller_bounds_take_effect_at_once() -> None:
    memory = Memory(10 * ONE, 10)
    for number in range(10):
        memory.put(digest(number), bytes(1000), 1e9)
    memory.resize(10 * ONE, 4)
    assert len(memory) == 4
    memory.resize(0, 0)
    assert len(memory) == 0 and memory.bytes == 0
    memory.put(digest(1), b"", 1e9)
    assert len(memory) == 0


def test_the_filter_knows_all_that_was_added_and_little_else() -> None:
    known = Filter(80_000)
    keys = [os.urandom(32) for _ in range(80_000)]
    for key in keys:
        known.add(key)
    assert all(key in known for key in keys)
    wrong = sum(os.urandom(32) in known for _ in range(20_000))
    assert wrong < 400
    assert known.count == 80_000 <= known.room
