"""What holds for the cache of a call: the route's policy, and what the client wishes by `Cache-Control`."""

from __future__ import annotations

import math

from msgspec import Struct

from comporta.cache.semantic.policy import SemanticPolicy, semantic_of
from comporta.cache.settings import CacheSection, RouteCacheSection

#: Modes of content capture under which no content may be kept, and so no answer.
_UNKEPT = frozenset({"off", "hashed"})


class CachePolicy(Struct, frozen=True):
    """The cache of a route that has one."""

    ttl_s: float = 3600.0
    #: Answers that cost less (or an unknown amount) are not kept; 0 keeps all.
    min_cost_microusd: int = 0
    max_entry_bytes: int = 1 << 20
    share: bool = False
    #: None where questions are not compared by meaning.
    semantic: SemanticPolicy | None = None


def policy_of(general: CacheSection, route: RouteCacheSection | None, content: str) -> CachePolicy | None:
    """The policy of a route whose content is captured as `content` says; None where nothing is cached."""
    enabled = general.enabled if route is None else route.enabled
    if not enabled or content in _UNKEPT:
        return None
    own = route or RouteCacheSection()
    ttl_s = general.ttl if own.ttl is None else own.ttl
    min_cost_microusd = general.min_cost if own.min_cost is None else own.min_cost
    return CachePolicy(
        ttl_s=ttl_s,
        min_cost_microusd=min_cost_microusd,
        max_entry_bytes=general.max_entry if own.max_entry is None else own.max_entry,
        share=general.share if own.share is None else own.share,
        semantic=semantic_of(general.semantic, own.semantic, ttl_s, min_cost_microusd),
    )


class Wish(Struct, frozen=True):
    """What a client wants of the cache: `read` an old answer of at most `max_age_s`, `store` the new one.

    `alike` says whether the answer to another question that means the same will do.
    """

    read: bool = True
    store: bool = True
    max_age_s: float = math.inf
    alike: bool = True


NO_WISH = Wish()
_ALONE = Wish(read=False, store=False)


def wish_of(header: str | None, wanted: str | None = None) -> Wish:
    """The wish in a `Cache-Control` header, and in `x-comporta-cache` (`wanted`); other words are passed over.

    `no-store`, and `off`, leave the cache alone altogether; `no-cache` asks afresh, and the new answer takes the old
    one's place. `exact` wants the answer to this very question or none.
    """
    if wanted:
        wanted = wanted.strip().lower()
        if wanted == "off":
            return _ALONE
    if not header:
        return Wish(alike=False) if wanted == "exact" else NO_WISH
    read, store, max_age_s = True, True, math.inf
    for directive in header.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "no-store":
            read = store = False
        elif name == "no-cache":
            read = False
        elif name == "max-age" and value.strip('"').isdecimal() and len(value) <= 12:
            max_age_s = min(max_age_s, float(value.strip('"')))
    return Wish(read, store, max_age_s, wanted != "exact")
