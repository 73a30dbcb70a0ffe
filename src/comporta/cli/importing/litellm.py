"""LiteLLM's configuration as ours: sections put together, and everything told that could not be carried over."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from comporta.cli.importing.endpoints import Endpoints, section_of, written
from comporta.cli.importing.fallbacks import Fallbacks
from comporta.cli.importing.models import Deployment, deployments, facts_of, limit_of, variants_of
from comporta.cli.importing.settings import Settings, settings_of
from comporta.cli.importing.source import Left, Part, variables_in
from comporta.config.values import show_duration
from comporta.errors import ConfigError
from comporta.providers.catalogue import Catalogue

_KEYS_LIVE_ELSEWHERE = (
    "virtual keys, teams, users and spend lie in LiteLLM's database and stay there: make keys with "
    "`comporta key create`, budgets with `comporta budget create`"
)


class Imported(Struct, frozen=True):
    """The new configuration's sections, and what was left, in the order of the file."""

    sections: dict[str, Any]
    left: list[Left]


def imported(whole: Part) -> Imported:
    """Raises ConfigError where nothing in the file can be asked here."""
    endpoints = Endpoints(variables_in(whole))
    found = deployments(whole, endpoints, Catalogue.shipped())
    groups = _groups(found)
    settings = settings_of(whole)
    _tell_whole(whole)
    providers = {name: section_of(name, endpoint) for endpoint, name in endpoints}
    if not providers:
        raise ConfigError("Nothing in it can be asked here:\n" + "\n".join(told(one) for one in sorted(whole.left)))
    if settings.timeouts:
        for section in providers.values():
            section["timeouts"] = dict(settings.timeouts)
    sections: dict[str, Any] = {"providers": providers}
    models = facts_of(found)
    if models:
        sections["models"] = models
    routes = _routes(groups, settings, Fallbacks(settings, groups, whole))
    if routes:
        sections["routes"] = routes
    sections |= settings.sections
    limits = [*_limits(found), *settings.limits]
    if limits:
        sections["limits"] = limits
    return Imported(sections, sorted(set(whole.left)))


def told(one: Left) -> str:
    """A line about something that was left."""
    return f"line {one.line}: {one.path}: {one.why}"


def _groups(found: list[Deployment]) -> dict[str, list[Deployment]]:
    groups: dict[str, list[Deployment]] = {}
    for one in found:
        groups.setdefault(one.route, []).append(one)
    return groups


def _routes(groups: dict[str, list[Deployment]], settings: Settings, fallbacks: Fallbacks) -> dict[str, Any]:
    routes = {name: _route(group) | fallbacks.of(name) for name, group in groups.items()}
    for alias, name in settings.aliases.items():
        name = written(name)
        if name in routes and alias not in routes:
            routes[written(alias)] = dict(routes[name])
    return routes


def _route(group: list[Deployment]) -> dict[str, Any]:
    variants = variants_of(group)
    found: dict[str, Any] = {"variants": variants}
    if len(variants) == 1 and set(variants[0]) == {"model"}:
        found = {"model": variants[0]["model"]}
    timeouts = {}
    for ours, field in (("first_token", "stream_timeout_s"), ("total", "timeout_s")):
        longest = max((value for one in group if (value := getattr(one, field)) is not None), default=None)
        if longest is not None:
            timeouts[ours] = show_duration(longest)
    if timeouts:
        found["timeouts"] = timeouts
    retries = max((one.retries for one in group if one.retries is not None), default=None)
    if retries is not None:
        found["retry"] = {"attempts": min(retries + 1, 20)}
    return found


def _limits(found: list[Deployment]) -> list[dict[str, Any]]:
    """Of several entries for one model of one provider each has its own allowance: together they come to the sum."""
    limits: dict[str, dict[str, Any]] = {}
    for one in found:
        limit = limit_of(one)
        if limit is None:
            continue
        same = limits.setdefault(one.full, {"per": "model", "name": one.full})
        for kind, figure in limit.items():
            if kind not in ("per", "name"):
                same[kind] = same.get(kind, 0) + figure
    return list(limits.values())


def _tell_whole(whole: Part) -> None:
    below = whole.part("environment_variables")
    for name in below.names():
        below.leave(name, f"set the variable {name} where the gate runs, or in `.env` beside comporta.yaml")
    whole.leave("credential_list", "name the keys in `providers.NAME.credentials`")
    whole.leave("include", "import each of these files by itself")
    whole.leave("guardrails", "write these as policies: see docs/how-to/guard-calls.md")
    whole.leave("mcp_servers", "MCP servers are not served here")
    whole.leave("vector_store_registry", "there is no retrieval here yet")
    whole.rest()
    whole.left.append(Left(0, "LiteLLM's database", _KEYS_LIVE_ELSEWHERE))
