"""Live quality: scorers on a sampled share of live answers, after the answer and within what judges may cost a day.

The answer is scored in the background of the gate that gave it, so that also what no record keeps can be scored. What a
judge is asked is a child call of the answer's, recorded, and paid for by the route in the name `live:ROUTE`.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog
from msgspec import Struct

from comporta.embedding.base import Embedder
from comporta.errors import ComportaError
from comporta.evaluation.assertions import node_of, read_assertion
from comporta.evaluation.base import Answer, Assertion, JudgeModel, Outcome, Tools
from comporta.feedback.live_purse import Purse
from comporta.feedback.settings import LiveQualitySection, LiveRouteSection, asks_judge, score_name
from comporta.guardrails.grounding.checking import Grounding
from comporta.guardrails.parts import last_question, passages_of, system_of
from comporta.pipeline import Call, Gathered, Next
from comporta.types import Caller, Event, Input, Reply, Score

log = structlog.get_logger("comporta.feedback")

#: So many answers are scored at once; further ones are left out.
AT_ONCE = 8
_LIMIT_S = 120.0
_WHO = "live_quality"
_RELEVANCE = (
    "The answer speaks to what was asked: it takes up the question itself, leaves out nothing that was asked for, and "
    "holds nothing that has no bearing on it. Whether it is right does not matter here."
)
#: What may be kept of what a scorer says: words of an answer can stand in it.
Shows = Callable[[Call], bool]


class Plan(Struct, frozen=True):
    """What a route's answers are scored by: without a model, and with one."""

    route: str
    section: LiveRouteSection
    free: tuple[Assertion, ...]
    judged: tuple[Assertion, ...]
    judge: str | None
    most_microusd: int
    held_microusd: int


class Sample(Struct, frozen=True):
    """A call that has ended, with what was asked and answered as its client saw them."""

    call: Call
    asked: Input
    reply: Reply


def plans_of(section: LiveQualitySection) -> dict[str, Plan]:
    """By route; routes that sample nothing are left out."""
    return {name: _plan(name, one, section) for name, one in section.routes.items() if one.sample > 0}


def _plan(route: str, own: LiveRouteSection, all: LiveQualitySection) -> Plan:
    given = list(own.assertions)
    if own.relevance:
        given.append({"judge": _RELEVANCE, "name": "relevance"})
    free: list[Assertion] = []
    judged: list[Assertion] = []
    for one in given:
        made = read_assertion(node_of({**one, "name": score_name(one)}))
        (judged if asks_judge(one) else free).append(made)
    most = all.max_cost_per_day if own.max_cost_per_day is None else own.max_cost_per_day
    return Plan(route, own, tuple(free), tuple(judged), own.judge or all.judge, most, all.judge_cost)


class LiveQuality:
    """The stage that samples, and what is done with a sample. `take` a configuration; `close` it at the end.

    `ask` asks a judge for a call that has ended, `add` keeps a score, `shows` says whether reasons may be kept.
    """

    def __init__(
        self,
        ask: Callable[[Call, Call], Awaitable[Reply]],
        add: Callable[[Score], bool],
        purse: Purse,
        embedder: Embedder | None,
        shows: Shows,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ask = ask
        self._add = add
        self._purse = purse
        self._embedder = embedder
        self._shows = shows
        self._clock = clock
        self._grounding = Grounding(embedder)
        self._plans: dict[str, Plan] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False
        #: Answers that were scored, that were left out (too many at once, or no money left), and scorers that failed.
        self.scored = 0
        self.left_out = 0
        self.unpaid = 0
        self.failed = 0

    def take(self, section: LiveQualitySection) -> None:
        """Go by a new configuration."""
        self._plans = plans_of(section)

    def applies(self, call: Call) -> bool:
        """Whether an answer is of the sample: by the call's id, so that it is so once and everywhere."""
        if not self._plans or call.depth or call.kind != "chat":
            return False
        plan = self._plans.get(call.model)
        return plan is not None and _lot(call.id) < plan.section.sample

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        events = await next(call)
        return self._heard(call, self._plans.get(call.model), events)

    async def _heard(self, call: Call, plan: Plan | None, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        """Only an answer that came to its end is scored."""
        gathered = Gathered()
        async for event in events:
            gathered.add(event)
            yield event
        if plan is not None:
            call.at_end(lambda ended: self.sample(plan, Sample(ended, ended.input, gathered.reply())))

    def sample(self, plan: Plan, sample: Sample) -> None:
        """Score an answer in the background; where too many are under way it is left out."""
        if sample.call.error is not None or self._closed or not sample.reply.choices:
            return
        if len(self._running) >= AT_ONCE:
            self.left_out += 1
            return
        task = asyncio.get_running_loop().create_task(self._run(plan, sample))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, plan: Plan, sample: Sample) -> None:
        try:
            async with asyncio.timeout(_LIMIT_S):
                await self.score(plan, sample)
            self.scored += 1
        except (ComportaError, TimeoutError) as error:
            self.failed += 1
            log.info("live_quality.failed", route=plan.route, reason=getattr(error, "code", type(error).__name__))
        except Exception as error:
            self.failed += 1
            log.error("live_quality.broken", route=plan.route, kind=type(error).__name__, exc_info=error)

    async def score(self, plan: Plan, sample: Sample) -> None:
        """Run every scorer on an answer. Raises ComportaError where judges can't be paid for at the moment."""
        answer = _answer(sample)
        tools = Tools(embedder=self._embedder, functions=False)
        for assertion in plan.free:
            self._keep(sample, await assertion(answer, tools), _WHO)
        if plan.section.groundedness:
            await self._ground(sample, answer)
        if plan.judged and plan.judge is not None:
            await self._judge(plan, sample, answer, plan.judge)

    async def _judge(self, plan: Plan, sample: Sample, answer: Answer, model: str) -> None:
        held = await self._purse.hold(plan.route, plan.held_microusd, plan.most_microusd, self._clock())
        if held is None:
            self.unpaid += 1
            return
        spent: int | None = 0
        try:
            tools = self._tools(plan, sample, model)
            for assertion in plan.judged:
                outcome = await assertion(answer, tools)
                spent = None if spent is None or outcome.cost_microusd is None else spent + outcome.cost_microusd
                self._keep(sample, outcome, model)
        except asyncio.CancelledError:
            spent = None
            raise
        finally:
            await self._purse.settle(held, spent)

    def _tools(self, plan: Plan, sample: Sample, model: str) -> Tools:
        call, caller = sample.call, sample.call.caller
        payer = Caller(
            key_id=f"live:{plan.route}"[:256], name=f"live quality {plan.route}", environment=caller.environment,
            feature=f"live_quality:{plan.route}", tags=caller.tags, admin=True,
        )  # fmt: skip
        return Tools(
            ask=lambda child: self._ask(call, child), judge=JudgeModel(model, temperature=0.0), caller=payer,
            trace_id=call.trace_id, session=call.session, tags=dict(call.tags), embedder=self._embedder,
            functions=False,
        )  # fmt: skip

    async def _ground(self, sample: Sample, answer: Answer) -> None:
        """`groundedness`: one minus the doubt about the claim that its passages support least."""
        passages = tuple(one for one in (*passages_of(sample.asked), system_of(sample.asked)) if one.strip())
        if not passages or not answer.output.strip():
            return

        async def given(claim: str) -> tuple[str, ...]:
            return passages

        doubts = await self._grounding.doubts(
            answer.output, answer.input, given, threshold=0.5, ask=None, judge="never"
        )
        worst = max(doubts, key=lambda one: one.doubt, default=None)
        if worst is not None:
            reason = f"least supported: {worst.claim[:300]}"
            self._keep(sample, Outcome("groundedness", "groundedness", None, 1 - worst.doubt, reason), _WHO)

    def _keep(self, sample: Sample, outcome: Outcome, who: str) -> None:
        """An outcome as a score of the call; one that could not be judged makes none."""
        value = outcome.value if outcome.value is not None else outcome.passed
        if outcome.error is not None or value is None:
            self.failed += outcome.error is not None
            log.debug("live_quality.unjudged", score=outcome.name, kind=outcome.kind)
            return
        call = sample.call
        reason = outcome.reason[:1000] if outcome.reason and self._shows(call) else None
        self._add(
            Score(
                id=f"live-{call.id}", trace_id=call.trace_id, call_id=call.id, name=outcome.name, value=value,
                source="judge" if outcome.asked else "code", reason=reason, at_s=self._clock(), who=who,
            )
        )  # fmt: skip

    def totals(self) -> Mapping[str, float]:
        """For `/metrics`."""
        return {
            "live_answers_scored": self.scored, "live_answers_left_out": self.left_out,
            "live_answers_unpaid": self.unpaid, "live_scorers_failed": self.failed,
        }  # fmt: skip

    async def close(self) -> None:
        """Stop what is under way; what a judge was asked by then is settled as it was held."""
        self._closed = True
        running = [*self._running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _answer(sample: Sample) -> Answer:
    reply, call = sample.reply, sample.call
    tools = tuple(tool for choice in reply.choices for tool in choice.tools)
    return Answer(
        input=last_question(sample.asked), output=reply.text, tool_calls=tools, cost_microusd=call.cost_microusd,
        latency_s=call.latency_s, reply=reply,
    )  # fmt: skip


def _lot(id: str) -> float:
    """A number from 0 to 1 that a call's id draws."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=6).digest()) / 2**48
