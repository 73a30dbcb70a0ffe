"""What files and batches hold of a user: rows of their requests and answers, which go from every file with them."""

from __future__ import annotations

import msgspec
from psycopg.rows import dict_row

from comporta.store.database import Database
from comporta.store.people import Page, Person, Removed

_BATCH = 500

LINES = """
select file_id, number, line from file_line
where user_id = %(user)s and (file_id, number) > (%(id)s, %(number)s) order by file_id, number limit %(limit)s
"""
ROWS = """
select batch_id, number, custom_id, body, state, answer from batch_row
where user_id = %(user)s and (batch_id, number) > (%(id)s, %(number)s) order by batch_id, number limit %(limit)s
"""
ERASE_LINES = """
delete from file_line where (file_id, number) in (
    select file_id, number from file_line where user_id = %(user)s limit %(limit)s
)
"""
ERASE_ROWS = """
delete from batch_row where (batch_id, number) in (
    select batch_id, number from batch_row where user_id = %(user)s limit %(limit)s
)
"""


class _Held:
    """One table's part."""

    def __init__(self, database: Database, kind: str, page: str, erase: str, key: str) -> None:
        self.kind = kind
        self._database = database
        self._page = page
        self._erase = erase
        self._key = key

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        id, number = ("", 0) if after is None else msgspec.json.decode(after, type=tuple[str, int])
        values = {"user": person.name, "id": id, "number": number, "limit": limit}
        async with self._database.reading() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            found = await (await cursor.execute(self._page, values)).fetchall()
        last = None
        if len(found) == limit:
            last = msgspec.json.encode((found[-1][self._key], found[-1]["number"])).decode()
        return Page(found, last)

    async def erase(self, person: Person, after: str | None) -> Removed:
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._erase, {"user": person.name, "limit": _BATCH})
        return Removed(cursor.rowcount, "more" if cursor.rowcount == _BATCH else None)


def lines_of_people(database: Database) -> _Held:
    """The table `file_line`."""
    return _Held(database, "file_lines", LINES, ERASE_LINES, "file_id")


def rows_of_people(database: Database) -> _Held:
    """The table `batch_row`."""
    return _Held(database, "batch_rows", ROWS, ERASE_ROWS, "batch_id")
