"""The registry over the admin API: who is taken for whom, what comes back, and how much may come in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

import httpx
import pytest

from comporta.gateway.admin.app import admin_app
from comporta.gateway.admin.guarding import MAX_BODY, MAX_PUSH
from comporta.gateway.admin.parts import AdminParts
from comporta.keys.keys import Keys
from comporta.prompts.registry import Registry
from comporta.store.database import Database
from support.registry import database, file, module_dsn

__all__ = ["database", "module_dsn"]


class Asked:
    """The admin API with several people's keys."""

    def __init__(self, http: httpx.AsyncClient, secrets: dict[str, str]) -> None:
        self._http = http
        self._secrets = secrets

    async def __call__(
        self, who: str, method: str, path: str, body: Any = None, status: int = 200, user: str | None = None
    ) -> Any:
        headers = {"authorization": f"Bearer {self._secrets[who]}"} | ({} if user is None else {"x-comporta-by": user})
        answer = await self._http.request(method, f"/admin{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def push(self, who: str, *texts: str, status: int = 200, **more: Any) -> Any:
        files = [{"name": f"{at}.yaml", "text": text, "commit_sha": "c0ffee"} for at, text in enumerate(texts)]
        return await self(who, "POST", "/prompts/push", {"files": files, **more}, status)


@pytest.fixture
async def asked(database: Database) -> AsyncIterator[Asked]:
    keys = Keys(database)
    async with database.connection() as connection:
        await connection.execute("truncate virtual_key cascade")
    secrets = {}
    for name in ("ana", "bia"):
        _, secrets[name] = await keys.create(name=name, admin=True)
    _, secrets["folder"] = await keys.create(name="admin", admin=True, by="data folder 12345678")
    prompts = Registry(database)
    await prompts.load()

    # The other parts are not asked.
    given: dict[str, Any] = {one.name: None for one in fields(AdminParts)}
    parts = AdminParts(**given | {"keys": keys, "prompts": prompts, "database": database})
    app = admin_app(parts, lambda secret: keys.authenticate(secret, time.time()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gate") as http:
        yield Asked(http, secrets)


async def test_a_prompt_goes_its_whole_way(asked: Asked) -> None:
    pushed = await asked.push("ana", file("1.0.0").text, file("1.1.0", "Hi.", id="other").text)
    assert [(one["id"], one["outcome"]) for one in pushed["prompts"]] == [("support", "new"), ("other", "new")]
    where = {"version": "1.0.0", "environment": "production", "why": "first"}
    plan = await asked("ana", "POST", "/prompts/support/plan", where)
    assert plan["missing"] == [] and "+  Hello." in plan["diff"]
    await asked("ana", "POST", "/prompts/support/approvals", where, 403)
    assert (await asked("bia", "POST", "/prompts/support/approvals", where, 201))["by"] == "bia"
    digest = pushed["prompts"][0]["digest"]
    run = {"version": "1.0.0", "digest": digest, "verdict": "passed", "summary": {"cases": 3}}
    assert (await asked("ana", "POST", "/prompts/support/tests", run, 201))["green"]
    done = await asked("bia", "POST", "/prompts/support/deploy", {**where, "replacing": ""})
    assert (done["by"], done["changed"], done["before"]) == ("bia", True, None)
    again = await asked("bia", "POST", "/prompts/support/deploy", {**where, "replacing": "0.9.0"})
    assert not again["changed"]
    shown = await asked("ana", "GET", "/prompts/support/versions/production")
    assert (
        shown["text"].startswith("id: support\nversion: 1.0.0\n")
        and len(shown["approvals"]) == len(shown["tests"]) == 1
    )
    prompt = await asked("ana", "GET", "/prompts/support")
    assert [(one["environment"], one["version"]) for one in prompt["labels"]] == [("production", "1.0.0")]
    acts = (await asked("ana", "GET", "/audit?subject=support"))["data"]
    assert [one["act"] for one in acts] == ["prompt.deploy", "prompt.test", "prompt.approve", "prompt.push"]
    changed = {"environment": "production", "why": "all"}
    assert [one["id"] for one in (await asked("ana", "POST", "/prompts/plan", changed))["data"]] == ["other"]
    assert [one["id"] for one in (await asked("ana", "POST", "/prompts/deploy", changed))["data"]] == ["other"]
    await asked("ana", "POST", "/prompts/support/rollback", {"environment": "production"}, 409)
    page = await asked("ana", "GET", "/prompts?limit=1")
    assert [one["id"] for one in page["data"]] == ["other"] and page["next"] == "other"
    assert [one["id"] for one in (await asked("ana", "GET", "/prompts?after=other"))["data"]] == ["support"]


async def test_a_data_folders_key_stands_for_whoever_runs_the_command_and_no_other_key_does(asked: Asked) -> None:
    await asked.push("folder", file("1.0.0").text)
    body = {"files": [{"name": "a.yaml", "text": file("1.1.0", "Hi.").text}]}
    await asked("folder", "POST", "/prompts/push", body, user="jo%C3%A3o")
    body = {"files": [{"name": "a.yaml", "text": file("1.2.0", "Hey.").text}]}
    await asked("ana", "POST", "/prompts/push", body, user="bia")
    versions = (await asked("ana", "GET", "/prompts/support"))["versions"]
    assert [one["pushed_by"] for one in versions] == ["ana", "joão", "admin"]


async def test_that_holds_for_keys_budgets_and_rollouts_as_well(asked: Asked) -> None:
    for who, user, by in (("folder", "jo%C3%A3o", "joão"), ("ana", "bia", "ana"), ("folder", None, "admin")):
        made = await asked(who, "POST", "/keys", {"name": f"app of {by}"}, 201, user)
        assert made["created_by"] == by


async def test_a_push_may_be_larger_than_other_bodies_and_is_bounded_too(asked: Asked) -> None:
    large = file("1.0.0", "word " * (MAX_BODY // 5)).text
    assert (await asked.push("ana", large))["prompts"][0]["outcome"] == "new"
    assert (await asked("ana", "POST", "/keys", {"name": "x" * MAX_BODY}, 413))["error"]["code"] == "request_too_large"
    error = (await asked.push("ana", *["x" * 1_900_000] * (MAX_PUSH // 1_900_000 + 1), status=413))["error"]
    assert str(MAX_PUSH) in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/prompts/push", {"files": []}, 400, "invalid_request"),
        ("/prompts/push", {"files": [{"name": "a", "text": "a: ["}]}, 400, "prompt_mistakes"),
        ("/prompts/gone/deploy", {"version": "1.0.0", "environment": "x"}, 404, "prompt_not_found"),
        ("/prompts/support/deploy", {"version": "1.x", "environment": "x"}, 400, "prompt_reference"),
        ("/prompts/support/deploy", {"version": "1.0.0", "environment": "1.0.0"}, 400, "invalid_request"),
        ("/prompts/support/deploy", {"version": "1.0.0"}, 400, "invalid_request"),
        ("/prompts/support/rollback", {"environment": "x", "expecting": True}, 400, "invalid_request"),
        ("/prompts/support/tests", {"version": "1.0.0", "digest": "d", "verdict": " "}, 400, "invalid_request"),
    ],
)
async def test_bad_input_is_told(asked: Asked, path: str, body: Any, status: int, code: str) -> None:
    await asked.push("ana", file().text)
    assert (await asked("ana", "POST", path, body, status))["error"]["code"] == code


async def test_cases_of_a_prompt_that_is_not_there_keep_the_push_out(asked: Asked) -> None:
    refused = await asked.push("ana", file().text, cases={"nobody": [{"id": "a", "input": "Hi"}]}, status=400)
    assert refused["error"]["param"] == "cases" and "nobody" in refused["error"]["message"]
    assert (await asked("ana", "GET", "/prompts"))["data"] == []
    wrong = await asked.push("ana", file().text, cases={"support": [{"input": "Hi"}]}, status=400)
    assert "cases.support.0.id" in wrong["error"]["message"]
