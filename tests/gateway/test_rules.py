"""What limits ask of a call, made ready once: found again, made anew where anything changed, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from comporta.gateway import rules
from comporta.gateway.rules import NOTHING, Callers, Targets
from comporta.keys.limits import Limits
from comporta.keys.rows import KeyRow
from comporta.keys.settings import LimitSection
from comporta.pipeline import Call
from comporta.types import Caller, Input, Target


def limits(*sections: dict[str, Any]) -> Limits:
    return Limits([LimitSection(**section) for section in sections])


def call(*, key: str = "k", team: str | None = "t", user: str | None = None, model: str = "r") -> Call:
    return Call(kind="chat", input=Input(), model=model, caller=Caller(key, "name", team=team), user=user)


def row(**changes: Any) -> KeyRow:
    facts: tuple[Any, ...] = (
        "k",
        "name",
        "cmp-",
        "abcd",
        "t",
        None,
        None,
        {},
        (),
        False,
        0.0,
        "",
        None,
        None,
        None,
        None,
    )
    return KeyRow(*facts, **changes)


def test_where_nothing_is_limited_nothing_is_asked() -> None:
    assert Callers().of(call(), limits(), None) is NOTHING
    assert Callers().of(call(), limits({"per": "provider", "concurrent": 1}), None) is NOTHING


def test_calls_of_one_caller_share_what_was_made_ready_and_other_users_and_routes_do_not() -> None:
    callers = Callers()
    said = limits({"per": "user", "requests_per_minute": 5}, {"per": "route", "name": "r", "concurrent": 2})
    ana = callers.of(call(user="ana"), said, None)
    assert callers.of(call(user="ana"), said, None) is ana
    assert [w.key for w in ana.requests] == ["user:t/ana:r"] and [lease.key for lease in ana.leases] == ["route:r:c"]
    assert [w.key for w in callers.of(call(user="rui"), said, None).requests] == ["user:t/rui:r"]
    assert callers.of(call(user="ana", model="other"), said, None).leases == ()


def test_another_configuration_key_row_or_team_counts_at_once() -> None:
    callers = Callers()
    old, new = limits({"per": "team", "requests_per_minute": 5}), limits({"per": "team", "requests_per_minute": 6})
    assert callers.of(call(), old, None).requests[0].limit == 5
    assert callers.of(call(), new, None).requests[0].limit == 6
    tightened = callers.of(call(), new, row(requests_per_minute=2))
    assert [(w.key, w.limit) for w in tightened.requests] == [("key:k:r", 2), ("team:t:r", 6)]
    assert callers.of(call(), new, row(requests_per_minute=3)).requests[0].limit == 3
    assert callers.of(call(team=None), new, None) is NOTHING


def test_tokens_are_counted_behind_requests_and_never_as_none() -> None:
    ready = Callers().of(call(), limits({"per": "key", "tokens_per_minute": 100, "requests_per_minute": 5}), None)
    asked = ready.asked(0)
    assert [(w.key, w.amount) for w in asked.windows] == [("key:k:r", 1), ("key:k:t", 1)]
    assert asked.tokens == asked.windows[1:]
    assert [rule.kind for rule in ready.rules] == ["requests", "tokens"]


def test_limits_towards_a_credential_are_told_from_those_towards_another() -> None:
    targets, said = Targets(), limits({"per": "credential", "requests_per_minute": 5})
    one, other = (targets.of(Target("r", "v", "p", "m", credential=name), said) for name in ("one", "other"))
    assert [w.key for w in (*one.requests, *other.requests)] == ["credential:p/one:r", "credential:p/other:r"]


def test_callers_that_come_and_go_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_REMEMBERED", 10)
    callers, said = Callers(), limits({"per": "user", "requests_per_minute": 5})
    for number in range(50):
        callers.of(call(user=f"user-{number}"), said, None)
    assert len(callers._held) == 10


def test_a_call_on_behalf_of_another_is_counted_by_its_tokens_and_as_one_of_its_route() -> None:
    """The request was counted at the door, and a key with room for one call could not wait for its own step."""
    callers = Callers()
    every = {"requests_per_minute": 5, "tokens_per_minute": 50, "concurrent": 1}
    said = limits(*({"per": per, **every} for per in ("key", "team", "user", "route")))
    asked, child = call(user="ana"), call(user="ana")
    child.depth = 1
    whole, nested = callers.of(asked, said, None), callers.of(child, said, None)
    assert len(whole.requests) == len(whole.leases) == 4
    assert [w.key for w in nested.requests] == ["route:r:r"] and [lease.key for lease in nested.leases] == ["route:r:c"]
    assert nested.tokens == whole.tokens
    assert callers.of(asked, said, None) is whole and callers.of(child, said, None) is nested
