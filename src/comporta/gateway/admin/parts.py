"""What the admin API is given: its collaborators, and how it sees routes, models and the state of the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from comporta.alerts.alerts import Alerts
from comporta.budget.budgets import Budgets
from comporta.gateway.admin.asked import Caches, Deciding
from comporta.keys.keys import Keys
from comporta.notify.notifier import Notifier
from comporta.prompts.registry import Registry
from comporta.routing.health import Ailing
from comporta.routing.registered import RegisteredModels
from comporta.routing.rollout.releases import Releases
from comporta.store.database import Database
from comporta.store.people import People
from comporta.telemetry.observability.targets import Target
from comporta.telemetry.reviews import Reviews
from comporta.types import JSON, Price

#: Where an object was said: the configuration file, this API, the environment (a key found there), the catalogue.
Source = Literal["file", "api", "environment", "catalogue"]


class VariantView(Struct, frozen=True):
    name: str
    provider: str
    model: str
    weight: float
    params: JSON = {}
    prompt: str | None = None


class RouteView(Struct, frozen=True):
    """A route as the gate knows it now; `file` and `line` where it stands in the configuration."""

    name: str
    variants: tuple[VariantView, ...]
    sticky: bool = True
    source: Source = "file"
    file: str | None = None
    line: int | None = None


class ModelView(Struct, frozen=True):
    """A model that can be asked for, with what is known of it; None and empty are unknown, never «none»."""

    name: str
    provider: str
    model: str
    source: Source
    price: Price | None = None
    context: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] = ()
    params: JSON = {}
    file: str | None = None
    line: int | None = None


class Showback(Struct, frozen=True):
    """Whether costs are shown, and where the operator's own page on them is."""

    enabled: bool = True
    dashboard_url: str | None = None


class DatabaseStatus(Struct, frozen=True):
    reachable: bool
    #: Host and database, without the password.
    place: str
    embedded: bool
    #: The reason where it is not reachable.
    problem: str | None = None


class SpoolStatus(Struct, frozen=True):
    """Records on this machine that the database does not hold yet."""

    waiting_bytes: int
    limit_bytes: int


class ProviderStatus(Struct, frozen=True):
    name: str
    kind: str
    base_url: str
    #: Names of its credentials, never the keys themselves.
    credentials: tuple[str, ...]
    #: Whether it can be asked: a key is there, or none is needed.
    ready: bool
    models: int


class BreakersStatus(Struct, frozen=True):
    """What is left alone after failures, as the worker that answers knows it."""

    kept: Literal["memory", "redis", "redis_away"] = "memory"
    resting: tuple[Ailing, ...] = ()


class Status(Struct, frozen=True):
    version: str
    started_at_s: float
    workers: int
    in_flight: int
    database: DatabaseStatus
    spool: SpoolStatus
    providers: tuple[ProviderStatus, ...]
    breakers: BreakersStatus = BreakersStatus()
    #: What somebody should look at, a sentence each.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdminParts:
    """The callables are asked at every request, so that a reloaded configuration shows at once."""

    keys: Keys
    budgets: Budgets
    registered: RegisteredModels
    prompts: Registry
    #: Calls and figures are read from it.
    database: Database
    routes: Callable[[], Sequence[RouteView]]
    models: Callable[[], Sequence[ModelView]]
    providers: Callable[[], Collection[str]]
    status: Callable[[], Awaitable[Status]]
    people: People
    notifier: Notifier
    #: Whether costs are shown, and where.
    showback: Callable[[], Showback]
    rollouts: Releases
    caches: Caches
    reviews: Reviews
    alerts: Alerts
    #: Figures of now that no sum holds.
    present: Callable[[], Awaitable[Mapping[str, float | None]]]
    #: Targets of figures, and the seconds that they are counted over.
    targets: Callable[[], tuple[Sequence[Target], float]]
    #: Where calls would go, and why.
    deciding: Deciding
    #: Raises BadRequest for the name of a guard policy that there is not.
    policy: Callable[[str], object]
