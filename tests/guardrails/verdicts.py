"""What one guard says of a text, for tests of kinds."""

from __future__ import annotations

from typing import Any

from comporta.guardrails.base import Context, Kind, Tools, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.policy import Kinds


def of(kinds: tuple[Kind, ...], name: str) -> Kind:
    """The kind of that name, out of a module's."""
    return next(kind for kind in kinds if kind.name == name)


async def verdict(kind: Kind, text: str, settings: Any = None, tools: Tools | None = None, **about: Any) -> Verdict:
    """Ask a guard made with `settings`, with what `about` says of the context."""
    side = about.pop("side", kind.sides[-1])
    use = Kinds((kind,), tools or Tools()).use({"type": kind.name, **(settings or {})}, side)
    place = about.pop("place", "user" if side == "input" else "assistant")
    return await use.guard(Text(text), Context(side, place, about.pop("threshold", use.threshold), **about))
