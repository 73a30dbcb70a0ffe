"""What findings hold of a user: examples, items of windows, and examples in datasets."""

from __future__ import annotations

from comporta.feedback.findings.tables import MARK, rows
from comporta.store.database import Database
from comporta.store.people import Page, Person, Removed

PAGE = """
select 'example' as what, finding_id as of, call_id::text, called_at as at, null::jsonb as input, null::text as output
from finding_example where user_id = %(user)s
union all
select 'window', stream, call_id::text, at, null, null from drift_item where user_id = %(user)s
union all
select 'dataset', dataset, call_id::text, at, input, output from dataset_example where user_id = %(user)s
order by 4, 1, 2, 3 limit %(limit)s offset %(skip)s
"""
ERASE = (
    "delete from finding_example where user_id = %(user)s",
    "delete from drift_item where user_id = %(user)s",
    "delete from dataset_example where user_id = %(user)s",
)


class FindingsOf:
    """The rooms' tables of findings, windows and datasets. Comments are scores, and go with those."""

    kind = "findings"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, person: Person, after: str | None, limit: int) -> Page:
        skip = int(after) if after and after.isdigit() else 0
        values = {"user": person.name, "limit": limit, "skip": skip}
        async with self._database.reading() as connection:
            found = await rows(connection, PAGE, values)
        # Streams' names have parts between which a mark stands that nobody can read.
        told = [one | {"of": one["of"].replace(MARK, "/"), "at": one["at"].isoformat()} for one in found]
        return Page(told, str(skip + limit) if len(found) == limit else None)

    async def erase(self, person: Person, after: str | None) -> Removed:
        count = 0
        async with self._database.connection() as connection:
            for statement in ERASE:
                count += (await connection.execute(statement, {"user": person.name})).rowcount
        return Removed(count)
