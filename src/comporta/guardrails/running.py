"""Asks the guards of a policy about pieces of text: long ones in windows, slow guards side by side, failures closed."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import structlog
from msgspec import Struct, structs

from comporta.errors import ComportaError, GuardFailed
from comporta.guardrails.base import OUTCOME_OF, PASS, Context, Match, Outcome, Place, Verdict
from comporta.guardrails.looking import Text
from comporta.guardrails.policy import Use

log = structlog.get_logger("comporta.guardrails")

#: Characters that are looked at at once; what stands across a window's border stands whole in the next one.
WINDOW = 3_000
OVERLAP = 600
#: Others get their turn after so long.
_TURN_S = 0.002
#: Verdicts that are remembered, so that the earlier turns of a conversation are not judged again with each call.
_REMEMBERED = 20_000
#: What finds more than that is not remembered: it would fill the memory.
_MOST_SPANS = 200

_ORDER: tuple[Outcome, ...] = ("pass", "flag", "rewrite", "redact", "block")


class Piece(Struct, frozen=True):
    """A text under check and where it stands; `where` is for whoever has to put another text in its place."""

    text: Text
    place: Place
    where: tuple[int | str, ...] = ()


class Found(Struct, frozen=True):
    """What one guard found in one piece, and what becomes of it. `outcome` is settled: what the policy wants done."""

    use: Use
    verdict: Verdict
    outcome: Outcome
    #: Which of the pieces.
    piece: int
    #: The guard could not say: its failure counts as the policy says.
    failed: bool = False


class Report(Struct, frozen=True):
    """All findings, in the order of the policy's guards; empty where all is well."""

    found: tuple[Found, ...] = ()
    took_us: int = 0

    @property
    def outcome(self) -> Outcome:
        """The strictest of all."""
        return max((one.outcome for one in self.found), key=_ORDER.index, default="pass")

    @property
    def blocked(self) -> Found | None:
        """What blocks, if anything does."""
        return next((one for one in self.found if one.outcome == "block"), None)

    def spans(self, piece: int) -> tuple[Match, ...]:
        """What of a piece is to be masked: disjoint, in order, the longer one where two overlap."""
        return disjoint(
            m for one in self.found if one.piece == piece and one.outcome == "redact" for m in one.verdict.spans
        )


def disjoint(matches: Iterator[Match] | Sequence[Match]) -> tuple[Match, ...]:
    """The longest, surest of overlapping matches, in the order of the text."""
    kept: list[Match] = []
    for match in sorted(matches, key=lambda m: (m.start - m.end, -m.confidence, m.start)):
        # What is kept lies apart and in order, so that neighbours alone can be in the way: a text may hold thousands.
        at = bisect_left(kept, match.start, key=_start)
        if (at == 0 or kept[at - 1].end <= match.start) and (at == len(kept) or kept[at].start >= match.end):
            kept.insert(at, match)
    return tuple(kept)


def _start(match: Match) -> int:
    return match.start


ContextOf = Callable[[Piece, Use], Context]


class Runner:
    """Asks guards. One per process: it remembers verdicts by text, guard and threshold."""

    def __init__(self) -> None:
        self._memo: OrderedDict[tuple[str, float, str, str, str | bytes, bool], Verdict] = OrderedDict()

    async def check(self, uses: Sequence[Use], pieces: Sequence[Piece], context_of: ContextOf) -> Report:
        """What the guards say of the pieces. What blocks ends it: the other guards are not asked any more.

        Raises GuardFailed where a guard that is to fail closed could not say.
        """
        begun_ns = time.perf_counter_ns()
        found: list[Found] = []
        turn = _Turn()
        for use in uses:
            if not use.kind.slow:
                for at, piece in enumerate(pieces):
                    if piece.place in use.places and (one := await self._quick(use, at, piece, context_of, turn)):
                        found.append(one)
                        if one.outcome == "block":
                            return _report(found, begun_ns)
        slow = [
            (use, at, piece) for use in uses if use.kind.slow
            for at, piece in enumerate(pieces) if piece.place in use.places and piece.text.raw.strip()
        ]  # fmt: skip
        if slow:
            found += await self._side_by_side(slow, context_of)
        return _report(found, begun_ns)

    async def verdict(self, use: Use, piece: Piece, context: Context) -> Verdict:
        """What one guard says of one text, whatever its threshold. Raises what the guard raises."""
        return await self._judged(use, piece, context, None)

    async def _quick(self, use: Use, at: int, piece: Piece, context_of: ContextOf, turn: _Turn) -> Found | None:
        try:
            verdict = await self._judged(use, piece, context_of(piece, use), turn)
        except ComportaError as error:
            return _failed(use, at, error)
        except Exception as error:
            return _failed(use, at, error)
        return settled(use, verdict, at)

    async def _side_by_side(self, slow: Sequence[tuple[Use, int, Piece]], context_of: ContextOf) -> list[Found]:
        tasks = [asyncio.ensure_future(self._slow(use, at, piece, context_of)) for use, at, piece in slow]
        found: dict[int, Found | None] = {}
        try:
            for done in asyncio.as_completed(tasks):
                one = await done
                found[len(found)] = one
                if one is not None and one.outcome == "block":
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [one for one in found.values() if one is not None]

    async def _slow(self, use: Use, at: int, piece: Piece, context_of: ContextOf) -> Found | None:
        try:
            async with asyncio.timeout(use.timeout_s):
                verdict = await self._judged(use, piece, context_of(piece, use), None)
        except TimeoutError as error:
            return _failed(use, at, error)
        except Exception as error:
            return _failed(use, at, error)
        return settled(use, verdict, at)

    async def _judged(self, use: Use, piece: Piece, context: Context, turn: _Turn | None) -> Verdict:
        raw = piece.text.raw
        key = (use.key, context.threshold, context.side, context.place, piece.text.mark, context.whole)
        if use.kind.alone and (known := self._memo.get(key)) is not None:
            self._memo.move_to_end(key)
            return known
        if len(raw) <= WINDOW or use.kind.needs == "whole":
            verdict = await use.guard(piece.text, context)
            if turn is not None and turn.over:
                await turn.give()
        else:
            verdict = await _in_windows(use, raw, context)
        if use.kind.alone and len(verdict.spans) <= _MOST_SPANS:
            self._memo[key] = verdict
            if len(self._memo) > _REMEMBERED:
                self._memo.popitem(last=False)
        return verdict


class _Turn:
    """How long it is since others had their turn."""

    __slots__ = ("_since_s",)

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    @property
    def over(self) -> bool:
        return time.perf_counter() - self._since_s > _TURN_S

    async def give(self) -> None:
        await asyncio.sleep(0)
        self._since_s = time.perf_counter()


async def _in_windows(use: Use, raw: str, context: Context) -> Verdict:
    """A long text, a window after the other: the surest verdict, with what was found in all of them."""
    best = PASS
    spans: set[Match] = set()
    for start in range(0, max(len(raw) - OVERLAP, 1), WINDOW - OVERLAP):
        end = min(start + WINDOW, len(raw))
        verdict = await use.guard(Text(raw[start:end]), context)
        for match in verdict.spans:
            cut = (match.start == 0 and start > 0) or (match.end == end - start and end < len(raw))
            if not cut or match.end - match.start > OVERLAP:
                spans.add(structs.replace(match, start=match.start + start, end=match.end + start))
        if (_ORDER.index(verdict.outcome), verdict.confidence) > (_ORDER.index(best.outcome), best.confidence):
            best = verdict
        await asyncio.sleep(0)
    return structs.replace(best, spans=tuple(sorted(spans))) if spans or best.spans else best


def settled(use: Use, verdict: Verdict, piece: int) -> Found | None:
    """What a policy makes of a verdict; None where it makes nothing of it."""
    if verdict.outcome == "pass":
        return None
    if verdict.outcome == "block":
        return Found(use, verdict, "block", piece)
    if verdict.confidence < use.threshold:
        return None
    outcome = OUTCOME_OF[use.action]
    if outcome == "redact" and not verdict.spans:
        # There is nothing to put a mask on: what must not pass does not.
        outcome = "block"
    return Found(use, verdict, outcome, piece)


def _failed(use: Use, piece: int, error: Exception) -> Found:
    """A guard that could not say. Raises GuardFailed where its policy lets nothing through without it."""
    why = error.code if isinstance(error, ComportaError) else type(error).__name__
    log.warning("guard_failed", guard=use.name, reason=why, on_failure=use.on_failure)
    if use.on_failure == "closed":
        raise GuardFailed(
            f"The guard '{use.name}' could not say whether this may pass ({why}), and lets nothing through unseen."
        ) from None
    return Found(use, Verdict("flag", "warning", f"could not say: {why}"), "flag", piece, failed=True)


def _report(found: list[Found], begun_ns: int) -> Report:
    return Report(tuple(found), (time.perf_counter_ns() - begun_ns) // 1000)
