"""`/admin/prompts`: pushing, deploying, rolling back and approving prompts, and who did what: `/admin/audit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from msgspec import UNSET, Struct, structs

from comporta.gateway.admin import prompts_shapes as shapes
from comporta.gateway.admin.shapes import Listing, moment
from comporta.prompts.cases import TestCase
from comporta.prompts.kept import Commit, Source
from comporta.prompts.registry import Registry
from comporta.prompts.written import text_of
from comporta.store.database import Database
from comporta.telemetry import audit

Who = Callable[[Request], str]
_MOST = 1000
_TIMES = ("pushed_at_s", "moved_at_s", "at_s", "watch_until_s")

_Id = Annotated[str, Path(min_length=1, max_length=100, description="The prompt's id.")]
_At = Annotated[str, Path(min_length=1, max_length=100, description="A version, or the environment that points at it.")]
_Text = Annotated[str, Query(max_length=100)]
_Limit = Annotated[int, Query(ge=1, le=_MOST)]
_After = Annotated[int, Query(ge=0, le=2**31 - 1, description="The `next` of the page before.")]
_Before = Annotated[int, Query(ge=1, le=2**62, description="The `number` of the last one that is known: older ones.")]


def router(prompts: Registry, database: Database, who: Who) -> APIRouter:
    """`who` says by whom a request is, for the history and the audit log."""
    reading, changing = _Reading(prompts, database), _Changing(prompts, who)
    made = APIRouter(prefix="/admin", tags=["prompts"])

    def add(path: str, endpoint: Callable[..., Any], summary: str, method: str = "GET", status: int = 200) -> None:
        made.add_api_route(path, endpoint, methods=[method], status_code=status, summary=summary)

    add("/prompts", reading.list, "List prompts")
    add("/prompts/push", changing.push, "Push prompt files", "POST")
    add("/prompts/plan", changing.plan_changed, "See what a deploy of all that changed would do", "POST")
    add("/prompts/deploy", changing.deploy_changed, "Deploy all that changed", "POST")
    add("/prompts/{id}", reading.get, "Show a prompt: its versions and labels")
    add("/prompts/{id}/versions/{at}", reading.version, "Show a version with its text")
    add("/prompts/{id}/diff", reading.diff, "Compare two versions")
    add("/prompts/{id}/history", reading.history, "List the moves of labels")
    add("/prompts/{id}/cases", reading.cases, "Show what a prompt is tested with")
    add("/prompts/{id}/plan", changing.plan, "See what a deploy would do", "POST")
    add("/prompts/{id}/deploy", changing.deploy, "Point an environment at a version", "POST")
    add("/prompts/{id}/rollback", changing.rollback, "Point an environment at what it had before", "POST")
    add("/prompts/{id}/approvals", changing.approve, "Approve a version", "POST", 201)
    add("/prompts/{id}/tests", changing.record_test, "Keep a test run", "POST", 201)
    add("/audit", reading.audit, "List who did what")
    return made


class _Reading:
    def __init__(self, prompts: Registry, database: Database) -> None:
        self._prompts = prompts
        self._database = database

    async def list(
        self, prefix: Annotated[_Text, Query(description="What ids begin with.")] = "", after: _Text = "",
        limit: _Limit = 100,
    ) -> shapes.PromptsPage:  # fmt: skip
        """Prompts by id, with their highest version and where their labels point."""
        found = await self._prompts.list(prefix, after=after, limit=limit)
        rows = [shapes.ListedOut(**told(one)) for one in found]
        return shapes.PromptsPage(data=rows, next=found[-1].id if len(found) == limit else None)

    async def get(self, id: _Id) -> shapes.PromptOut:
        """All versions, the highest first, and the labels."""
        versions = [shapes.VersionOut(**told(one)) for one in await self._prompts.versions(id)]
        labels = [shapes.LabelOut(**told(one)) for _, one in sorted(self._prompts.labels(id).items())]
        return shapes.PromptOut(id=id, versions=versions, labels=labels)

    async def version(self, id: _Id, at: _At) -> shapes.VersionDetail:
        """A version as a prompt file, with who approved it and how its tests went."""
        version = self._prompts.version_at(id, at)
        found, prompt = await self._prompts.version(id, version), await self._prompts.get(id, version)
        approvals = [shapes.ApprovalOut(**told(one)) for one in await self._prompts.approvals(id, version)]
        tests = [shapes.TestRunOut(**told(one)) for one in await self._prompts.tests(id, version, limit=20)]
        return shapes.VersionDetail(**told(found), text=text_of(prompt), approvals=approvals, tests=tests)

    async def diff(
        self, id: _Id, after: Annotated[_Text, Query(description="A version or an environment.")],
        before: Annotated[_Text | None, Query(description="The same; left out: nothing.")] = None,
    ) -> shapes.DiffOut:  # fmt: skip
        """A unified diff of two versions' texts."""
        old = None if before is None else self._prompts.version_at(id, before)
        new = self._prompts.version_at(id, after)
        return shapes.DiffOut(before=old, after=new, diff=await self._prompts.diff(id, old, new))

    async def history(
        self, id: _Id, environment: _Text | None = None, before: _Before | None = None, limit: _Limit = 100
    ) -> Listing[shapes.DeployOut]:
        """Who moved which label, from what to what, why, and with which tags; the newest first."""
        found = await self._prompts.history(id, environment, before=before, limit=limit)
        return Listing(data=[shapes.DeployOut(**told(one)) for one in found])

    async def cases(
        self, id: _Id, after: _After = 0, limit: _Limit = 100
    ) -> shapes.CasesOut:  # fmt: skip
        """The questions of its test cases, as they were pushed last."""
        known, found = await self._prompts.cases(id, after=after, limit=limit)
        end = after + len(found)
        return shapes.CasesOut(
            cases=known.cases, pushed_at=moment(known.pushed_at_s), pushed_by=known.pushed_by,
            data=[shapes.CaseOut.model_validate(one) for one in found], next=end if end < known.cases else None,
        )  # fmt: skip

    async def audit(
        self, subject: Annotated[_Text | None, Query(description="A prompt's id.")] = None,
        act: Annotated[_Text | None, Query(description="What acts begin with: `prompt.deploy`.")] = None,
        before: _Before | None = None, limit: _Limit = 100,
    ) -> Listing[shapes.AuditOut]:  # fmt: skip
        """The audit log, the newest first. Nothing in it can be changed or taken out."""
        found = await audit.read(self._database, subject=subject, act=act, before=before, limit=limit)
        return Listing(data=[shapes.AuditOut(**told(one)) for one in found])


class _Changing:
    def __init__(self, prompts: Registry, who: Who) -> None:
        self._prompts = prompts
        self._who = who

    async def push(self, body: shapes.PushIn, request: Request) -> shapes.PushOut:
        """Take in the prompts of files: every version once and for good. One that is refused keeps all of them out."""
        sources = [Source(one.name, one.text, _commit(one)) for one in body.files]
        cases = {id: [TestCase(one.id, one.input, one.variables) for one in those] for id, those in body.cases.items()}
        done = await self._prompts.push(
            sources, self._who(request), commit=_commit(body), force=body.force, strict=body.strict,
            dry_run=body.dry_run, cases=cases,
        )  # fmt: skip
        return shapes.PushOut(
            prompts=[shapes.PushedOut(**told(one)) for one in done.prompts], warnings=list(done.warnings)
        )

    async def plan(self, id: _Id, body: shapes.DeployIn) -> shapes.PlanOut:
        """The difference, what is replaced, the tags, and what stands in the way. Nothing is done."""
        return shapes.PlanOut(
            **told(
                await self._prompts.plan(
                    id, body.version, body.environment, body.tags, body.force, otherwise=body.otherwise
                )
            )
        )

    async def deploy(self, id: _Id, body: shapes.DeployIn, request: Request) -> shapes.DeployOut:
        """Point an environment at a version, in every worker within a second; calls on their way are not touched."""
        replacing = UNSET if body.replacing is None else body.replacing or None
        done = await self._prompts.deploy(
            id, body.version, body.environment, self._who(request), body.why, body.tags, body.force,
            otherwise=body.otherwise, replacing=replacing,
        )  # fmt: skip
        return shapes.DeployOut(**told(done))

    async def plan_changed(self, body: shapes.DeployChangedIn) -> Listing[shapes.PlanOut]:
        """What a deploy of all that changed would do."""
        plans = await self._prompts.plan_changed(body.environment, body.tags, otherwise=body.otherwise)
        return Listing(data=[shapes.PlanOut(**told(one)) for one in plans])

    async def deploy_changed(self, body: shapes.DeployChangedIn, request: Request) -> Listing[shapes.DeployOut]:
        """Deploy the highest release of each prompt that never was in this environment: all of them, or none."""
        done = await self._prompts.deploy_changed(
            body.environment, self._who(request), body.why, body.tags, otherwise=body.otherwise,
            expecting=body.expecting,
        )  # fmt: skip
        return Listing(data=[shapes.DeployOut(**told(one)) for one in done])

    async def rollback(self, id: _Id, body: shapes.RollbackIn, request: Request) -> shapes.DeployOut:
        """Point an environment at what it had before the deploy in effect; a second time goes back further."""
        done = await self._prompts.rollback(
            id, body.environment, self._who(request), body.why, expecting=body.expecting
        )  # fmt: skip
        return shapes.DeployOut(**told(done))

    async def approve(self, id: _Id, body: shapes.ApproveIn, request: Request) -> shapes.ApprovalOut:
        """Say yes to a version in an environment. Neither its author nor who pushed it may."""
        done = await self._prompts.approve(id, body.version, body.environment, self._who(request), body.why)
        return shapes.ApprovalOut(**told(done))

    async def record_test(self, id: _Id, body: shapes.TestRunIn, request: Request) -> shapes.TestRunOut:
        """Keep the outcome of a test run; the version may be pushed later."""
        done = await self._prompts.record_test(
            id, body.version, body.digest, body.verdict, body.summary, self._who(request)
        )  # fmt: skip
        return shapes.TestRunOut(**told(done))


def _commit(said: shapes.FileIn | shapes.PushIn) -> Commit:
    return Commit(said.commit_sha or None, said.author or None, said.message or "")


def told(value: Struct) -> dict[str, Any]:
    """A value's fields, points in time as such."""
    fields = structs.asdict(value)
    return {
        name.removesuffix("_s") if name in _TIMES else name: moment(one) if name in _TIMES else one
        for name, one in fields.items()
    }
