"""From the inbox into the tables: small batches together, each once, and a wrong one by itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from comporta.app import otlp_taking
from comporta.app.around import Around
from comporta.app.folder import Folder
from comporta.app.otlp_taking import Taking, portions
from comporta.app.settings import Settings
from comporta.errors import Unavailable
from comporta.store.database import Database
from comporta.telemetry.otlp.foreign import store
from comporta.telemetry.otlp.inbox import Envelope, Inbox
from comporta.telemetry.otlp.normal import Foreign
from comporta.types import Caller

SHOP, BANK = Caller("key-1", "shop", team="shop"), Caller("key-2", "bank", team="bank")
SPANS = "select team, count(*) from trace_span group by team"
CALLS = "select count(*) from call"


class World:
    """An inbox, the tables behind it, and what was counted."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        nobody = cast(Any, None)
        self.around = Around(database, Settings, nobody, nobody, Folder(folder))
        self.inbox = Inbox(Folder(folder).traces, 10**9)
        self.taking = Taking(self.around)

    async def put(self, caller: Caller, names: Sequence[str]) -> None:
        now_ns = str(time.time_ns())
        spans = [
            {
                "traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex(), "name": name,
                "startTimeUnixNano": now_ns, "endTimeUnixNano": now_ns,
                "attributes": [{"key": "llm.model", "value": {"stringValue": "m"}}],
            }
            for name in names
        ]  # fmt: skip
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
        await self.inbox.put(Envelope(caller, "application/json", "identity", body))

    async def stored(self) -> tuple[dict[str, int], int]:
        """Spans by team, and calls."""
        async with self.database.connection() as connection:
            spans = await (await connection.execute(SPANS)).fetchall()
            row = await (await connection.execute(CALLS)).fetchone()
        return {str(team): int(count) for team, count in spans}, int(row[0]) if row else 0


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def test_many_small_batches_are_stored_together_each_under_its_own_caller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def counts(database: Database, spans: Sequence[Foreign], caller: Caller) -> int:
        asked.append(len(spans))
        return await store(database, spans, caller)

    monkeypatch.setattr(otlp_taking, "store", counts)
    for _ in range(20):
        await world.put(SHOP, ["a"])
    await world.put(BANK, ["b", "c"])
    assert await world.taking.once(0.0) == 21
    assert await world.stored() == ({"shop": 20, "bank": 2}, 22)
    assert asked == [20, 2]
    assert world.around.totals["otlp_spans_taken"] == 22
    assert world.inbox.waiting() == []


async def test_a_batch_that_nobody_foresaw_goes_aside_and_those_beside_it_go_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(database: Database, spans: Sequence[Foreign], caller: Caller) -> int:
        if any(span.name == "bad" for span in spans):
            raise ValueError("who would have thought")
        return await store(database, spans, caller)

    monkeypatch.setattr(otlp_taking, "store", breaks)
    for name in ("good", "bad", "good"):
        await world.put(SHOP, [name])
    await world.inbox.put(Envelope(SHOP, "application/x-protobuf", "identity", b"\xff\xff"))
    await world.taking.once(0.0)
    assert await world.stored() == ({"shop": 2}, 2)
    assert world.around.totals["otlp_batches_refused"] == 2
    assert len([name for name in names_in(world) if name.endswith(".unread")]) == 2
    assert await world.taking.once(0.0) == 0


async def test_what_a_database_that_is_away_did_not_take_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(database: Database, spans: Sequence[Foreign], caller: Caller) -> int:
        await store(database, spans, caller)
        raise Unavailable("PostgreSQL went away behind it")

    await world.put(SHOP, ["a"])
    with monkeypatch.context() as patched:
        patched.setattr(otlp_taking, "store", away)
        with pytest.raises(Unavailable):
            await world.taking.once(0.0)
    assert len(world.inbox.waiting()) == 1
    await world.taking.once(0.0)
    assert await world.stored() == ({"shop": 1}, 1), "a batch that is read twice counts once"


def names_in(world: World) -> list[str]:
    return [path.name for path in world.around.folder.traces.iterdir()]


def test_portions_hold_so_many_batches_and_so_many_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03}" for number in range(205)]
    for path in paths:
        path.write_bytes(b"x")
    assert [len(one) for one in portions(paths)] == [100, 100, 5]
    for path in paths[:3]:
        path.write_bytes(b"x" * (3 << 20))
    found = list(portions(paths))
    assert [len(one) for one in found] == [1, 1, 100, 100, 3]
    assert [path for portion in found for path in portion] == paths
    assert list(portions([tmp_path / "gone"])) == [[tmp_path / "gone"]]
