"""What the registry keeps of versions, approvals and test runs, read from and written to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from comporta.errors import BadRequest, Forbidden, NotFound
from comporta.prompts.commit import names_of
from comporta.prompts.content import unknown_version
from comporta.prompts.kept import GREEN, Approval, Listed, TestRun, Version
from comporta.prompts.semver import order
from comporta.store.database import Connection
from comporta.telemetry.audit import Act, add
from comporta.types import JSON

VERSION = """
select prompt_id, version, digest, model, commit_sha, author, message, extract(epoch from pushed_at)::float8, pushed_by
from prompt_version
"""
VERSIONS_OF = f"{VERSION} where prompt_id = %(id)s"
ONE_VERSION = f"{VERSION} where prompt_id = %(id)s and version = %(version)s"
LIST = """
select p.id, p.highest, p.versions, extract(epoch from p.pushed_at)::float8,
    coalesce((select jsonb_object_agg(l.environment, l.version) from prompt_label l where l.prompt_id = p.id), '{}')
from prompt p
where p.id > %(after)s and starts_with(p.id, %(prefix)s) and p.versions > 0
order by p.id limit %(limit)s
"""
APPROVE = """
insert into prompt_approval (prompt_id, version, digest, environment, by, why)
values (%(id)s, %(version)s, %(digest)s, %(environment)s, %(by)s, %(why)s)
returning number, prompt_id, version, digest, environment, by, why, extract(epoch from at)::float8
"""
APPROVALS = """
select number, prompt_id, version, digest, environment, by, why, extract(epoch from at)::float8 from prompt_approval
where prompt_id = %(id)s and (%(version)s::text is null or version = %(version)s) order by number desc limit %(limit)s
"""
RECORD_TEST = """
insert into prompt_test_run (prompt_id, version, digest, verdict, green, summary, by)
values (%(id)s, %(version)s, %(digest)s, %(verdict)s, %(green)s, %(summary)s, %(by)s)
returning number, prompt_id, version, digest, verdict, green, summary, by, extract(epoch from at)::float8
"""
TESTS = """
select number, prompt_id, version, digest, verdict, green, summary, by, extract(epoch from at)::float8
from prompt_test_run
where prompt_id = %(id)s and (%(version)s::text is null or version = %(version)s) order by number desc limit %(limit)s
"""


async def versions_of(connection: Connection, id: str) -> list[Version]:
    """The highest first. Raises NotFound."""
    rows = await (await connection.execute(VERSIONS_OF, {"id": id})).fetchall()
    if not rows:
        raise NotFound(f"There is no prompt {id[:100]!r} in the registry.", code="prompt_not_found", param="id")
    return sorted((Version(*row) for row in rows), key=lambda one: order(one.version), reverse=True)


async def one_version(connection: Connection, id: str, version: str) -> Version:
    """Raises NotFound."""
    row: Any = await (await connection.execute(ONE_VERSION, {"id": id, "version": version})).fetchone()
    if row is None:
        raise unknown_version(id, version)
    return Version(*row)


def read_listed(row: Sequence[Any]) -> Listed:
    id, highest, versions, pushed_at_s, labels = row
    return Listed(id, highest, versions, labels, pushed_at_s)


async def approve(connection: Connection, one: Version, environment: str, by: str, why: str) -> Approval:
    """Write a yes down. Raises Forbidden where it comes from the version's own author, or from who pushed it."""
    own = names_of(one.author) | names_of(one.pushed_by)
    if names_of(by) & own:
        raise Forbidden(
            f"{one.label} is by {one.author or one.pushed_by}"
            + (f" and was pushed by {one.pushed_by}" if one.author and one.author != one.pushed_by else "")
            + f"; its approval must come from somebody other, and you are {by}.",
            code="approval_own",
        )
    values = {"id": one.id, "version": one.version, "digest": one.digest, "environment": environment, "by": by,
              "why": why}  # fmt: skip
    row: Any = await (await connection.execute(APPROVE, values)).fetchone()
    details = {"environment": environment, "version": one.version, "digest": one.digest}
    await add(connection, [Act("prompt.approve", one.id, details)], by=by, why=why)
    return Approval(*row)


async def record_test(
    connection: Connection, id: str, version: str, digest: str, verdict: str, summary: JSON, by: str
) -> TestRun:
    """Write a test run down, and into the audit log."""
    told = " ".join(verdict.replace("_", " ").replace("-", " ").lower().split())
    if not told or len(told) > 40:
        raise BadRequest("verdict must be a word or a few: passed, failed, better, no worse …", param="verdict")
    values = {"id": id, "version": version, "digest": digest, "verdict": told, "green": told in GREEN,
              "summary": Jsonb(summary), "by": by}  # fmt: skip
    row: Any = await (await connection.execute(RECORD_TEST, values)).fetchone()
    details = {"version": version, "digest": digest, "verdict": told}
    await add(connection, [Act("prompt.test", id, details)], by=by)
    return TestRun(*row)
