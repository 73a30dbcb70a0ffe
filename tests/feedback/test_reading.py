"""What feedback may look like, and the scores that each way of saying it makes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.errors import BadRequest
from comporta.feedback.reading import FIELDS, MOST_SCORES, Said, read
from comporta.feedback.signals import SIGNALS
from comporta.telemetry.scores import record_of

NOW_S = 1_800_000_000.0


def said(key: str | None = None, **body: Any) -> Said:
    return read({"trace_id": "t-1", **body}, "backend", NOW_S, key)


def values(**body: Any) -> list[tuple[str, Any, str]]:
    return [(score.name, score.value, score.source) for score in said(**body).scores]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"thumbs": "up"}, [("thumbs", True, "user")]),
        ({"thumbs": "👎"}, [("thumbs", False, "user")]),
        ({"thumbs": -1}, [("thumbs", False, "user")]),
        ({"thumbs_up_down": True}, [("thumbs", True, "user")]),
        ({"thumbs_down": True}, [("thumbs", False, "user")]),
        ({"rating": 4}, [("rating", 4.0, "user")]),
        ({"rating_scale": 2.5}, [("rating", 2.5, "user")]),
        ({"comment": "too slow"}, [("comment", "too slow", "user")]),
        ({"comment_box": "too slow"}, [("comment", "too slow", "user")]),
        ({"correction_suggestion": "on Monday"}, [("correction", "on Monday", "user")]),
        ({"dwell_ms": 5300}, [("dwell_ms", 5300.0, "behaviour")]),
        ({"dwell_time": 12.5}, [("dwell_ms", 12.5, "behaviour")]),
        ({"copied": True, "abandoned": False}, [("copied", True, "behaviour"), ("abandoned", False, "behaviour")]),
        ({"copy_action": True}, [("copied", True, "behaviour")]),
        ({"abandonment": True}, [("abandoned", True, "behaviour")]),
        ({"follow_up_question": True}, [("follow_up", True, "behaviour")]),
        ({"task_completed": False}, [("task_completed", False, "behaviour")]),
        ({"task_completion": 3}, [("task_completed", True, "behaviour"), ("task_completed_value", 3.0, "behaviour")]),
        ({"downstream_conversion": True}, [("converted", True, "behaviour")]),
        ({"converted": {"value": 49.9}}, [("converted", True, "behaviour"), ("converted_value", 49.9, "behaviour")]),
        ({"name": "helpful.ness", "value": 0.75}, [("helpful.ness", 0.75, "user")]),
        ({"name": "polite", "value": False, "source": "judge"}, [("polite", False, "judge")]),
        ({"name": "tone", "value": "warm", "source": "human"}, [("tone", "warm", "human")]),
        ({"name": "thumbs_up_down", "value": "up"}, [("thumbs", True, "user")]),
        (
            {"rating": 5, "source": "human", "scores": [{"name": "x", "value": 1, "source": "code"}, {"comment": "c"}]},
            [("rating", 5.0, "human"), ("x", 1, "code"), ("comment", "c", "human")],
        ),
        ({"thumbs": None, "rating": 1}, [("rating", 1.0, "user")]),
    ],
)  # fmt: skip
def test_what_is_said_makes_these_scores(body: dict[str, Any], wanted: list[Any]) -> None:
    assert values(**body) == wanted


def test_every_alias_that_people_write_is_known() -> None:
    """The names of a feedback system's configuration, as it is usually written."""
    assert {
        "thumbs_up_down", "rating_scale", "comment_box", "correction_suggestion", "dwell_time", "copy_action",
        "follow_up_question", "abandonment", "task_completion", "downstream_conversion",
    } <= set(SIGNALS)  # fmt: skip


def test_a_follow_up_may_be_the_question_itself() -> None:
    [score] = said(follow_up="But where is it now?").scores
    assert (score.name, score.value, score.reason) == ("follow_up", True, "But where is it now?")


def test_a_reason_goes_with_judgements_and_not_with_words() -> None:
    scores = {score.name: score for score in said(thumbs="down", comment="bad", reason="it was late").scores}
    assert scores["thumbs"].reason == "it was late" and scores["comment"].reason is None


def test_what_is_judged_can_be_told_in_three_ways() -> None:
    call = "01a1fd6d-bd48-7bce-a489-b64a1aea7074"
    found = read({"completion_id": "chatcmpl-1", "call_id": call.replace("-", ""), "rating": 1}, "k", NOW_S)
    assert (found.trace_id, found.call_id, found.reply_id) == ("", call, "chatcmpl-1")
    for name in ("reply_id", "response_id", "message_id"):
        assert read({name: "resp_1", "rating": 1}, "k", NOW_S).reply_id == "resp_1"


def test_saying_it_again_is_saying_the_same_unless_it_is_a_comment_or_of_ones_own() -> None:
    def ids(**body: Any) -> list[str]:
        return [score.id for score in said(**body).scores]

    assert ids(thumbs="up") == ids(thumbs="down") != [""]
    assert ids(thumbs="up") != ids(thumbs="up", who="ana") and ids(thumbs="up") != ids(thumbs="up", trace_id="t-2")
    assert ids(comment="one") == [""] and ids(name="own", value=1) == [""]
    assert ids(comment="one", id="c-1") == ["c-1"] == ids(name="own", value=1, id="c-1")


def test_an_idempotency_key_is_the_identity_of_what_has_none() -> None:
    scores = said("k-1", comment="c", scores=[{"name": "a", "value": 1}, {"name": "a", "value": 2, "id": "own"}]).scores
    assert [score.id for score in scores] == ["key-k-1", "key-k-1#0", "own"]
    assert said("k-1", comment="c", id="mine").scores[0].id == "mine"


def test_who_and_when_can_be_told() -> None:
    [score] = said(rating=3, who="ana", at="2027-01-15T07:59:00Z").scores
    assert (score.who, score.at_s) == ("ana", NOW_S - 60)
    assert said(rating=3, at=NOW_S - 5).scores[0].at_s == NOW_S - 5
    assert said(rating=3).scores[0].who == "backend" and said(rating=3).scores[0].at_s == NOW_S


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "value"),
        ({"trace_id": None, "rating": 3}, "trace_id"),
        ({"trace_id": "", "rating": 3}, "trace_id"),
        ({"trace_id": 5, "rating": 3}, "trace_id"),
        ({"trace_id": "a\0b", "rating": 3}, "trace_id"),
        ({"trace_id": "x" * 257, "rating": 3}, "trace_id"),
        ({"call_id": "x", "rating": 3}, "call_id"),
        ({"completion_id": "a", "reply_id": "b", "rating": 3}, "reply_id"),
        ({"thumbs": "sideways"}, "thumbs"),
        ({"thumbs": 2}, "thumbs"),
        ({"rating": 0}, "rating"),
        ({"rating": 5.1}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": "4"}, "rating"),
        ({"rating": float("nan")}, "rating"),
        ({"comment": "  "}, "comment"),
        ({"comment": "x" * 10_001}, "comment"),
        ({"dwell_ms": -1}, "dwell_ms"),
        ({"copied": "yes"}, "copied"),
        ({"converted": "yes"}, "converted"),
        ({"converted": {}}, "converted"),
        ({"name": "own"}, "value"),
        ({"value": 1}, "name"),
        ({"name": "own", "value": [1]}, "value"),
        ({"name": "own", "value": 10**400}, "value"),
        ({"name": "rating", "value": 9}, "value"),
        ({"rating": 3, "stars": 5}, "stars"),
        ({"rating": 3, "rating_scale": 4}, "rating"),
        ({"rating": 3, "source": "rumour"}, "source"),
        ({"rating": 3, "reason": 5}, "reason"),
        ({"rating": 3, "at": "yesterday"}, "at"),
        ({"rating": 3, "at": "2027-01-15T07:59:00"}, "at"),
        ({"rating": 3, "at": 1e300}, "at"),
        ({"rating": 3, "at": NOW_S + 301}, "at"),
        ({"rating": 3, "at": NOW_S - 32 * 86_400}, "at"),
        ({"scores": {}}, "scores"),
        ({"scores": ["x"]}, "scores[0]"),
        ({"scores": [{"rating": 1}, {}]}, "scores[1]"),
        ({"scores": [{"rating": 1}, {"rating": 9}]}, "scores[1].rating"),
        ({"scores": [{"name": "x", "value": 1, "who": "me"}]}, "scores[0].who"),
        ({"scores": [{"name": "x", "value": 1}] * (MOST_SCORES + 1)}, "scores"),
    ],
)
def test_a_mistake_is_told_with_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        said(**body)
    assert refusal.value.param == field and refusal.value.message


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(BadRequest, match="JSON object"):
        read(body, "k", NOW_S)


@pytest.mark.parametrize("key", ["x" * 250, "a\nb"])
def test_a_key_that_cant_be_an_identity_is_refused(key: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        said(key, rating=1)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(max_size=8), _JSON, max_size=6))
def test_whatever_is_sent_is_read_or_refused_and_what_is_read_can_be_kept(body: dict[str, Any]) -> None:
    try:
        found = read({"trace_id": "t", **body}, "k", NOW_S)
        records = [record_of(score, reply_id=found.reply_id, now_s=NOW_S) for score in found.scores]
    except BadRequest:
        return
    assert records and msgspec.json.encode(records)


def test_a_changed_thumb_is_one_however_the_answer_is_named() -> None:
    call, ours = "01a1fd6d-bd48-7bce-a489-b64a1aea7074", "chatcmpl-01a1fd6dbd487bcea489b64a1aea7074"
    ways: list[dict[str, Any]] = [
        {"call_id": call}, {"completion_id": ours}, {"message_id": ours.replace("chatcmpl-", "msg_")},
        {"call_id": call, "completion_id": "gen-7", "trace_id": "t-1"},
    ]  # fmt: skip
    ids = {read({**way, "thumbs": "up"}, "shop", NOW_S).scores[0].id for way in ways}
    assert len(ids) == 1
    others = [{"completion_id": "gen-7"}, {"trace_id": "t-1"}, {"call_id": "01a1fd6d-bd48-7bce-a489-b64a1aea7075"}]
    assert len(ids | {read({**way, "thumbs": "up"}, "shop", NOW_S).scores[0].id for way in others}) == 4
