"""The admin API over a gate: how its routes, models, providers and state look from outside.

FastAPI costs half a second to import, so this module is imported when the first request for it comes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from comporta import __version__
from comporta.app.gate import Gate
from comporta.budget.declared import allocation
from comporta.config.secret import without_password
from comporta.errors import Unavailable
from comporta.gateway.admin.app import admin_app
from comporta.gateway.admin.parts import (
    AdminParts,
    BreakersStatus,
    DatabaseStatus,
    ModelView,
    ProviderStatus,
    RouteView,
    Showback,
    SpoolStatus,
    Status,
    VariantView,
)
from comporta.gateway.asgi import AsgiMount
from comporta.prompts.refs import written
from comporta.types import Caller


async def mounted(gate: Gate, authenticate: Callable[[str], Caller]) -> AsgiMount:
    """The admin API, started."""
    views = Views(gate)
    parts = AdminParts(
        keys=gate.keys,
        budgets=gate.budgets,
        registered=gate.registered,
        prompts=gate.prompts,
        database=gate.database,
        routes=views.routes,
        models=views.models,
        providers=lambda: list(gate.known.providers),
        status=views.status,
        people=gate.people,
        notifier=gate.notifier,
        showback=views.showback,
        rollouts=gate.rollouts,
        caches=gate.caching.recalling,
        reviews=gate.reviews,
        deciding=gate,
        policy=gate.guarding.named,
        alerts=gate.observing.alerts,
        present=gate.observing.present,
        targets=gate.observing.targets,
    )
    mount = AsgiMount(admin_app(parts, authenticate))
    await mount.startup()
    return mount


class Views:
    """Looks at the gate anew at every request."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._started_at_s = time.time()

    def showback(self) -> Showback:
        settings = self._gate.loaded.value
        section = allocation(settings.cost_allocation, settings.budget_management).showback
        return Showback(section.enabled, section.dashboard_url)

    def routes(self) -> Sequence[RouteView]:
        gate = self._gate
        found = []
        for name, route in gate.known.routes.items():
            variants = tuple(
                VariantView(v.name, v.provider, v.model, v.weight, v.params, written(v.prompt) if v.prompt else None)
                for v in route.variants
            )
            section = "routes" if name in gate.known.settings.routes else "models"
            if name in gate.known.settings.routes or name in gate.known.settings.models:
                place = gate.loaded.place((section, name))
                found.append(RouteView(name, variants, route.sticky, "file", str(place.file), place.line))
            else:
                found.append(RouteView(name, variants, route.sticky, "environment"))
        return found

    def models(self) -> Sequence[ModelView]:
        known = self._gate.known
        found = [
            ModelView(
                m.name, m.provider, m.model, "api", m.price, m.context, m.max_output, tuple(m.capabilities), m.params
            )
            for m in self._gate.registered.list()
        ]
        for name, provider in known.providers.items():
            for model in provider.models:
                facts = provider.facts(model)
                full = f"{name}/{model}"
                found.append(
                    ModelView(
                        full, name, model, "catalogue", facts.price, facts.context, facts.max_output,
                        facts.capabilities,
                    )
                )  # fmt: skip
        return found

    async def status(self) -> Status:
        gate = self._gate
        spool = gate.telemetry.spool
        return Status(
            version=__version__,
            started_at_s=self._started_at_s,
            workers=int(os.environ.get("COMPORTA_WORKERS", "1")),
            in_flight=gate.telemetry.recorder.in_flight,
            database=await self._database(),
            spool=SpoolStatus(waiting_bytes=spool.bytes + spool.others_bytes, limit_bytes=spool.max_bytes),
            providers=tuple(self._providers()),
            breakers=BreakersStatus(gate.health.kept, tuple(gate.health.ailing())),
            warnings=tuple(gate.sparing.checks.warnings()),
        )

    async def _database(self) -> DatabaseStatus:
        database = self._gate.database
        embedded = self._gate.loaded.value.database.url is None
        try:
            await database.wait_ready(2)
        except Unavailable as error:
            return DatabaseStatus(False, database.place, embedded, error.message)
        return DatabaseStatus(True, database.place, embedded)

    def _providers(self) -> list[ProviderStatus]:
        return [
            ProviderStatus(
                name=name,
                kind=provider.row.name,
                base_url=without_password(provider.bare.base_url),
                credentials=tuple(credential.name for credential in provider.credentials.all()),
                ready=bool(provider.credentials.all()) or not provider.row.needs_key,
                models=len(provider.models),
            )
            for name, provider in self._gate.known.providers.items()
        ]
