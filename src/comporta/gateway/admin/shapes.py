"""What the admin API's bodies have in common: strict input, output read from rows, lists, points in time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from comporta.errors import BadRequest
from comporta.store.fields import in_utc

T = TypeVar("T")


_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names too; without recursion, since nobody limits how deep a value is nested."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += (*item, *item.values())
        elif isinstance(item, list):
            waiting += item


def _no_truth(value: Any) -> Any:
    """JSON's true is no 1: as a limit or a budget it would shut everybody out."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number, not true or false")
    return value


#: Stands behind the bounds of a number: before them they would be no part of its JSON schema.
WHOLE = BeforeValidator(_no_truth)


#: For an operation whose body or query names an object that may not be there; a path that does says it by itself.
NAMED: dict[int | str, dict[str, Any]] = {404: {}}


class In(BaseModel):
    """A body: an unknown field is a mistake, so that a slip is told and not ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        """What PostgreSQL can't hold, wherever it stands."""
        if any(_UNSTORABLE.search(text) for text in _texts(value)):
            raise ValueError("a text holds a NUL or half of a surrogate pair, which can't be stored")
        return value


class Out(BaseModel):
    """An answer, made from a row's attributes."""

    model_config = ConfigDict(from_attributes=True)


class Listing(BaseModel, Generic[T]):
    """Several objects."""

    data: list[T]


class Deleted(BaseModel):
    """What is gone."""

    deleted: str


def _never_null(schema: dict[str, Any]) -> None:
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    schema.pop("default", None)
    schema.update(kinds[0] if kinds else {})


#: A field that may be left out to stay as it is, and may not be null. It is None inside where it was left out: the
#: mistake is told in words of our own.
Kept = Field(json_schema_extra=_never_null)
#: Names can be shown: no control characters, and no space around them (`store.fields` has the last word).
SHOWN = {"pattern": r"^[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0])?$"}


#: Nothing is kept from before or after, and reckoning with what lies beyond would leave the calendar.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _asked(at: datetime) -> datetime:
    return min(max(in_utc(at), _FIRST), _LAST)


#: A point in time that is asked for; UTC where it has no zone.
Moment = Annotated[datetime, AfterValidator(_asked)]


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a point in time, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def seconds_of(at: datetime, param: str) -> float:
    """A point in time as seconds since 1970. Without its zone it could mean anything."""
    if at.tzinfo is None:
        raise BadRequest(f"{param} has no time zone: write 2027-01-31T12:00:00Z.", param=param)
    return at.timestamp()


def _asker(request: Request) -> str:
    who: Callable[[Request], str] = request.app.state.who
    return who(request)


#: The name of the administrator who asks, for the records of who did what.
By = Annotated[str, Depends(_asker)]
Id = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="Its id.")]
Word = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=SHOWN)]
_TagName = Annotated[str, Field(min_length=1, max_length=100)]
_TagValue = Annotated[str, Field(min_length=1, max_length=256, json_schema_extra=SHOWN)]
Name = Annotated[str, Path(min_length=1, max_length=200, description="Its name.")]
Tags = Annotated[dict[_TagName, _TagValue], Field(max_length=50, examples=[{"cost_centre": "4711"}])]
