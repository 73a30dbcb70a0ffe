"""Live quality: what of the answers is scored, how, and what judges may cost in a day."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from comporta.errors import ConfigError, Unavailable, UpstreamError
from comporta.evaluation.assertions import node_of, read_assertion
from comporta.feedback.live import LiveQuality, Plan, plans_of
from comporta.feedback.live_purse import Purse
from comporta.feedback.settings import LiveQualitySection
from comporta.pipeline import Call, reply_of
from comporta.store.database import Database
from comporta.types import Caller, Delta, Event, Input, Message, Reply, Score, Text, Usage

DAY_S = 86_400.0
NOW_S = 20_000 * DAY_S + 3600
TODAY = datetime.date(1970, 1, 1) + datetime.timedelta(days=20_000)


def call_of(text: str = "How late is it?", model: str = "support", *, system: str = "", depth: int = 0) -> Call:
    messages = (Message("system", (Text(system),)),) if system else ()
    asked = Input(messages=(*messages, Message("user", (Text(text),))))
    return Call(kind="chat", input=asked, model=model, caller=Caller("k-1", team="shop"), depth=depth, user="u-1")


class Judge:
    """Answers as a judge does, with a cost; or fails."""

    def __init__(self, cost_microusd: int | None = 4_000, score: float = 0.8) -> None:
        self.asked: list[tuple[Call, Call]] = []
        self.cost_microusd = cost_microusd
        self.score = score
        self.failing = False

    async def __call__(self, of: Call, child: Call) -> Reply:
        self.asked.append((of, child))
        if self.failing:
            raise UpstreamError("The judge is away.")
        child.cost_microusd = self.cost_microusd
        child.usage = Usage(10, 0, 0, 0, 0, 10)
        # Whatever form is asked for: the names of what a rubric wants are in the schema.
        schema: Any = child.input.response_format and child.input.response_format.schema
        said = {name: self._value(name) for name in (schema or {}).get("properties", {})}
        return reply_of(Event(deltas=(Delta(text=json.dumps(said), finish="stop"),), whole=True))

    def _value(self, name: str) -> Any:
        return "It says so." if "reason" in name else self.score * 10


class Live:
    """Live quality with all that stands around it."""

    def __init__(
        self, database: Database, judge: Judge | None = None, *, shows: bool = True, asserted: Any = (), **route: Any
    ) -> None:
        self.scores: list[Score] = []
        self.judge = judge or Judge()
        self.purse = Purse(database)
        self.live = LiveQuality(self.judge, self._keep, self.purse, None, lambda call: shows, lambda: NOW_S)
        section = {"judge": "judge/model", "routes": {"support": {"sample": 1, "assert": list(asserted), **route}}}
        self.live.take(LiveQualitySection.model_validate(section))

    def _keep(self, score: Score) -> bool:
        self.scores.append(score)
        return True

    async def answer(self, text: str, call: Call | None = None, error: bool = False) -> dict[str, Score]:
        """An answer through the stage, and the scores once the background is done."""
        call = call or call_of()

        async def told() -> AsyncIterator[Event]:
            for piece in (text[:3], text[3:]):
                yield Event(deltas=(Delta(text=piece),))
            if error:
                raise UpstreamError("It broke off.")

        async def upstream(_: Call) -> AsyncIterator[Event]:
            return told()

        failure = None
        try:
            if self.live.applies(call):
                async for _ in await self.live.stage(call, upstream):
                    pass
        except UpstreamError as found:
            failure = found
        call.end(failure)
        await asyncio.gather(*self.live._running)
        return {score.name: score for score in self.scores}


async def test_scorers_that_need_no_model_say_what_they_find(database: Database) -> None:
    live = Live(database, asserted=[{"max_words": 3, "name": "short"}, {"language": "pt"}, {"regex": "[0-9]"}])
    found = await live.answer("It is 5 minutes late.")
    assert {name: score.value for name, score in found.items()} == {"short": False, "language": False, "regex": True}
    assert {score.source for score in found.values()} == {"code"}
    assert not live.judge.asked and live.live.totals()["live_answers_scored"] == 1


async def test_groundedness_is_low_where_an_answer_says_what_its_texts_do_not(database: Database) -> None:
    system = "The parcel 4711 left Lisbon on Monday. It arrives in Porto on Wednesday."
    live = Live(database, groundedness=True)
    good = (await live.answer("The parcel arrives in Porto on Wednesday.", call_of(system=system)))["groundedness"]
    bad = (await live.answer("The parcel was stolen in Madrid on Friday.", call_of(system=system)))["groundedness"]
    assert isinstance(good.value, float) and isinstance(bad.value, float)
    assert good.value > 0.5 > bad.value
    live.scores.clear()
    assert not await live.answer("Nothing to hold it against.", call_of())


async def test_a_judge_is_asked_as_a_call_of_the_answers_own_that_the_route_pays_for(database: Database) -> None:
    live = Live(database, relevance=True)
    call = call_of()
    found = await live.answer("Five minutes.", call)
    assert found["relevance"].source == "judge" and found["relevance"].who == "judge/model"
    assert isinstance(found["relevance"].value, float) and found["relevance"].value > 0.5
    of, child = live.judge.asked[0]
    assert of is call and child.trace_id == call.trace_id and child.model == "judge/model"
    assert (child.caller.key_id, child.caller.feature) == ("live:support", "live_quality:support")
    assert await live.purse.spent("support", TODAY) == 4_000


async def test_a_days_money_is_not_exceeded_and_what_needs_no_model_goes_on(database: Database) -> None:
    live = Live(database, relevance=True, max_cost_per_day=0.025, asserted=[{"max_words": 50}])
    live.judge.cost_microusd = 9_000
    for _ in range(5):
        await live.answer("Five minutes.")
    assert len(live.judge.asked) == 2
    assert await live.purse.spent("support", TODAY) == 18_000
    assert sum(score.name == "max_words" for score in live.scores) == 5
    assert live.live.totals()["live_answers_unpaid"] == 3


async def test_several_gates_hold_from_one_purse(database: Database) -> None:
    purse = Purse(database)
    held = await asyncio.gather(*(purse.hold("r", 10, 35, NOW_S) for _ in range(8)))
    assert sum(one is not None for one in held) == 3
    assert await purse.spent("r", TODAY) == 30
    first = next(one for one in held if one is not None)
    await purse.settle(first, None)
    assert await purse.spent("r", TODAY) == 30
    await purse.settle(first, 0)
    assert await purse.hold("r", 15, 35, NOW_S) is not None
    assert await purse.hold("r", 10, 35, NOW_S + DAY_S) is not None


async def test_an_unknown_cost_counts_as_what_was_held(database: Database) -> None:
    live = Live(database, Judge(cost_microusd=None), relevance=True)
    await live.answer("Five minutes.")
    assert await live.purse.spent("support", TODAY) == 10_000


async def test_a_judge_that_fails_makes_no_score(database: Database) -> None:
    live = Live(database, relevance=True)
    live.judge.failing = True
    assert not await live.answer("Five minutes.")
    assert live.live.totals()["live_scorers_failed"] == 1


async def test_what_is_not_of_the_sample_is_left_alone(database: Database) -> None:
    live = Live(database, asserted=[{"max_words": 1}])
    assert not live.live.applies(call_of(model="other")) and not live.live.applies(call_of(depth=1))
    assert not await live.answer("It broke", error=True)
    some = LiveQualitySection.model_validate({"routes": {"support": {"sample": "20%"}}})
    live.live.take(some)
    share = sum(live.live.applies(call_of()) for _ in range(2_000)) / 2_000
    assert 0.15 < share < 0.25
    live.live.take(LiveQualitySection.model_validate({"routes": {"support": {"sample": 0}}}))
    assert not live.live.applies(call_of())


async def test_reasons_are_left_out_where_no_words_may_be_kept(database: Database) -> None:
    live = Live(database, shows=False, asserted=[{"contains": "sorry"}])
    assert (await live.answer("Five minutes."))["contains"].reason is None


async def test_a_database_that_is_away_asks_no_judge() -> None:
    gone = Database("postgresql://127.0.0.1:1/none")
    live = Live(gone, relevance=True)
    plan: Plan = plans_of(LiveQualitySection.model_validate({"routes": {"a": {"relevance": True, "judge": "j"}}}))["a"]
    with pytest.raises(Unavailable):
        await live.purse.hold(plan.route, 1, 1, NOW_S)
    await gone.close()


@pytest.mark.parametrize(
    "wrong",
    [[{"max_wordz": 3}], [{"contains": "a"}, {"contains": "b"}], [{"contains": "a", "name": "a b"}], [{}]],
)
def test_mistakes_in_assertions_are_told_at_the_start(wrong: list[Any]) -> None:
    with pytest.raises(ValueError, match="assert"):
        LiveQualitySection.model_validate({"routes": {"support": {"assert": wrong}}})
    with pytest.raises(ConfigError):
        read_assertion(node_of({"nothing": 1}))


def test_something_to_judge_needs_somebody_who_does() -> None:
    for route in ({"relevance": True}, {"assert": [{"judge": "Polite?"}]}):
        with pytest.raises(ValueError, match="nobody who does"):
            LiveQualitySection.model_validate({"routes": {"support": route}})
        LiveQualitySection.model_validate({"judge": "a/b", "routes": {"support": route}})
