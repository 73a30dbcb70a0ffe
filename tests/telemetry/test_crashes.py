"""An answered call is a recorded call: processes killed right after an answer, the database away, no record lost."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from comporta.store.database import Database, connect
from comporta.telemetry.partitions import ensure_partitions
from comporta.telemetry.record import CallRecord
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool
from comporta.testing.servers import Postgres, postgres_server

MakeRecord = Callable[..., CallRecord]

COUNTS = "select count(*), (select sum(calls) from rollup_minute), sum(cost_microusd) from call"

#: Answers calls as a door does, telling of each one the moment its endings have run, until it is killed.
ANSWERING = """
import asyncio, sys
from pathlib import Path
from comporta.pipeline import Call, compose, replay
from comporta.store.database import Database, connect
from comporta.telemetry.capture import Capture
from comporta.telemetry.recorder import Recorder
from comporta.telemetry.scrubbing import Scrubber
from comporta.telemetry.shipping import Shipper
from comporta.telemetry.spool import Spool
from comporta.types import Caller, Delta, Event, Input, Target, Usage

async def last(call):
    call.target = Target("support", "v1", "openai", "gpt-x")
    return replay([Event(deltas=(Delta(text="x" * 500, finish="stop"),), usage=Usage(input=5, output=5), whole=True)])

async def main(root, dsn):
    spool = Spool(Path(root))
    recorder = Recorder(spool, Capture(Scrubber()), lambda call: 7)
    pipeline = compose([("record", recorder.stage)], last)
    shipper = Shipper(Database(dsn), spool, interval_s=0.01)
    task = asyncio.create_task(shipper.run())
    while True:
        call = Call(kind="chat", input=Input(), model="support", caller=Caller("k"))
        async for event in await pipeline(call):
            pass
        await call.close_events()
        call.end()
        print(call.id, flush=True)
        await asyncio.sleep(0)

asyncio.run(main(*sys.argv[1:]))
"""


async def counts(database: Database) -> tuple[int, int, int]:
    async with database.connection() as connection:
        row = await (await connection.execute(COUNTS)).fetchone()
    assert row is not None
    return int(row[0]), int(row[1] or 0), int(row[2] or 0)


def answer_and_be_killed(root: Path, dsn: str, answers: int) -> set[str]:
    """The ids of the calls that a process said it had answered before it was killed."""
    command = [sys.executable, "-c", ANSWERING, str(root), dsn]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = {child.stdout.readline().strip() for _ in range(answers)}
        child.send_signal(signal.SIGKILL)
        # A line may be half written at its end: that call was not answered.
        told |= {line.strip() for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")}
        child.wait()
    return told


@pytest.mark.parametrize("answers", [1, 300])
async def test_a_process_killed_right_after_an_answer_loses_no_record_and_doubles_none(
    tmp_path: Path, database: Database, answers: int
) -> None:
    """The child ships while it answers, so that the kill falls anywhere in a shipping too."""
    told = await asyncio.to_thread(answer_and_be_killed, tmp_path, database.dsn, answers)
    assert len(told) >= answers
    survivor = Spool(tmp_path)
    assert await Shipper(database, survivor).drain()
    survivor.close()
    async with database.connection() as connection:
        rows = await (await connection.execute("select id::text from call")).fetchall()
    arrived = {row[0] for row in rows}
    assert told <= arrived
    # The last call may have been recorded and not yet told.
    assert len(arrived - told) <= 1
    assert await counts(database) == (len(arrived), len(arrived), 7 * len(arrived))


async def until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 (what is waited for tells nobody)
        await asyncio.sleep(0.002)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that a test may stop."""
    with postgres_server() as server:
        yield server


async def test_while_postgresql_is_away_nothing_is_lost_and_afterwards_nothing_doubled(
    own_postgres: Postgres, tmp_path: Path, make_record: MakeRecord
) -> None:
    dsn = await asyncio.to_thread(own_postgres.create_database)
    spool = Spool(tmp_path)
    async with Database(dsn) as database:
        await ensure_partitions(database)
        shipper = Shipper(database, spool, interval_s=0.01, batch_records=20)
        task = asyncio.create_task(shipper.run())
        for n in range(300):
            spool.append(make_record())
            if n == 100:
                await asyncio.to_thread(own_postgres.embedded.stop)
            if n == 200:
                await asyncio.to_thread(own_postgres.embedded.start)
            await asyncio.sleep(0.001)
        await asyncio.wait_for(until(lambda: shipper.shipped >= 300), 120)
        shipper.stop()
        await task
        assert await counts(database) == (300, 300, 300 * 150)
        assert shipper.quarantine.count == 0
    spool.close()


async def test_a_server_killed_in_the_middle_of_shipping_changes_no_figure(
    own_postgres: Postgres, tmp_path: Path, make_record: MakeRecord
) -> None:
    dsn = await asyncio.to_thread(own_postgres.create_database)
    spool = Spool(tmp_path)
    for _ in range(400):
        spool.append(make_record())
    async with Database(dsn) as database:
        shipper = Shipper(database, spool, interval_s=0.01, batch_records=10)
        task = asyncio.create_task(shipper.run())
        for _ in range(3):
            before = shipper.shipped
            await until(lambda before=before: shipper.shipped > before or shipper.shipped >= 400)  # type: ignore[misc]
            async with await connect(dsn) as other:
                await other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
        await asyncio.wait_for(until(lambda: shipper.shipped >= 400), 120)
        shipper.stop()
        await task
        assert await counts(database) == (400, 400, 400 * 150)
    spool.close()
