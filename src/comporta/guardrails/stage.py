"""The stage `guard`: what goes in is looked at before any model is asked, what comes out before anybody sees it.

It stands outside the cache, so that an old answer meets today's rules. A block is an answer of its own: an error that
names the guard, or the refusal that the policy words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import reduce

from comporta.errors import GuardFailed
from comporta.guardrails.call import (
    BLOCKED,
    GUARDED,
    LOOKED_IN,
    MASKS,
    REFUSED,
    Judge,
    Looking,
    Told,
    blocking,
    refusal,
)  # fmt: skip
from comporta.guardrails.held import Held, Observed
from comporta.guardrails.masking import Masks, Style
from comporta.guardrails.parts import pieces_of, with_texts
from comporta.guardrails.policy import Policy
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.restricting import Restriction
from comporta.guardrails.running import Found, Piece, Report, Runner, disjoint
from comporta.guardrails.watermark import Watermarked, may_be_marked
from comporta.pipeline import Call, Next, replay
from comporta.types import Event, Target

PolicyOf = Callable[[Call], Policy]
#: Where a model of that name is, for a call; None where there is none.
Redirect = Callable[[Call, str], Target | None]


class Guard:
    """The stage. `policy_of` gives the policy that holds for a call, `told` hears of every finding.

    Of what is blocked the call keeps masks where guards mark something, unless `hide` says otherwise: it is recorded.
    """

    def __init__(
        self, policy_of: PolicyOf, runner: Runner, told: Told, repairs: Repairs, style: Callable[[], Style],
        hide: Callable[[], bool] = lambda: True, judge: Judge | None = None, redirect: Redirect | None = None,
    ) -> None:  # fmt: skip
        self._policy_of = policy_of
        self._runner = runner
        self._told = told
        self._repairs = repairs
        self._style = style
        self._hide = hide
        self._judge = judge
        self._redirect = redirect

    def applies(self, call: Call) -> bool:
        """Whether anything is to be looked at; a count of tokens asks no model to say anything."""
        return call.kind not in ("count", "guard") and bool(self._policy_of(call))

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """Raises GuardrailBlocked and GuardFailed."""
        policy = self._policy_of(call)
        span = call.spans[-1] if call.spans else None
        looking = Looking(self._runner, self._told, self._repairs, call, policy, span, self._judge)
        # A fallback comes by here again, and finds masks in the input that are its own.
        looking.masks = call.facts.get(MASKS) or Masks(
            self._style(), _all(pieces_of(call.input)), lead_back=policy.unmask
        )
        if policy.input and LOOKED_IN not in call.facts:
            blocked = await self._look_in(looking, call, policy)
            if blocked is not None:
                return _refused(call, policy, blocked)
        call.facts[GUARDED] = True
        events = self._look_out(await next(call), looking, call, policy)
        if policy.watermark is not None and may_be_marked(call.input):
            return Watermarked(events, policy.watermark)
        return events

    def _look_out(
        self, events: AsyncIterator[Event], looking: Looking, call: Call, policy: Policy
    ) -> AsyncIterator[Event]:
        if not policy.output and not looking.masks.reversible:
            return events
        if policy.stream == "observe" and call.stream and not looking.masks.reversible:
            return Observed(events, looking)
        return Held(events, looking)

    async def _look_in(self, looking: Looking, call: Call, policy: Policy) -> Found | None:
        pieces = pieces_of(call.input, policy.turns)
        masks = looking.masks
        report = await looking.check(policy.input, pieces, "input")
        if report.blocked is not None:
            await self._blocked(looking, pieces, masks, report)
            return report.blocked
        texts = {
            piece.where: masks.put(piece.text.raw, spans)
            for at, piece in enumerate(pieces)
            if (spans := report.spans(at))
        }
        rewritten, hopeless = await looking.rewritten(report, pieces, "input")
        if hopeless is not None:
            await self._blocked(looking, pieces, masks, report)
            return hopeless
        texts |= rewritten
        call.input = with_texts(call.input, texts)
        self._restrict(call, report)
        if masks.used:
            call.facts[MASKS] = masks
        return None

    def _restrict(self, call: Call, report: Report) -> None:
        """What is suspicious goes on with less. Raises GuardFailed where its other model is not there."""
        found = [one for one in report.found if one.use.action == "restrict" and not one.failed]
        if not found:
            return
        restriction = reduce(Restriction.also, (one.use.restrict for one in found))
        call.input = restriction.on(call.input)
        if restriction.model is None:
            return
        target = None if self._redirect is None else self._redirect(call, restriction.model)
        if target is None:
            raise GuardFailed(f"The guard '{found[0].use.name}' leads to '{restriction.model}', which is not there.")
        call.target = target

    async def _blocked(self, looking: Looking, pieces: tuple[Piece, ...], masks: Masks, report: Report) -> None:
        """What was asked is recorded: a mask goes on all that guards mark, those too that were not asked any more."""
        call, policy = looking.call, looking.policy
        call.facts[BLOCKED] = False
        if not self._hide():
            return
        rest = tuple(use for use in policy.input if not use.kind.slow)
        try:
            more = await looking.marked(rest, pieces)
        except GuardFailed:
            return
        found = (*report.found, *more.found)
        texts = {}
        for at, piece in enumerate(pieces):
            spans = disjoint([match for one in found if one.piece == at for match in one.verdict.spans])
            if spans:
                texts[piece.where] = masks.put(piece.text.raw, spans)
        call.input = with_texts(call.input, texts)
        call.facts |= {MASKS: masks, BLOCKED: True, GUARDED: True}


def _all(pieces: tuple[Piece, ...]) -> str:
    return "\n".join(piece.text.raw for piece in pieces if "[" in piece.text.raw)


def _refused(call: Call, policy: Policy, blocked: Found) -> AsyncIterator[Event]:
    """The policy's own words where it has some; else the error."""
    if policy.refusal is None:
        raise blocking(blocked, "input")
    call.facts[REFUSED] = blocked.use.name
    return replay([refusal(policy.refusal)])
