"""What a look at a figure means for a rule, and how a rule's state goes on from it: pure functions."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, structs

from comporta.alerts.rules import RANK, Rule, State

Told = Literal["alert.raised", "alert.eased", "alert.recovered", "alert.still", "alert.no_data"]


class Baseline(Struct, frozen=True):
    """What is usual at this hour of the week: the median of earlier weeks, and their spread (a robust deviation)."""

    median: float
    spread: float
    weeks: int


class Look(Struct, frozen=True):
    """What a rule saw: the figure, on how many calls it rests, and what it means (None: as before)."""

    value: float | None
    calls: int
    level: State | None
    reason: str | None = None
    baseline: Baseline | None = None


class Standing(Struct, frozen=True):
    """How a rule stands. `pending` says that it may get `worse` or `better`, and since when (seconds since 1970)."""

    state: State = "ok"
    since_s: float = 0.0
    pending: str | None = None
    pending_since_s: float | None = None
    #: The state that people were told last, when, and the worst one of the running event.
    told: State = "ok"
    told_at_s: float | None = None
    worst: State | None = None


def judged(rule: Rule, state: State, value: float | None, calls: int) -> Look:
    """A look at a threshold: bounds, and the line behind which it has recovered."""
    if value is None or calls < rule.min_calls:
        return _without(rule, calls)
    level: State = "ok"
    if rule.warning is not None and _beyond(rule.warning.holds(value), state, "warning", rule, value):
        level = "warning"
    if rule.alert is not None and _beyond(rule.alert.holds(value), state, "alert", rule, value):
        level = "alert"
    if level == "ok" and calls == 0 and rule.no_data != "ok":
        # Nothing adds up to nothing, which looks good and is not what the rule asks for.
        return _without(rule, calls)
    return Look(value, calls, level)


def judged_unusual(rule: Rule, state: State, value: float | None, calls: int, found: Baseline | str) -> Look:
    """A look at what is usual; `found` is a sentence where that is not known yet."""
    if value is None or calls < rule.min_calls:
        return _without(rule, calls)
    if isinstance(found, str):
        return Look(value, calls, "ok" if state == "ok" else None, found)
    off = (value - found.median) / found.spread
    worse = rule.figure.worse
    bad = off if worse == "up" else -off if worse == "down" else abs(off)
    limit = rule.unusual or 0.0
    # Half-way back is still unusual enough for one that is on.
    beyond = bad > limit or (state == "alert" and bad > limit / 2)
    times = f"{abs(off):.1f} times the usual spread {'above' if off > 0 else 'below'} what is usual at this hour"
    return Look(value, calls, "alert" if beyond else "ok", times, found)


def _without(rule: Rule, calls: int) -> Look:
    """Nothing to judge by: no calls at all, or too few."""
    few = f"{calls} calls in the window, {rule.min_calls} are needed" if calls else "no calls in the window"
    if rule.no_data == "alert":
        return Look(None, calls, "no_data" if calls == 0 else None, few)
    return Look(None, calls, "ok" if rule.no_data == "ok" else None, few)


def _beyond(holds: bool, state: State, level: State, rule: Rule, value: float) -> bool:
    """Whether a level is reached, or was reached and is not behind the line of recovery yet."""
    if holds:
        return True
    held = state != "no_data" and RANK[state] >= RANK[level]
    return held and rule.recover is not None and not rule.recover.holds(value)


def stepped(rule: Rule, standing: Standing, look: Look, now_s: float) -> Standing:
    """The standing after a look. A change is taken once it was seen for as many windows as the rule wants."""
    if look.level is None or look.level == standing.state:
        return structs.replace(standing, pending=None, pending_since_s=None)
    way = "better" if RANK[look.level] < RANK[standing.state] else "worse"
    since_s = standing.pending_since_s if standing.pending == way else now_s
    assert since_s is not None, "what is pending has a beginning"
    windows = rule.for_windows if way == "worse" else rule.recover_windows
    if now_s - since_s < (windows - 1) * rule.window_s:
        return structs.replace(standing, pending=way, pending_since_s=since_s)
    worst = look.level if standing.worst is None or RANK[look.level] > RANK[standing.worst] else standing.worst
    return structs.replace(
        standing, state=look.level, since_s=now_s, pending=None, pending_since_s=None, worst=worst
    )  # fmt: skip


def to_tell(rule: Rule, standing: Standing, now_s: float) -> Told | None:
    """What people are to be told now, silence aside; None where they know how it stands."""
    state, told = standing.state, standing.told
    if state == told:
        due = standing.told_at_s is not None and rule.renotify_s is not None
        again = due and now_s - (standing.told_at_s or 0.0) >= (rule.renotify_s or 0.0)
        return "alert.still" if state != "ok" and again else None
    if state == "ok":
        return "alert.recovered"
    if state == "no_data":
        return "alert.no_data"
    return "alert.raised" if RANK[state] >= RANK[told] else "alert.eased"


def after_telling(standing: Standing, now_s: float) -> Standing:
    """The standing once people were told of it."""
    over = standing.state == "ok"
    return structs.replace(
        standing, told=standing.state, told_at_s=now_s, worst=None if over else standing.worst
    )  # fmt: skip
