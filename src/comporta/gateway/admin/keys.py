"""`/admin/keys`: virtual keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from comporta.errors import BadRequest
from comporta.gateway.admin.shapes import SHOWN, WHOLE, By, Id, In, Kept, Listing, Out, Tags, Word, moment, seconds_of
from comporta.keys.keys import LIMITS, Keys
from comporta.keys.rows import KeyRow

_Name = Annotated[str, Field(min_length=1, max_length=100, examples=["support-backend"], json_schema_extra=SHOWN)]
_Allow = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=SHOWN)]],
    Field(max_length=1000, description="Route and model names the key may use; empty: all.", examples=[["support"]]),
]
_Requests = Annotated[int, Field(ge=1, le=10**9, examples=[600]), WHOLE]
_Tokens = Annotated[int, Field(ge=1, le=10**12, examples=[200_000]), WHOLE]
_Calls = Annotated[int, Field(ge=1, le=10**6, examples=[20]), WHOLE]


class NewKey(In):
    """A virtual key to make."""

    name: _Name = Field(description="Says who asks; no two living keys share it.")
    team: Word | None = Field(None, description="Who pays.", examples=["support"])
    environment: Word | None = Field(None, examples=["prod"])
    feature: Word | None = Field(None, examples=["chat"])
    tags: Tags = Field(default_factory=dict, description="Words of your own that stand on each of its calls.")
    allow: _Allow = Field(default_factory=list)
    admin: bool = Field(False, description="Whether it opens the admin API.")
    expires_at: datetime | None = Field(None, description="When it ends.", examples=["2027-01-31T12:00:00Z"])
    expires_in_s: float | None = Field(None, gt=0, le=3.2e9, description="The same, in seconds from now.")
    requests_per_minute: _Requests | None = Field(None, description="null: as the configuration says.")
    tokens_per_minute: _Tokens | None = Field(None, description="null: as the configuration says.")
    concurrent: _Calls | None = Field(None, description="Calls at the same time; null: as the configuration says.")
    guardrails: Word | None = Field(None, description="The guard policy of all its calls.", examples=["strict"])


class KeyChange(In):
    """What to change of a key; what is left out stays. Whether it is an admin's never changes."""

    name: Annotated[_Name | None, Kept] = None
    team: Word | None = None
    environment: Word | None = None
    feature: Word | None = None
    tags: Annotated[Tags | None, Kept] = None
    allow: Annotated[_Allow | None, Kept] = None
    expires_at: datetime | None = Field(None, description="null: never.")
    requests_per_minute: _Requests | None = Field(None, description="null: as the configuration says.")
    tokens_per_minute: _Tokens | None = Field(None, description="null: as the configuration says.")
    concurrent: _Calls | None = Field(None, description="null: as the configuration says.")
    guardrails: Word | None = Field(None, description="The guard policy of all its calls.", examples=["strict"])


class Rotation(In):
    """How to change the secret."""

    overlap_s: float = Field(
        0.0, ge=0, le=90 * 86_400, description="How long the old secret stays good, in seconds.", examples=[3600]
    )


class KeyOut(Out):
    """A virtual key; its secret is known to whoever made it alone."""

    id: str
    name: str
    shown: str = Field(description="The two ends of its secret, to tell keys apart.", examples=["cmp-Zx4k…9fQw"])
    state: Literal["active", "expired", "revoked"]
    team: str | None
    environment: str | None
    feature: str | None
    tags: dict[str, str]
    allow: list[str]
    admin: bool
    requests_per_minute: int | None = Field(description="null: as the configuration says.")
    tokens_per_minute: int | None = Field(description="null: as the configuration says.")
    concurrent: int | None = Field(description="Calls at the same time; null: as the configuration says.")
    guardrails: str | None = Field(description="The guard policy of all its calls.")
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    rotated_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class KeyWithSecret(KeyOut):
    """A key with its secret, which is told this once."""

    secret: str = Field(examples=["cmp-Zx4k…"])


def router(keys: Keys, policy: Callable[[str], object]) -> APIRouter:
    """`policy` raises BadRequest for the name of a guard policy that there is not."""
    on = _On(keys, policy)
    made = APIRouter(prefix="/admin/keys", tags=["keys"])
    made.add_api_route("", on.list, methods=["GET"], summary="List keys")
    made.add_api_route("", on.create, methods=["POST"], status_code=201, summary="Make a key")
    made.add_api_route("/{id}", on.get, methods=["GET"], summary="Show a key")
    made.add_api_route("/{id}", on.update, methods=["PATCH"], summary="Change a key")
    made.add_api_route("/{id}/revoke", on.revoke, methods=["POST"], summary="End a key")
    made.add_api_route("/{id}/rotate", on.rotate, methods=["POST"], summary="Give a key a new secret")
    return made


class _On:
    def __init__(self, keys: Keys, policy: Callable[[str], object]) -> None:
        self._keys = keys
        self._policy = policy

    async def list(
        self, revoked: Annotated[bool, Query(description="Whether to list revoked ones too.")] = False
    ) -> Listing[KeyOut]:
        """All keys, oldest first."""
        return Listing(data=[KeyOut(**_facts(row)) for row in await self._keys.list(revoked=revoked)])

    async def create(self, body: NewKey, by: By) -> KeyWithSecret:
        """Make a key. The answer holds its secret, which can't be read again later."""
        given = body.model_dump(exclude={"expires_at", "expires_in_s"})
        if body.guardrails is not None:
            self._policy(body.guardrails)
        row, secret = await self._keys.create(**given, expires_at_s=_end(body), by=by)
        return KeyWithSecret(**_facts(row), secret=secret)

    async def get(self, id: Id) -> KeyOut:
        """One key."""
        return KeyOut(**_facts(await self._keys.get(id)))

    async def update(self, id: Id, body: KeyChange) -> KeyOut:
        """Change what is given and leave the rest; null takes a team, an end, a limit … away."""
        given = body.model_dump(exclude_unset=True)
        if body.guardrails is not None:
            self._policy(body.guardrails)
        for field in ("name", "tags", "allow"):
            if given.get(field, ...) is None:
                raise BadRequest(f"{field} can't be null; leave it out to keep it as it is.", param=field)
        if "expires_at" in given:
            at = given.pop("expires_at")
            given["expires_at_s"] = None if at is None else _to_come(seconds_of(at, "expires_at"), "expires_at")
        return KeyOut(**_facts(await self._keys.update(id, **given)))

    async def revoke(self, id: Id, by: By) -> KeyOut:
        """End a key and all its secrets for good, in every worker within a second."""
        return KeyOut(**_facts(await self._keys.revoke(id, by=by)))

    async def rotate(self, id: Id, body: Rotation | None = None) -> KeyWithSecret:
        """A new secret for the same key; the old one stays good for `overlap_s`."""
        row, secret = await self._keys.rotate(id, overlap_s=body.overlap_s if body else 0.0)
        return KeyWithSecret(**_facts(row), secret=secret)


def _end(body: NewKey) -> float | None:
    if body.expires_at is not None and body.expires_in_s is not None:
        raise BadRequest("Give either expires_at or expires_in_s.", param="expires_in_s")
    if body.expires_at is not None:
        return _to_come(seconds_of(body.expires_at, "expires_at"), "expires_at")
    return None if body.expires_in_s is None else time.time() + body.expires_in_s


def _to_come(at_s: float, param: str) -> float:
    if at_s <= time.time():
        raise BadRequest(f"{param} lies in the past.", param=param)
    return at_s


def _facts(row: KeyRow) -> dict[str, Any]:
    state = "revoked" if row.revoked_at_s is not None else "active" if row.usable(time.time()) else "expired"
    same = (
        "id",
        "name",
        "team",
        "environment",
        "feature",
        "tags",
        "admin",
        "created_by",
        "revoked_by",
        "guardrails",
        *LIMITS,
    )
    times = ("created_at", "expires_at", "rotated_at", "revoked_at")
    return {
        **{field: getattr(row, field) for field in same},
        **{field: moment(getattr(row, f"{field}_s")) for field in times},
        "allow": list(row.allow),
        "shown": f"{row.prefix}…{row.last4}",
        "state": state,
    }
