"""Runs the tries of suites: many at once, both versions of a case together, within a ceiling of cost."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, structs

from comporta.errors import ComportaError
from comporta.evaluation.base import Tools
from comporta.evaluation.composing import Version, question
from comporta.evaluation.suite import Suite, Trying
from comporta.evaluation.targets import Target
from comporta.evaluation.trial import Side, Trial, examined, failed

CONCURRENCY = 8
#: What would fail in every other try as well: nobody is helped by five hundred of them.
_HOPELESS_STATUSES = (401, 402, 403, 404)
_HOPELESS_CODES = ("gate_unreachable", "not_a_gate", "not_recorded", "recording_unwritable")

_BLIND = "what an answer cost is not known, so that no ceiling can hold: register the model's price"


class Planned(Struct, frozen=True):
    """A suite with the versions it is run on."""

    suite: Suite
    candidate: Version
    #: None where there is nothing to compare with, and where (`same`) the baseline's text is the very same.
    baseline: Version | None = None
    same: bool = False

    @property
    def tries(self) -> int:
        return self.suite.tries * (1 if self.baseline is None else 2)


class Ran(Struct, frozen=True):
    """What came of a run. `stopped` says why it ended before its end; `spent_microusd` is None where unknown."""

    trials: tuple[Trial, ...]
    spent_microusd: int | None
    stopped: str | None = None
    #: Why going on would have been of no use: a failure that every further try would have met.
    broken: str | None = None
    #: Tries that an earlier run had done.
    resumed: int = 0


class _Unit(Struct, frozen=True):
    """What is done at one go: one repeat of one case, on both versions."""

    planned: Planned
    trying: Trying
    repeat: int


class _Purse:
    """Lets tries begin while the ceiling holds for all that are under way, each taken for as dear as the dearest."""

    def __init__(self, limit_microusd: int | None) -> None:
        self._limit = limit_microusd
        self._running = 0
        self._dearest: int | None = None
        self.spent: int | None = 0
        self._changed = asyncio.Condition()

    async def begin(self) -> bool:
        """Whether one more may begin; waits where that depends on those under way."""
        async with self._changed:
            while self._limit is not None:
                if self.blind:
                    return False
                # What one costs is learned from a first one alone.
                if self._running == 0 if self._dearest is None else self._fits(self._running + 1):
                    break
                if self._running == 0:
                    return False
                await self._changed.wait()
            self._running += 1
            return True

    def _fits(self, running: int) -> bool:
        assert self._limit is not None
        return (self.spent or 0) + running * (self._dearest or 0) <= self._limit

    async def end(self, cost: int | None) -> None:
        async with self._changed:
            self._running -= 1
            self.spent = None if self.spent is None or cost is None else self.spent + cost
            self._dearest = max(self._dearest or 0, cost or 0)
            self._changed.notify_all()

    @property
    def blind(self) -> bool:
        """Whether there is a ceiling and nobody knows what was spent."""
        return self._limit is not None and self.spent is None


class Runner:
    """Runs suites against a target.

    `known` are tries of an earlier run, by key; `keep` is told each try as soon as it is done (a journal), `seen` each
    one for a progress bar. `max_cost_microusd` bounds answers and judges together.
    """

    def __init__(
        self,
        target: Target,
        tools: Tools,
        *,
        concurrency: int = CONCURRENCY,
        max_cost_microusd: int | None = None,
        known: Mapping[str, Trial] | None = None,
        keep: Callable[[Trial], None] = lambda trial: None,
        seen: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self._target = target
        self._tools = tools
        self._judge = tools.judge.model if tools.judge is not None else ""
        self._concurrency = max(1, concurrency)
        self._purse = _Purse(max_cost_microusd)
        self._known = known or {}
        self._keep = keep
        self._seen = seen
        self._trials: dict[str, Trial] = {}
        self._resumed = 0
        self._stopped: str | None = None
        self._broken: str | None = None

    async def run(self, plans: Sequence[Planned]) -> Ran:
        """All tries, or as many as the ceiling allows. Raises what the journal raises."""
        units = iter(_units(plans))
        workers = [asyncio.create_task(self._work(units)) for _ in range(self._concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for one in workers:
                one.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return Ran(tuple(self._trials.values()), self._purse.spent, self._stopped, self._broken, self._resumed)

    async def _work(self, units: Iterator[_Unit]) -> None:
        while self._stopped is None and self._broken is None:
            unit = next(units, None)
            if unit is None:
                break
            if self._done_before(unit):
                continue
            if not await self._purse.begin():
                self._shut()
                return
            cost: int | None = 0
            try:
                cost = await self._unit(unit)
            finally:
                await self._purse.end(cost)
        if self._purse.blind:
            self._shut()

    def _shut(self) -> None:
        """Why no further try may begin."""
        if self._purse.blind:
            self._broken = self._broken or _BLIND
        else:
            self._stopped = "the next answer could have gone over the ceiling of cost"

    def _done_before(self, unit: _Unit) -> bool:
        keys = [key for _, _, key in _sides(unit, self._judge)]
        if not all(key in self._known for key in keys):
            return False
        for key in keys:
            self._take(self._known[key])
            self._resumed += 1
        return True

    async def _unit(self, unit: _Unit) -> int | None:
        """Both versions' answers, then what is found of them: the candidate's may be held against the baseline's."""
        cost: int | None = 0
        before: Trial | None = None
        for side, version, key in reversed(_sides(unit, self._judge)):
            trial = self._known.get(key) if side == "baseline" else None
            if trial is None:
                trial = await self._try(unit, side, version, key, before)
                self._keep(trial)
                spent = _cost(trial)
                cost = None if cost is None or spent is None else cost + spent
            self._take(trial)
            before = trial
            if self._broken is not None:
                break
        return cost

    async def _try(self, unit: _Unit, side: Side, version: Version, key: str, before: Trial | None) -> Trial:
        suite, trying = unit.planned.suite, unit.trying
        trial = Trial(key, suite.prompt, side, trying.case.id, unit.repeat, question(trying))
        timeout_s, guards = version.bounds
        try:
            sent = await self._target.send(version.body(suite, trying), timeout_s, guards)
        except ComportaError as error:
            if error.status in _HOPELESS_STATUSES or error.code in _HOPELESS_CODES:
                self._broken = error.message
            return failed(trial, error)
        tools = structs.replace(self._tools, judge=suite.judge or self._tools.judge, extract=suite.acting)
        baseline = before.output if before is not None and before.error is None else None
        return await examined(trial, sent, suite, trying, tools, baseline)

    def _take(self, trial: Trial) -> None:
        self._trials[f"{trial.side} {trial.key}"] = trial
        self._seen(trial)


def _units(plans: Iterable[Planned]) -> Iterator[_Unit]:
    """First each case once, then the repeats: what is cut short has seen all cases."""
    for planned in plans:
        most = max((one.repeats for one in planned.suite.cases), default=0)
        for repeat in range(most):
            for trying in planned.suite.cases:
                if repeat < trying.repeats:
                    yield _Unit(planned, trying, repeat)


def _sides(unit: _Unit, judge: str) -> list[tuple[Side, Version, str]]:
    """`judge` is the model that judges where the suite names none."""
    planned = unit.planned
    found: list[tuple[Side, Version, str]] = []
    against = "" if planned.baseline is None else planned.baseline.digest
    found.append(("candidate", planned.candidate, _key(unit, planned.candidate, against, judge)))
    if planned.baseline is not None:
        found.append(("baseline", planned.baseline, _key(unit, planned.baseline, "", judge)))
    return found


def _key(unit: _Unit, version: Version, against: str, judge: str) -> str:
    """All that an answer and what was found of it depend on."""
    suite = unit.planned.suite
    compared = against if unit.trying.against_baseline else ""
    case = (unit.trying.case.id, unit.trying.digest, str(unit.repeat))
    judge = "" if suite.judge is not None else judge
    said = (suite.prompt, version.digest, version.asked(suite), *case, compared, judge)
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]


def _cost(trial: Trial) -> int | None:
    if trial.error is not None:
        return trial.cost_microusd or 0
    if trial.cost_microusd is None or trial.judging_microusd is None:
        return None
    return trial.cost_microusd + trial.judging_microusd
