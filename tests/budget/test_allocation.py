"""Tags of calls: closed sets, a key's own word first, tags that must be there."""

from __future__ import annotations

import pytest

from comporta.budget.allocation import Allocation, AllocationTag
from comporta.errors import BadRequest
from comporta.types import Caller

TAGS = [
    AllocationTag("environment", frozenset({"prod", "dev"})), AllocationTag("team", frozenset({"red", "blue"}), True),
    AllocationTag("centre"),
]  # fmt: skip
KEY = Caller("k", team="red", tags={"centre": "4711"})


def refused(caller: Caller, header: str | None = None, metadata: dict[str, object] | None = None) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        Allocation(TAGS).of(caller, header, metadata)
    return caught.value


def test_what_a_key_leaves_open_a_call_may_say() -> None:
    found = Allocation(TAGS).of(KEY, "environment=prod, feature=search, x=a%2Cb%20c", None)
    assert (found.team, found.environment, found.feature) == ("red", "prod", "search")
    assert found.tags == {"centre": "4711", "x": "a,b c"}
    assert found.key_id == "k"


def test_a_call_that_says_nothing_keeps_its_very_caller() -> None:
    allocation = Allocation(TAGS)
    assert allocation.of(KEY, None, None) is KEY
    assert allocation.of(KEY, None, {"unknown": "x"}) is KEY
    said = allocation.of(KEY, "feature=a", None)
    assert allocation.of(KEY, "feature=a", None) is said


@pytest.mark.parametrize(
    ("header", "message"),
    [("environment=staging", "it is one of dev, prod"), ("team=blue", "This key's team is 'red'"),
     ("centre=1", "This key's centre is '4711'"), ("rollout=x", "set by the gate"), ("rollout_side=b", "set by")],
)  # fmt: skip
def test_a_value_outside_its_list_and_anothers_team_are_refused(header: str, message: str) -> None:
    error = refused(KEY, header)
    assert (error.status, error.code) == (400, "tag_not_allowed")
    assert message in error.message


def test_a_tag_that_must_be_there_is_asked_for_with_its_values() -> None:
    error = refused(Caller("k"))
    assert (error.code, error.param) == ("tag_required", "tags.team")
    assert "one of blue, red" in error.message
    assert Allocation(TAGS).of(Caller("k"), "team=blue", None).team == "blue"
    assert Allocation(TAGS).of(Caller("k"), None, {"team": "blue"}).team == "blue"
    # Whoever administers the gate looks at it without a team.
    assert Allocation(TAGS).of(Caller("k", admin=True), None, None).team is None


def test_a_keys_own_value_outside_the_list_is_told_too() -> None:
    assert "can't be 'green'" in refused(Caller("k", team="green")).message


def test_the_header_comes_before_metadata_and_metadata_says_only_what_is_named() -> None:
    found = Allocation(TAGS).of(KEY, "environment=prod", {"environment": "dev", "feature": "x", "centre": 5})
    assert (found.environment, found.feature, found.tags) == ("prod", None, {"centre": "4711"})


@pytest.mark.parametrize("header", ["team", "=x", "a=", ",".join(f"t{n}=1" for n in range(21)), "a=" + "x" * 257])
def test_a_header_that_cant_be_read_is_refused(header: str) -> None:
    assert refused(Caller("k", team="red"), header).status == 400


def test_without_tags_in_the_configuration_anything_goes() -> None:
    allocation = Allocation()
    assert allocation.is_open
    assert allocation.of(Caller("k"), "team=any,x=y", None).tags == {"x": "y"}
