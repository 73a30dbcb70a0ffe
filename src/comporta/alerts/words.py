"""What people are told of a rule: title, sentence and figures."""

from __future__ import annotations

from comporta.alerts.judging import Look, Standing, Told
from comporta.alerts.rules import Rule
from comporta.config.values import show_duration
from comporta.notify.notice import Notice, Severity
from comporta.telemetry.observability.bounds import Bound, shown, written

_TITLES = {
    "alert.raised": "{level}: {rule}",
    "alert.eased": "Eased to a warning: {rule}",
    "alert.recovered": "Recovered: {rule}",
    "alert.still": "Still {level_small}: {rule}",
    "alert.no_data": "No data: {rule}",
}
_SEVERITIES: dict[str, Severity] = {"ok": "info", "warning": "warning", "no_data": "warning", "alert": "critical"}


def notice_of(rule: Rule, standing: Standing, told: Told, look: Look, event: int, at_s: float) -> Notice:
    """The notice of one event. That it is over is told as loudly as that it began: to whoever heard of it."""
    level = "Warning" if standing.state == "warning" else "Alert"
    title = _TITLES[told].format(level=level, level_small=level.lower(), rule=_what(rule, look))
    loudest = standing.worst or standing.told if told == "alert.recovered" else standing.state
    return Notice(
        id=f"alert-{event}-{rule.name}", kind=told, title=title, text=_text(rule, look), severity=_SEVERITIES[loudest],
        facts=facts(rule, standing, look), at_s=at_s,
    )  # fmt: skip


def facts(rule: Rule, standing: Standing, look: Look) -> dict[str, object]:
    """The figures that decided."""
    bounds = {name: _bound(rule, getattr(rule, name)) for name in ("alert", "warning", "recover")}
    found: dict[str, object] = {
        "rule": rule.name, "state": standing.state, "metric": rule.metric, "value": shown(look.value, rule.figure.unit),
        **{name: text for name, text in bounds.items() if text is not None}, "window": show_duration(rule.window_s),
        "calls": look.calls, **rule.filter,
    }  # fmt: skip
    if look.baseline is not None:
        found["usual"] = shown(look.baseline.median, rule.figure.unit)
        found["weeks"] = look.baseline.weeks
    return found


def sentence(rule: Rule, look: Look) -> str:
    """What was seen, in a sentence."""
    where = ", ".join(f"{name} {value}" for name, value in rule.filter.items())
    whose = f" of {where}" if where else ""
    value = shown(look.value, rule.figure.unit)
    seen = f"{rule.metric}{whose} is {value} over the last {show_duration(rule.window_s)} ({look.calls} calls)"
    if look.value is None:
        seen = f"{rule.metric}{whose} can't be told over the last {show_duration(rule.window_s)}"
    return f"{seen}: {look.reason}." if look.reason else f"{seen}."


def threshold(rule: Rule) -> str:
    """What is bad news, as one writes it."""
    if rule.unusual is not None:
        return f"unusual by {rule.unusual:g} spreads"
    said = [("alert", rule.alert), ("warning", rule.warning)]
    return ", ".join(f"{name} {_bound(rule, bound)}" for name, bound in said if bound is not None)


def _what(rule: Rule, look: Look) -> str:
    return f"{rule.name} ({rule.metric} {shown(look.value, rule.figure.unit)})"


def _text(rule: Rule, look: Look) -> str:
    parts = [sentence(rule, look), f"The rule: {threshold(rule)}."]
    return "\n".join([*parts, rule.about] if rule.about else parts)


def _bound(rule: Rule, bound: Bound | None) -> str | None:
    return None if bound is None else written(bound, rule.figure.unit)
