"""What the admin API's bodies have in common: strict input, output read from rows, lists, points in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from comporta.errors import BadRequest
from comporta.types import Caller

T = TypeVar("T")


class In(BaseModel):
    """A body: an unknown field is a mistake, so that a slip is told and not ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Out(BaseModel):
    """An answer, made from a row's attributes."""

    model_config = ConfigDict(from_attributes=True)


class Listing(BaseModel, Generic[T]):
    """Several objects."""

    data: list[T]


class Deleted(BaseModel):
    """What is gone."""

    deleted: str


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a point in time, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def seconds_of(at: datetime, param: str) -> float:
    """A point in time as seconds since 1970. Without its zone it could mean anything."""
    if at.tzinfo is None:
        raise BadRequest(f"{param} has no time zone: write 2027-01-31T12:00:00Z.", param=param)
    return at.timestamp()


def _asker(request: Request) -> str:
    caller: Caller = request.state.caller
    return caller.name or caller.key_id


#: The name of the administrator who asks, for the records of who did what.
By = Annotated[str, Depends(_asker)]
Id = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="Its id.")]
Name = Annotated[str, Path(min_length=1, max_length=200, description="Its name.")]
Tags = Annotated[dict[str, str], Field(max_length=50, examples=[{"cost_centre": "4711"}])]
