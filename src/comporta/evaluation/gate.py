"""The gate: from the tries of a suite to a verdict, with the numbers that made it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec import Struct, structs

from comporta.evaluation.base import Outcome
from comporta.evaluation.judges.noise import Noise, noise
from comporta.evaluation.running import Planned, Ran
from comporta.evaluation.suite import PAIRWISE, Metric, Rules
from comporta.evaluation.trial import EXPECTED, Side, Trial, passed_by
from comporta.stats.paired import Paired, Verdict, compare_numbers, compare_passes

Status = Literal["passed", "failed", "better", "no worse", "worse", "not enough data", "stopped", "broken"]
#: What a shell is told; of several suites the first of these that one of them came to counts.
EXIT_CODES: tuple[tuple[Status, int], ...] = (
    ("broken", 2), ("worse", 3), ("failed", 1), ("stopped", 5), ("not enough data", 4),
    ("no worse", 0), ("better", 0), ("passed", 0),
)  # fmt: skip
COST = "cost"
LATENCY = "latency"
_MOST_TOLD = 5
#: Margins of what is measured and decides nothing.
_SHOWN_MARGIN = {COST: Metric(COST, 0.1, True, True), LATENCY: Metric(LATENCY, 0.1, True, True)}


class Measured(Struct, frozen=True, omit_defaults=True):
    """A quantity on the candidate (and, `paired`, against the baseline). Costs are dollars, latencies seconds."""

    name: str
    mean: float
    answers: int
    paired: Paired | None = None
    #: Whether the gate looks at it.
    gates: bool = False
    lower_is_better: bool = False


class Tested(Struct, frozen=True, omit_defaults=True):
    """What a suite came to."""

    #: Not a class of tests, whatever its name says to pytest.
    __test__ = False

    prompt: str
    candidate: str
    digest: str
    model: str
    status: Status
    #: Sentences that say why.
    reasons: tuple[str, ...]
    cases: int
    #: How many tries of the candidate there were, and were to be.
    tried: int
    planned: int
    #: The share of passes, each case counting once.
    pass_share: float
    passes: Paired | None = None
    measured: tuple[Measured, ...] = ()
    noise: tuple[Noise, ...] = ()
    trials: tuple[Trial, ...] = ()
    baseline: str | None = None
    #: The baseline's text is the very same, and was not asked again.
    same: bool = False
    #: Whether a heuristic had a say.
    heuristics: tuple[str, ...] = ()


class Report(Struct, frozen=True):
    """What a run came to. Money is micro-dollars; None is unknown."""

    tested: tuple[Tested, ...]
    spent_microusd: int | None
    stopped: str | None = None
    resumed: int = 0

    @property
    def exit_code(self) -> int:
        found = {one.status for one in self.tested}
        return next((code for status, code in EXIT_CODES if status in found), 0)


def judge(plans: Sequence[Planned], ran: Ran, *, against: str | None = None) -> Report:
    """The verdicts. `against` is what the baseline was asked for by: an environment, a version, a git ref."""
    tested = tuple(_tested(one, ran, against) for one in plans)
    return Report(tested, ran.spent_microusd, ran.stopped, ran.resumed)


def _tested(planned: Planned, ran: Ran, against: str | None) -> Tested:
    trials = tuple(one for one in ran.trials if one.prompt == planned.suite.prompt)
    mine = [one for one in trials if one.side == "candidate"]
    rules, against_it = planned.suite.rules, planned.baseline is not None
    alpha = rules.alpha / (1 + len(rules.metrics))
    passes = _passes(planned, trials, rules, alpha) if against_it else None
    measured = _measured(trials, rules, alpha, paired=against_it)
    wavering = _noise(trials)
    made = Tested(
        prompt=planned.suite.prompt, candidate=planned.candidate.label, digest=planned.candidate.digest,
        model=planned.candidate.asked(planned.suite), status="passed", reasons=(), cases=len(planned.suite.cases),
        tried=len(mine), planned=planned.suite.tries, pass_share=_share(mine), passes=passes, measured=measured,
        noise=wavering, trials=trials, baseline=_against(planned, against),
        same=planned.same,
        heuristics=tuple(sorted({o.name for one in trials for o in one.outcomes if o.heuristic})),
    )  # fmt: skip
    for rule in (_broken, _stopped, _fails, _compares):
        if (found := rule(made, planned, ran)) is not None:
            status, reasons = found
            return structs.replace(made, status=status, reasons=reasons)
    return made


def _against(planned: Planned, against: str | None) -> str | None:
    if planned.baseline is None:
        return against if planned.same else None
    label = planned.baseline.label
    return label if against is None or label.endswith(f"@{against}") else f"{label} ({against})"


Found = tuple[Status, tuple[str, ...]] | None


def _broken(made: Tested, planned: Planned, ran: Ran) -> Found:
    """What keeps the numbers from meaning anything."""
    reasons = [ran.broken] if ran.broken is not None else []
    told = [f"{one.case} ({one.side}): {why}" for one in made.trials for why in one.unjudged]
    if told:
        reasons.append(f"{_counted(len(told), 'try', 'tries')} could not be judged; --resume asks those again")
        reasons += list(dict.fromkeys(told))[:_MOST_TOLD]
    reasons += [
        f"a judge too noisy to tell is no gate: {one.said or one.name} (sharpen its rubric, raise its repeats, "
        "or make the assertion optional)"
        for one in made.noise if one.too_noisy
    ]  # fmt: skip
    if ran.stopped is None and not reasons:
        known = {one.name for one in made.measured}
        reasons += [f"gate.metrics names {one.name}, and no assertion of that name measured anything"
                    for one in planned.suite.rules.metrics if one.name not in known]  # fmt: skip
    return ("broken", tuple(reasons)) if reasons else None


def _stopped(made: Tested, planned: Planned, ran: Ran) -> Found:
    if ran.stopped is None or made.tried == made.planned:
        return None
    return "stopped", (f"{ran.stopped}: {made.tried} of {made.planned} tries done; --resume goes on",)


def _fails(made: Tested, planned: Planned, ran: Ran) -> Found:
    """Cases that must pass and don't, and a share of passes below what is asked."""
    rules = planned.suite.rules
    required = {one.case.id for one in planned.suite.cases if one.required}
    mine = [one for one in made.trials if one.side == "candidate" and one.passed is False]
    broken = sorted({one.case for one in mine} & required)
    reasons = [f"{case} is required and failed" for case in broken[:_MOST_TOLD]]
    least = rules.pass_rate if rules.pass_rate is not None else (None if planned.baseline is not None else 1.0)
    if least is not None and made.pass_share < least:
        failing = len({one.case for one in mine})
        reasons.append(f"{_counted(failing, 'case')} of {made.cases} failed: {made.pass_share:.1%} passed, "
                       f"asked is {least:.1%}")  # fmt: skip
    return ("failed", tuple(reasons)) if reasons else None


def _compares(made: Tested, planned: Planned, ran: Ran) -> Found:
    if made.same:
        return "no worse", (f"the text is the same as {made.baseline}'s",)
    if made.passes is None:
        return None
    gates = [("passes", made.passes, True)]
    gates += [(one.name, one.paired, False) for one in made.measured if one.gates and one.paired is not None]
    status = _together([one.verdict for _, one, _ in gates])
    return status, tuple(told(name, one, share) for name, one, share in gates)


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("worse", "not enough data", "better", "no worse")
    return next(one for one in order if one in verdicts)


def told(name: str, paired: Paired, share: bool) -> str:
    """A comparison as a sentence: verdict, effect, interval, and what more would decide."""
    unit = _points if share else _number
    p = "" if paired.p is None else f", p {paired.p:.2g}"
    text = (
        f"{name}: {paired.verdict}, {unit(paired.effect)} ({100 * paired.level:.4g} % interval {unit(paired.low)} to "
        f"{unit(paired.high)}; {_counted(paired.cases, 'case')}, {paired.gains} better, {paired.losses} worse{p})"
    )
    if paired.verdict != "not enough data":
        return text
    more = "more cases than anybody writes" if paired.more is None else f"about {_counted(paired.more, 'more case')}"
    return f"{text}; {more} like these would decide it"


def _points(value: float) -> str:
    return f"{value * 100:+.1f} points" if math.isfinite(value) else "unknown"


def _number(value: float) -> str:
    return f"{value:+.4g}" if math.isfinite(value) else "unknown"


# ---- from tries to numbers ------------------------------------------------------------------------------------------


def _share(trials: Iterable[Trial]) -> float:
    """The mean over cases of the share of their repeats that passed."""
    cases = _by_case(trials, lambda one: None if one.passed is None else float(one.passed))
    return statistics.fmean(map(statistics.fmean, cases.values())) if cases else 0.0


def _by_case(trials: Iterable[Trial], value: Callable[[Trial], float | None]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in trials:
        if (measured := value(one)) is not None:
            found.setdefault(one.case, []).append(measured)
    return found


def _sides(
    trials: Sequence[Trial], value: Callable[[Trial], float | None]
) -> tuple[list[list[float]], list[list[float]]]:
    """Baseline's and candidate's values of the cases that both have, in the same order."""
    before, after = ({side: _by_case([t for t in trials if t.side == side], value) for side in _BOTH}[s] for s in _BOTH)
    cases = [case for case in after if case in before]
    return [before[case] for case in cases], [after[case] for case in cases]


_BOTH: tuple[Side, Side] = ("baseline", "candidate")


def _passes(planned: Planned, trials: Sequence[Trial], rules: Rules, alpha: float) -> Paired:
    """Passes by the assertions that both versions were held to."""
    alone = {name for one in planned.suite.cases for name in one.against_baseline}

    def value(trial: Trial) -> float | None:
        shared = tuple(one for one in trial.outcomes if one.kind != PAIRWISE or one.name not in alone)
        passed = passed_by(trial, shared)
        return None if passed is None else float(passed)

    before, after = _sides(trials, value)
    return compare_passes(before, after, margin=rules.margin, alpha=alpha)


def _measured(trials: Sequence[Trial], rules: Rules, alpha: float, *, paired: bool) -> tuple[Measured, ...]:
    names = list(dict.fromkeys(o.name for one in trials for o in one.outcomes if o.value is not None))
    wanted = {one.name: one for one in rules.metrics}
    found = []
    for name in (*names, COST, LATENCY):
        value = _value_of(name)
        mine = [v for one in trials if one.side == "candidate" and (v := value(one)) is not None]
        if mine:
            metric = wanted.get(name) or _SHOWN_MARGIN.get(name) or Metric(name, rules.margin)
            compared = _numbers(trials, value, metric, alpha) if paired else None
            found.append(Measured(name, statistics.fmean(mine), len(mine), compared, name in wanted,
                                  metric.lower_is_better))  # fmt: skip
    return tuple(found)


def _numbers(
    trials: Sequence[Trial], value: Callable[[Trial], float | None], metric: Metric, alpha: float
) -> Paired | None:
    before, after = _sides(trials, value)
    if not before:
        return None
    usual = abs(statistics.fmean(map(statistics.fmean, before))) if metric.relative else 1.0
    return compare_numbers(
        before, after, margin=metric.margin * usual, alpha=alpha, lower_is_better=metric.lower_is_better
    )  # fmt: skip


def _value_of(name: str) -> Callable[[Trial], float | None]:
    def cost(trial: Trial) -> float | None:
        return None if trial.error is not None or trial.cost_microusd is None else trial.cost_microusd / 1_000_000

    def latency(trial: Trial) -> float | None:
        return None if trial.error is not None else trial.latency_s

    def marked(trial: Trial) -> float | None:
        values = [one.value for one in trial.outcomes if one.name == name and one.value is not None]
        return statistics.fmean(values) if values else None

    return {COST: cost, LATENCY: latency}.get(name, marked)


def _noise(trials: Sequence[Trial]) -> tuple[Noise, ...]:
    """How far each judge that has a say differs from itself; both versions' answers tell."""
    judged: dict[str, list[Outcome]] = {}
    for one in trials:
        for outcome in one.outcomes:
            if outcome.asked and not outcome.optional:
                judged.setdefault(EXPECTED if outcome.kind == EXPECTED else outcome.name, []).append(outcome)
    return tuple(noise(outcomes, name) for name, outcomes in judged.items())


def _counted(count: int, word: str, several: str = "") -> str:
    return f"{count:,} {word if count == 1 else several or word + 's'}"
