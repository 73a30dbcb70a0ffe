"""What a route's cache does, and what a client may wish of it."""

from __future__ import annotations

import math

import pytest

from comporta.cache.policy import CachePolicy, Wish, policy_of, wish_of
from comporta.cache.settings import CacheSection, RouteCacheSection


def test_caches_are_off_until_configured() -> None:
    assert policy_of(CacheSection(), None, "full") is None
    assert policy_of(CacheSection(enabled=True), None, "full") == CachePolicy()


def test_a_route_has_the_last_word() -> None:
    on, off = CacheSection(enabled=True, ttl=60.0, share=True), CacheSection(ttl=60.0)
    assert policy_of(on, RouteCacheSection(enabled=False), "full") is None
    mine = policy_of(off, RouteCacheSection.model_validate({"min_cost": "$0.01"}), "preview")
    assert mine == CachePolicy(ttl_s=60.0, min_cost_microusd=10_000)
    assert policy_of(on, RouteCacheSection(ttl=5.0, share=False), "full") == CachePolicy(ttl_s=5.0)


@pytest.mark.parametrize("content", ["off", "hashed"])
def test_what_may_not_be_captured_is_not_cached(content: str) -> None:
    assert policy_of(CacheSection(enabled=True), RouteCacheSection(), content) is None


@pytest.mark.parametrize(
    ("header", "wish"),
    [
        (None, Wish()),
        ("", Wish()),
        ("no-store", Wish(read=False, store=False)),
        ("No-Cache", Wish(read=False)),
        ("max-age=60", Wish(max_age_s=60.0)),
        ('public, max-age="60" ,max-age=30', Wish(max_age_s=30.0)),
        ("no-cache, no-store", Wish(read=False, store=False)),
        ("max-age=-1", Wish()),
        ("max-age=soon, max-age", Wish()),
        ("max-age=\u0663", Wish(max_age_s=3.0)),
        ("max-age=" + "9" * 400, Wish()),
        ("only-if-cached, ,=,;", Wish()),
    ],
)
def test_cache_control_is_read_and_nonsense_passed_over(header: str | None, wish: Wish) -> None:
    assert wish_of(header) == wish
    assert wish.max_age_s == math.inf or wish.max_age_s >= 0
