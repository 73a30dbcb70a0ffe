"""One call of an ensemble: who may be asked what, the strategy, and the answer with what is told beside it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from comporta.errors import ComportaError, Unsupported, UpstreamError
from comporta.gateway.admission import HEADERS
from comporta.gateway.answering import EXTENSION
from comporta.gateway.ensemble.asking import Asked, Tools, cost_of, is_good, member_call, total_of, within
from comporta.gateway.ensemble.judged import writing
from comporta.gateway.ensemble.racing import Race
from comporta.gateway.ensemble.strategies import Asking, NoVote, Outcome, best_of, consensus, vote
from comporta.pipeline import Call
from comporta.providers.base import Query
from comporta.routing.ensemble.plan import Ensemble
from comporta.routing.retry import then
from comporta.types import JSON, Delta, Event, Usage, added

_DECIDE = {"consensus": consensus, "vote": vote, "best_of": best_of}
#: What is told beside an answer stands in the body under this name, and as the note of the call.
NOTE = "ensemble"


class EnsembleFailed(UpstreamError):
    """Too few members answered; the message says who failed and why."""

    code = "ensemble_failed"


class Run:
    """One call of an ensemble, which has `total_s` seconds; `depth` is that of its spans."""

    def __init__(self, ensemble: Ensemble, call: Call, query: Query, tools: Tools, total_s: float, depth: int) -> None:
        self._ensemble = ensemble
        self._call = call
        self._query = query
        self._tools = tools
        self._clock = asyncio.get_running_loop().time
        self._deadline_s = self._clock() + total_s
        self._depth = depth
        self._asked: list[Asked] = []
        #: Asked beside the members: judges, embeddings.
        self._beside: list[Call] = []

    @property
    def total(self) -> tuple[Usage | None, int | None]:
        """Tokens and cost of everybody who was asked."""
        return total_of([*(asked.call for asked in self._asked), *self._beside])

    @property
    def answers(self) -> dict[str, str]:
        """What each member that answered said."""
        return {asked.member.name: asked.text for asked in self._asked if asked.status == "answered"}

    async def events(self) -> AsyncGenerator[Event]:
        """The answer. Raises Unsupported for what the strategy can't do, and EnsembleFailed that says who failed."""
        refuse(self._ensemble, self._query)
        answered = self._first if self._ensemble.strategy == "first" else self._together
        try:
            async with aclosing(answered()) as events:
                async for event in events:
                    yield event
        finally:
            self._note()

    # ---- all at once ----

    async def _together(self) -> AsyncGenerator[Event]:
        ensemble = self._ensemble
        wait_s = min(ensemble.wait_s, self._left_s())
        order = ensemble.by_preference(ensemble.members)
        self._asked = [Asked(one, member_call(self._call, self._query.input, one, self._tools, False, wait_s))
                       for one in order]  # fmt: skip
        try:
            await within(self._asked, self._tools, wait_s)
        finally:
            self._call.spans += [asked.span(self._depth) for asked in self._asked]
        answers = self._answers()
        if ensemble.strategy == "fuse":
            async with aclosing(self._fused(answers)) as events:
                async for event in events:
                    yield event
            return
        for event in self._given(await self._decided(answers), answers):
            yield event

    def _answers(self) -> list[Asked]:
        """What counts as an answer, the preferred first. Raises where there are too few."""
        for asked in self._asked:
            if asked.status == "answered" and not is_good(asked.reply):
                asked.ended("failed", NoVote("It gave no answer: nothing was said, or it was refused."))
        found = [asked for asked in self._asked if asked.status == "answered"]
        if len(found) < self._ensemble.quorum:
            raise self._too_few(len(found))
        return found

    async def _decided(self, answers: list[Asked]) -> Outcome:
        ensemble = self._ensemble
        asking = Asking(ensemble, self._call, self._query, self._tools, self._beside, self._left_s())
        try:
            outcome = await _DECIDE[ensemble.strategy](asking, answers)
        except NoVote:
            raise self._too_few(0) from None
        counted = sum(asked.status == "answered" for asked in answers)
        if counted < ensemble.quorum:
            raise self._too_few(counted)
        return outcome

    def _given(self, outcome: Outcome, answers: Sequence[Asked]) -> list[Event]:
        """The winner's answer as it came, with the usage of all."""
        self._tell(outcome, answers)
        usage, _ = self.total
        if self._query.stream:
            return _at_once(outcome.winner, usage)
        *before, last = outcome.winner.events
        return [*(event.edit(usage=None) if event.usage else event for event in before), last.edit(usage=usage)]

    # ---- one written of all ----

    async def _fused(self, answers: list[Asked]) -> AsyncGenerator[Event]:
        ensemble = self._ensemble
        assert ensemble.judge is not None, "the configuration has seen to it"
        call = writing(
            self._call, self._query, ensemble.judge, ensemble.rubric, answers, self._tools, self._left_s()
        )  # fmt: skip
        before, _ = self.total
        self._beside.append(call)
        answer, begun, counted = self._tools.stream(call), False, False
        failure: ComportaError | None = None
        try:
            async for event in answer:
                if not begun:
                    self._tell(Outcome(answers[0], "written by the judge from all"), answers, fused=True)
                begun, counted = True, counted or event.usage is not None
                yield event if event.usage is None else event.edit(usage=added(before, event.usage))
        except ComportaError as error:
            if begun:
                raise
            failure = error
        finally:
            await answer.aclose()
        if failure is not None:
            review = f"The judge could not write the answer ({failure.code}): {failure.message}"
            without = Outcome(answers[0], "the preferred member's, without a judge", review, {"judged": False})
            for event in self._given(without, answers):
                yield event
        elif not counted:
            yield Event(usage=self.total[0])

    # ---- the fastest ----

    async def _first(self) -> AsyncGenerator[Event]:
        ensemble, stream = self._ensemble, self._query.stream
        wait_s = min(ensemble.wait_s, self._left_s())

        def begin(at: int) -> Asked:
            member = order[at]
            # A stream that has begun goes on for longer than it was waited for.
            given_s = self._left_s() if stream else wait_s
            asked = Asked(member, member_call(self._call, self._query.input, member, self._tools, stream, given_s))
            self._asked.append(asked)
            return asked

        order = ensemble.by_preference(ensemble.members)
        race = Race(begin, len(order), ensemble.hedge_s, wait_s, self._tools, stream)
        try:
            winner = await race.run()
        except BaseException:
            self._call.spans += [asked.span(self._depth) for asked in self._asked]
            raise
        if winner is None:
            raise self._too_few(0)
        others, _ = total_of(asked.call for asked in self._asked if asked is not winner)
        self._tell(Outcome(winner, "the fastest good answer"), [winner])
        counted = False
        try:
            async with aclosing(race.rest(winner)) as events:
                async for event in events:
                    counted = counted or event.usage is not None
                    mixed = event.usage is not None and others is not None
                    yield event.edit(usage=added(others, event.usage)) if mixed else event
        finally:
            self._call.spans += [asked.span(self._depth) for asked in self._asked]
        if not counted:
            yield Event(usage=self.total[0])

    # ---- what is told beside the answer ----

    def _tell(self, outcome: Outcome, answers: Sequence[Asked], *, fused: bool = False) -> None:
        """Into the body and the headers, and into the review queue where a person should look."""
        call, ensemble = self._call, self._ensemble
        winner = "judge" if fused else outcome.winner.member.name
        figures = {name: value for name, value in outcome.figures.items() if name != "reason"}
        call.note(NOTE, winner=winner, why=outcome.why, requires_review=outcome.review is not None, **figures)
        told: JSON = {
            "name": ensemble.name, "strategy": ensemble.strategy, "winner": winner, "why": outcome.why,
            **outcome.figures, "members": [asked.told() for asked in self._asked],
            "requires_review": outcome.review is not None,
        }  # fmt: skip
        head = [("x-comporta-ensemble", _header(ensemble, winner, len(answers), figures))]
        if outcome.review is not None:
            told["review_reason"] = outcome.review
            told["review_id"] = self._queued(outcome, answers)
            told["alternatives"] = [
                {"member": asked.member.name, "text": asked.text, "score": asked.told().get("score")}
                for asked in answers if asked is not outcome.winner
            ]  # fmt: skip
            call.note(NOTE, review=told["review_id"])
            head.append(("x-comporta-requires-review", "true"))
        call.facts[HEADERS] = [*call.facts.get(HEADERS, ()), *head]
        call.facts[EXTENSION] = {NOTE: told}

    def _queued(self, outcome: Outcome, answers: Sequence[Asked]) -> str | None:
        if not self._ensemble.review or outcome.review is None:
            return None
        payload: JSON = {
            "ensemble": self._ensemble.name, "strategy": self._ensemble.strategy,
            "given": outcome.winner.member.name, **outcome.figures,
            "members": [asked.told() for asked in self._asked],
        }  # fmt: skip
        texts = {asked.member.name: asked.text for asked in answers}
        return self._tools.review(self._call, self._ensemble.strategy, outcome.review, payload, texts)

    def _note(self) -> None:
        """On the record, however it ended: who was asked, how that went, what it cost."""
        _, cost = self.total
        beside = [
            {"model": call.model, "kind": call.kind, "call": call.id, "cost_microusd": cost_of(call)}
            for call in self._beside
        ]
        self._call.note(
            NOTE, ensemble=self._ensemble.name, strategy=self._ensemble.strategy, cost_microusd=cost,
            members=[asked.told() for asked in self._asked], **({"beside": beside} if beside else {}),
        )  # fmt: skip

    # ---- failures ----

    def _too_few(self, count: int) -> ComportaError:
        """The failure to tell: whose fault it is where all say the same, else who failed and why."""
        failed = [(asked.member.name, asked.error) for asked in self._asked if asked.error is not None]
        errors = [error for _, error in failed]
        told = "; ".join(f"{name}: {error.code} ({error.message})" for name, error in failed)
        details: JSON = {"ensemble": self._ensemble.name, "members": [asked.told() for asked in self._asked]}
        if errors and not count and all(then(error) == "stop" and error.status < 500 for error in errors):
            # The request is at fault, or a budget: no other variant would fare better.
            same = copy.copy(errors[0])
            same.message = f"No member of the ensemble '{self._ensemble.name}' could answer: {told}"
            same.args, same.details = (same.message,), details
            return same
        late = bool(errors) and all(asked.status == "late" for asked in self._asked if asked.error is not None)
        return EnsembleFailed(
            f"The ensemble '{self._ensemble.name}' has {count} of the {self._ensemble.quorum} answers it needs. {told}",
            status=504 if late else 502, details=details,
        )  # fmt: skip

    def _left_s(self) -> float:
        return max(self._deadline_s - self._clock(), 0.001)


def refuse(ensemble: Ensemble, query: Query) -> None:
    """Raises Unsupported for what a strategy can't do: nothing is left away in silence."""
    given, strategy = query.input, ensemble.strategy
    what = f"The ensemble '{ensemble.name}' ({strategy})"
    if query.kind != "chat":
        raise Unsupported(f"{what} answers chats only.", param="model")
    if strategy == "first":
        return
    if query.stream and strategy != "fuse" and not ensemble.buffer:
        raise Unsupported(
            f"{what} can't stream: what is said is known when all have answered. Ask without `stream`, or set "
            "`stream: buffer` on the ensemble to have it in one piece.",
            param="stream",
        )
    asked = {
        "n": given.n > 1, "tools": bool(given.tools), "modalities": any(one != "text" for one in given.modalities),
        "logprobs": bool(given.logprobs) and (strategy == "fuse" or query.stream),
    }  # fmt: skip
    for field, wanted in asked.items():
        if wanted:
            raise Unsupported(f"{what} compares texts, and can't answer with `{field}`.", param=field)


def _at_once(winner: Asked, usage: Usage | None) -> list[Event]:
    """A whole answer as a stream of a few events."""
    reply = winner.reply
    assert reply is not None, "it has answered"
    said = [
        Event(deltas=(Delta(text=one.text, reasoning="".join(part.text for part in one.reasoning)),), model=reply.model)
        for one in reply.choices
    ]
    ends = tuple(Delta(finish=one.finish or "stop", stop_sequence=one.stop_sequence) for one in reply.choices)
    return [*said, Event(deltas=ends, model=reply.model), Event(usage=usage, model=reply.model, last=True)]


def _header(ensemble: Ensemble, winner: str, answered: int, figures: JSON) -> str:
    parts = [ensemble.strategy, f"winner={winner}", f"answered={answered}/{len(ensemble.members)}"]
    if figures.get("similarity") is not None:
        parts.append(f"similarity={figures['similarity']:.3f}")
    if figures.get("tie"):
        parts.append("tie")
    return "".join(c if " " <= c <= "~" else "?" for c in "; ".join(parts))[:256]
