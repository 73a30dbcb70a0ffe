"""What a finding is called, in one sentence."""

from __future__ import annotations

from comporta.feedback.drift.changes import Change
from comporta.feedback.findings.tables import MARK, Stream

_SHARES = {
    "refusals": "refusals", "cut": "answers that were cut off", "json": "answers in JSON", "list": "answers with lists",
    "code": "answers with code", "en": "answers in English", "pt": "answers in Portuguese", "es": "answers in Spanish",
    "other": "answers in other languages",
}  # fmt: skip
_LANGUAGES = {"en": "English", "pt": "Portuguese", "es": "Spanish"}
_RATIOS = {"words": "answers' length", "cost": "cost per call", "tokens": "tokens per call"}


def title_of(stream: Stream, change: Change) -> str:
    """«Route support: refusals rose from 2 % to 14 % (help@1.2.0)»."""
    version = f" ({stream.prompt}@{stream.version})" if stream.prompt else ""
    return f"Route {stream.route}: {_told(stream, change)}{version}"


def _told(stream: Stream, change: Change) -> str:
    if stream.kind == "skew":
        return _skewed(change)
    if change.unit == "told_apart":
        return f"users ask about other things; {change.facts['new']:.0%} of the inputs are unlike those of before"
    way = "rose" if change.size > 0 else "fell"
    if change.unit == "ratio":
        name = _RATIOS.get(change.measure, change.measure)
        return f"{name} {way} by {abs(change.size):.0%}"
    before, after = change.before or 0.0, change.after or 0.0
    if change.unit == "share":
        name = _SHARES.get(change.measure, f"the share of {change.measure}")
        return f"{name} {way} from {before:.0%} to {after:.0%}"
    score = stream.name.split(MARK)[1]
    same = "on the same sort of inputs " if stream.kind == "concepts" else ""
    return f"{same}the score {score} {way} from {before:.3g} to {after:.3g}"


def _skewed(change: Change) -> str:
    """Before is what the tests have, after what production has."""
    if change.unit == "told_apart":
        return f"users ask what the prompt is not tested with; {change.facts['new']:.0%} of the inputs are unlike tests"
    if change.unit == "ratio":
        return f"inputs are {abs(change.size):.0%} {'longer' if change.size > 0 else 'shorter'} than those of its tests"
    name = _LANGUAGES.get(change.measure, "other languages")
    return f"{change.after or 0.0:.0%} of the inputs are in {name}, and {change.before or 0.0:.0%} of its tests"
