"""`/admin/status`: how the gate is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

from fastapi import APIRouter

from comporta.gateway.admin.parts import Status
from comporta.gateway.admin.shapes import Out, moment


class DatabaseOut(Out):
    """PostgreSQL."""

    reachable: bool
    place: str
    embedded: bool
    problem: str | None


class SpoolOut(Out):
    """Records that are safe on this machine but not in the database yet."""

    waiting_bytes: int
    limit_bytes: int


class ProviderOut(Out):
    """A provider; `ready` says that a key is there or none is needed, not that it answers."""

    name: str
    kind: str
    base_url: str
    credentials: list[str]
    ready: bool
    models: int


class RestingOut(Out):
    """Left alone: an `open` breaker, one that is being `probed`, a provider that `asked` to wait, a `refused` key.

    `model` is null for a key, which rests for all models; `left_s` is 0 where the next call may be the probe.
    """

    provider: str
    model: str | None
    credential: str | None
    state: Literal["open", "probed", "asked", "refused"]
    left_s: float


class BreakersOut(Out):
    """What is left alone after failures; `kept`: `redis_away` where each worker finds out for itself meanwhile."""

    kept: Literal["memory", "redis", "redis_away"]
    resting: list[RestingOut]


class StatusOut(Out):
    """The gate, seen from the worker that answered."""

    version: str
    started_at: datetime
    workers: int
    in_flight: int
    database: DatabaseOut
    spool: SpoolOut
    providers: list[ProviderOut]
    breakers: BreakersOut
    #: What somebody should look at, a sentence each, as far as this worker knows.
    warnings: list[str]


def router(ask: Callable[[], Awaitable[Status]]) -> APIRouter:
    async def status() -> StatusOut:
        """Version, workers, database, spool, providers, and what rests after failures."""
        found = await ask()
        started_at = moment(found.started_at_s)
        assert started_at is not None, "a gate that answers has started"
        return StatusOut(
            version=found.version, started_at=started_at, workers=found.workers, in_flight=found.in_flight,
            database=DatabaseOut.model_validate(found.database), spool=SpoolOut.model_validate(found.spool),
            providers=[ProviderOut.model_validate(one) for one in found.providers],
            breakers=BreakersOut.model_validate(found.breakers), warnings=list(found.warnings),
        )  # fmt: skip

    made = APIRouter(prefix="/admin/status", tags=["status"])
    made.add_api_route("", status, methods=["GET"], summary="Show the gate's state")
    return made
