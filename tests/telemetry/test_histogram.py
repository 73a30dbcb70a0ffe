"""Histograms: the promised error, and the same in Python and in SQL."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from comporta.store.database import Database
from comporta.telemetry.histogram import MAX_ERROR, bucket_of, quantile_us, unpacked, value_of

durations = st.integers(2, 7_200_000_000)


def test_the_promised_error_is_under_five_percent() -> None:
    assert MAX_ERROR < 0.05


@given(durations)
def test_a_duration_reads_back_within_the_promised_error(duration_us: int) -> None:
    assert abs(value_of(bucket_of(duration_us)) - duration_us) <= duration_us * (MAX_ERROR + 1e-9)


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_within_the_promised_error_of_the_exact_ones(values: list[int], q: float) -> None:
    calls: dict[int, int] = {}
    for value in values:
        calls[bucket_of(value)] = calls.get(bucket_of(value), 0) + 1
    exact = sorted(values)[max(0, -(-len(values) * int(q * 100) // 100) - 1)]
    found = quantile_us(calls, q)
    assert found is not None
    assert abs(found - exact) <= exact * (MAX_ERROR + 1e-9)


def test_no_calls_have_no_quantile() -> None:
    assert quantile_us({}, 0.5) is None


async def test_the_database_buckets_and_merges_as_python_does(database: Database) -> None:
    drawn = random.Random(7)
    values = [0, 1, 2, 10**6, *(int(10 ** drawn.uniform(0, 9.5)) for _ in range(300))]
    async with database.connection() as connection:
        cursor = await connection.execute("select histogram_bucket(v) from unnest(%s::bigint[]) as v", [values])
        assert [row[0] for row in await cursor.fetchall()] == [bucket_of(v) for v in values]
        one, other = [5 << 40 | 2, 9 << 40 | 1], [9 << 40 | 4, 300 << 40 | 1]
        cursor = await connection.execute("select histogram_merge(%s::bigint[], %s::bigint[])", [one, other])
        row = await cursor.fetchone()
    assert row is not None
    assert unpacked(row[0]) == {5: 2, 9: 5, 300: 1}
