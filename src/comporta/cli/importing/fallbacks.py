"""LiteLLM's fallbacks from name to name, as a route's own list of models that take over."""

from __future__ import annotations

from typing import Any

from comporta.cli.importing.endpoints import written
from comporta.cli.importing.models import Deployment
from comporta.cli.importing.settings import Settings
from comporta.cli.importing.source import Left, Part

_ALL = "*"


class Fallbacks:
    """What `fallback` and `larger_context` a route gets. They name models, so a group stands for its own."""

    def __init__(self, settings: Settings, groups: dict[str, list[Deployment]], whole: Part) -> None:
        self._settings = settings
        self._groups = groups
        self._left = whole.left
        for source, lists in (("fallbacks", settings.fallbacks), ("context_window_fallbacks", settings.larger)):
            for name in lists:
                if name != _ALL and written(name) not in groups:
                    self._tell(source, f"there is no imported model of the name '{name}'")

    def of(self, route: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        settings = self._settings
        takers = self._models(route, "fallbacks", self._named(settings.fallbacks, route) or settings.default_fallbacks)
        if takers:
            found["fallback"] = takers
        larger = self._models(route, "context_window_fallbacks", self._named(settings.larger, route))
        if larger:
            found["larger_context"] = larger[0]
            if len(larger) > 1:
                self._tell("context_window_fallbacks", f"one model takes what is too long for '{route}': the first")
        return found

    def _named(self, lists: dict[str, list[str]], route: str) -> list[str]:
        return next((names for name, names in lists.items() if written(name) == route), lists.get(_ALL, []))

    def _models(self, route: str, source: str, names: list[str]) -> list[str]:
        """The models of other groups, without those that the route has itself."""
        own = {one.full for one in self._groups[route]}
        found: list[str] = []
        for name in names:
            group = self._groups.get(written(name))
            if group is None:
                self._tell(source, f"'{name}', which is to take over from '{route}', was not imported")
                continue
            for one in group:
                if one.params:
                    self._tell(source, f"the defaults of '{name}' don't hold where it takes over from others")
                if one.full not in own and one.full not in found:
                    found.append(one.full)
        return found

    def _tell(self, source: str, why: str) -> None:
        section, line = self._settings.places.get(source, ("router_settings", 0))
        self._left.append(Left(line, f"{section}.{source}", why))
