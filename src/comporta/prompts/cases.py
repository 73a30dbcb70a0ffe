"""What prompts are tested with, as far as the registry knows it: the questions of each prompt's cases, last pushed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from comporta.errors import BadRequest, NotFound
from comporta.store.database import Connection, Database
from comporta.telemetry.audit import Act, add
from comporta.types import JSON

MOST_CASES = 10_000

KNOWN = "select digest from prompt_test_set where prompt_id = %(prompt)s for update"
THERE = "select from prompt where id = %(prompt)s"
PUT_SET = """
insert into prompt_test_set (prompt_id, digest, cases, pushed_by) values (%(prompt)s, %(digest)s, %(cases)s, %(by)s)
on conflict (prompt_id) do update set digest = excluded.digest, cases = excluded.cases,
    pushed_by = excluded.pushed_by, pushed_at = clock_timestamp()
"""
CLEAR = "delete from prompt_test_case where prompt_id = %(prompt)s"
PUT = """
insert into prompt_test_case (prompt_id, place, id, input, variables)
values (%(prompt)s, %(place)s, %(id)s, %(input)s, %(variables)s)
"""
CASES = """
select id, input, variables from prompt_test_case where prompt_id = %(prompt)s and place > %(after)s
order by place limit %(limit)s
"""
SET = """
select cases, digest, extract(epoch from pushed_at)::float8, pushed_by from prompt_test_set where prompt_id = %(prompt)s
"""


class TestCase(Struct, frozen=True, omit_defaults=True):
    """A case's question: what the model is told last in the user's name, and the values that it was made of."""

    #: Not a class of tests.
    __test__ = False

    id: str
    input: str = ""
    variables: JSON = {}


class TestSet(Struct, frozen=True):
    """A prompt's cases as a whole. `digest` names all that they say."""

    __test__ = False

    cases: int
    digest: str
    pushed_at_s: float
    pushed_by: str


def digest_of(cases: Sequence[TestCase]) -> str:
    """The same for the same cases in the same order."""
    return hashlib.sha256(msgspec.json.encode(cases, order="deterministic")).hexdigest()[:32]


async def put_cases(connection: Connection, cases: Mapping[str, Sequence[TestCase]], *, by: str) -> None:
    """Each prompt's cases in place of those before; the audit log hears of those that changed.

    Raises BadRequest for a prompt that the registry does not have.
    """
    acts = []
    for prompt, those in sorted(cases.items()):
        digest = digest_of(those)
        values = {"prompt": prompt, "digest": digest, "cases": len(those), "by": by}
        known = await (await connection.execute(KNOWN, values)).fetchone()
        if known is not None and known[0] == digest:
            continue
        if await (await connection.execute(THERE, values)).fetchone() is None:
            raise BadRequest(f"There are cases for {prompt[:100]!r}, and no such prompt.", param="cases")
        await connection.execute(PUT_SET, values)
        await connection.execute(CLEAR, values)
        async with connection.cursor() as cursor:
            await cursor.executemany(PUT, [_row(prompt, place, one) for place, one in enumerate(those, 1)])
        acts.append(Act("prompt.cases", prompt, {"cases": len(those)}))
    await add(connection, acts, by=by)


def _row(prompt: str, place: int, one: TestCase) -> JSON:
    return {
        "prompt": prompt, "place": place, "id": one.id, "input": one.input, "variables": Jsonb(one.variables),
    }  # fmt: skip


async def read_cases(
    database: Database, prompt: str, *, after: int = 0, limit: int = 100
) -> tuple[TestSet, list[TestCase]]:
    """What is known of a prompt's cases, and those behind place `after`. Raises NotFound where none were pushed."""
    values = {"prompt": prompt, "after": after, "limit": limit}
    async with database.reading() as connection:
        found = await (await connection.execute(SET, values)).fetchone()
        rows = await (await connection.execute(CASES, values)).fetchall()
    if found is None:
        text = f"No test cases of {prompt[:100]!r} were pushed: `comporta prompts push` takes them along."
        raise NotFound(text, code="prompt_without_cases")
    return TestSet(*found), [TestCase(*row) for row in rows]
