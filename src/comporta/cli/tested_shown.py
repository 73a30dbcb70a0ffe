"""A run of prompt tests as it is told on a terminal."""

from __future__ import annotations

from comporta.cli.shown import note, say, usd
from comporta.evaluation.gate import Report, Tested
from comporta.evaluation.reports import shown
from comporta.evaluation.trial import Trial

_MOST_FAILURES = 10
_MOST_SHOWN = 160


def tell(report: Report, ceiling_microusd: int | None) -> None:
    """A block for each prompt, then what it cost."""
    for one in report.tested:
        _tell(one)
    spent = "unknown" if report.spent_microusd is None else usd(report.spent_microusd)
    of = "" if ceiling_microusd is None else f" of {usd(ceiling_microusd)}"
    taken = f"; {report.resumed} tries taken from the run before" if report.resumed else ""
    note(f"Spent {spent}{of}{taken}.")


def _tell(tested: Tested) -> None:
    against = f" against {tested.baseline}" if tested.baseline is not None else ""
    say(f"{tested.candidate}{against}: {tested.status}")
    say(f"  {tested.cases} cases, {tested.tried} tries with {tested.model}, {tested.pass_share:.1%} passed")
    for reason in tested.reasons:
        say(f"  {reason}")
    for one in tested.measured:
        how = "" if one.gates or one.paired is None else " (shown only)"
        if one.paired is None:
            say(f"  {one.name}: {shown(one, one.mean)} on average")
        elif not one.gates:
            before, after = shown(one, one.paired.baseline), shown(one, one.paired.candidate)
            say(f"  {one.name}: {before} before, {after} now{how}")
    for judge in tested.noise:
        if judge.said:
            say(f"  judge: {judge.said}")
    failing = [one for one in tested.trials if one.side == "candidate" and one.passed is False]
    for trial in failing[:_MOST_FAILURES]:
        _failure(trial)
    if len(failing) > _MOST_FAILURES:
        say(f"  and {len(failing) - _MOST_FAILURES} more failing tries; --json or --markdown tells all")
    if tested.heuristics:
        say(f"  by heuristics, without a model: {', '.join(tested.heuristics)}")


def _failure(trial: Trial) -> None:
    again = f" (try {trial.repeat + 1})" if trial.repeat else ""
    line = " ".join(trial.output.split())
    say(f"  failed {trial.case}{again}: «{line[:_MOST_SHOWN]}{'…' if len(line) > _MOST_SHOWN else ''}»")
    for one in trial.failures:
        say(f"    {one.name}: {one.reason}" + (f" ({one.place})" if one.place else ""))
