"""One call under guard: asks the guards about its texts, tells what they found, and words what is said of a block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import Struct, structs

from comporta.errors import GuardrailBlocked
from comporta.guardrails.base import Context, Side
from comporta.guardrails.looking import Text
from comporta.guardrails.masking import Masks
from comporta.guardrails.parts import last_question, passages_of, system_of
from comporta.guardrails.policy import Policy, Use
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.running import Found, Piece, Report, Runner, settled
from comporta.pipeline import Call, Span
from comporta.types import Delta, Event, Input, Usage

#: In the call's facts: the masks of its input, by which what is kept of the answer is masked too.
MASKS = "masks"
#: In the call's facts: what was found, for the record, scores and metrics.
VERDICTS = "verdicts"
#: In the call's facts: a refusal stood in for an answer.
REFUSED = "guard_refusal"
#: In the call's facts: its input was looked at; until then nobody knows what stands in it.
GUARDED = "guarded"
#: In the call's facts: its input was looked at, and masked, before it left: it comes by with its answer.
LOOKED_IN = "looked_in"
#: In the call's facts: its input was blocked, and whether all that guards would have marked in it is masked.
BLOCKED = "guard_blocked"
#: In the call's facts: its answer went out, and guards that only watch have not looked at it.
UNSEEN = "guard_unseen"
#: Tells a client what guards did; where the door finds headers of an answer.
HEADER = "x-comporta-guard"
_HEADERS = "headers"
#: In the call's facts: findings that were told already; a fallback has the input looked at again.
_SEEN = "guard_seen"

#: Where a text stands, for whoever puts another in its place.
Where = tuple[int | str, ...]
#: Asks the judge model on behalf of a call: (call, system, text) -> its answer. Raises ComportaError.
Judge = Callable[[Call, str, str], Awaitable[str]]
#: Hears of every finding: side, what was found, and how long looking took in microseconds.
Told = Callable[[Call, Side, Report], None]


class Said(Struct, frozen=True):
    """A finding as it is kept: no content."""

    guard: str
    side: Side
    outcome: str
    severity: str
    confidence: float
    reason: str
    place: str
    kinds: tuple[str, ...] = ()


def refusal(words: str) -> Event:
    """A refusal as a whole answer that cost nothing."""
    return Event(deltas=(Delta(text=words, finish="stop"),), usage=Usage(), model="guard", whole=True, last=True)


def blocking(found: Found, side: Side) -> GuardrailBlocked:
    """The error of a block: which guard, which side, and why in the guard's own words, which hold no content."""
    what = "request" if side == "input" else "answer"
    why = f": {found.verdict.reason}" if found.verdict.reason else ""
    return GuardrailBlocked(f"The guard '{found.use.name}' blocked this {what}{why}.", param=found.use.name)


class Looking:
    """One call under guard: asks the runner, and tells what was found."""

    def __init__(
        self, runner: Runner, told: Told, repairs: Repairs, call: Call, policy: Policy, span: Span | None,
        judge: Judge | None = None,
    ) -> None:  # fmt: skip
        self._runner = runner
        self._told = told
        self._repairs = repairs
        self._span = span
        self._ask = None if judge is None else partial(judge, call)
        self.call = call
        self.policy = policy
        self.masks = Masks()
        # As it was asked: masks may stand in it later.
        self._asked: Input = call.input
        self._about: tuple[str, tuple[str, ...], str] | None = None
        self._seen: set[tuple[object, ...]] = call.facts.setdefault(_SEEN, set())

    async def check(self, uses: tuple[Use, ...], pieces: tuple[Piece, ...], side: Side, whole: bool = True) -> Report:
        """What the guards find; told and noted before anything is done about it."""
        report = await self._runner.check(uses, pieces, lambda piece, use: self._context(piece, use, side, whole))
        self._tell(report, pieces, side)
        return report

    async def marked(self, uses: tuple[Use, ...], pieces: tuple[Piece, ...]) -> Report:
        """What each of these guards finds, whatever the others say; nothing is told. Raises what guards raise."""
        reports = [
            await self._runner.check((use,), pieces, lambda piece, use: self._context(piece, use, "input", True))
            for use in uses
        ]
        return Report(tuple(found for report in reports for found in report.found))

    def refusal_of(self, found: Found) -> Event | None:
        """What to answer in place of what was blocked; None where an error says it."""
        if self.policy.refusal is None:
            return None
        self.call.facts[REFUSED] = found.use.name
        return refusal(self.policy.refusal)

    def blocking(self, found: Found) -> GuardrailBlocked:
        """The error of an answer that is blocked."""
        return blocking(found, "output")

    async def rewritten(
        self, report: Report, pieces: tuple[Piece, ...], side: Side
    ) -> tuple[dict[Where, str], Found | None]:
        """The texts that are to be written anew, and what blocks because it can't be mended.

        Masks are on first: no other model is shown what they hide. What came of it is shown to all guards again.
        """
        texts: dict[Where, str] = {}
        for found in report.found:
            if found.outcome == "rewrite":
                piece = pieces[found.piece]
                now = texts.get(piece.where)
                if now is None:
                    now = self.masks.put(piece.text.raw, report.spans(found.piece), own=side == "input")
                mended = await self._mended(found, structs.replace(piece, text=Text(now)), side, piece.text.raw)
                if mended is None:
                    return {}, found
                texts[piece.where] = mended
        return await self._looked_again(texts, pieces, side) if texts else ({}, None)

    async def _mended(self, found: Found, piece: Piece, side: Side, was: str) -> str | None:
        """One text mended for one guard; where masks or another guard changed it, there may be nothing left to mend."""
        context = self._context(piece, found.use, side, True)
        if piece.text.raw != was:
            again = settled(found.use, await found.use.guard(piece.text, context), found.piece)
            if again is None or again.outcome != "rewrite":
                return piece.text.raw if again is None else None
            found = again
        return await self._repairs.mended(found, piece, context, self.call)

    async def _looked_again(
        self, texts: dict[Where, str], pieces: tuple[Piece, ...], side: Side
    ) -> tuple[dict[Where, str], Found | None]:
        anew = tuple(structs.replace(one, text=Text(texts[one.where])) for one in pieces if one.where in texts)
        report = await self.check(self.policy.input if side == "input" else self.policy.output, anew, side)
        left = next((one for one in report.found if one.outcome in ("block", "rewrite")), None)
        if left is not None:
            return {}, left
        return {
            one.where: self.masks.put(one.text.raw, report.spans(at), own=side == "input")
            for at, one in enumerate(anew)
        }, None

    def _context(self, piece: Piece, use: Use, side: Side, whole: bool) -> Context:
        call = self.call
        if use.kind.alone:
            return Context(side, piece.place, use.threshold, language=call.tags.get("language"), whole=whole)
        if self._about is None:
            asked = self._asked
            self._about = last_question(asked), passages_of(asked), system_of(asked)
        question, passages, system = self._about
        form = self._asked.response_format
        return Context(
            side, piece.place, use.threshold, question, passages, system, None if form is None else form.schema,
            call.tags.get("language"), call.caller, call.session, call.model, whole, self._ask,
        )  # fmt: skip

    def _tell(self, report: Report, pieces: tuple[Piece, ...], side: Side) -> None:
        """Tell of what was not told yet: a stream is looked at in pieces, and its beginning again with the rest."""
        fresh = []
        for one in report.found:
            said = said_of(one, side, pieces[one.piece].place)
            mark = (one.use.name, side, one.outcome, pieces[one.piece].where, said.kinds)
            if mark not in self._seen:
                self._seen.add(mark)
                fresh.append(one)
                self._note(said)
        self._told(self.call, side, structs.replace(report, found=tuple(fresh)))

    def _note(self, said: Said) -> None:
        facts = self.call.facts
        kept = facts.setdefault(VERDICTS, [])
        kept.append(said)
        if said.outcome in ("block", "redact", "rewrite"):
            others = [one for one in facts.get(_HEADERS, ()) if one[0] != HEADER]
            facts[_HEADERS] = [*others, (HEADER, _done(kept))]
        if self._span is not None:
            self._span.attributes = {"verdicts": kept, "policy": self.policy.version}


def _done(kept: list[Said]) -> str:
    """What guards did, as a header says it: `pii_detection=redact, secrets=block`."""
    did = dict.fromkeys(f"{one.guard}={one.outcome}" for one in kept if one.outcome not in ("pass", "flag"))
    return "".join(c if " " <= c <= "~" else "?" for c in ", ".join(did)[:500])


def said_of(one: Found, side: Side, place: str) -> Said:
    """A finding as it is kept."""
    verdict = one.verdict
    kinds = tuple(sorted({match.kind for match in verdict.spans}))
    return Said(
        one.use.name, side, one.outcome, one.use.severity, round(verdict.confidence, 4), verdict.reason, place, kinds
    )
