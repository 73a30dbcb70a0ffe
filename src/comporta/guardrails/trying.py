"""Guards without a model: texts are shown to the guards of a policy, and everything that they say is told.

In a call the first guard that blocks ends it; here every guard is asked, each with the time that it took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs

from comporta.guardrails.base import Context, Match, Severity, Side
from comporta.guardrails.looking import Text
from comporta.guardrails.masking import Masks, Style
from comporta.guardrails.policy import Policy, Use
from comporta.guardrails.repairing import Repairs
from comporta.guardrails.running import Found, Piece, Report, Runner, disjoint, settled
from comporta.pipeline import Call
from comporta.types import JSON, Caller

#: What a finding comes to in words for whoever has to do something about it.
_BLOCKED_SPANS = "Take out what is marked, or have the guard mask it."
_BLOCKED = "Say it in other words."
_MASKED = "Go on with the sanitized text in place of this one."
_WARNED = "Have a look at the warnings before you go on."


class Showing(Struct, frozen=True):
    """What is shown to guards: texts in their places, and what is known around them."""

    pieces: tuple[Piece, ...]
    question: str = ""
    passages: tuple[str, ...] = ()
    system: str = ""
    schema: JSON | None = None
    language: str | None = None
    caller: Caller | None = None
    session: str | None = None
    model: str | None = None
    #: Asks the judge model, at the caller's expense; None where there is none.
    ask: Callable[[str, str], Awaitable[str]] | None = None


class Judged(Struct, frozen=True):
    """What one guard says of one text: where in it (characters of the text as it came), and never what stands there.

    `outcome` is what becomes of it: pass, flag, rewrite, redact or block.
    """

    guard: str
    type: str
    outcome: str
    action: str
    severity: Severity
    confidence: float
    threshold: float
    reason: str
    #: Which of the texts, counted from 0, and where it stands.
    text: int | None
    place: str | None
    spans: tuple[Match, ...]
    #: Of this guard on all texts.
    latency_ms: float


class Checked(Struct, frozen=True):
    """What all guards together come to."""

    side: Side
    approved: bool
    blocked_by: str | None
    reason: str | None
    severity: Severity | None
    suggested_action: str | None
    #: Input: the text as it may go to a model; what blocks is masked in it too, and where it can't be, it is None.
    sanitized_prompt: str | None
    #: Output: the answer as it may go out; None where it may not.
    output: str | None
    warnings: tuple[str, ...]
    verdicts: tuple[Judged, ...]
    latency_ms: float
    #: The version of the policy that was asked.
    policy: str


class Tried(Struct, frozen=True):
    """A check's result, the findings behind it for scores and metrics, and the texts with nothing in them to hide."""

    checked: Checked
    report: Report
    #: Every text with a mask on all that any guard marked, by its place.
    masked: dict[tuple[int | str, ...], str]


async def tried(
    runner: Runner, policy: Policy, side: Side, showing: Showing, call: Call, style: Style = "label"
) -> Tried:
    """Show texts to the guards of one side. Raises GuardFailed where one that fails closed could not say."""
    begun_s = time.perf_counter()
    uses = policy.input if side == "input" else policy.output
    said = await _asked(runner, uses, side, showing)
    found = [one for _, report, _, _ in said for one in report.found]
    blocked = next((one for one in found if one.outcome == "block"), None)
    texts, hopeless = await _mended(found, uses, runner, side, showing, call, Masks(style))
    blocked = blocked or hopeless
    took_ms = _ms(time.perf_counter() - begun_s)
    checked = Checked(
        side=side,
        approved=blocked is None,
        blocked_by=None if blocked is None else blocked.use.name,
        reason=None if blocked is None else blocked.verdict.reason or "it found what must not pass",
        severity=_severity(found, blocked),
        suggested_action=_suggested(found, blocked),
        sanitized_prompt=_text(showing, texts) if side == "input" and _offered(blocked) else None,
        output=_text(showing, texts) if side == "output" and blocked is None else None,
        warnings=tuple(f"{one.use.name}: {one.verdict.reason}" for one in found if one is not blocked),
        verdicts=tuple(verdict for one in said for verdict in _judged(*one, showing.pieces)),
        latency_ms=took_ms,
        policy=policy.version,
    )
    return Tried(checked, Report(tuple(found), int(took_ms * 1000)), _masked(found, showing.pieces))


#: A guard, what it found, how sure it was of what it let pass, and its milliseconds.
_Said = tuple[Use, Report, float, float]


async def _asked(runner: Runner, uses: Sequence[Use], side: Side, showing: Showing) -> list[_Said]:
    """Each guard by itself: quick ones one after the other, those that wait for something side by side."""

    async def one(use: Use) -> _Said:
        begun_s = time.perf_counter()
        report = await runner.check((use,), showing.pieces, lambda piece, use: _context(showing, piece, use, side))
        ms = _ms(time.perf_counter() - begun_s)
        return use, report, 0.0 if report.found else await _sure(runner, use, side, showing), ms

    said = {use.name + use.key: await one(use) for use in uses if not use.kind.slow}
    slow = [use for use in uses if use.kind.slow]
    for use, done in zip(slow, await asyncio.gather(*map(one, slow)), strict=True):
        said[use.name + use.key] = done
    return [said[use.name + use.key] for use in uses]


async def _sure(runner: Runner, use: Use, side: Side, showing: Showing) -> float:
    """How near it came to a finding. Of guards whose verdicts are remembered alone: others would be asked again."""
    if not use.kind.alone:
        return 0.0
    pieces = [piece for piece in showing.pieces if piece.place in use.places]
    said = [await runner.verdict(use, piece, _context(showing, piece, use, side)) for piece in pieces]
    return max((one.confidence for one in said), default=0.0)


def _context(showing: Showing, piece: Piece, use: Use, side: Side) -> Context:
    return Context(
        side, piece.place, use.threshold, showing.question, showing.passages, showing.system, showing.schema,
        showing.language, showing.caller, showing.session, showing.model,
        ask=showing.ask,
    )  # fmt: skip


async def _mended(
    found: Sequence[Found], uses: Sequence[Use], runner: Runner, side: Side, showing: Showing, call: Call, masks: Masks
) -> tuple[dict[int, str], Found | None]:
    """The texts as they may go on, by number, and what wants another text and gets none by rules alone."""
    texts: dict[int, str] = {}
    for at, piece in enumerate(showing.pieces):
        spans = disjoint(
            [m for one in found if one.piece == at and one.outcome in ("redact", "block") for m in one.verdict.spans]
        )
        texts[at] = masks.put(piece.text.raw, spans)
    for one in found:
        if one.outcome == "rewrite":
            # Masks are on by now, and stay; so does what another guard had mended.
            piece = structs.replace(showing.pieces[one.piece], text=Text(texts[one.piece]))
            context = _context(showing, piece, one.use, side)
            left = settled(one.use, await runner.verdict(one.use, piece, context), one.piece)
            if left is None:
                continue
            other = await Repairs().mended(left, piece, context, call) if left.outcome == "rewrite" else None
            if other is None:
                return texts, structs.replace(one, outcome="block")
            texts[one.piece] = await _masked_again(other, piece, uses, runner, side, showing, masks)
    return texts, None


async def _masked_again(
    text: str, piece: Piece, uses: Sequence[Use], runner: Runner, side: Side, showing: Showing, masks: Masks
) -> str:
    """A mended text may hold what could not be read before: an escape of JSON's, say."""
    masking = [use for use in uses if use.action in ("mask", "block")]
    anew = structs.replace(piece, text=Text(text))
    said = [await runner.check((use,), (anew,), lambda p, use: _context(showing, p, use, side)) for use in masking]
    return masks.put(text, disjoint([m for report in said for one in report.found for m in one.verdict.spans]))


def _masked(found: Sequence[Found], pieces: Sequence[Piece]) -> dict[tuple[int | str, ...], str]:
    masks, texts = Masks(), {}
    for at, piece in enumerate(pieces):
        spans = disjoint([match for one in found if one.piece == at for match in one.verdict.spans])
        if spans:
            texts[piece.where] = masks.put(piece.text.raw, spans)
    return texts


def _judged(use: Use, report: Report, sure: float, ms: float, pieces: Sequence[Piece]) -> list[Judged]:
    if not report.found:
        passed = Judged(
            use.name, use.kind.name, "pass", use.action, "info", round(sure, 4), use.threshold, "", None, None, (), ms
        )  # fmt: skip
        return [passed]
    return [
        Judged(
            use.name, use.kind.name, one.outcome, use.action, use.severity, round(one.verdict.confidence, 4),
            use.threshold, one.verdict.reason, one.piece, pieces[one.piece].place, one.verdict.spans, ms,
        )
        for one in report.found
    ]  # fmt: skip


def _offered(blocked: Found | None) -> bool:
    """Whether there is a text that could go on: nothing blocks, or what blocks can be masked."""
    return blocked is None or bool(blocked.verdict.spans)


def _text(showing: Showing, texts: dict[int, str]) -> str | None:
    """The last text of the user's, else the last of all; None where nothing was shown."""
    users = [at for at, piece in enumerate(showing.pieces) if piece.place == "user"]
    at = users[-1] if users else len(showing.pieces) - 1
    return texts[at] if at >= 0 else None


def _severity(found: Sequence[Found], blocked: Found | None) -> Severity | None:
    if blocked is not None:
        return blocked.use.severity
    return "warning" if found else None


def _suggested(found: Sequence[Found], blocked: Found | None) -> str | None:
    if blocked is not None:
        return _BLOCKED_SPANS if blocked.verdict.spans else _BLOCKED
    if any(one.outcome in ("redact", "rewrite") for one in found):
        return _MASKED
    return _WARNED if found else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
