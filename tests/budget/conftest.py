"""Calls as the ledger gets them, for tests of what is counted from it."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import structs

from comporta.pipeline import Call
from comporta.store.database import Database
from comporta.telemetry.partitions import day_of, ensure_days
from comporta.telemetry.record import CallRecord, record_of
from comporta.telemetry.shipping import insert_batch
from comporta.types import Caller, Input, Target, Usage

#: A Wednesday at noon.
NOON = datetime.datetime(2026, 11, 18, 12, tzinfo=datetime.UTC)

Ship = Callable[..., Awaitable[None]]


def record(
    cost: int | None, *, at: datetime.datetime = NOON, team: str | None = "red", feature: str | None = None,
    environment: str | None = "prod", user: str | None = None, tags: dict[str, str] | None = None,
    key: str = "key-1", model: str = "gpt-x", cache: str = "miss", usage: Usage | None = Usage(input=10, output=5),
    error: Any = None,
) -> CallRecord:  # fmt: skip
    """One call that came to `cost` micro-dollars; None where nobody knows its price."""
    caller = Caller(key, team=team, environment=environment, feature=feature, tags=tags or {})
    call = Call(kind="chat", input=Input(), model="r", caller=caller, user=user, tags=dict(caller.tags), cache=cache)
    call.target = Target("r", "v", "openai", model)
    call.usage, call.cost_microusd = usage, cost
    made = record_of(call, error=error)
    return structs.replace(made, started_us=int(at.timestamp() * 1_000_000))


@pytest.fixture
def ship(database: Database) -> Ship:
    """Puts calls into the ledger, as the shipper does."""

    async def shipped(*records: CallRecord) -> None:
        await put(database, *records)

    return shipped


async def put(database: Database, *records: CallRecord) -> None:
    """The same without a fixture."""
    await ensure_days(database, {day_of(one) for one in records})
    await insert_batch(database, records)
