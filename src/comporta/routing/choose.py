"""From the name a client asks for to the targets that may answer, in order.

A name is, in this order: a route of the configuration, a registered model, `provider/model`, or a bare model name that
exactly one of the configured providers offers.
"""

from __future__ import annotations

import difflib
import hashlib
import random
from collections.abc import Iterable
from typing import Literal, Protocol

from msgspec import Struct, structs

from comporta.errors import Forbidden, NotFound
from comporta.types import JSON, Caller, PromptRef, Target

#: What becomes of a stream that breaks off after its first content.
OnCut = Literal["end", "resume"]


class Variant(Struct, frozen=True):
    """One way to answer a route: a provider's model with parameters and a weight, and perhaps a prompt.

    Provider and model are empty where the prompt's file names the model: then the stage `prompt` fills them in.
    """

    name: str
    provider: str
    model: str
    weight: float = 1.0
    params: JSON = {}
    prompt: PromptRef | None = None


class Route(Struct, frozen=True):
    """The name an application asks for, and its variants; one of weight 0 only takes over from others.

    `sticky` keeps a session, else a user, on one variant. `larger` answers what was too long for the others,
    `last_resort` is a fixed reply when nobody can.
    """

    name: str
    variants: tuple[Variant, ...]
    sticky: bool = True
    larger: Variant | None = None
    last_resort: str | None = None
    on_cut: OnCut = "end"
    #: The plan of a route with one variant: it is the same for every call.
    only_plan: Plan | None = None

    def __post_init__(self) -> None:
        only = _planned(self, self.variants[0]) if len(self.variants) == 1 else None
        structs.force_setattr(self, "only_plan", only)


class Plan(Struct, frozen=True):
    """The targets of one call: the one it is drawn to first, then those that may take over, in the route's order."""

    targets: tuple[Target, ...]
    larger: Target | None = None
    last_resort: str | None = None
    on_cut: OnCut = "end"


class Known(Protocol):
    """What `choose` looks names up in; snapshots in memory, no I/O."""

    def route(self, name: str) -> Route | None: ...
    def provider(self, name: str) -> bool: ...
    def offering(self, model: str) -> tuple[str, ...]: ...
    def names(self) -> Iterable[str]: ...


def plan_of(known: Known, name: str, caller: Caller, sticky_key: str | None) -> Plan:
    """Where a name leads. Raises NotFound (with the nearest name) or Forbidden where the key may not use it."""
    plan = _find(known, name, sticky_key)
    if plan is None:
        raise NotFound(_unknown(known, name, caller), code="model_not_found", param="model")
    if not permitted(caller, name, plan.targets[0]):
        raise Forbidden(f"This key may not use '{name}'.", code="model_not_allowed", param="model")
    return plan


def permitted(caller: Caller, name: str, target: Target | None = None) -> bool:
    """Whether a key may use a name: no list allows all; an entry `provider/*` allows all of a provider."""
    if not caller.allow or caller.admin:
        return True
    names = {name, name.partition("/")[0] + "/*", name.partition(":")[0] + ":*"}
    if target is not None and target.route == f"{target.provider}/{target.model}":
        names |= {f"{target.provider}/{target.model}", f"{target.provider}/*"}
    return not names.isdisjoint(caller.allow)


def _find(known: Known, name: str, sticky_key: str | None) -> Plan | None:
    route = known.route(name)
    if route is not None:
        return route.only_plan or _planned(route, pick(route, sticky_key))
    provider, slash, model = name.partition("/")
    if slash and model and known.provider(provider):
        return Plan((Target(name, name, provider, model),))
    offering = known.offering(name)
    if len(offering) != 1:
        return None
    full = f"{offering[0]}/{name}"
    return Plan((Target(full, full, offering[0], name),))


def _planned(route: Route, first: Variant) -> Plan:
    larger = None if route.larger is None else target_of(route, route.larger)
    if len(route.variants) == 1:
        return Plan((target_of(route, first),), larger, route.last_resort, route.on_cut)
    others = [variant for variant in route.variants if variant is not first]
    targets = tuple(target_of(route, variant) for variant in (first, *others))
    return Plan(targets, larger, route.last_resort, route.on_cut)


def target_of(route: Route, variant: Variant) -> Target:
    """Where a route's calls go by one of its variants."""
    return Target(route.name, variant.name, variant.provider, variant.model, variant.params, prompt=variant.prompt)


def pick(route: Route, sticky_key: str | None) -> Variant:
    """The variant for a caller: by weight, and always the same one for the same key."""
    variants = route.variants
    if len(variants) == 1:
        return variants[0]
    total = sum(v.weight for v in variants)
    at = _position(route.name, sticky_key if route.sticky else None) * total
    for variant in variants:
        at -= variant.weight
        if at < 0:
            return variant
    return max(variants, key=lambda v: v.weight)


def _position(salt: str, key: str | None) -> float:
    """A place in [0, 1): drawn without a key, hashed with one."""
    if key is None:
        return random.random()
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _unknown(known: Known, name: str, caller: Caller) -> str:
    names = [n for n in known.names() if permitted(caller, n)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    offered = known.offering(name)
    if len(offered) > 1:
        several = ", ".join(f"{p}/{name}" for p in offered)
        return f"Several providers offer '{name}': ask for one of {several}."
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"There is no route or model '{name[:100]}'.{hint} GET /v1/models lists what this key may use."
