"""The prompt registry: immutable versions, labels that point at them, and a history of who moved what and why."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from msgspec import UNSET, UnsetType

from comporta.errors import BadRequest, Conflict, NotFound, Unavailable
from comporta.prompts import deploying, kept_rows, pushing
from comporta.prompts.cases import TestCase, TestSet, put_cases, read_cases
from comporta.prompts.commit import sources_of
from comporta.prompts.content import Contents
from comporta.prompts.deploying import Standing, Wanted
from comporta.prompts.fields import (
    check_summary,
    checked_by,
    checked_environment,
    checked_version,
    checked_why,
    wanted_of,
)
from comporta.prompts.file import ID, Guards
from comporta.prompts.kept import Approval, Commit, Deploy, Label, Listed, Plan, Push, Source, TestRun, Version
from comporta.prompts.labels import SNAPSHOT_FOR_S, Labels
from comporta.prompts.prompt import Prompt
from comporta.prompts.refs import label_of
from comporta.prompts.semver import is_version, whole
from comporta.prompts.settings import EnvironmentSection, PromptsSection
from comporta.prompts.written import diff
from comporta.store.changes import notify
from comporta.store.database import Connection, Database
from comporta.store.fields import checked_name
from comporta.telemetry import audit
from comporta.types import JSON, PromptRef

TOPIC = "prompts"
MOST = 1000
MOST_DIFFS = 50
#: Whoever plans does nothing yet.
NOBODY = "nobody"
NOT_LOADED = "Where prompts' labels point can't be known: the database has been away too long. Try again soon."


class Registry:
    """All prompts. `resolve` reads memory only; `load` fills it with the labels, at start and on each notice.

    While the database is away, versions in memory go on, and labels as of the last load for `snapshot_for_s`. `guards`
    says what is wrong with a guard of a prompt that is pushed.
    """

    topic = TOPIC

    def __init__(
        self,
        database: Database,
        *,
        settings: Callable[[], PromptsSection] = PromptsSection,
        guards: Guards = True,
        snapshot_for_s: float = SNAPSHOT_FOR_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._settings = settings
        self._guards = guards
        self._labels = Labels(database, snapshot_for_s=snapshot_for_s, clock=clock)
        self._contents = Contents(database, lambda: settings().memory)

    async def load(self) -> None:
        """Bring the labels in memory up to date."""
        await self._labels.load()

    # ---- in a call --------------------------------------------------------------------------------------------------

    def resolve(self, ref: PromptRef, environment: str | None) -> Prompt | None:
        """The prompt that is meant, from memory; None where `fetch` must be asked. `environment` is the caller's."""
        if ref.version is not None:
            return self._contents.get(ref.id, ref.version) if ref.label is None else None
        label = self._labels.find(ref.id, label_of(ref, environment) or "")
        if label is None or not self._labels.fresh:
            return None
        return self._contents.get(label.id, label.version, label.digest)

    async def fetch(self, ref: PromptRef, environment: str | None) -> Prompt:
        """The prompt that is meant, read where it must be.

        Raises NotFound (`prompt_not_found`), BadRequest (`prompt_reference`), Unavailable.
        """
        id, version, digest = self._meant(ref, environment)
        found = self._contents.get(id, version, digest)
        return await self._contents.read(id, version) if found is None else found

    def label(self, id: str, environment: str) -> Label | None:
        """Where an environment points, as of the last load; its tags are those of the deploy."""
        return self._labels.find(id, environment)

    def labels(self, id: str) -> Mapping[str, Label]:
        """All labels of a prompt by environment, as of the last load."""
        return self._labels.of(id)

    def _meant(self, ref: PromptRef, environment: str | None) -> tuple[str, str, str | None]:
        """Id, version and digest; no digest where a version was named."""
        if ref.version is not None:
            if ref.label is not None:
                raise BadRequest(
                    f"prompt {ref.id}: give either a version or a label, not both.",
                    code="prompt_reference", param="prompt.label",
                )  # fmt: skip
            return ref.id, checked_version(ref.version, "prompt.version"), None
        name = label_of(ref, environment) or ""
        if not self._labels.fresh:
            raise Unavailable(NOT_LOADED, code="prompts_unavailable", retry_after_s=5.0)
        label = self._labels.find(ref.id, name)
        if label is None:
            raise self._no_label(ref.id, name)
        return label.id, label.version, label.digest

    def _no_label(self, id: str, name: str) -> NotFound:
        has = sorted(self._labels.of(id))
        if has:
            text = f"Prompt {id} has no label {name[:100]!r}; it has {', '.join(has[:20])}."
        else:
            text = f"There is no prompt {id[:100]!r} with a label; `comporta prompts list` shows what there is."
        return NotFound(text, code="prompt_not_found", param="prompt.label" if has else "prompt.id")

    # ---- reading ----------------------------------------------------------------------------------------------------

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100) -> builtins.list[Listed]:
        """Prompts by id, those behind `after`."""
        values = {"prefix": prefix, "after": after, "limit": min(limit, MOST)}
        async with self._database.reading() as connection:
            rows = await (await connection.execute(kept_rows.LIST, values)).fetchall()
        return [kept_rows.read_listed(row) for row in rows]

    async def versions(self, id: str) -> builtins.list[Version]:
        """All versions of a prompt, the highest first. Raises NotFound."""
        async with self._database.reading() as connection:
            return await kept_rows.versions_of(connection, id)

    async def version(self, id: str, version: str) -> Version:
        """Who pushed it, when, and from where; `get` has its text. Raises NotFound."""
        async with self._database.reading() as connection:
            return await kept_rows.one_version(connection, id, checked_version(version))

    def version_at(self, id: str, where: str) -> str:
        """The version that is meant by a version, or by an environment that points at one. Raises NotFound."""
        if is_version(whole(where)):
            return whole(where)
        label = self._labels.find(id, where)
        if label is None:
            raise self._no_label(id, where)
        return label.version

    async def get(self, id: str, version: str) -> Prompt:
        """The prompt of that very version. Raises NotFound."""
        return await self.fetch(PromptRef(id, version), None)

    async def history(
        self, id: str, environment: str | None = None, *, before: int | None = None, limit: int = 100
    ) -> builtins.list[Deploy]:
        """The moves of a prompt's labels, the newest first; with `before` those older than that entry."""
        values = {"id": id, "environment": environment, "before": before, "limit": min(limit, MOST)}
        async with self._database.reading() as connection:
            rows = await (await connection.execute(deploying.HISTORY, values)).fetchall()
        return deploying.read_deploys(rows)

    async def watched(self) -> builtins.list[Deploy]:
        """Deploys whose window still runs and that are still in effect, the oldest first."""
        async with self._database.connection() as connection:
            return deploying.read_deploys(await (await connection.execute(deploying.WATCHED)).fetchall())

    async def audit(
        self, id: str | None = None, *, before: int | None = None, limit: int = 100
    ) -> builtins.list[audit.Entry]:
        """What was done to prompts (or to one), the newest first."""
        return await audit.read(self._database, subject=id, act="prompt.", before=before, limit=limit)

    async def approvals(self, id: str, version: str | None = None, *, limit: int = 100) -> builtins.list[Approval]:
        """The newest first."""
        values = {"id": id, "version": version, "limit": min(limit, MOST)}
        async with self._database.reading() as connection:
            rows = await (await connection.execute(kept_rows.APPROVALS, values)).fetchall()
        return [Approval(*row) for row in rows]

    async def tests(self, id: str, version: str | None = None, *, limit: int = 100) -> builtins.list[TestRun]:
        """The newest first."""
        values = {"id": id, "version": version, "limit": min(limit, MOST)}
        async with self._database.reading() as connection:
            rows = await (await connection.execute(kept_rows.TESTS, values)).fetchall()
        return [TestRun(*row) for row in rows]

    async def cases(self, id: str, *, after: int = 0, limit: int = 100) -> tuple[TestSet, builtins.list[TestCase]]:
        """What a prompt is tested with, as it was pushed last; those behind place `after`. Raises NotFound."""
        return await read_cases(self._database, id, after=after, limit=min(limit, MOST))

    async def diff(self, id: str, before: str | None, after: str) -> str:
        """A unified diff of two versions' texts; the whole text where `before` is None. Raises NotFound."""
        old = None if before is None else await self.get(id, before)
        # Beside the event loop: long texts take a while.
        return await asyncio.to_thread(diff, old, await self.get(id, after))

    # ---- changing ---------------------------------------------------------------------------------------------------

    async def push(
        self, source: Path | Sequence[Source], by: str, *, commit: Commit | None = None, force: bool = False,
        strict: bool = False, dry_run: bool = False, cases: Mapping[str, Sequence[TestCase]] | None = None,
    ) -> Push:  # fmt: skip
        """Take in the prompts of a folder (with git's word on each file), or of files. All of them, or none.

        `commit` counts for all files and wins over git; without either, `by` is the author. `force` lets a version in
        that is lower than the highest; `strict` takes warnings for mistakes; `dry_run` only says what would be done,
        and then refused ones too. `cases` are what prompts are tested with, in place of those before. Raises
        BadRequest with a line for each mistake (`prompt_mistakes`), Conflict (`prompt_version_taken`,
        `prompt_version_lower`), ConfigError for a folder that can't be read.
        """
        by = checked_by(by)
        sources = await sources_of(source) if isinstance(source, Path) else source
        sent = await pushing.parcel(
            self._database, sources, by=by, commit=commit, strict=strict, guards=self._guards
        )  # fmt: skip
        if dry_run:
            return await pushing.look(self._database, sent, force)
        async with self._database.connection() as connection:
            done = await pushing.write(connection, sent, by=by, force=force, topic=TOPIC)
            await put_cases(connection, cases or {}, by=by)
            return done

    async def plan(
        self, id: str, version: str, environment: str, tags: Mapping[str, str] | None = None, force: bool = False, *,
        otherwise: Mapping[str, str] | None = None,
    ) -> Plan:  # fmt: skip
        """What a deploy would do, and what stands in its way. Raises NotFound."""
        versions = ((id, checked_version(version)),)
        wanted = wanted_of(environment, versions, NOBODY, "", tags, otherwise, force)
        [plan] = await self._plans(wanted)
        return plan

    async def plan_changed(
        self, environment: str, tags: Mapping[str, str] | None = None, *, otherwise: Mapping[str, str] | None = None
    ) -> builtins.list[Plan]:
        """What `deploy_changed` would do; of very many only the first have their difference with them."""
        checked_environment(environment)
        async with self._database.reading() as connection:
            versions = await deploying.changed(connection, environment)
        return await self._plans(wanted_of(environment, versions, NOBODY, "", tags, otherwise))

    async def deploy(
        self, id: str, version: str, environment: str, by: str, why: str = "", tags: Mapping[str, str] | None = None,
        force: bool = False, *, otherwise: Mapping[str, str] | None = None,
        replacing: str | UnsetType | None = UNSET,
    ) -> Deploy:  # fmt: skip
        """Point an environment at a version, in every worker within a second.

        `commit_sha`, `author` and `model_version` are needed: from `tags`, else from the push, else from `otherwise`.
        `force` lets a lower version in; `replacing` is the version that it must find there (None: no label yet). Where
        the label is there already, nothing is written, and `changed` is false. Raises NotFound; BadRequest
        (`deploy_tags_missing`); Conflict (`prompt_version_lower`, `approval_required`, `tests_required`,
        `prompt_moved`).
        """
        versions = ((id, checked_version(version)),)
        wanted = wanted_of(environment, versions, by, why, tags, otherwise, force, replacing)
        async with self._change() as connection:
            [done] = await deploying.deploy(connection, wanted, self._settings().environment(environment))
        return done

    async def deploy_changed(
        self, environment: str, by: str, why: str = "", tags: Mapping[str, str] | None = None, *,
        otherwise: Mapping[str, str] | None = None, expecting: Sequence[str] | None = None,
    ) -> builtins.list[Deploy]:  # fmt: skip
        """Deploy every prompt's highest release that never was in this environment: all of them, or none.

        `expecting` are those that were looked at (`support@2.3.1`): others are refused (`prompt_moved`).
        """
        checked_environment(environment)
        async with self._change() as connection:
            versions = await deploying.changed(connection, environment)
            if expecting is not None and {f"{id}@{version}" for id, version in versions} != set(expecting):
                raise Conflict(f"What changed since {environment} is not what it was: look anew.", code="prompt_moved")
            wanted = wanted_of(environment, versions, by, why, tags, otherwise)
            return await deploying.deploy(connection, wanted, self._settings().environment(environment))

    async def rollback(
        self, id: str, environment: str, by: str, why: str = "", *, expecting: int | None = None
    ) -> Deploy:
        """Point an environment at what it had before the deploy in effect; a second time goes back further.

        `expecting` is the number of the history's entry that is to be undone. Raises NotFound; Conflict
        (`nothing_before`; `prompt_moved` where another entry came meanwhile).
        """
        checked_environment(environment)
        by, why = checked_by(by), checked_why(why)
        async with self._change() as connection:
            return await deploying.roll_back(connection, id, environment, by=by, why=why, expecting=expecting)

    async def approve(self, id: str, version: str, environment: str, by: str, why: str = "") -> Approval:
        """Say yes to one version in one environment. Raises NotFound, Forbidden (`approval_own`) for its author."""
        checked_environment(environment)
        by, why = checked_by(by), checked_why(why)
        async with self._database.connection() as connection:
            one = await kept_rows.one_version(connection, id, checked_version(version))
            return await kept_rows.approve(connection, one, environment, by, why)

    async def record_test(self, id: str, version: str, digest: str, verdict: str, summary: JSON, by: str) -> TestRun:
        """Keep the outcome of a test run of the version with this digest, which may be pushed later.

        `passed`, `better` and `no worse` are green; any other verdict is not.
        """
        if not ID.fullmatch(id):
            raise BadRequest(f"{id[:100]!r} is no id of a prompt.", param="id")
        checked_name(digest, "digest")
        by, version = checked_by(by), checked_version(version)
        check_summary(summary)
        async with self._database.connection() as connection:
            return await kept_rows.record_test(connection, id, version, digest, verdict, summary, by)

    # ---- within -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[Connection]:
        """A transaction that moves labels: announced with its commit, and seen here at once."""
        async with self._database.connection() as connection:
            yield connection
            await notify(connection, TOPIC)
        # The move stands even if the database goes away just now; the next load brings it.
        with suppress(Unavailable):
            await self.load()

    async def _plans(self, wanted: Wanted) -> builtins.list[Plan]:
        async with self._database.reading() as connection:
            found = await deploying.standings(connection, wanted, lock=False)
        rules = self._settings().environment(wanted.environment)
        return [await self._plan(one, wanted, rules, at < MOST_DIFFS) for at, one in enumerate(found)]

    async def _plan(self, one: Standing, wanted: Wanted, rules: EnvironmentSection, shown: bool) -> Plan:
        missing = () if one.same else tuple(what.text for what in deploying.missing(one, wanted, rules))
        told = "" if one.same or not shown else await self.diff(one.id, one.before, one.version)
        return Plan(one.id, one.version, wanted.environment, one.before, told, one.tags(wanted), missing, one.same)
