"""The gate's side of rows whose answers a provider's batch gives: they are stopped, and go on with their answers."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct
from psycopg.rows import class_row

from comporta.errors import ClientGone, ComportaError, NotFound
from comporta.gateway.answering import call_of
from comporta.gateway.batches.edge import Arrive, Arrived
from comporta.gateway.batches.parked import Alone, Parked, ParkedCall, parked_of
from comporta.gateway.batches.parked import call_of as going_on
from comporta.gateway.doors.base import Door
from comporta.gateway.first import begun
from comporta.gateway.server import Page
from comporta.pipeline import Call, Next, collect
from comporta.store.database import Database
from comporta.types import Caller, Reply

#: Where a row stands: its batch and its number.
Place = tuple[str, int]

PARK = """
update batch_row set state = 'parked', lease_until = null, parked = %(parked)s, request = %(request)s, place = %(place)s
where batch_id = %(batch)s and number = %(number)s and state = 'running'
"""
ARRIVED = """
select r.parked, r.result, r.result_status, r.result_at, h.submitted_at, coalesce(h.remote_id, '') as remote_id
from batch_row as r join batch_handover as h on h.id = r.handover_id
where r.batch_id = %(batch)s and r.number = %(number)s and r.result is not null and r.parked is not null
"""
#: A row is stopped; one that has to be asked by itself.
STOPPED, ALONE = 202, 204
_JSON = "application/json"


class _Row(Struct, frozen=True):
    parked: str
    result: str
    result_status: int
    result_at: datetime.datetime
    submitted_at: datetime.datetime | None
    remote_id: str


class NativeRows:
    """`stopping` is the pipeline whose last stage stops calls, `arriving` the one of calls that go on; `forget` keeps a
    call that was stopped out of the records."""

    def __init__(
        self, database: Database, doors: Mapping[str, Door], stopping: Next, arriving: Next,
        forget: Callable[[Call], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._doors = doors
        self._by_name = {door.name: door for door in doors.values()}
        self._stopping = stopping
        self._arriving = arriving
        self._forget = forget

    async def stop(self, path: str, body: bytes, caller: Caller, row: Place) -> Page:
        """Send a row through the stages up to its provider. Answers 202 where it is parked there, 204 where it must be
        asked by itself, and as its door does where a stage refuses it or has an answer already."""
        door = self._doors.get(path)
        if door is None:
            return Page(b"", status=ALONE)
        try:
            call = call_of(door.name, door.parse(body, {}), caller, {})
        except ComportaError:
            # Its own door words the refusal, and records it.
            return Page(b"", status=ALONE)
        call.note("batch", id=row[0])
        try:
            return _page(door, call, await self._through(self._stopping, call))
        except Parked as stopped:
            return await self._park(call, stopped, row)
        except Alone:
            return Page(b"", status=ALONE)
        except ComportaError as error:
            return _refusal(door, call, error)

    async def _park(self, call: Call, stopped: Parked, row: Place) -> Page:
        kept = parked_of(call, stopped)
        try:
            values = {
                "batch": row[0], "number": row[1], "parked": _text(msgspec.json.encode(kept)),
                "request": _text(stopped.request), "place": _place(kept, stopped.part),
            }  # fmt: skip
        except (msgspec.MsgspecError, ValueError, TypeError):
            return Page(b"", status=ALONE)
        async with self._database.connection() as connection:
            await connection.execute(PARK, values)
        return Page(b"", status=STOPPED)

    async def arrive(self, row: Place) -> Page:
        """Have a row go on with its answer. Raises NotFound where it has none."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(_Row))
            found = await (await cursor.execute(ARRIVED, {"batch": row[0], "number": row[1]})).fetchone()
        if found is None:
            raise NotFound("This row has no answer of a provider's batch.")
        kept = msgspec.json.decode(found.parked, type=ParkedCall)
        door = self._by_name[kept.door]
        since = found.submitted_at or found.result_at
        waited_s = (found.result_at - since).total_seconds()
        call = going_on(kept, found.result_at.timestamp(), found.remote_id, waited_s)
        arrived = Arrived(found.result_status, found.result.encode(), found.remote_id, kept.percent)
        Arrive.with_answer(call, arrived)
        try:
            return _page(door, call, await self._through(self._arriving, call))
        except ComportaError as error:
            return _refusal(door, call, error)

    async def _through(self, pipeline: Next, call: Call) -> Reply:
        """The whole reply; the call ends here, with its record unless it was stopped."""
        error: ComportaError | None = ClientGone("The row was left.")
        try:
            reply = await collect(await begun(await pipeline(call)))
            error = None
            return reply
        except (Parked, Alone):
            self._forget(call)
            raise
        except ComportaError as failure:
            error = failure
            raise
        finally:
            try:
                await call.close_events()
            finally:
                call.end(error)


def _text(data: bytes) -> str:
    """Raises ValueError for what PostgreSQL has no text for."""
    text = data.decode()
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


def _place(kept: ParkedCall, part: str) -> str:
    return msgspec.json.encode((kept.target.provider, kept.target.credential, kept.target.model, part)).decode()


def _page(door: Door, call: Call, reply: Reply) -> Page:
    return Page(door.reply(call, reply), _JSON, 200, _head(call))


def _refusal(door: Door, call: Call, error: ComportaError) -> Page:
    again = [] if error.retry_after_s is None else [("retry-after", str(max(1, round(error.retry_after_s))))]
    return Page(door.error(error), _JSON, error.status, [*_head(call), *again])


def _head(call: Call) -> list[tuple[str, str]]:
    head = [("x-comporta-request", call.request_id)]
    if call.cost_microusd is not None:
        head.append(("x-comporta-cost-usd", f"{call.cost_microusd / 1_000_000:.6f}"))
    saved = ((call.notes or {}).get("native") or {}).get("saved_microusd")
    return head if saved is None else [*head, ("x-comporta-saved-usd", f"{saved / 1_000_000:.6f}")]
