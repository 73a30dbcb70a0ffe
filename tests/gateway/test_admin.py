"""The admin API, asked over ASGI with a real database behind it."""

from __future__ import annotations

import asyncio
import datetime
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from comporta.alerts.alerts import Alerts
from comporta.budget.budgets import Budgets
from comporta.cache.semantic.overview import Overview
from comporta.cache.semantic.seeding import Seed, Seeded
from comporta.errors import BadRequest, Unavailable
from comporta.gateway.admin.app import admin_app
from comporta.gateway.admin.parts import (
    AdminParts,
    DatabaseStatus,
    ModelView,
    ProviderStatus,
    RouteView,
    Showback,
    SpoolStatus,
    Status,
    VariantView,
)
from comporta.keys.keys import Keys
from comporta.notify.channels import Answered, Slack
from comporta.notify.notifier import Notifier
from comporta.notify.settings import NotifySection
from comporta.prompts.registry import Registry
from comporta.routing.choose import Known
from comporta.routing.registered import RegisteredModels
from comporta.routing.rollout.overlay import Overlay
from comporta.routing.rollout.releases import Releases
from comporta.store.database import Database
from comporta.store.people import People
from comporta.telemetry.reviews import Reviews
from comporta.telemetry.score_spool import ScoreSpool
from comporta.telemetry.scores import Scores
from comporta.testing.servers import Postgres
from comporta.types import Price

ROUTES = (
    RouteView("support", (VariantView("main", "openai", "gpt-4o-mini", 1.0),), True, "file", "comporta.yaml", 12),
    RouteView("default", (VariantView("offline", "offline", "extractive", 1.0),), True, "environment"),
)
IN_FILE = ModelView("house", "openai", "gpt-4o", "file", Price(input=1), file="comporta.yaml", line=30)
STATUS = Status(
    version="0.1.0", started_at_s=1_700_000_000.0, workers=1, in_flight=2,
    database=DatabaseStatus(True, "comporta on local socket", True), spool=SpoolStatus(10, 1000),
    providers=(ProviderStatus("openai", "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), True, 3),),
)  # fmt: skip


async def unheard(url: str, headers: Mapping[str, str], body: bytes) -> Answered:
    """The way out of channels that nobody configured."""
    raise AssertionError("nothing is to be sent here")


def nowhere() -> Known:
    """The routes that rollouts look at."""
    raise AssertionError("nothing rolls out here")


class NoCaches:
    """Caches that hold nothing and take everything."""

    async def overview(self) -> Overview:
        return Overview(2, 100, [])

    async def seed(self, seeds: Sequence[Seed]) -> Seeded:
        return Seeded(len(seeds) - 1, ((0, "the answer is empty"),))

    async def clear(self, tags: Sequence[str] = (), entry: int | None = None) -> int:
        return len(tags)


class Undecided:
    """A gate that is not asked where calls go: what it says has tests of its own."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked here")


class Admin:
    """The application with an administrator's key, and with whatever else was made for the test."""

    def __init__(self, app: FastAPI, keys: Keys, registered: RegisteredModels, secret: str) -> None:
        self.app = app
        self.keys = keys
        self.registered = registered
        self.http = self.client(secret)

    def client(self, secret: str | None) -> httpx.AsyncClient:
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gate", headers=headers)

    async def ask(self, method: str, path: str, status: int, body: Any = None) -> Any:
        response = await self.http.request(method, path, json=body)
        assert response.status_code == status, response.text
        return response.json()


@pytest.fixture(scope="module")
def module_dsn(postgres: Postgres) -> Iterator[str]:
    dsn = postgres.create_database()
    yield dsn
    postgres.drop_database(dsn)


@pytest.fixture
async def database(module_dsn: str) -> AsyncIterator[Database]:
    """One database for all of these tests, emptied before each: making a new one takes a third of a second."""
    async with Database(module_dsn) as opened:
        async with opened.connection() as connection:
            await connection.execute(
                "truncate virtual_key, virtual_key_secret, budget, registered_model, call, span, rollup_hour"
            )
        yield opened


@pytest.fixture
async def admin(database: Database, tmp_path: Path) -> AsyncIterator[Admin]:
    keys = Keys(database)
    await keys.load()
    registered = RegisteredModels(database)

    def models() -> Sequence[ModelView]:
        made = [
            ModelView(m.name, m.provider, m.model, "api", m.price, m.context, m.max_output, m.capabilities, m.params)
            for m in registered.list()
        ]
        return [IN_FILE, *made]

    async def status() -> Status:
        return STATUS

    parts = AdminParts(
        keys=keys, budgets=Budgets(database), registered=registered, prompts=Registry(database), database=database,
        routes=lambda: ROUTES, models=models, providers=lambda: ("openai", "offline"), status=status,
        people=People(database, ()),
        showback=Showback, notifier=Notifier(database, NotifySection, lambda section: Slack(section, unheard)),
        rollouts=Releases(database, Registry(database), Budgets(database), unheard, nowhere, Overlay()),
        caches=NoCaches(), reviews=Reviews(database, ScoreSpool(tmp_path), Scores(ScoreSpool(tmp_path))),
        policy=only_strict, alerts=Alerts(database, tuple, nothing_now, no_notifier), present=nothing_now,
        targets=lambda: ((), 86_400.0), deciding=Undecided(),
    )  # fmt: skip
    _, secret = await keys.create(name="ana", admin=True)
    made = Admin(admin_app(parts, lambda given: keys.authenticate(given, time.time())), keys, registered, secret)
    async with made.http:
        yield made


async def nothing_now() -> dict[str, float | None]:
    return {}


def no_notifier() -> Notifier:
    raise AssertionError("no alert is told here")


def only_strict(name: str) -> None:
    if name != "strict":
        raise BadRequest(f"There is no guard policy '{name}': there are default, strict.", param="policy")


def error_of(response: httpx.Response) -> Mapping[str, Any]:
    error: Mapping[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_what_the_api_is_given_is_named_without_a_web_framework() -> None:
    code = "import sys, comporta.gateway.admin.parts; print([m for m in ('fastapi', 'starlette') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- who may ask, and how failures are told -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/status", "/admin/nothing", "/admin/keys/x/y/z"])
async def test_every_path_wants_a_key_even_one_that_is_not_there(admin: Admin, path: str) -> None:
    for secret in (None, "cmp-wrong"):
        async with admin.client(secret) as http:
            response = await http.get(path)
        assert response.status_code == 401
        assert error_of(response)["type"] == "authentication_error"


async def test_a_key_that_is_no_administrators_is_forbidden(admin: Admin) -> None:
    _, secret = await admin.keys.create(name="app")
    async with admin.client(secret) as http:
        response = await http.get("/admin/keys")
    assert response.status_code == 403
    assert error_of(response)["code"] == "forbidden"


async def test_a_revoked_administrator_is_out_at_once(admin: Admin) -> None:
    row, secret = await admin.keys.create(name="old", admin=True)
    await admin.ask("POST", f"/admin/keys/{row.id}/revoke", 200)
    async with admin.client(secret) as http:
        assert (await http.get("/admin/keys")).status_code == 401


async def test_unknown_paths_and_wrong_methods_come_in_the_envelope_wire_13(admin: Admin) -> None:
    """WIRE 13."""
    missing = await admin.http.get("/admin/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    wrong = await admin.http.put("/admin/keys")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


async def test_a_bad_body_names_its_field_and_does_not_repeat_what_was_written(admin: Admin) -> None:
    response = await admin.http.post("/admin/keys", json={"name": "x", "tags": {"team": 5}, "secret_slip": "cmp-abc"})
    error = error_of(response)
    assert response.status_code == 400
    assert error["param"] in ("tags.team", "secret_slip")
    assert "secret_slip" in error["message"] and "tags.team" in error["message"]
    assert "cmp-abc" not in response.text


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b""])
async def test_a_body_that_is_no_object_is_refused(admin: Admin, body: bytes) -> None:
    response = await admin.http.post("/admin/keys", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    error_of(response)


async def test_a_huge_body_is_refused_413(admin: Admin) -> None:
    response = await admin.http.post("/admin/keys", content=b"x" * 300_000)
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")


async def test_a_body_that_never_ends_is_given_up(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    monkeypatch.setattr("comporta.gateway.admin.guarding._BODY_LIMIT_S", 0.05)
    response = await admin.http.post("/admin/keys", content=trickle())
    assert (response.status_code, error_of(response)["code"]) == (408, "body_timeout")


async def test_an_unexpected_failure_tells_a_request_id_and_nothing_else(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**_: Any) -> Any:
        raise ValueError("a secret word")

    monkeypatch.setattr(admin.keys, "list", fail)
    response = await admin.http.get("/admin/keys", headers={"x-request-id": "req-7"})
    assert response.status_code == 500
    assert "req-7" in error_of(response)["message"]
    assert "secret word" not in response.text


async def test_a_database_that_is_away_is_503_with_its_reason(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(**_: Any) -> Any:
        raise Unavailable("The database is away.", code="database_unavailable", retry_after_s=2)

    monkeypatch.setattr(admin.keys, "list", away)
    response = await admin.http.get("/admin/keys")
    assert (response.status_code, error_of(response)["code"]) == (503, "database_unavailable")


async def test_a_valid_request_id_is_kept_and_another_one_made_wire_22(admin: Admin) -> None:
    """WIRE 22."""
    kept = await admin.http.get("/admin/status", headers={"x-request-id": "mine-1"})
    made = await admin.http.get("/admin/nothing", headers={"x-request-id": "not valid\t!"})
    assert kept.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 36


# ---- keys -----------------------------------------------------------------------------------------------------------


async def test_a_key_is_made_shown_changed_rotated_and_revoked(admin: Admin) -> None:
    made = await admin.ask(
        "POST", "/admin/keys", 201, {"name": "app", "team": "support", "tags": {"a": "b"}, "allow": ["support"]}
    )
    assert admin.keys.authenticate(made["secret"], time.time()).team == "support"
    path = f"/admin/keys/{made['id']}"
    shown = await admin.ask("GET", path, 200)
    assert "secret" not in shown
    assert shown["shown"] == f"{made['secret'][:8]}…{made['secret'][-4:]}"
    assert (shown["state"], shown["created_by"]) == ("active", "ana")

    changed = await admin.ask("PATCH", path, 200, {"team": None, "feature": "chat"})
    assert (changed["team"], changed["feature"], changed["tags"]) == (None, "chat", {"a": "b"})

    rotated = await admin.ask("POST", f"{path}/rotate", 200, {"overlap_s": 0})
    assert rotated["secret"] != made["secret"]
    assert admin.keys.authenticate(rotated["secret"], time.time()).key_id == made["id"]

    revoked = await admin.ask("POST", f"{path}/revoke", 200)
    assert (revoked["state"], revoked["revoked_by"]) == ("revoked", "ana")
    listed = await admin.ask("GET", "/admin/keys", 200)
    assert [one["name"] for one in listed["data"]] == ["ana"]
    everything = await admin.ask("GET", "/admin/keys?revoked=true", 200)
    assert {one["name"] for one in everything["data"]} == {"ana", "app"}
    again = await admin.http.post(f"{path}/rotate")
    assert (again.status_code, error_of(again)["code"]) == (409, "key_revoked")


async def test_an_end_in_seconds_or_at_a_time_is_kept(admin: Admin) -> None:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    one = await admin.ask("POST", "/admin/keys", 201, {"name": "a", "expires_at": at.isoformat()})
    two = await admin.ask("POST", "/admin/keys", 201, {"name": "b", "expires_in_s": 3600})
    assert abs(datetime.datetime.fromisoformat(one["expires_at"]) - at) < datetime.timedelta(seconds=1)
    soon = datetime.datetime.fromisoformat(two["expires_at"]) - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=59) < soon <= datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "2090-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "expires_at": "2090-01-01T00:00:00Z", "expires_in_s": 5}, "expires_in_s"),
        ({"name": "x", "expires_in_s": -1}, "expires_in_s"),
        ({"name": "x", "admin": "perhaps"}, "admin"),
        ({"name": "x", "requests_per_minute": True}, "requests_per_minute"),
        ({"name": "x", "tokens_per_minute": True}, "tokens_per_minute"),
        ({"name": "x", "concurrent": True}, "concurrent"),
        ({"name": "x", "guardrails": "nobody"}, "policy"),
        ({}, "name"),
    ],
)
async def test_bad_keys_are_refused_with_the_field(admin: Admin, body: Any, param: str) -> None:
    response = await admin.http.post("/admin/keys", json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


async def test_a_key_is_put_under_a_guard_policy_and_out_of_it_again(admin: Admin) -> None:
    made = await admin.ask("POST", "/admin/keys", 201, {"name": "guarded", "guardrails": "strict"})
    row = admin.keys.row(made["id"])
    assert made["guardrails"] == "strict" and row is not None and row.caller().guardrails == "strict"
    path = f"/admin/keys/{made['id']}"
    await admin.ask("PATCH", path, 400, {"guardrails": "nobody"})
    assert (await admin.ask("PATCH", path, 200, {"guardrails": None}))["guardrails"] is None


async def test_two_living_keys_share_no_name(admin: Admin) -> None:
    await admin.ask("POST", "/admin/keys", 201, {"name": "app"})
    response = await admin.http.post("/admin/keys", json={"name": "app"})
    assert (response.status_code, error_of(response)["param"]) == (409, "name")


async def test_ids_that_are_none_are_refused_and_unknown_ones_not_found(admin: Admin) -> None:
    bad = await admin.http.get("/admin/keys/app")
    assert (bad.status_code, error_of(bad)["param"]) == (400, "id")
    missing = await admin.http.get("/admin/keys/01900000-0000-7000-8000-000000000000")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")


# ---- budgets --------------------------------------------------------------------------------------------------------


async def spend(database: Database, team: str, cost_microusd: int, hours_ago: int) -> None:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours_ago)
    async with database.connection() as connection:
        columns = await connection.execute(
            "select attname from pg_attribute where attrelid = 'rollup_hour'::regclass and attnum > 0"
            " and atttypid = 'bigint'::regtype order by attnum"
        )
        names = [str(row[0]) for row in await columns.fetchall()]
        values = [cost_microusd if name == "cost_microusd" else 0 for name in names]
        await connection.execute(
            "insert into rollup_hour (period, route, variant, provider, model, key_id, team, environment, feature,"
            f" outcome_class, latency, first_token, {', '.join(names)}) values (%s, '', '', '', '', '', %s, '', '',"
            f" 'ok', '{{}}', '{{}}', {', '.join(['%s'] * len(names))})",
            [at.replace(minute=0, second=0, microsecond=0), team, *values],
        )


async def test_a_budget_says_what_was_spent_and_that_it_is_enforced(admin: Admin, database: Database) -> None:
    await spend(database, "support", 1234, 0)
    await spend(database, "support", 99, 24 * 32)
    await spend(database, "sales", 1000, 0)
    body = {"name": "monthly", "scope": "team", "value": "support", "period": "month", "limit_microusd": 5_000_000}
    made = await admin.ask("POST", "/admin/budgets", 201, body)
    assert {name: made[name] for name in body} == body
    assert (made["spent_microusd"], made["enforced"]) == (1234, True)
    path = f"/admin/budgets/{made['id']}"
    changed = await admin.ask("PATCH", path, 200, {"scope": "all", "value": None, "limit_microusd": 7})
    assert (changed["scope"], changed["value"], changed["limit_microusd"]) == ("all", None, 7)
    assert changed["spent_microusd"] == 2234
    assert (await admin.ask("GET", "/admin/budgets", 200))["data"] == [changed]
    assert await admin.ask("DELETE", path, 200) == {"deleted": made["id"]}
    assert (await admin.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"limit_microusd": 0}, "limit_microusd"),
        ({"limit_microusd": -5}, "limit_microusd"),
        ({"limit_microusd": 10**16}, "limit_microusd"),
        ({"limit_microusd": 1.5}, "limit_microusd"),
        ({"limit_microusd": True}, "limit_microusd"),
        ({"scope": "planet"}, "scope"),
        ({"scope": "team", "value": None}, "value"),
        ({"period": "year"}, "period"),
    ],
)
async def test_absurd_budgets_are_refused_wire_29(admin: Admin, change: Any, param: str) -> None:
    """WIRE 29."""
    body = {"name": "b", "scope": "team", "value": "t", "period": "month", "limit_microusd": 1} | change
    response = await admin.http.post("/admin/budgets", json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


# ---- routes and models ----------------------------------------------------------------------------------------------


async def test_routes_are_listed_with_the_place_they_stand_at(admin: Admin) -> None:
    listed = (await admin.ask("GET", "/admin/routes", 200))["data"]
    assert [(one["name"], one["file"], one["line"]) for one in listed] == [
        ("support", "comporta.yaml", 12),
        ("default", None, None),
    ]
    one = await admin.ask("GET", "/admin/routes/support", 200)
    assert one["variants"][0]["model"] == "gpt-4o-mini"
    missing = await admin.http.get("/admin/routes/suport")
    assert missing.status_code == 404
    assert "did you mean 'support'?" in error_of(missing)["message"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_changing_a_route_of_the_configuration_is_409_and_names_file_and_line(admin: Admin, method: str) -> None:
    response = await admin.http.request(method, "/admin/routes/support", json={"weight": 1})
    assert response.status_code == 409
    assert "comporta.yaml line 12" in error_of(response)["message"]


async def test_a_model_is_registered_changed_and_removed(admin: Admin) -> None:
    body = {
        "provider": "openai", "model": "gpt-4o-mini", "price": {"input": 150_000}, "params": {"temperature": 0.2},
        "capabilities": ["tools"],
    }  # fmt: skip
    made = await admin.ask("POST", "/admin/models", 201, {"name": "team/small", **body})
    assert (made["source"], made["price"]["input"], made["price"]["output"]) == ("api", 150_000, None)
    again = await admin.http.post("/admin/models", json={"name": "team/small", **body})
    assert again.status_code == 409
    changed = await admin.ask("PUT", "/admin/models/team/small", 200, {**body, "context": 1000})
    assert changed["context"] == 1000
    assert (await admin.ask("GET", "/admin/models/team/small", 200)) == changed
    listed = await admin.ask("GET", "/admin/models?source=api", 200)
    assert [one["name"] for one in listed["data"]] == ["team/small"]
    assert await admin.ask("DELETE", "/admin/models/team/small", 200) == {"deleted": "team/small"}
    assert (await admin.http.get("/admin/models/team/small")).status_code == 404
    assert (await admin.http.delete("/admin/models/team/small")).status_code == 404


@pytest.mark.parametrize("name", ["house", "support"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_names_of_the_configuration_are_not_taken_or_removed(admin: Admin, method: str, name: str) -> None:
    response = await admin.http.request(
        method, f"/admin/models/{name}", json={"provider": "openai", "model": "m"} if method == "PUT" else None
    )
    assert response.status_code == 409
    assert "comporta.yaml line" in error_of(response)["message"]


async def test_a_model_of_an_unknown_provider_is_refused_with_the_nearest_word(admin: Admin) -> None:
    response = await admin.http.put("/admin/models/x", json={"provider": "opanai", "model": "m"})
    assert (response.status_code, error_of(response)["param"]) == (400, "provider")
    assert "did you mean 'openai'?" in error_of(response)["message"]


# ---- calls and status -----------------------------------------------------------------------------------------------


async def insert_calls(database: Database, count: int) -> list[str]:
    """Rows as the recorder ships them, one second apart, the newest last."""
    today = datetime.datetime.now(datetime.UTC)
    ids = [f"01900000-0000-7000-8000-{n:012d}" for n in range(count)]
    async with database.connection() as connection:
        await connection.execute("select ensure_record_partitions(%s, %s)", [today.date(), today.date()])
        for number, id in enumerate(ids):
            await connection.execute(
                "insert into call (started_at, id, trace_id, request_id, duration_us, door, kind, stream, asked, route,"
                " key_id, key_name, estimated, cache, retries, outcome, outcome_class, status, malformed_frames,"
                " capture, prompt, input_tokens, cached_tokens, cache_write_tokens, audio_in_tokens, image_in_tokens,"
                " output_tokens, reasoning_tokens, audio_out_tokens) values (%s, %s, 't', 'r', 5, 'openai.chat',"
                " 'chat', false, 'support', %s, 'k', 'app', false, 'off', 0, 'ok', 'ok', 200, 0, 'full', %s,"
                " 1, 0, 0, 0, 0, 2, 0, 0)",
                [today.replace(hour=0, minute=0, second=number), id, f"r{number % 2}", json.dumps({"text": "hello"})],
            )
        await connection.execute(
            "insert into span select started_at, id, 0, 'attempt', 1, 2, 0, null, '{\"a\": 1}' from call"
        )
    return ids


async def test_calls_are_listed_newest_first_in_pages_and_by_filter(admin: Admin, database: Database) -> None:
    ids = await insert_calls(database, 5)
    first = await admin.ask("GET", "/admin/calls?limit=3", 200)
    second = await admin.ask("GET", f"/admin/calls?limit=3&after={first['next']}", 200)
    assert [one["id"] for one in first["data"] + second["data"]] == ids[::-1]
    assert second["next"] is None
    assert first["data"][0]["usage"]["output"] == 2
    some = await admin.ask("GET", "/admin/calls?route=r1", 200)
    assert [one["id"] for one in some["data"]] == [ids[3], ids[1]]


async def test_a_call_is_shown_with_its_spans_and_content(admin: Admin, database: Database) -> None:
    ids = await insert_calls(database, 1)
    shown = await admin.ask("GET", f"/admin/calls/{ids[0]}", 200)
    assert shown["prompt"] == {"text": "hello"}
    assert shown["spans"] == [
        {"name": "attempt", "start_us": 1, "duration_us": 2, "depth": 0, "error": None, "attributes": {"a": 1}}
    ]
    missing = await admin.http.get("/admin/calls/01900000-0000-7000-8000-00000000ffff")
    assert missing.status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "after=x", "since=yesterday", "colour=red"])
async def test_bad_searches_are_refused(admin: Admin, query: str) -> None:
    response = await admin.http.get(f"/admin/calls?{query}")
    assert response.status_code == 400
    error_of(response)


async def test_the_summary_tells_figures_and_refuses_a_bad_window(admin: Admin) -> None:
    figures = await admin.ask("GET", "/admin/summary?window=1h", 200)
    assert figures["figures"]["total_requests"] == 0
    assert (await admin.http.get("/admin/summary?window=soon")).status_code == 400


async def test_the_status_tells_version_workers_database_spool_and_providers(admin: Admin) -> None:
    shown = await admin.ask("GET", "/admin/status", 200)
    assert (shown["version"], shown["workers"], shown["in_flight"]) == ("0.1.0", 1, 2)
    assert shown["database"]["reachable"] is True
    assert shown["spool"] == {"waiting_bytes": 10, "limit_bytes": 1000}
    assert shown["providers"][0]["credentials"] == ["OPENAI_API_KEY"]


# ---- the reference --------------------------------------------------------------------------------------------------


async def test_the_reference_page_names_every_operation_and_fetches_nothing(admin: Admin) -> None:
    async with admin.client(None) as http:
        page = (await http.get("/admin/docs")).text
        document = (await http.get("/admin/openapi.json")).json()
    for path in document["paths"]:
        assert path in page
    for word in ("<script", "<link", "<img", "src=", "@import", "url(", "http://", "https://"):
        assert word not in page
    assert "/admin/keys/{id}/rotate" in document["paths"]


async def test_the_document_is_openapi_and_tells_keys_and_failures_as_they_are(admin: Admin) -> None:
    document = (await admin.http.get("/admin/openapi.json")).json()
    validate(document)
    assert document["security"] and set(document["components"]["securitySchemes"]) == {"bearer", "x-api-key", "api-key"}
    rotate = document["paths"]["/admin/keys/{id}/rotate"]["post"]["responses"]
    assert set(rotate) == {"200", "400", "401", "403", "404", "408", "409", "413", "500", "503"}
    error = {"$ref": "#/components/schemas/OpenAIError"}
    assert rotate["404"]["content"]["application/json"]["schema"] == error
    assert "HTTPValidationError" not in document["components"]["schemas"]
    change = document["components"]["schemas"]["KeyChange"]["properties"]
    assert "anyOf" not in change["name"] and change["name"]["type"] == "string", "left out, or a text: never null"
    assert {"type": "null"} in change["team"]["anyOf"]


@pytest.mark.parametrize("path", ["/admin/calls?team=%00", "/admin/models/a%00b", "/admin/summary?route=a%00"])
async def test_a_nul_in_a_path_or_query_is_refused(admin: Admin, path: str) -> None:
    response = await admin.http.get(path)
    assert (response.status_code, error_of(response)["code"]) == (400, "bad_query")


@pytest.mark.parametrize("text", ["a\0b", "half \ud800"])
async def test_a_text_that_no_database_can_hold_is_refused_wherever_it_stands(admin: Admin, text: str) -> None:
    for params in ({"stop": [text]}, {text: 1}):
        body = json.dumps({"name": "odd", "provider": "openai", "model": "gpt-4o", "params": params})
        response = await admin.http.post("/admin/models", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400
        assert "can't be stored" in error_of(response)["message"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[1,", b'{"name": NaN', b"\0"])
async def test_a_body_that_is_no_json_is_told_as_such(admin: Admin, body: bytes) -> None:
    response = await admin.http.post("/admin/keys", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_json")
    assert error_of(response)["param"] is None


async def test_a_body_nested_without_end_is_refused(admin: Admin) -> None:
    body = b'{"name": "x", "tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    response = await admin.http.post("/admin/keys", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_json")


def test_what_the_gate_imports_at_its_start_does_not_import_fastapi() -> None:
    code = "import sys, comporta.gateway.admin.parts; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_the_api_answers_many_at_once(admin: Admin) -> None:
    made = await asyncio.gather(*(admin.http.post("/admin/keys", json={"name": f"k{n}"}) for n in range(20)))
    assert {response.status_code for response in made} == {201}
    assert len({response.json()["secret"] for response in made}) == 20


async def test_caches_are_shown_cleared_and_seeded(admin: Admin) -> None:
    assert await admin.ask("GET", "/admin/cache", 200) == {"exact_entries": 2, "exact_bytes": 100, "routes": []}
    assert await admin.ask("DELETE", "/admin/cache?tag=a&tag=b&route=faq", 200) == {"removed": 3}
    for query in ("", "?tag=*", "?entry=true", "?entry=0"):
        await admin.ask("DELETE", f"/admin/cache{query}", 400)
    await admin.ask("DELETE", "/admin/cache?entry=7", 404)
    assert await admin.ask("DELETE", "/admin/cache?everything=true", 200) == {"removed": 1}
    entries = [{"question": "Why?", "answer": "So.", "route": "faq"}] * 2
    seeded = await admin.ask("POST", "/admin/cache/seed", 200, {"entries": entries})
    assert seeded == {"stored": 1, "refused": [{"at": 0, "reason": "the answer is empty"}]}
    for wrong in ([], [{"question": "Why?", "answer": "So."}], [{**entries[0], "ttl_s": 0}], [{**entries[0], "x": 1}]):
        await admin.ask("POST", "/admin/cache/seed", 400, {"entries": wrong})
