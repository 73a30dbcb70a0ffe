"""A run written down for others: JUnit for CI, Markdown for a comment, plain values for JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import msgspec

from comporta.evaluation.gate import Measured, Report, Tested, told
from comporta.evaluation.trial import Trial

SYMBOLS = {
    "passed": "✅", "better": "✅", "no worse": "✅", "failed": "❌", "worse": "❌", "not enough data": "⚠️",
    "stopped": "⏸️", "broken": "🛑",
}  # fmt: skip
#: A comment on GitHub ends at 65,536 characters.
LONGEST_MARKDOWN = 60_000
_MOST_FAILURES = 20
_MOST_SHOWN = 300
#: What XML 1.0 can't hold, whatever a model wrote.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(report: Report) -> dict[str, Any]:
    """The report as JSON values: exit code, then each suite with its numbers and every try."""
    suites = [
        {**_finite(msgspec.to_builtins(one)), "trials": [_trial(trial) for trial in one.trials]}
        for one in report.tested
    ]  # fmt: skip
    return {
        "exit_code": report.exit_code, "spent_usd": _usd(report.spent_microusd), "stopped": report.stopped,
        "resumed": report.resumed, "suites": suites,
    }  # fmt: skip


def _trial(trial: Trial) -> dict[str, Any]:
    return {**_finite(msgspec.to_builtins(trial)), "passed": trial.passed}


def _finite(value: Any) -> Any:
    """Without the infinities of a comparison that has no interval: JSON has none."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(tested: Tested) -> dict[str, Any]:
    """The few numbers that the registry keeps of a run."""
    found: dict[str, Any] = {
        "verdict": tested.status, "cases": tested.cases, "tries": tested.tried, "model": tested.model,
        "pass_share": round(tested.pass_share, 4), "reasons": [one[:500] for one in tested.reasons[:5]],
    }  # fmt: skip
    if tested.baseline is not None:
        found["baseline"] = tested.baseline
    if tested.passes is not None:
        one = tested.passes
        found["effect"] = _finite([round(v, 4) if math.isfinite(v) else v for v in (one.effect, one.low, one.high)])
    return found


# ---- JUnit ----------------------------------------------------------------------------------------------------------


def junit(report: Report) -> bytes:
    """JUnit XML: a test suite for each prompt, a test case for each case, and one for the gate."""
    root = ElementTree.Element("testsuites", name="comporta prompts test")
    for tested in report.tested:
        _suite(root, tested)
    ElementTree.indent(root)
    found: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return found


def _suite(root: ElementTree.Element, tested: Tested) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_fit(tested.candidate))
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for case, trials in _cases(tested).items():
        counts["tests"] += 1
        seconds = sum(one.latency_s or 0.0 for one in trials)
        made = ElementTree.SubElement(
            suite, "testcase", classname=_fit(tested.prompt), name=_fit(case), time=f"{seconds:.3f}"
        )
        for kind, message, text in _told(trials):
            counts[f"{kind}s"] += 1
            ElementTree.SubElement(made, kind, message=_fit(message)).text = _fit(text)
    counts["tests"] += 1
    _gate(suite, tested, counts)
    suite.attrib.update({name: str(count) for name, count in counts.items()})


def _gate(suite: ElementTree.Element, tested: Tested, counts: dict[str, int]) -> None:
    """The verdict as a case of its own: a regression may have no single case that failed."""
    made = ElementTree.SubElement(suite, "testcase", classname=_fit(tested.prompt), name="gate")
    text = "\n".join(tested.reasons)
    kinds = {"worse": "failure", "failed": "failure", "broken": "error", "not enough data": "skipped",
             "stopped": "skipped"}  # fmt: skip
    kind = kinds.get(tested.status)
    if kind is None:
        ElementTree.SubElement(made, "system-out").text = _fit("\n".join((tested.status, text)))
        return
    counts["skipped" if kind == "skipped" else f"{kind}s"] += 1
    ElementTree.SubElement(made, kind, message=_fit(tested.status)).text = _fit(text)


def _told(trials: list[Trial]) -> Iterator[tuple[str, str, str]]:
    """At most one failure and one error of a case: readers of JUnit count no more."""
    failing = [one for one in trials if one.passed is False]
    if failing:
        first = failing[0]
        message = f"failed in {len(failing)} of {len(trials)} tries" if len(trials) > 1 else "failed"
        yield "failure", f"{message}: {first.failures[0].name}", _failure(first)
        return
    unjudged = [why for one in trials for why in one.unjudged]
    if unjudged:
        yield "error", unjudged[0], "\n".join(dict.fromkeys(unjudged))


def _failure(trial: Trial) -> str:
    lines = [f"{one.name}: {one.reason} ({one.place})" if one.place else f"{one.name}: {one.reason}"
             for one in trial.failures]  # fmt: skip
    return "\n".join([*lines, "", f"asked: {_short(trial.asked)}", f"answered: {_short(trial.output)}"])


def _cases(tested: Tested) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for one in tested.trials:
        if one.side == "candidate":
            found.setdefault(one.case, []).append(one)
    return found


def _fit(text: str) -> str:
    return _UNFIT.sub("�", text)


# ---- Markdown -------------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """A comment for a merge request."""
    parts = ["## Prompt tests"]
    parts += [part for tested in report.tested for part in _section(tested)]
    spent = _usd(report.spent_microusd)
    parts.append(f"Spent: {'unknown' if spent is None else f'${spent:.4f}'}." + (
        f" {report.resumed} tries were taken from the run before." if report.resumed else ""
    ))  # fmt: skip
    text = "\n\n".join(parts) + "\n"
    return text if len(text) <= LONGEST_MARKDOWN else text[:LONGEST_MARKDOWN] + "\n\n… (cut)\n"


def _section(tested: Tested) -> Iterator[str]:
    against = f" against {_md(tested.baseline)}" if tested.baseline is not None else ""
    yield f"### {SYMBOLS[tested.status]} {_md(tested.candidate)}{against}: {tested.status}"
    yield (
        f"{tested.cases} cases, {tested.tried} tries with `{tested.model}`, {tested.pass_share:.1%} passed."
    )  # fmt: skip
    if tested.reasons:
        yield "\n".join(f"- {_md(one)}" for one in tested.reasons)
    if tested.measured or tested.passes is not None:
        yield "\n".join(_table(tested))
    if wavering := [one.said for one in tested.noise if one.said]:
        yield "**Judges**\n\n" + "\n".join(f"- {_md(one)}" for one in wavering)
    failing = [one for one in tested.trials if one.side == "candidate" and one.passed is False]
    if failing:
        yield _failures(failing)
    if tested.heuristics:
        yield f"_By heuristics, without a model: {_md(', '.join(tested.heuristics))}._"


def _table(tested: Tested) -> Iterator[str]:
    if tested.passes is None:
        yield "| measured | mean | answers |\n|---|---|---|"
        for one in tested.measured:
            yield f"| {_md(one.name)} | {shown(one, one.mean)} | {one.answers} |"
        return
    yield "| measured | baseline | candidate | difference (interval) | verdict |\n|---|---|---|---|---|"
    paired = tested.passes
    yield (
        f"| **passes** | {paired.baseline:.1%} | {paired.candidate:.1%} | {paired.effect * 100:+.1f} points "
        f"({paired.low * 100:+.1f} to {paired.high * 100:+.1f}) | **{paired.verdict}** |"
    )
    for one in tested.measured:
        if one.paired is not None:
            verdict = f"**{one.paired.verdict}**" if one.gates else f"{one.paired.verdict} (shown only)"
            yield (
                f"| {_md(one.name)} | {shown(one, one.paired.baseline)} | {shown(one, one.paired.candidate)} | "
                f"{shown(one, one.paired.effect)} ({shown(one, one.paired.low)} to {shown(one, one.paired.high)}) | "
                f"{verdict} |"
            )


def shown(measured: Measured, value: float) -> str:
    """A value with its unit."""
    if not math.isfinite(value):
        return "?"
    if measured.name == "cost":
        return f"${value:.6f}"
    return f"{value:.2f} s" if measured.name == "latency" else f"{value:.3f}"


def _failures(failing: list[Trial]) -> str:
    lines = [f"<details><summary>{len(failing)} failing tries</summary>\n"]
    for one in failing[:_MOST_FAILURES]:
        lines.append(f"- **{_md(one.case)}** (try {one.repeat + 1}): answered «{_md(_short(one.output))}»")
        lines += [f"  - {_md(f.name)}: {_md(f.reason)}" for f in one.failures]
    if len(failing) > _MOST_FAILURES:
        lines.append(f"- and {len(failing) - _MOST_FAILURES} more")
    return "\n".join([*lines, "\n</details>"])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…"


def _md(text: str) -> str:
    """What a model wrote can neither mention people nor be markup."""
    line = " ".join(text.split()).replace("@", "@\u200b")
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", line)


def _usd(microusd: int | None) -> float | None:
    return None if microusd is None else microusd / 1_000_000


__all__ = ["SYMBOLS", "junit", "markdown", "plain", "shown", "summary", "told"]
