"""The stage `guard`: what goes in is looked at before any model is asked, what comes out before anybody sees it.

It stands outside the cache, so that an old answer meets today's rules. A block is an answer of its own: an error that
names the guard, or the refusal that the policy words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from comporta.guardrails.call import MASKS, REFUSED, Looking, Told, blocking, refusal
from comporta.guardrails.held import Held, Observed
from comporta.guardrails.masking import Masks, Style
from comporta.guardrails.parts import pieces_of, with_texts
from comporta.guardrails.policy import Policy
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.running import Found, Piece, Runner
from comporta.pipeline import Call, Next, replay
from comporta.types import Event

PolicyOf = Callable[[Call], Policy]


class Guard:
    """The stage. `policy_of` gives the policy that holds for a call, `told` hears of every finding."""

    def __init__(
        self, policy_of: PolicyOf, runner: Runner, told: Told, repairs: Repairs, style: Callable[[], Style]
    ) -> None:
        self._policy_of = policy_of
        self._runner = runner
        self._told = told
        self._repairs = repairs
        self._style = style

    def applies(self, call: Call) -> bool:
        """Whether anything is to be looked at; a count of tokens asks no model to say anything."""
        return call.kind != "count" and bool(self._policy_of(call))

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """Raises GuardrailBlocked and GuardFailed."""
        policy = self._policy_of(call)
        span = call.spans[-1] if call.spans else None
        looking = Looking(self._runner, self._told, self._repairs, call, policy, span)
        if policy.input:
            blocked = await self._look_in(looking, call, policy)
            if blocked is not None:
                return _refused(call, policy, blocked)
        events = await next(call)
        if not policy.output and not looking.masks.reversible:
            return events
        if policy.stream == "observe" and call.stream and not looking.masks.reversible:
            return Observed(events, looking)
        return Held(events, looking)

    async def _look_in(self, looking: Looking, call: Call, policy: Policy) -> Found | None:
        pieces = pieces_of(call.input, policy.turns)
        looking.masks = masks = Masks(self._style(), _all(pieces), lead_back=policy.unmask)
        report = await looking.check(policy.input, pieces, "input")
        if report.blocked is not None:
            return report.blocked
        texts = {
            piece.where: masks.put(piece.text.raw, spans)
            for at, piece in enumerate(pieces)
            if (spans := report.spans(at))
        }
        texts |= await looking.rewritten(report, pieces, "input")
        call.input = with_texts(call.input, texts)
        if masks.reversible:
            call.facts[MASKS] = masks
        return None


def _all(pieces: tuple[Piece, ...]) -> str:
    return "\n".join(piece.text.raw for piece in pieces if "[" in piece.text.raw)


def _refused(call: Call, policy: Policy, blocked: Found) -> AsyncIterator[Event]:
    """The policy's own words where it has some; else the error."""
    if policy.refusal is None:
        raise blocking(blocked, "input")
    call.facts[REFUSED] = blocked.use.name
    return replay([refusal(policy.refusal)])
