"""Does what a configuration wants done about findings, each once, by whichever worker; failures are tried again."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import structlog
import yaml
from psycopg.types.json import Jsonb

from comporta.errors import ComportaError
from comporta.feedback.findings.reads import finding
from comporta.feedback.findings.shapes import Finding
from comporta.feedback.findings.tables import rows
from comporta.feedback.findings.texts import answer_of, question_of
from comporta.notify.notice import Notice
from comporta.store.database import Connection, Database
from comporta.store.people import hold_back

log = structlog.get_logger("comporta.findings")

_TRIES = 8
_MOST = 20
NEXT = """
select finding_id, action, attempts from finding_act
where state = 'waiting' and at <= now() and attempts < %(tries)s
order by at limit 1 for update skip locked
"""
END = """
update finding_act set state = %(state)s, told = %(told)s, attempts = attempts + 1, at = %(at)s
where finding_id = %(finding)s and action = %(action)s
"""
#: A correction that somebody gave is what would have been right.
CASES = """
select e.place, c.id::text as call_id, c.started_at, c.user_id, c.prompt, c.reply, c.variables,
    (
        select s.label from score s where s.call_id = c.id and s.name = 'correction' order by s.at desc limit 1
    ) as expected
from finding_example e join call c on c.started_at = e.called_at and c.id = e.call_id
where e.finding_id = %(id)s order by e.place
"""
PUT_EXAMPLE = """
insert into dataset_example (dataset, id, finding_id, route, prompt_id, prompt_version, call_id, user_id, input,
    variables, output, expected, reason)
select %(dataset)s, %(call_id)s::text, %(finding)s, %(route)s, %(prompt)s, %(version)s, %(call_id)s::uuid,
    %(user)s, %(input)s, %(variables)s, %(output)s, %(expected)s, %(reason)s
where not exists (
    select from erasure where user_sha256 = sha256(convert_to(%(user)s::text, 'UTF8')) and erasure.at >= %(at)s
)
on conflict do nothing
"""

Send = Callable[[Notice, list[str] | None], Awaitable[object]]
#: Asks the gate: method, path, body.
Ask = Callable[[str, str, Any], Awaitable[Any]]


class NotNow(Exception):
    """Why an action can't be done at all: nothing would change by trying again."""


class Acting:
    """Does what waits. `send` tells people, `ask` is the gate, `channels` are where `alert_team` goes (None: usual)."""

    def __init__(self, database: Database, send: Send, ask: Ask, channels: Callable[[], list[str] | None]) -> None:
        self._database = database
        self._send = send
        self._ask = ask
        self._channels = channels
        self._does: Mapping[str, Callable[[Connection, Finding], Awaitable[str]]] = {
            "alert_team": self._alert, "open_review": self._review, "update_prompt": self._draft,
            "add_to_dataset": self._dataset, "start_tuning": self._tuning,
        }  # fmt: skip

    async def round(self) -> int:
        """Do what waits; how much was done. Raises Unavailable."""
        done = 0
        for _ in range(_MOST):
            outcome = await self._next()
            if outcome is None:
                break
            done += outcome
        return done

    async def _next(self) -> bool | None:
        """One act, in one transaction with its being done; None where nothing waits."""
        async with self._database.connection() as connection:
            waiting = await rows(connection, NEXT, {"tries": _TRIES})
            if not waiting:
                return None
            one = waiting[0]
            now = datetime.datetime.now(datetime.UTC)
            state, told, at = "done", "", now
            try:
                # What it wrote goes with it where it fails.
                async with connection.transaction():
                    told = await self._does[one["action"]](connection, await finding(connection, one["finding_id"]))
            except NotNow as why:
                state, told = "failed", str(why)
            except ComportaError as error:
                last = one["attempts"] + 1 >= _TRIES
                state, told = "failed" if last else "waiting", error.message[:500]
                at = now + datetime.timedelta(seconds=30 * 2 ** one["attempts"])
            except Exception as error:
                # It would fail each time, and nothing behind it would ever be done.
                log.error("finding_act_failed", finding=one["finding_id"], action=one["action"], exc_info=error)
                state, told = "failed", f"Failed inside ({type(error).__name__}): the log of the job worker knows more."
            values = {"finding": one["finding_id"], "action": one["action"], "state": state, "told": told, "at": at}
            await connection.execute(END, values)
            log.info("finding_act", finding=one["finding_id"], action=one["action"], state=state)
            return state == "done"

    # ---- the actions: each bears being done twice, since the gate may have heard of one that we did not see end ----

    async def _alert(self, connection: Connection, one: Finding) -> str:
        await self._send(_notice(one, f"finding.{one.kind}", "warning"), self._channels())
        return "People were told."

    async def _review(self, connection: Connection, one: Finding) -> str:
        first = one.examples[0] if one.examples else None
        body = {
            "id": f"finding/{one.id}", "kind": "drift", "reason": one.title, "route": one.route,
            "call_id": first.call_id if first else None, "trace_id": first.trace_id if first else None,
            "user": first.user if first else None,
            "payload": {"finding": one.id, "measure": one.measure, "size": one.size,
                        "calls": [example.call_id for example in one.examples]},
        }  # fmt: skip
        kept = {name: value for name, value in body.items() if value is not None}
        await self._ask("POST", "/admin/reviews", kept)
        return "A review waits for a person."

    async def _dataset(self, connection: Connection, one: Finding) -> str:
        name = one.prompt_id or one.route or "findings"
        added = await self._put_cases(connection, one, name)
        return f"{added} examples in dataset {name}."

    async def _draft(self, connection: Connection, one: Finding) -> str:
        if one.prompt_id is None or one.prompt_version is None:
            raise NotNow("No prompt of the registry is concerned.")
        id, base = one.prompt_id, one.prompt_version
        place = f"/admin/prompts/{quote(id, safe='')}"
        number = await self._draft_version(place, base, one)
        text = (await self._ask("GET", f"{place}/versions/{quote(base, safe='')}", None))["text"]
        body = {
            "files": [{"name": f"{id}.yaml", "text": _with_version(text, number)}], "author": "findings",
            "message": f"Draft to mend finding {one.id}: {one.title}"[:900], "force": True,
        }  # fmt: skip
        await self._ask("POST", "/admin/prompts/push", body)
        added = await self._put_cases(connection, one, f"{id}@{number}")
        return f"Draft {id}@{number} with {added} failing cases: comporta findings tests {one.id}"

    async def _draft_version(self, place: str, base: str, one: Finding) -> str:
        """The next patch of the highest release, as a pre-release that names the finding; the same when asked again.

        That patch itself is free for whoever mends the prompt: no draft is higher than it.
        """
        mark = f"-finding.{one.id.rpartition('-')[2]}"
        known = [version["version"] for version in (await self._ask("GET", place, None))["versions"]]
        for version in known:
            if version.endswith(mark):
                return str(version)
        releases = [_core(version) for version in [*known, base] if "-" not in version.partition("+")[0]]
        if not releases:
            return ".".join(map(str, _core(base))) + mark
        major, minor, patch = max(releases)
        return f"{major}.{minor}.{patch + 1}{mark}"

    async def _tuning(self, connection: Connection, one: Finding) -> str:
        await self._send(_notice(one, "tuning.wanted", "info"), None)
        return "Told as the event tuning.wanted; nothing here trains a model yet."

    async def _put_cases(self, connection: Connection, one: Finding, dataset: str) -> int:
        added = 0
        await hold_back(connection)
        for case in await rows(connection, CASES, {"id": one.id}):
            question = question_of(case["prompt"], case["variables"])
            if question is None:
                continue
            values = {
                "dataset": dataset, "call_id": case["call_id"], "finding": one.id, "route": one.route,
                "prompt": one.prompt_id, "version": one.prompt_version, "user": case["user_id"],
                "input": Jsonb({"text": question}), "output": answer_of(case["reply"]), "reason": one.title,
                "variables": None if case["variables"] is None else Jsonb(case["variables"]),
                "expected": case["expected"], "at": case["started_at"],
            }  # fmt: skip
            added += (await connection.execute(PUT_EXAMPLE, values)).rowcount
        return added


def _notice(one: Finding, kind: str, severity: Any) -> Notice:
    facts = {
        "finding": one.id, "measure": one.measure, "size": one.size, "from": one.low, "to": one.high,
        "before": one.before, "after": one.after, "route": one.route, "since": one.since.isoformat(),
        "prompt": f"{one.prompt_id}@{one.prompt_version}" if one.prompt_id else None,
    }  # fmt: skip
    known = {name: value for name, value in facts.items() if value is not None}
    text = f"See `comporta findings show {one.id}`."
    return Notice(f"{kind}/{one.id}", kind, one.title, text, severity, facts=known)


def _core(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.partition("+")[0].partition("-")[0].split(".")))


def _with_version(text: str, version: str) -> str:
    """A prompt file with another version; comments are not kept, as in every text of the registry."""
    held = yaml.safe_load(text)
    return yaml.safe_dump({**held, "version": version}, allow_unicode=True, sort_keys=False)
