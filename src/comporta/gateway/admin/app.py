"""The admin API as one FastAPI application. Importing this takes a third of a second: see the package's own words."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from comporta.errors import BadRequest, ComportaError, NotFound
from comporta.gateway.admin import (
    alerts,
    budgets,
    cache,
    calls,
    conversations,
    deciding,
    experiments,
    findings,
    keys,
    metrics,
    models,
    notices,
    prompts,
    reviews,
    rollouts,
    routes,
    scores,
    spending,
    status,
    traces,
    users,
)
from comporta.gateway.admin.document import completed
from comporta.gateway.admin.guarding import Guarded, envelope
from comporta.gateway.admin.identity import identity
from comporta.gateway.admin.page import render
from comporta.gateway.admin.parts import AdminParts
from comporta.types import Caller

_ABOUT = """Keys, budgets, routes, models, prompts, rollouts, calls and users of this gate.

Every request needs an administrator's key: `Authorization: Bearer cmp-…`. Failures come as
`{"error": {"message", "type", "param", "code"}}` with a fitting status. What stands in the configuration file is
read-only here: changing it answers 409 and names file and line."""


class _Admin(FastAPI):
    """FastAPI with a document that tells the whole truth."""

    def openapi(self) -> dict[str, Any]:
        return self.openapi_schema or completed(super().openapi())


def admin_app(parts: AdminParts, authenticate: Callable[[str], Caller]) -> FastAPI:
    """The application, to be mounted at `/admin`; `authenticate` turns a secret into a Caller or raises InvalidKey."""
    app = _Admin(
        title="Comporta admin API", version=version("comporta"), description=_ABOUT, openapi_url="/admin/openapi.json",
        docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.who = identity(parts.keys)
    for router in (
        keys.router(parts.keys, parts.policy),
        budgets.router(parts),
        spending.router(parts.database, parts.showback),
        routes.router(parts.routes),
        deciding.router(parts.deciding, parts.database),
        models.router(parts),
        calls.router(parts.database),
        traces.router(parts.database),
        prompts.router(parts.prompts, parts.database, app.state.who),
        scores.router(parts.database),
        conversations.router(parts.database),
        reviews.router(parts.reviews),
        findings.router(parts.database),
        rollouts.router(parts.rollouts),
        experiments.router(parts.rollouts),
        notices.router(parts.notifier),
        metrics.router(parts.database, parts.present, parts.targets),
        alerts.router(parts.alerts),
        users.router(parts.people),
        cache.router(parts.caches),
        status.router(parts.status),
    ):
        app.include_router(router)
    _add_pages(app)
    _tell_failures(app)
    app.add_middleware(Guarded, authenticate=authenticate)
    return app


def _add_pages(app: FastAPI) -> None:
    page: list[str] = []

    async def docs() -> HTMLResponse:
        if not page:
            page.append(render(app.openapi()))
        return HTMLResponse(page[0])

    async def root() -> RedirectResponse:
        return RedirectResponse("/admin/docs")

    app.add_api_route("/admin/docs", docs, include_in_schema=False)
    app.add_api_route("/admin", root, include_in_schema=False)


def _tell_failures(app: FastAPI) -> None:
    """Every failure in the one envelope, those of FastAPI's own making too; `Guarded` tells the unexpected ones."""

    async def ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, ComportaError)
        return _told(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _told(_bad_request(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _told(_wrong_path(request, error), dict(error.headers or {}))

    app.add_exception_handler(ComportaError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _told(error: ComportaError, headers: dict[str, str] | None = None) -> Response:
    return Response(envelope(error), error.status, headers=headers, media_type="application/json")


def _bad_request(error: RequestValidationError) -> BadRequest:
    """The mistakes in one sentence each, without what was written: it may be a secret."""
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON (at character {found[0]['loc'][-1]}).", code="invalid_json")
    texts = [f"{_field(one['loc']) or 'the body'}: {one['msg'].removeprefix('Value error, ')}" for one in found[:5]]
    more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
    return BadRequest("; ".join(texts) + more, param=_field(found[0]["loc"]) or None)


def _field(location: tuple[int | str, ...]) -> str:
    """`("body", "tags", "team")` as `tags.team`."""
    return ".".join(str(step) for step in location[1:])


def _wrong_path(request: Request, error: HTTPException) -> ComportaError:
    path = "".join(c if c.isprintable() else "?" for c in request.url.path[:200])
    if error.status_code == 404:
        return NotFound(f"There is nothing at {path}; /admin/docs lists what there is.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return ComportaError(f"Use {allowed} at {path}.", code="method_not_allowed", status=405)
    if error.status_code == 400:
        return BadRequest("The body can't be read: it is no JSON in UTF-8.", code="invalid_json")
    return BadRequest(str(error.detail), status=error.status_code)
