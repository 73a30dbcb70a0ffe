"""The outermost layer of the admin API: bodies that say what they are."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from comporta.gateway.admin.guarding import Guarded
from comporta.types import Caller


async def _echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


@pytest.fixture
def http() -> httpx.AsyncClient:
    inner = Starlette(routes=[Route("/admin/x", _echo, methods=["GET", "POST", "PATCH"])])
    app = Guarded(inner, lambda secret: Caller("k", admin=True))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gate", headers={"authorization": "Bearer x"}
    )


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json", "application/+"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_body_that_is_not_said_to_be_json_is_refused_clearly(
    http: httpx.AsyncClient, kind: str | None, method: str
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    async with http:
        answer = await http.request(method, "/admin/x", content=b'{"name": "x"}', headers=headers)
    error = answer.json()["error"]
    assert answer.status_code == 415 and error["code"] == "unsupported_media_type"
    assert "Content-Type: application/json" in error["message"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
async def test_json_under_any_of_its_names_passes(http: httpx.AsyncClient, kind: str) -> None:
    async with http:
        answer = await http.post("/admin/x", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 200 and answer.text == "{}"


async def test_without_a_body_nothing_need_be_said(http: httpx.AsyncClient) -> None:
    async with http:
        assert (await http.post("/admin/x")).status_code == 200 and (await http.get("/admin/x")).status_code == 200
