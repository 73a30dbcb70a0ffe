"""`/admin/models`: every model that can be asked for, and those registered while the gate runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from comporta.config.mistakes import did_you_mean
from comporta.errors import BadRequest, Conflict, NotFound
from comporta.gateway.admin.parts import AdminParts, ModelView, RouteView, Source
from comporta.gateway.admin.routes import read_only
from comporta.gateway.admin.shapes import WHOLE, By, Deleted, In, Listing, Name, Out
from comporta.routing.registered import RegisteredModel
from comporta.types import Price

_Cost = Annotated[int, Field(ge=0, le=10**12), WHOLE]
_Tokens = Annotated[int, Field(gt=0, le=2**31 - 1), WHOLE]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$"


class PriceIn(In):
    """Micro-dollars per million tokens; what is left out is unknown, not free."""

    input: _Cost | None = Field(None, examples=[150_000])
    cached: _Cost | None = None
    cache_write: _Cost | None = None
    output: _Cost | None = Field(None, examples=[600_000])
    reasoning: _Cost | None = None
    audio_in: _Cost | None = None
    image_in: _Cost | None = None
    audio_out: _Cost | None = None


class PriceOut(Out):
    """Micro-dollars per million tokens; null is unknown, not free."""

    input: int | None
    cached: int | None
    cache_write: int | None
    output: int | None
    reasoning: int | None
    audio_in: int | None
    image_in: int | None
    audio_out: int | None


class ModelIn(In):
    """A model to register under a name."""

    provider: Annotated[str, Field(min_length=1, max_length=100, examples=["openai"])]
    model: Annotated[str, Field(min_length=1, max_length=200, examples=["gpt-4o-mini"])] = Field(
        description="The provider's own name of it."
    )
    price: PriceIn | None = Field(None, description="Default: as the configuration or the catalogue says.")
    context: _Tokens | None = Field(None, description="Tokens that fit in.")
    max_output: _Tokens | None = Field(None, description="Tokens it can write.")
    capabilities: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=50, examples=[["tools", "vision"]]
    )
    params: dict[str, Any] = Field(
        default_factory=dict, max_length=100, description="Defaults that a call's body may override.",
        examples=[{"temperature": 0.2}],
    )  # fmt: skip


class NamedModelIn(ModelIn):
    """The same with its name."""

    name: str = Field(pattern=_NAME, description="What applications ask for.", examples=["small"])


class ModelOut(Out):
    """A model and what is known of it; null and empty are unknown."""

    name: str
    provider: str
    model: str
    source: Source
    price: PriceOut | None
    context: int | None
    max_output: int | None
    capabilities: list[str]
    params: dict[str, Any]
    file: str | None
    line: int | None


def router(parts: AdminParts) -> APIRouter:
    on = _On(parts)
    made = APIRouter(prefix="/admin/models", tags=["models"])
    made.add_api_route("", on.list, methods=["GET"], summary="List models")
    made.add_api_route("", on.create, methods=["POST"], status_code=201, summary="Register a model")
    made.add_api_route("/{name:path}", on.get, methods=["GET"], summary="Show a model")
    made.add_api_route("/{name:path}", on.put, methods=["PUT"], summary="Register or change a model")
    made.add_api_route("/{name:path}", on.delete, methods=["DELETE"], summary="Remove a registered model")
    return made


class _On:
    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts

    async def list(
        self,
        provider: Annotated[str | None, Query(max_length=100, description="Only models of this provider.")] = None,
        source: Annotated[Source | None, Query(description="Only models said there.")] = None,
    ) -> Listing[ModelOut]:
        """Every model that can be asked for by a name of its own."""
        views = (v for v in self._parts.models() if provider in (None, v.provider) and source in (None, v.source))
        return Listing(data=[ModelOut.model_validate(view) for view in views])

    async def create(self, body: NamedModelIn, by: By) -> ModelOut:
        """Register a model under a new name; every worker knows it within a second."""
        if self._parts.registered.get(body.name) is not None:
            raise Conflict(f"A model named '{body.name}' is registered already; use PUT to change it.", param="name")
        return await self._register(body.name, body, by)

    async def get(self, name: Name) -> ModelOut:
        """One model."""
        view = self._view(name)
        if view is None:
            names = [one.name for one in self._parts.models()]
            raise NotFound(f"There is no model '{name}'{did_you_mean(name, names)}.", param="name")
        return ModelOut.model_validate(view)

    async def put(self, name: Name, body: ModelIn, by: By) -> ModelOut:
        """Register a model under this name, or change the one registered there as a whole."""
        return await self._register(name, body, by)

    async def delete(self, name: Name) -> Deleted:
        """Remove a registered model; the name then means what configuration and catalogue say."""
        self._demand_ours(name)
        await self._parts.registered.delete(name)
        return Deleted(deleted=name)

    async def _register(self, name: str, body: ModelIn, by: str) -> ModelOut:
        self._demand_ours(name)
        known = self._parts.providers()
        if body.provider not in known:
            raise BadRequest(
                f"There is no provider '{body.provider}'{did_you_mean(body.provider, known)}.", param="provider"
            )
        given = body.model_dump(exclude={"price", "name"})
        price = None if body.price is None else Price(**body.price.model_dump())
        given["capabilities"] = tuple(body.capabilities)
        row = await self._parts.registered.put(RegisteredModel(name=name, price=price, **given), by=by)
        return ModelOut.model_validate(self._view(name) or _view_of(row))

    def _demand_ours(self, name: str) -> None:
        """What the configuration says is not changed here, nor covered by a registered name."""
        views: list[RouteView | ModelView] = [*self._parts.routes(), *self._parts.models()]
        for view in views:
            if view.name == name and view.source == "file":
                raise read_only("model" if isinstance(view, ModelView) else "route", view)

    def _view(self, name: str) -> ModelView | None:
        return next((view for view in self._parts.models() if view.name == name), None)


def _view_of(row: RegisteredModel) -> ModelView:
    return ModelView(
        row.name, row.provider, row.model, "api", row.price, row.context, row.max_output, row.capabilities, row.params
    )
