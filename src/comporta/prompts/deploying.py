"""Moving labels: what a deploy asks for, what it writes, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs
from psycopg.types.json import Jsonb

from comporta.errors import BadRequest, Conflict, NotFound
from comporta.prompts.content import unknown_version
from comporta.prompts.kept import DEPLOY_TAGS, Deploy
from comporta.prompts.semver import order
from comporta.prompts.settings import EnvironmentSection
from comporta.store.database import Connection
from comporta.telemetry.audit import Act, add

#: Two who move labels of one prompt come one after the other.
LOCK = "select id from prompt where id = any(%(ids)s) order by id for no key update"
STANDING = """
select w.id, w.version, v.digest, v.model, v.commit_sha, v.author, l.version, l.number, l.entry,
    exists (select from prompt_approval a where a.prompt_id = w.id and a.version = w.version
            and a.environment = %(environment)s),
    (select t.verdict || case when t.green then '' else '!' end from prompt_test_run t
     where t.prompt_id = w.id and t.version = w.version and t.digest = v.digest order by t.number desc limit 1)
from unnest(%(ids)s::text[], %(versions)s::text[]) with ordinality as w (id, version, at)
left join prompt_version v on v.prompt_id = w.id and v.version = w.version
left join prompt_label l on l.prompt_id = w.id and l.environment = %(environment)s
order by w.at
"""
#: Neither a version that was here once and went comes back by itself, nor a lower one.
CHANGED = """
select p.id, p.highest_release, l.version from prompt p
left join prompt_label l on l.prompt_id = p.id and l.environment = %(environment)s
where p.highest_release is not null and p.highest_release is distinct from l.version
    and not exists (select from prompt_deploy d where d.prompt_id = p.id and d.environment = %(environment)s
                    and d.version = p.highest_release)
order by p.id
"""
MOVE = """
with moved as (
    insert into prompt_deploy (kind, prompt_id, environment, version, digest, before, entry, previous, by, why, tags,
                               forced, watch_until)
    select one.kind, one.id, %(environment)s, one.version, one.digest, one.before, one.entry, one.previous, %(by)s,
        %(why)s, one.tags, one.forced, clock_timestamp() + make_interval(secs => one.watch_s)
    from jsonb_to_recordset(%(moves)s) as one (kind text, id text, version text, digest text, before text,
        entry bigint, previous bigint, tags jsonb, forced boolean, watch_s float8)
    returning *
), label as (
    insert into prompt_label (prompt_id, environment, version, digest, number, entry, tags)
    select prompt_id, environment, version, digest, number, coalesce(entry, number), tags from moved
    on conflict (prompt_id, environment) do update set version = excluded.version, digest = excluded.digest,
        number = excluded.number, entry = excluded.entry, tags = excluded.tags, moved_at = clock_timestamp()
)
select number, kind, prompt_id, environment, version, digest, before, by, why, tags, extract(epoch from at)::float8,
    extract(epoch from watch_until)::float8, forced
from moved order by number
"""
DEPLOYS = """
select number, kind, prompt_id, environment, version, digest, before, by, why, tags, extract(epoch from at)::float8,
    extract(epoch from watch_until)::float8, forced
from prompt_deploy
"""
ONE = f"{DEPLOYS} where number = %(number)s"
HISTORY = f"""{DEPLOYS}
where prompt_id = %(id)s and (%(environment)s::text is null or environment = %(environment)s)
    and (%(before)s::bigint is null or number < %(before)s)
order by number desc limit %(limit)s
"""
WATCHED = f"""{DEPLOYS}
where watch_until > clock_timestamp() and exists (
    select from prompt_label l where l.prompt_id = prompt_deploy.prompt_id
        and l.environment = prompt_deploy.environment and l.number = prompt_deploy.number)
order by number
"""
LABEL = """
select number, entry, version from prompt_label where prompt_id = %(id)s and environment = %(environment)s
"""
BEFORE = """
select back.number, back.version, back.digest, back.tags from prompt_deploy current
join prompt_deploy back on back.number = current.previous
where current.number = %(entry)s
"""


class Missing(Struct, frozen=True):
    """What stands in a deploy's way: a code, and a sentence that says what to do."""

    code: str
    text: str


class Standing(Struct, frozen=True):
    """A version and the label that is to point at it, as they are now. `verdict` ends in `!` where it is not green."""

    id: str
    version: str
    digest: str | None
    model: str | None
    commit_sha: str | None
    author: str | None
    before: str | None
    number: int | None
    entry: int | None
    approved: bool
    verdict: str | None

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"

    @property
    def same(self) -> bool:
        return self.before == self.version

    def tags(self, wanted: Wanted) -> dict[str, str]:
        """As given, else as the push says, else as was said for that case; without those that nobody knows."""
        known = {"commit_sha": self.commit_sha, "author": self.author, "model_version": self.model}
        pushed = {name: value for name, value in known.items() if value}
        return {**wanted.otherwise, **pushed, **wanted.tags}


class Wanted(Struct, frozen=True):
    """What is to be deployed, and how."""

    environment: str
    versions: tuple[tuple[str, str], ...]
    by: str
    why: str = ""
    tags: Mapping[str, str] = {}
    #: Tags that count where the push has none.
    otherwise: Mapping[str, str] = {}
    force: bool = False
    replacing: str | UnsetType | None = UNSET


def missing(one: Standing, wanted: Wanted, rules: EnvironmentSection) -> list[Missing]:
    """All that stands in the way of one deploy."""
    found: list[Missing] = []
    environment, tags = wanted.environment, one.tags(wanted)
    if wanted.replacing is not UNSET and wanted.replacing != one.before:
        text = f"{one.id} in {environment} is at {one.before or 'nothing'} by now, and not at {wanted.replacing}: look"
        found.append(Missing("prompt_moved", f"{text} at it anew."))
    if one.before is not None and order(one.version) < order(one.before) and not wanted.force:
        text = (
            f"{one.name} is lower than {one.before}, which is in {environment} now: go back with rollback, or --force."
        )
        found.append(Missing("prompt_version_lower", text))
    if rules.approval == "required" and not one.approved:
        who = f" ({one.author})" if one.author else ""
        text = f"{environment} wants an approval of {one.name} by somebody other than its author{who}:"
        found.append(Missing("approval_required", f"{text} comporta prompts approve {one.name} --env {environment}"))
    if rules.tests == "required" and (one.verdict is None or one.verdict.endswith("!")):
        last = f"its last one: {one.verdict.rstrip('!')}" if one.verdict else "there was none"
        text = f"{environment} wants a green test run of {one.name} ({last}): comporta prompts test"
        found.append(Missing("tests_required", text))
    return found + [_without(one, name) for name in DEPLOY_TAGS if name not in tags]


def _without(one: Standing, tag: str) -> Missing:
    reasons = {
        "commit_sha": f"{one.name} was pushed without one",
        "author": f"{one.name} was pushed without one",
        "model_version": f"{one.name} names no model",
    }
    text = f"Every deploy carries {', '.join(DEPLOY_TAGS)}; {tag} is missing, since {reasons[tag]}:"
    return Missing("deploy_tags_missing", f"{text} --tag {tag}=…")


async def standings(connection: Connection, wanted: Wanted, *, lock: bool) -> list[Standing]:
    """Raises NotFound for a prompt or a version that is not there."""
    ids = sorted({id for id, _ in wanted.versions})
    if lock:
        await connection.execute(LOCK, {"ids": ids})
    values = {
        "ids": [id for id, _ in wanted.versions], "versions": [version for _, version in wanted.versions],
        "environment": wanted.environment,
    }  # fmt: skip
    found = [Standing(*row) for row in await (await connection.execute(STANDING, values)).fetchall()]
    for one in found:
        if one.digest is None:
            raise unknown_version(one.id, one.version)
    return found


async def changed(connection: Connection, environment: str) -> tuple[tuple[str, str], ...]:
    """Releases that never were in an environment and are higher than what is there."""
    rows = await (await connection.execute(CHANGED, {"environment": environment})).fetchall()
    return tuple((id, to) for id, to, at in rows if at is None or order(to) > order(at))


async def deploy(connection: Connection, wanted: Wanted, rules: EnvironmentSection) -> list[Deploy]:
    """Move the labels, all or none. Raises Conflict or BadRequest with a line for all that stands in the way."""
    found = await standings(connection, wanted, lock=True)
    going = [one for one in found if not one.same]
    _demand([what for one in going for what in missing(one, wanted, rules)])
    watch_s = rules.watch or None
    moves = [
        {
            "kind": "deploy", "id": one.id, "version": one.version, "digest": one.digest, "before": one.before,
            "previous": one.entry, "tags": one.tags(wanted), "forced": _lower(one), "watch_s": watch_s,
        }
        for one in going
    ]  # fmt: skip
    done = {one.id: one for one in await _move(connection, moves, wanted.environment, wanted.by, wanted.why)}
    return [done[one.id] if one.id in done else await _in_effect(connection, one) for one in found]


def _lower(one: Standing) -> bool:
    return one.before is not None and order(one.version) < order(one.before)


def _demand(found: Sequence[Missing]) -> None:
    if found:
        kind = BadRequest if all(one.code == "deploy_tags_missing" for one in found) else Conflict
        lines = list(dict.fromkeys(one.text for one in found))
        raise kind("\n".join(lines[:100]), code=found[0].code)


async def _in_effect(connection: Connection, one: Standing) -> Deploy:
    row: Any = await (await connection.execute(ONE, {"number": one.number})).fetchone()
    return read_deploy(row, changed=False)


async def roll_back(
    connection: Connection, id: str, environment: str, *, by: str, why: str, expecting: int | None
) -> Deploy:
    """Point a label at what it had before the deploy that is in effect. Raises NotFound, Conflict."""
    values = {"id": id, "environment": environment, "ids": [id]}
    await connection.execute(LOCK, values)
    label: Any = await (await connection.execute(LABEL, values)).fetchone()
    if label is None:
        raise NotFound(f"Prompt {id!r} has no label {environment!r}.", code="prompt_not_found", param="environment")
    number, entry, version = label
    if expecting is not None and expecting != number:
        raise Conflict(
            f"{id} in {environment} has been moved since (entry {number}, not {expecting}).", code="prompt_moved"
        )
    back: Any = await (await connection.execute(BEFORE, {"entry": entry})).fetchone()
    if back is None:
        text = f"{id} in {environment} is at {version}, and there was nothing before it to go back to."
        raise Conflict(text, code="nothing_before")
    move = {
        "kind": "rollback", "id": id, "version": back[1], "digest": back[2], "before": version, "entry": back[0],
        "previous": entry, "tags": back[3], "forced": False,
    }  # fmt: skip
    [done] = await _move(connection, [move], environment, by, why)
    return done


async def _move(
    connection: Connection, moves: Sequence[Mapping[str, Any]], environment: str, by: str, why: str
) -> list[Deploy]:
    if not moves:
        return []
    values = {"moves": Jsonb(moves), "environment": environment, "by": by, "why": why}
    done = read_deploys(await (await connection.execute(MOVE, values)).fetchall())
    await add(connection, [Act(f"prompt.{one.kind}", one.id, _details(one)) for one in done], by=by, why=why)
    return done


def _details(one: Deploy) -> dict[str, Any]:
    said = {"entry": one.number, "environment": one.environment, "version": one.version, "before": one.before,
            "tags": dict(one.tags)}  # fmt: skip
    return {**said, "lower_than": one.before} if one.forced else said


def read_deploy(row: Sequence[Any], *, changed: bool = True) -> Deploy:
    return structs.replace(Deploy(*row), changed=changed)


def read_deploys(rows: Iterable[Sequence[Any]]) -> list[Deploy]:
    return [read_deploy(row) for row in rows]
