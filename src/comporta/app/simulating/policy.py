"""The policy file of a simulation: the words of `comporta.yaml`, put over today's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from pydantic import Field

from comporta.app.settings import Settings
from comporta.config.loading import Loaded, load
from comporta.config.mistakes import did_you_mean, refusal
from comporta.config.parsing import parse, read_text
from comporta.config.tree import Fields, Mistake, Node, merged
from comporta.config.values import Share
from comporta.gateway.batches.settings import BatchesSection
from comporta.gateway.prompt_caching import Mode

#: What a policy may say, and the levers that each turns on; None for what only serves the others.
_SAYS: Mapping[str, str | None] = {
    "cache": "cache", "model_routing": "routing", "optimize": "tokens", "prompt_caching": "prompt_caching",
    "batches": "batching", "routes": None, "models": None,
}  # fmt: skip
#: The same for one route.
_ROUTE_SAYS: Mapping[str, str] = {
    "cache": "cache", "optimize": "tokens", "prompt_caching": "prompt_caching", "model": "routing",
    "variants": "routing", "strategy": "routing", "balance": "routing", "cascade": "routing",
}  # fmt: skip
#: Of these a route has one.
_WAYS = ("model", "variants", "strategy", "cascade")
_OF_A_WAY = (*_WAYS, "balance", "task")


class WaitingSection(BatchesSection):
    """`batches:` of a policy: which calls could have waited, and what their provider takes off for that."""

    routes: list[str] = Field(default_factory=list, description="Routes whose calls could wait.")
    tags: dict[str, str | list[str]] = Field(
        default_factory=dict, description="Tags of calls that could wait, with one value or several."
    )
    discount: Share | None = Field(
        None, ge=0, lt=1, description="What a batch is cheaper by; default: as the provider's own batch API is."
    )


class SimulatedSettings(Settings):
    """Today's configuration with a policy over it."""

    batches: WaitingSection = Field(default_factory=lambda: WaitingSection(), description="What could have waited.")
    prompt_caching: Mode | None = Field(None, description="Providers' own caches, on every route that says nothing.")


class Policy(Struct, frozen=True):
    """What is simulated. `levers` are those that the file turns on, `steered` the routes it gives other models."""

    loaded: Loaded[SimulatedSettings]
    levers: frozenset[str]
    steered: frozenset[str] = frozenset()
    name: str = "today's configuration"

    @property
    def settings(self) -> SimulatedSettings:
        return self.loaded.value

    @property
    def strategy(self) -> str | None:
        """The strategy that calls go by whose routes the policy says nothing of."""
        routing = self.settings.model_routing
        if self.steered or not routing.strategies or "routing" not in self.levers:
            return None
        return routing.default_strategy or next(iter(routing.strategies))


def read_policy(
    file: Path | None, config: Path | None, environment: Mapping[str, str], text: str | None = None, base: str = ""
) -> Policy:
    """The policy of a file over a configuration; without a file, today's configuration itself.

    `text` stands in for the file's content, and `base` for the configuration's. Raises ConfigError with a line for
    every mistake.
    """
    reading = _Reading(file, text, base)
    loaded = load(SimulatedSettings, config, environment, amend=None if file is None else reading.amend)
    if file is None:
        return Policy(loaded, frozenset(_turned_on(loaded.value)))
    if not reading.levers:
        raise refusal([f"{file}: says nothing to simulate; it has {', '.join(_SAYS)}, in the words of comporta.yaml"])
    return Policy(loaded, frozenset(reading.levers), frozenset(reading.steered), str(file))


class _Reading:
    """A policy file while it is put over a configuration."""

    def __init__(self, file: Path | None, text: str | None, base: str) -> None:
        self._file = file
        self._text = text
        self._base = base
        self.levers: set[str] = set()
        self.steered: set[str] = set()

    def amend(self, tree: Node, mistakes: list[Mistake]) -> Node:
        name = str(self._file)
        if self._base:
            tree = parse(self._base, "sample")[0] or tree
        text, wrong = (self._text, []) if self._text is not None else read_text(Path(name), name, "policy")
        mistakes += wrong
        if text is None:
            return tree
        policy, wrong = parse(text, name)
        mistakes += wrong
        if policy is None:
            return tree
        if not isinstance(policy, Fields):
            mistakes.append(Mistake(policy.place, (), "must be a mapping (lines of key: value) at its top"))
            return tree
        for key, node in policy.values.items():
            if key not in _SAYS:
                near = did_you_mean(key, _SAYS)
                mistakes.append(Mistake(node.place, (key,), f"is no part of a policy{near}; it has {', '.join(_SAYS)}"))
            elif (lever := _SAYS[key]) is not None:
                self.levers.add(lever)
        known = Fields(policy.place, {key: node for key, node in policy.values.items() if key in _SAYS})
        return merged(self._cleared(tree, known), known)

    def _cleared(self, tree: Node, policy: Fields) -> Node:
        """The tree without the ways to answer that the policy gives anew."""
        routes = policy.values.get("routes")
        if not isinstance(routes, Fields):
            return tree
        for name, route in routes.values.items():
            said = route.values if isinstance(route, Fields) else {}
            self.levers |= {lever for key, lever in _ROUTE_SAYS.items() if key in said}
            if any(way in said for way in (*_WAYS, "balance")):
                self.steered.add(name)
            if any(way in said for way in _WAYS):
                tree = _without_ways(tree, name)
        return tree


def _without_ways(tree: Node, name: str) -> Node:
    routes = tree.values.get("routes") if isinstance(tree, Fields) else None
    route = routes.values.get(name) if isinstance(routes, Fields) else None
    if not isinstance(tree, Fields) or not isinstance(routes, Fields) or not isinstance(route, Fields):
        return tree
    left = Fields(route.place, {key: node for key, node in route.values.items() if key not in _OF_A_WAY})
    return Fields(tree.place, {**tree.values, "routes": Fields(routes.place, {**routes.values, name: left})})


def _turned_on(settings: SimulatedSettings) -> set[str]:
    """The levers that a configuration uses itself."""
    routes = settings.routes.values()
    on = {
        "cache": settings.cache.enabled or any(route.cache and route.cache.enabled for route in routes),
        "tokens": settings.optimize.enabled or any(route.optimize and route.optimize.enabled for route in routes),
        "prompt_caching": any(one.prompt_caching != "off" for one in settings.providers.values())
        or any(route.prompt_caching not in (None, "off") for route in routes),
        "routing": any(route.strategy or route.balance for route in routes),
    }
    return {name for name, is_on in on.items() if is_on}
