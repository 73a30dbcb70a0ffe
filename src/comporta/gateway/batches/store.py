"""The tables of files and batches: what clients upload and ask for, page by page, each team its own."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row, dict_row

from comporta.errors import BadRequest, Conflict, NotFound
from comporta.gateway.batches.reading import ENDPOINTS, user_of
from comporta.pipeline import new_id
from comporta.store.database import Database
from comporta.store.people import HOLD_BACK
from comporta.telemetry.scores import owner_of
from comporta.types import JSON, Caller

#: Told apart from the ids of files that clients uploaded: such a file is read out of its batch.
_OUTPUT, _ERRORS = "file-out-", "file-err-"
_AT_ONCE = 500
OPEN = ("validating", "in_progress", "finalizing")

INSERT_FILE = """
insert into uploaded_file (id, owner, key_id, filename, purpose, bytes, expires_at)
values (%(id)s, %(owner)s, %(key_id)s, %(filename)s, %(purpose)s, %(bytes)s, now() + make_interval(secs => %(keep_s)s))
returning id, filename, purpose, bytes, created_at, expires_at
"""
COPY_LINES = "copy file_line (file_id, number, line, user_id) from stdin"
_FILE = "select id, filename, purpose, bytes, created_at, expires_at from uploaded_file"
ONE_FILE = f"{_FILE} where id = %(id)s and owner = %(owner)s and expires_at > now()"
FILES = sql.SQL(
    f"{_FILE} where owner = %(owner)s and expires_at > now() {{purpose}} {{after}}"
    " order by created_at desc, id desc limit %(limit)s"
)
AFTER_FILE = sql.SQL("and (created_at, id) < (select created_at, id from uploaded_file where id = %(after)s)")
DELETE_FILE = "delete from uploaded_file where id = %(id)s and owner = %(owner)s returning id"
LINES = (
    "select number, line from file_line where file_id = %(id)s and number > %(after)s order by number limit %(limit)s"
)
#: As it is given out: of what was uploaded empty lines are not kept.
SIZE = "select coalesce(sum(octet_length(line) + 1), 0)::bigint from file_line where file_id = %s"

INSERT_BATCH = """
insert into batch (id, owner, key_id, endpoint, input_file_id, status, metadata, native, expires_at)
values (%(id)s, %(owner)s, %(key_id)s, %(endpoint)s, %(file)s, 'validating', %(metadata)s, %(native)s,
    now() + make_interval(secs => %(window_s)s))
"""
_BATCH = """
select b.*, coalesce(r.done, 0) as done, coalesce(r.failed, 0) as failed, coalesce(r.handed, 0) as handed,
    coalesce(r.cost, 0) as cost_microusd, coalesce(r.saved, 0) as saved_microusd
from batch as b
left join lateral (
    select count(*) filter (where state = 'done')::integer as done,
        count(*) filter (where state = 'failed')::integer as failed,
        count(*) filter (where handover_id is not null)::integer as handed,
        sum(cost_microusd)::bigint as cost, sum(saved_microusd)::bigint as saved
    from batch_row where batch_id = b.id
) as r on true
"""
ONE_BATCH = f"{_BATCH} where b.id = %(id)s and b.owner = %(owner)s"
BATCHES = sql.SQL(f"{_BATCH} where b.owner = %(owner)s {{after}} order by b.created_at desc, b.id desc limit %(limit)s")
AFTER_BATCH = sql.SQL("and (b.created_at, b.id) < (select created_at, id from batch where id = %(after)s)")
CANCEL = """
update batch set status = 'cancelling', cancelling_at = now()
where id = %(id)s and owner = %(owner)s and status = any(%(open)s) returning id
"""
ANSWERS = """
select number, custom_id, status, request_id, answer from batch_row
where batch_id = %(id)s and state = %(state)s and number > %(after)s order by number limit %(limit)s
"""
PRUNE = (
    "delete from uploaded_file where expires_at < now()",
    "delete from batch where created_at < now() - make_interval(secs => %(keep_s)s)"
    " and status not in ('validating', 'in_progress', 'finalizing', 'cancelling')",
)


class FileRow(Struct, frozen=True):
    """An uploaded file, or one that a batch's answers are read as."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: datetime.datetime
    expires_at: datetime.datetime | None


class BatchRow(Struct, frozen=True):
    """A batch and how far it is."""

    id: str
    owner: str
    key_id: str
    endpoint: str
    input_file_id: str
    status: str
    metadata: JSON | None
    mistakes: list[JSON] | None
    total: int
    created_at: datetime.datetime
    expires_at: datetime.datetime
    in_progress_at: datetime.datetime | None
    finalizing_at: datetime.datetime | None
    completed_at: datetime.datetime | None
    failed_at: datetime.datetime | None
    expired_at: datetime.datetime | None
    cancelling_at: datetime.datetime | None
    cancelled_at: datetime.datetime | None
    native: bool
    done: int
    failed: int
    #: Rows that providers' own batch APIs have or had, what all rows cost, and what those saved.
    handed: int
    cost_microusd: int
    saved_microusd: int

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ("completed", "failed", "expired", "cancelled")

    @property
    def output_file(self) -> str | None:
        return _OUTPUT + self.id if self.ended and self.done else None

    @property
    def error_file(self) -> str | None:
        return _ERRORS + self.id if self.ended and self.failed else None


def owner(caller: Caller) -> str:
    """Whose files a key's are: its team's, else its own."""
    return owner_of(caller.key_id, caller.team, caller.admin)


class Batches:
    """Files and batches of all keys; each method asks for whom."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_file(
        self, caller: Caller, filename: str, purpose: str, size: int, lines: Sequence[str], keep_s: float
    ) -> FileRow:
        """Keep an uploaded file, line by line."""
        values = {
            "id": f"file-{new_id().replace('-', '')}", "owner": owner(caller), "key_id": caller.key_id,
            "filename": filename, "purpose": purpose, "bytes": size, "keep_s": keep_s,
        }  # fmt: skip
        async with self._database.connection() as connection:
            await connection.execute(HOLD_BACK)
            cursor = connection.cursor(row_factory=class_row(FileRow))
            made = await (await cursor.execute(INSERT_FILE, values)).fetchone()
            async with connection.cursor().copy(COPY_LINES) as copy:
                for number, line in enumerate(lines, 1):
                    await copy.write_row((values["id"], number, line, user_of(line)))
        assert made is not None
        return made

    async def file(self, caller: Caller, id: str) -> FileRow:
        """One file. Raises NotFound for those of others too."""
        if id.startswith((_OUTPUT, _ERRORS)):
            return await self._virtual(caller, id)
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=class_row(FileRow))
            found = await (await cursor.execute(ONE_FILE, {"id": id, "owner": owner(caller)})).fetchone()
        if found is None:
            raise NotFound(f"There is no file {id[:100]}.", param="id")
        return found

    async def files(self, caller: Caller, *, purpose: str | None, after: str | None, limit: int) -> list[FileRow]:
        """Uploaded files, the newest first."""
        query = FILES.format(
            purpose=sql.SQL("and purpose = %(purpose)s" if purpose else ""),
            after=AFTER_FILE if after else sql.SQL(""),
        )
        values = {"owner": owner(caller), "purpose": purpose, "after": after, "limit": limit}
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=class_row(FileRow))
            return await (await cursor.execute(query, values)).fetchall()

    async def remove_file(self, caller: Caller, id: str) -> None:
        """Raises NotFound, and Conflict for what a batch's answers are read out of."""
        if id.startswith((_OUTPUT, _ERRORS)):
            await self._virtual(caller, id)
            raise Conflict("A batch's answers go with the batch; they can't be deleted by themselves.", param="id")
        async with self._database.connection() as connection:
            cursor = await connection.execute(DELETE_FILE, {"id": id, "owner": owner(caller)})
            if await cursor.fetchone() is None:
                raise NotFound(f"There is no file {id[:100]}.", param="id")

    async def content(self, caller: Caller, id: str) -> tuple[int, AsyncIterator[bytes]]:
        """A file's content, piece by piece, and its bytes all together. Raises NotFound before the first."""
        found = await self.file(caller, id)
        if id.startswith((_OUTPUT, _ERRORS)):
            return found.bytes, self._answers(id)
        async with self._database.reading() as connection:
            row = await (await connection.execute(SIZE, [id])).fetchone()
        return int(row[0]) if row else 0, self._lines(id)

    async def create(
        self, caller: Caller, *, file: str, endpoint: str, metadata: JSON | None, window_s: float, native: bool = False
    ) -> BatchRow:
        """A new batch over an uploaded file. Raises BadRequest and NotFound, naming the field."""
        if endpoint not in ENDPOINTS:
            raise BadRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}.", param="endpoint")
        try:
            found = await self.file(caller, file)
        except NotFound:
            raise NotFound(f"There is no file {file[:100]}.", param="input_file_id") from None
        if found.purpose != "batch":
            raise BadRequest("The file's purpose must be `batch`.", param="input_file_id")
        id = f"batch_{new_id().replace('-', '')}"
        values = {
            "id": id, "owner": owner(caller), "key_id": caller.key_id, "endpoint": endpoint, "file": file,
            "metadata": None if metadata is None else msgspec.json.encode(metadata).decode(), "window_s": window_s,
            "native": native,
        }  # fmt: skip
        async with self._database.connection() as connection:
            await connection.execute(INSERT_BATCH, values)
        return await self.batch(caller, id)

    async def batch(self, caller: Caller, id: str) -> BatchRow:
        """One batch. Raises NotFound for those of others too."""
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=class_row(BatchRow))
            found = await (await cursor.execute(ONE_BATCH, {"id": id, "owner": owner(caller)})).fetchone()
        if found is None:
            raise NotFound(f"There is no batch {id[:100]}.", param="id")
        return found

    async def batches(self, caller: Caller, *, after: str | None, limit: int) -> list[BatchRow]:
        """Batches, the newest first."""
        query = BATCHES.format(after=AFTER_BATCH if after else sql.SQL(""))
        values = {"owner": owner(caller), "after": after, "limit": limit}
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=class_row(BatchRow))
            return await (await cursor.execute(query, values)).fetchall()

    async def cancel(self, caller: Caller, id: str) -> BatchRow:
        """Ask nothing more of it. Raises NotFound, and Conflict where it has ended."""
        async with self._database.connection() as connection:
            values = {"id": id, "owner": owner(caller), "open": list(OPEN)}
            done = await (await connection.execute(CANCEL, values)).fetchone()
        found = await self.batch(caller, id)
        if done is None and found.status != "cancelling":
            raise Conflict(f"The batch is {found.status}: there is nothing to cancel.", param="id")
        return found

    async def prune(self, keep_s: float) -> None:
        """Drop what is older."""
        async with self._database.connection() as connection:
            for statement in PRUNE:
                await connection.execute(statement, {"keep_s": keep_s})

    async def _virtual(self, caller: Caller, id: str) -> FileRow:
        batch = await self.batch(caller, id.removeprefix(_OUTPUT).removeprefix(_ERRORS))
        if id not in (batch.output_file, batch.error_file):
            raise NotFound(f"There is no file {id[:100]}.", param="id")
        size = 0
        async for piece in self._answers(id):
            size += len(piece)
        name = f"{batch.id}_{'output' if id.startswith(_OUTPUT) else 'error'}.jsonl"
        return FileRow(id, name, "batch_output", size, batch.completed_at or batch.created_at, None)

    async def _lines(self, id: str) -> AsyncIterator[bytes]:
        number = 0
        while True:
            async with self._database.reading() as connection:
                values = {"id": id, "after": number, "limit": _AT_ONCE}
                rows = await (await connection.execute(LINES, values)).fetchall()
            if not rows:
                return
            number = rows[-1][0]
            yield "".join(f"{line}\n" for _, line in rows).encode()

    async def _answers(self, id: str) -> AsyncIterator[bytes]:
        state = "done" if id.startswith(_OUTPUT) else "failed"
        batch, number = id.removeprefix(_OUTPUT).removeprefix(_ERRORS), 0
        while True:
            async with self._database.reading() as connection:
                cursor = connection.cursor(row_factory=dict_row)
                values = {"id": batch, "state": state, "after": number, "limit": _AT_ONCE}
                rows = await (await cursor.execute(ANSWERS, values)).fetchall()
            if not rows:
                return
            number = rows[-1]["number"]
            yield b"".join(_answer_line(batch, row) for row in rows)


def _answer_line(batch: str, row: dict[str, Any]) -> bytes:
    """A row as OpenAI's output and error files have it."""
    body = msgspec.Raw((row["answer"] or "null").encode())
    response = None
    if row["status"] is not None:
        response = {"status_code": row["status"], "request_id": row["request_id"] or "", "body": body}
    error = body if response is None else None
    told = {
        "id": f"{batch}_{row['number']}", "custom_id": row["custom_id"], "response": response, "error": error,
    }  # fmt: skip
    return msgspec.json.encode(told) + b"\n"
