"""Feedback on the page."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from comporta.feedback.reading import MOST_SCORES
from comporta.gateway.openapi.common import ONE, Shape
from comporta.telemetry.scores import MAX_ID_CHARS, MAX_TEXT_CHARS

#: No control characters, no separators but the space, none that stands for nothing, and no half of a surrogate pair.
_SHOWN = "^[!-~]+$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.:/\-]*$"
_JUDGED = {ONE: {"type": "string"}}

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS, pattern=_SHOWN)]
_Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=_NAME)]
_Words = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
_Value = Annotated[float, Meta(ge=-1e300, le=1e300)] | bool | _Words
_Source = Literal["user", "human", "judge", "code", "guard", "behaviour"]
_Reason = Annotated[str | None, Meta(description="Why.", extra_json_schema={"maxLength": MAX_TEXT_CHARS})]
_Worth = Annotated[float, Meta(ge=-1e300, le=1e300)]


class Worth(Shape):
    """That it happened, and what it was worth."""

    value: _Worth


class OwnScore(Shape, forbid_unknown_fields=True):
    """A score by a name of your own."""

    name: _Name
    value: _Value
    id: _Id | None = None
    source: _Source | None = None
    reason: _Reason = None


class FeedbackRequest(Shape, forbid_unknown_fields=True):
    """What was judged, and how: by usual names, by one of your own, or several in `scores`.

    Sent again with the same `id` (or `Idempotency-Key`) it is the same feedback, and the latest value counts. Without
    one, all but comments and names of your own are one for each answer and judge.
    """

    trace_id: Annotated[_Id | None, Meta(description="The trace.", extra_json_schema=_JUDGED)] = None
    call_id: Annotated[
        str | None,
        Meta(description="The call, as `x-comporta-call` told it.",
             extra_json_schema={"format": "uuid", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", **_JUDGED}),
    ] = None  # fmt: skip
    completion_id: Annotated[_Id | None, Meta(description="The answer's id.", extra_json_schema=_JUDGED)] = None
    thumbs: bool | Literal["up", "down"] | None = None
    rating: Annotated[float, Meta(ge=1, le=5)] | None = None
    comment: _Words | None = None
    correction: Annotated[_Words | None, Meta(description="What the answer should have been.")] = None
    dwell_ms: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    copied: bool | None = None
    follow_up: Annotated[bool | None, Meta(description="Whether the same was asked again.")] = None
    abandoned: bool | None = None
    task_completed: bool | _Worth | Worth | None = None
    converted: Annotated[
        bool | _Worth | Worth | None, Meta(description="A number is what it was worth: `converted_value`.")
    ] = None
    name: Annotated[_Name | None, Meta(description="A name of your own, with `value`.")] = None
    value: _Value | None = None
    scores: Annotated[list[OwnScore], Meta(max_length=MOST_SCORES)] | None = None
    reason: _Reason = None
    source: Annotated[_Source | None, Meta(description="Who judged; what follows from the name, unless told.")] = None
    who: Annotated[_Id | None, Meta(description="Who in person: a reviewer's or a judge's name.")] = None
    id: Annotated[_Id | None, Meta(description="Its identity, of your own making.")] = None
    at: Annotated[
        str | None,
        Meta(description="When, with its zone; now, unless told.", extra_json_schema={"format": "date-time"}),
    ] = None


class KeptScore(Shape):
    """A score that was taken."""

    id: str
    name: str


class FeedbackTaken(Shape):
    """`joined`: its call is known (200). `waiting`: the call's record is still on its way (202)."""

    object: Literal["feedback"]
    state: Literal["joined", "waiting"]
    trace_id: str | None
    call_id: str | None
    scores: list[KeptScore]


class TokenRequest(Shape, forbid_unknown_fields=True):
    """The answer that a page may judge: by one of the three."""

    trace_id: Annotated[_Id | None, Meta(description="The trace.", extra_json_schema=_JUDGED)] = None
    call_id: Annotated[
        str | None,
        Meta(description="The call, as `x-comporta-call` told it.",
             extra_json_schema={"format": "uuid", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", **_JUDGED}),
    ] = None  # fmt: skip
    completion_id: Annotated[_Id | None, Meta(description="The answer's id.", extra_json_schema=_JUDGED)] = None
    lifetime_s: (
        Annotated[float, Meta(ge=1, le=86_400, description="How long it is good; `feedback.token_lifetime` at most.")]
        | None
    ) = None


class FeedbackToken(Shape):
    """What a page sends along as `token`, or as `Authorization: Bearer`."""

    object: Literal["feedback.token"]
    token: str
    call_id: str
    expires_in_s: int


EXAMPLE = {"completion_id": "chatcmpl-01a1fd6dbd487bcea489b64a1aea7074", "thumbs": "down", "comment": "Wrong address."}
