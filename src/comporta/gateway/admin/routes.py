"""`/admin/routes`: the names applications ask for. They stand in the configuration, so they are read-only here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from comporta.config.mistakes import did_you_mean
from comporta.errors import Conflict, NotFound
from comporta.gateway.admin.parts import ModelView, RouteView, Source
from comporta.gateway.admin.shapes import Listing, Name, Out

Routes = Callable[[], Sequence[RouteView]]


class VariantOut(Out):
    """One way to answer a route. Provider and model are empty where the prompt names the model."""

    name: str
    provider: str
    model: str
    weight: float
    params: dict[str, Any]
    prompt: str | None = Field(description="The prompt it asks with: `support@2.3.1`, `support@staging` or `support`.")


class RouteOut(Out):
    """A route and its variants; `file` and `line` say where it stands in the configuration."""

    name: str
    variants: list[VariantOut]
    sticky: bool
    source: Source
    file: str | None
    line: int | None


def router(routes: Routes) -> APIRouter:
    on = _On(routes)
    made = APIRouter(prefix="/admin/routes", tags=["routes"])
    made.add_api_route("", on.list, methods=["GET"], summary="List routes")
    made.add_api_route("/{name:path}", on.get, methods=["GET"], summary="Show a route")
    for method in ("PUT", "PATCH", "DELETE"):
        made.add_api_route(
            "/{name:path}", on.refuse, methods=[method], summary="Refused: routes stand in the configuration",
            status_code=409, operation_id=f"refuse_{method.lower()}_route",
        )  # fmt: skip
    return made


class _On:
    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    async def list(self) -> Listing[RouteOut]:
        """All routes as they are in force now."""
        return Listing(data=[RouteOut.model_validate(view) for view in self._routes()])

    async def get(self, name: Name) -> RouteOut:
        """One route."""
        return RouteOut.model_validate(self._find(name))

    async def refuse(self, name: Name) -> None:
        """Answers 409 with the file and the line to edit; a changed file takes effect within a second."""
        raise read_only("route", self._find(name))

    def _find(self, name: str) -> RouteView:
        views = {view.name: view for view in self._routes()}
        if name not in views:
            raise NotFound(f"There is no route '{name}'{did_you_mean(name, views)}.", param="name")
        return views[name]


def read_only(kind: str, view: RouteView | ModelView) -> Conflict:
    """What stands in the configuration is changed there: file and line."""
    if view.file is None:
        return Conflict(
            f"The {kind} '{view.name}' follows from the environment; write it into comporta.yaml to change it.",
            code="read_only", param="name",
        )  # fmt: skip
    return Conflict(
        f"The {kind} '{view.name}' stands in {view.file} line {view.line}; change it there, it takes effect within a "
        "second.",
        code="read_only", param="name",
    )  # fmt: skip
