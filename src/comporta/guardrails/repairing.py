"""Rewriting: an answer (or a question) that a guard wants otherwise is mended by rules, else by one more question.

At most once: what comes back is looked at again by the same guard, and blocks where it still finds what it found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from comporta.guardrails.base import Context
from comporta.guardrails.looking import Text
from comporta.guardrails.masking import Masks
from comporta.guardrails.running import Found, Piece, disjoint
from comporta.pipeline import Call

#: Asks the call's own model for another wording: (call, text, why) -> text, None where it gave none.
Reword = Callable[[Call, str, str], Awaitable[str | None]]


class Repairs:
    """Mends what guards want rewritten. Without `reword` only rules mend."""

    def __init__(self, reword: Reword | None = None) -> None:
        self._reword = reword

    async def mended(self, found: Found, piece: Piece, context: Context, call: Call) -> str | None:
        """Another text in place of one at fault; None where there is none that the guard lets pass."""
        verdict, raw = found.verdict, piece.text.raw
        offers: list[str] = []
        if verdict.text is not None:
            offers.append(verdict.text)
        elif verdict.spans:
            offers.append(Masks().put(raw, disjoint(verdict.spans)))
        for offer in offers:
            if await self._passes(found, offer, context):
                return offer
        if self._reword is None:
            return None
        offer_or_none = await self._reword(call, raw, verdict.reason)
        if offer_or_none is not None and await self._passes(found, offer_or_none, context):
            return offer_or_none
        return None

    async def _passes(self, found: Found, offer: str, context: Context) -> bool:
        again = await found.use.guard(Text(offer), context)
        return again.outcome == "pass" or (again.outcome != "block" and again.confidence < found.use.threshold)
