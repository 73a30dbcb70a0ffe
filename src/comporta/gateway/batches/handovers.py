"""The tables of native batches: what is handed to providers, step by step, and what comes back to rows."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from psycopg.rows import class_row

from comporta.pipeline import new_id
from comporta.providers.batching import Item, Result
from comporta.store.database import Connection, Database
from comporta.types import Caller

State = Literal["gathered", "creating", "running", "ended", "closed"]
#: What one handover holds at most: it is in memory while it is handed in. OpenAI takes 50,000 rows and 200 MB.
MOST_ROWS = 10_000
MOST_BYTES = 48 << 20

#: Batches whose rows have all come as far as they come by themselves.
READY = """
select id from batch as b where b.status = 'in_progress' and b.native
    and exists (select from batch_row where batch_id = b.id and state = 'parked' and handover_id is null)
    and not exists (
        select from batch_row where batch_id = b.id and state in ('waiting', 'running') and result is null and not alone
    )
limit 1 for update of b skip locked
"""
PARKED = """
select number, place, octet_length(request) from batch_row
where batch_id = %s and state = 'parked' and handover_id is null order by number
"""
INSERT = """
insert into batch_handover (id, batch_id, provider, credential, model, part)
values (%(id)s, %(batch)s, %(provider)s, %(credential)s, %(model)s, %(part)s)
"""
TAKE = "update batch_row set handover_id = %(id)s where batch_id = %(batch)s and number = any(%(numbers)s)"
CLAIM = """
update batch_handover set lease_until = now() + make_interval(secs => %(lease_s)s) where id = (
    select id from batch_handover where state <> 'closed' and due_at <= now() and coalesce(lease_until, now()) <= now()
    order by due_at limit 1 for update skip locked
) returning id
"""
LET_GO = """
update batch_handover set lease_until = null, due_at = now() + make_interval(secs => %(wait_s)s) where id = %(id)s
"""
ANY = """
select exists (select from batch_handover where state <> 'closed') or exists (
    select from batch_row as r join batch as b on b.id = r.batch_id
    where r.state = 'parked' and r.handover_id is null and b.status = 'in_progress'
)
"""
ONE = """
select h.*, b.status as batch_status,
    b.status = 'cancelling' or b.expires_at
        - least(make_interval(secs => %(leave_s)s), (b.expires_at - b.created_at) / 4) <= now() as stopping,
    b.expires_at + make_interval(secs => %(late_s)s) <= now() as late,
    (select count(*) from batch_row where handover_id = h.id) as rows
from batch_handover as h join batch as b on b.id = h.batch_id where h.id = %(id)s
"""
REQUESTS = "select number, request from batch_row where handover_id = %s and state = 'parked' order by number"
#: It goes from a row once its answer is written down.
HELD = "select parked from batch_row where handover_id = %s and parked is not null"
KNOWN = "select remote_id from batch_handover where provider = %s and remote_id = any(%s)"
RESULT = """
update batch_row set state = 'waiting', lease_until = null, request = null, result = %(result)s,
    result_status = %(status)s, result_at = now()
where batch_id = %(batch)s and number = %(number)s and handover_id = %(id)s and state = 'parked'
"""
GIVE_BACK = """
update batch_row set state = 'waiting', lease_until = null, alone = true, parked = null, request = null,
    handover_id = null
where handover_id = %s and state = 'parked'
"""
ENDED = """
update batch_handover set state = %(state)s, reason = coalesce(%(reason)s, reason), ended_at = now()
where id = %(id)s returning purses
"""
OPEN = "select exists (select from batch_row where handover_id = %s and state in ('parked', 'waiting', 'running'))"


class Handover(Struct, frozen=True):
    """A batch at a provider, as far as it is. `stopping`: its batch is cancelled, or near the end of its window;
    `late`: it is long over, and nothing more is waited for."""

    id: str
    batch_id: str
    provider: str
    credential: str | None
    model: str
    part: str
    state: State
    upload_id: str | None
    remote_id: str | None
    adopted: bool
    strangers: list[str]
    cancelled: bool
    tries: int
    due_at: datetime.datetime
    lease_until: datetime.datetime | None
    created_at: datetime.datetime
    creating_at: datetime.datetime | None
    submitted_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    reason: str | None
    purses: list[str]
    batch_status: str
    stopping: bool
    late: bool
    rows: int


class Share(Struct, frozen=True):
    """What a row holds of budgets, and whose they are."""

    caller: Caller
    most_microusd: int
    user: str | None = None


class Handovers:
    """The statements, each in a transaction of its own: what is written down here is so before the next step."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- for the job worker ----

    async def gather(self) -> int:
        """Put the parked rows of one batch together, by where they lead; how many handovers came of them."""
        async with self._database.connection() as connection:
            batch = await (await connection.execute(READY)).fetchone()
            if batch is None:
                return 0
            rows = await (await connection.execute(PARKED, [batch[0]])).fetchall()
            made = 0
            for place, numbers in _groups(rows):
                await _insert(connection, batch[0], place, numbers)
                made += 1
            return made

    async def claim(self, lease_s: float) -> str | None:
        """The id of one that is due, for this worker alone."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(CLAIM, {"lease_s": lease_s})).fetchone()
        return None if row is None else str(row[0])

    async def let_go(self, id: str, wait_s: float) -> None:
        """It is due again after so many seconds."""
        async with self._database.connection() as connection:
            await connection.execute(LET_GO, {"id": id, "wait_s": wait_s})

    async def any(self) -> bool:
        """Whether there is anything to do, now or later."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(ANY)).fetchone()
        return bool(row and row[0])

    # ---- for the gate ----

    async def find(self, id: str, leave_s: float, late_s: float) -> Handover | None:
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Handover))
            values = {"id": id, "leave_s": leave_s, "late_s": late_s}
            return await (await cursor.execute(ONE, values)).fetchone()

    async def note(self, id: str, **changes: Any) -> None:
        """Write down columns; a value `now` in a column whose name ends in `_at` is the database's own time."""
        sets = ", ".join(
            f"{name} = now()" if value == "now" else f"{name} = %({name})s" for name, value in changes.items()
        )
        async with self._database.connection() as connection:
            await connection.execute(f"update batch_handover set {sets} where id = %(id)s", {**changes, "id": id})

    async def items(self, handover: Handover) -> list[Item]:
        """The requests that are handed in."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(REQUESTS, [handover.id])).fetchall()
        return [Item(f"{handover.id}-{number}", request.encode()) for number, request in rows]

    async def shares(self, id: str) -> list[Share]:
        """What rows hold of budgets whose answers are not booked yet."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(HELD, [id])).fetchall()
        return [msgspec.json.decode(row[0], type=Share) for row in rows]

    async def known(self, provider: str, remotes: Sequence[str]) -> set[str]:
        """Which of these batches of a provider are ours already."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(KNOWN, [provider, list(remotes)])).fetchall()
        return {row[0] for row in rows}

    async def keep(self, handover: Handover, results: Sequence[Result]) -> int:
        """Write down answers; how many are of this handover. Said again they change nothing."""
        ours = [(number, one) for one in results if (number := _number(handover.id, one.id)) is not None]
        values: list[Mapping[str, Any]] = [
            {
                "batch": handover.batch_id, "number": number, "id": handover.id, "status": one.status,
                "result": one.body.decode("utf-8", "replace").replace("\0", ""),
            }
            for number, one in ours if one.outcome != "again"
        ]  # fmt: skip
        if values:
            async with self._database.connection() as connection:
                await connection.cursor().executemany(RESULT, values)
        return len(ours)

    async def give_back(self, id: str, state: State, reason: str | None = None) -> tuple[int, list[str]]:
        """Rows without an answer are asked by themselves, from now on: how many those are, and under which names the
        handover holds money."""
        async with self._database.connection() as connection:
            rows = (await connection.execute(GIVE_BACK, [id])).rowcount
            cursor = await connection.execute(ENDED, {"id": id, "state": state, "reason": reason})
            found = await cursor.fetchone()
        return rows, [] if found is None else found[0]

    async def open(self, id: str) -> bool:
        """Whether any of its rows still waits for its answer to be given out."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(OPEN, [id])).fetchone()
        return bool(row and row[0])


async def _insert(connection: Connection, batch: str, place: Sequence[Any], numbers: list[int]) -> None:
    provider, credential, model, part = place
    values = {
        "id": f"cmp-{new_id()}", "batch": batch, "provider": provider, "credential": credential, "model": model,
        "part": part, "numbers": numbers,
    }  # fmt: skip
    await connection.execute(INSERT, values)
    await connection.execute(TAKE, values)


def _groups(rows: Sequence[Sequence[Any]]) -> list[tuple[Sequence[Any], list[int]]]:
    """Rows (number, place, bytes) by their place, none with too many or too large."""
    groups: list[tuple[Sequence[Any], list[int]]] = []
    last: dict[str, tuple[list[int], int]] = {}
    for number, place, size in rows:
        numbers, held = last.get(place, ([], MOST_BYTES))
        if held + size > MOST_BYTES or len(numbers) >= MOST_ROWS:
            numbers, held = [], 0
            groups.append((msgspec.json.decode(place), numbers))
        numbers.append(number)
        last[place] = numbers, held + size
    return groups


def _number(handover: str, id: str) -> int | None:
    before, _, number = id.rpartition("-")
    return int(number) if before == handover and number.isdecimal() else None
