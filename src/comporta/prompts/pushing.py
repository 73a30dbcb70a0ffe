"""Taking prompt files into the registry: read and checked as a whole, then written in one transaction or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from comporta.config.mistakes import MOST_LINES
from comporta.errors import BadRequest, Conflict
from comporta.prompts.checks import secrets
from comporta.prompts.content import encoded, read_several
from comporta.prompts.file import Guards
from comporta.prompts.folder import Read, Survey, link, survey_alone
from comporta.prompts.includes import DEEPEST
from comporta.prompts.kept import Commit, Push, Pushed, Source
from comporta.prompts.prompt import Prompt
from comporta.prompts.semver import is_version, named, order
from comporta.prompts.shared import included
from comporta.prompts.texts import template_texts
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.telemetry.audit import Act, add

MOST_FILES = 20_000
LONGEST_FIELD = 1000

#: A push that comes second waits here for the first one's end.
NEW = """
insert into prompt (id, highest) select id, '' from unnest(%(ids)s::text[]) as one (id) order by id
on conflict (id) do nothing
"""
LOCK = """
select id, highest, highest_release from prompt where id = any(%(ids)s) and highest <> '' order by id
for no key update
"""
HIGHEST = "select id, highest, highest_release from prompt where id = any(%(ids)s)"
THERE = """
select v.prompt_id, v.version, v.digest from unnest(%(ids)s::text[], %(versions)s::text[]) as w (id, version)
join prompt_version v on v.prompt_id = w.id and v.version = w.version
"""
INSERT = """
insert into prompt_version (prompt_id, version, digest, content, model, commit_sha, author, message, pushed_by)
values (%(id)s, %(version)s, %(digest)s, %(content)s, %(model)s, %(sha)s, %(author)s, %(message)s, %(by)s)
"""
RAISE = """
update prompt set highest = one.highest, highest_release = one.release, versions = versions + one.count,
    pushed_at = clock_timestamp()
from jsonb_to_recordset(%(raised)s) as one (id text, highest text, release text, count integer)
where prompt.id = one.id
"""


class Parcel(Struct, frozen=True):
    """Prompts that hold, each with where it comes from, and what is doubtful about them."""

    prompts: tuple[tuple[Prompt, Commit], ...]
    warnings: tuple[str, ...]


class Highest(Struct, frozen=True):
    """The highest version of a prompt, and the highest that is no pre-release; None where there is none."""

    any: str | None = None
    release: str | None = None

    def raised(self, version: str) -> Highest:
        return Highest(
            _higher(self.any, version), _higher(self.release, version) if order(version)[3] else self.release
        )


def _higher(before: str | None, version: str) -> str:
    return version if before is None or order(version) > order(before) else before


async def parcel(
    database: Database, sources: Sequence[Source], *, by: str, commit: Commit | None, strict: bool, guards: Guards
) -> Parcel:
    """The prompts of files, with the pieces that the registry has. Raises BadRequest with a line for each mistake."""
    if not sources:
        raise BadRequest("There is no prompt file to push.", param="files")
    if len(sources) > MOST_FILES:
        raise BadRequest(f"{len(sources):,} files are more than {MOST_FILES:,}: push them in parts.", param="files")
    # Beside the event loop: thousands of files take seconds.
    surveys = await asyncio.to_thread(_surveys, sources, guards)
    pieces = await _pieces(database, surveys)
    found = await asyncio.to_thread(_linked, surveys, pieces)
    mistakes = [*found.mistakes, *(found.warnings if strict else ())]
    if mistakes:
        raise _refusal([str(one) for one in sorted(mistakes, key=lambda one: one.place)])
    if not found.reads:
        raise _refusal(["The files hold no prompt."])
    commits = {source.name: _commit(source.commit, commit, by) for source in sources}
    made = tuple((read.prompt, commits[read.tree.place.file]) for read in found.reads)
    return Parcel(made, tuple(map(str, found.warnings)))


def _surveys(sources: Sequence[Source], guards: Guards) -> list[Survey]:
    # Half characters, which JSON can say, are no UTF-8, and told so.
    return [survey_alone(one.text.encode("utf-8", "surrogatepass"), one.name, guards=guards) for one in sources]


def _linked(surveys: Sequence[Survey], pieces: Mapping[tuple[str, str], Prompt]) -> Survey:
    found = link(surveys, lambda id, version: pieces.get((id, version)))
    # What is pushed stays for good, so that a secret must be found before.
    told = [read.mistake(path, text) for read in found.reads for _, _, path, text in secrets(read)]
    return Survey(found.reads, (*found.mistakes, *told), found.warnings)


async def _pieces(database: Database, surveys: Iterable[Survey]) -> dict[tuple[str, str], Prompt]:
    """What the files include and don't hold, as far as the registry has it, with all that is included there."""
    reads: list[Read] = [read for one in surveys for read in one.reads]
    here = {(read.prompt.id, read.prompt.version) for read in reads}
    found: dict[tuple[str, str], Prompt] = {}
    wanted = {label for read in reads for label in _included(read.prompt)} - here
    for _ in range(DEEPEST):
        if not wanted:
            break
        async with database.connection() as connection:
            more = await read_several(connection, sorted(wanted))
        found |= {(one.id, one.version): one for one in more}
        wanted = {label for one in more for label in _included(one)} - here - set(found)
    return found


def _included(prompt: Prompt) -> Iterable[tuple[str, str]]:
    for text in template_texts(prompt):
        for written in included(text.text):
            id, version = named(written)
            if version is not None and is_version(version):
                yield id, version


def _commit(own: Commit | None, said: Commit | None, by: str) -> Commit:
    """What was said counts for all files, then what each file's own commit says; whoever pushes is the author else."""
    own, said = own or Commit(), said or Commit()
    made = Commit(said.sha or own.sha, said.author or own.author or by, said.message or own.message)
    for name, value in (("commit_sha", made.sha), ("author", made.author), ("message", made.message)):
        if value and (len(value) > LONGEST_FIELD or "\0" in value):
            raise BadRequest(f"{name} is longer than {LONGEST_FIELD} characters, or holds a NUL.", param=name)
    return made


def _refusal(lines: list[str]) -> BadRequest:
    every = list(dict.fromkeys(lines))
    if len(every) > MOST_LINES:
        every = [*every[:MOST_LINES], f"… and {len(every) - MOST_LINES} more"]
    return BadRequest("\n".join(every), code="prompt_mistakes", param="files")


async def look(database: Database, sent: Parcel, force: bool) -> Push:
    """What a push would do."""
    async with database.reading() as connection:
        rows = await (await connection.execute(HIGHEST, {"ids": _ids(sent)})).fetchall()
        outcomes = await _outcomes(connection, sent, _highest(rows), force)
    return Push(tuple(outcomes), sent.warnings)


async def write(connection: Connection, sent: Parcel, *, by: str, force: bool, topic: str) -> Push:
    """Write the new ones, within the connection's transaction. Raises Conflict that names each prompt refused."""
    ids = _ids(sent)
    await connection.execute(NEW, {"ids": ids})
    highest = _highest(await (await connection.execute(LOCK, {"ids": ids})).fetchall())
    outcomes = await _outcomes(connection, sent, highest, force)
    if refused := [one for one in outcomes if one.outcome == "refused"]:
        raise _conflict(refused)
    new = [one for one in outcomes if one.outcome == "new"]
    if new:
        await _insert(connection, sent, new, highest, by)
        await notify(connection, topic)
    return Push(tuple(outcomes), sent.warnings)


def _ids(sent: Parcel) -> list[str]:
    return sorted({prompt.id for prompt, _ in sent.prompts})


def _highest(rows: Iterable[Sequence[Any]]) -> dict[str, Highest]:
    return {id: Highest(found or None, release) for id, found, release in rows}


async def _outcomes(connection: Connection, sent: Parcel, highest: Mapping[str, Highest], force: bool) -> list[Pushed]:
    prompts = [prompt for prompt, _ in sent.prompts]
    values = {"ids": [one.id for one in prompts], "versions": [one.version for one in prompts]}
    rows = await (await connection.execute(THERE, values)).fetchall()
    there = {(id, version): digest for id, version, digest in rows}
    return [_outcome(one, there.get((one.id, one.version)), highest.get(one.id, Highest()), force) for one in prompts]


def _outcome(prompt: Prompt, there: str | None, highest: Highest, force: bool) -> Pushed:
    def said(outcome: Any, why: str = "", lower: bool = False) -> Pushed:
        return Pushed(prompt.id, prompt.version, prompt.digest, outcome, lower, why)

    if there == prompt.digest:
        return said("unchanged")
    if there is not None:
        return said("refused", f"{prompt.label} is in the registry with another text: raise the version")
    lower = highest.any is not None and order(prompt.version) < order(highest.any)
    if lower and not force:
        text = f"{prompt.label} is lower than {highest.any}, which is in the registry: raise the version, or --force"
        return said("refused", text, lower)
    return said("new", lower=lower)


def _conflict(refused: Sequence[Pushed]) -> Conflict:
    lines = [one.why for one in refused[:MOST_LINES]]
    if len(refused) > MOST_LINES:
        lines.append(f"… and {len(refused) - MOST_LINES} more")
    taken = any(not one.lower for one in refused)
    code = "prompt_version_taken" if taken else "prompt_version_lower"
    return Conflict("\n".join([*lines, "Nothing was pushed."]), code=code, param="files")


async def _insert(
    connection: Connection, sent: Parcel, new: Sequence[Pushed], highest: Mapping[str, Highest], by: str
) -> None:
    wanted = {(one.id, one.version): one for one in new}
    rows, acts, raised, counts = [], [], dict(highest), dict.fromkeys((one.id for one in new), 0)
    for prompt, commit in sorted(sent.prompts, key=lambda one: (one[0].id, order(one[0].version))):
        pushed = wanted.get((prompt.id, prompt.version))
        if pushed is None:
            continue
        rows.append(_row(prompt, commit, by))
        acts.append(Act("prompt.push", prompt.id, _details(prompt, commit, pushed, highest.get(prompt.id))))
        raised[prompt.id] = raised.get(prompt.id, Highest()).raised(prompt.version)
        counts[prompt.id] += 1
    async with connection.cursor() as cursor:
        await cursor.executemany(INSERT, rows)
    records = [
        {"id": id, "highest": raised[id].any, "release": raised[id].release, "count": count}
        for id, count in counts.items()
    ]
    await connection.execute(RAISE, {"raised": Jsonb(records)})
    await add(connection, acts, by=by)


def _row(prompt: Prompt, commit: Commit, by: str) -> dict[str, Any]:
    return {
        "id": prompt.id, "version": prompt.version, "digest": prompt.digest, "content": encoded(prompt),
        "model": prompt.model, "sha": commit.sha, "author": commit.author, "message": commit.message, "by": by,
    }  # fmt: skip


def _details(prompt: Prompt, commit: Commit, pushed: Pushed, highest: Highest | None) -> dict[str, Any]:
    said = {
        "version": prompt.version, "digest": prompt.digest, "commit_sha": commit.sha, "author": commit.author,
        "message": commit.message, "lower_than": highest.any if pushed.lower and highest else None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value}
