"""A rule as it is looked at: a figure of some calls over a window, and what of it is bad news."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from comporta.telemetry.observability.bounds import Bound
from comporta.telemetry.observability.names import Metric, metric

#: How a rule stands. `no_data` is bad news of its own, where a rule wants that.
State = Literal["ok", "warning", "alert", "no_data"]
NoData = Literal["ok", "alert", "keep"]
#: How bad each state is.
RANK: Mapping[str, int] = {"ok": 0, "warning": 1, "no_data": 2, "alert": 2}
#: So many calls must lie in the window where a figure is a share or a time: one failing call of one is no alert.
USUAL_MIN_CALLS = 10
WINDOW_S = 300.0
UNUSUAL_WINDOW_S = 3600.0
RENOTIFY_S = 4 * 3600.0
#: How many times the usual spread counts as unusual.
SENSITIVITY = 5.0


class Rule(Struct, frozen=True):
    """`unusual` is how many times the usual spread a value may lie off what is usual at this hour of the week.

    `for_windows` and `recover_windows` say for how many windows in a row it must be seen before a rule gets worse, or
    better. `channels` None are the usual ones.
    """

    name: str
    metric: str
    window_s: float
    filter: Mapping[str, str] = {}
    warning: Bound | None = None
    alert: Bound | None = None
    recover: Bound | None = None
    unusual: float | None = None
    no_data: NoData = "ok"
    min_calls: int = 0
    for_windows: int = 1
    recover_windows: int = 2
    renotify_s: float | None = RENOTIFY_S
    channels: tuple[str, ...] | None = None
    about: str | None = None
    #: Whether it is there without being configured.
    default: bool = False

    @property
    def figure(self) -> Metric:
        return metric(self.metric)

    @property
    def of_now(self) -> bool:
        """Whether it looks at a state of now, which rests on no calls and has no past."""
        return "now" in self.figure.needs

    @property
    def definition(self) -> str:
        """What tells a rule from what it was before it was changed."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def min_calls_of(figure: Metric) -> int:
    """What is asked for where a rule does not say: sums and states of now say something of a single call, too."""
    rests_on_few = figure.adds_up or "now" in figure.needs or figure.name in ("cost_per_hour", "daily_spend")
    return 0 if rests_on_few or figure.name == "throughput" else USUAL_MIN_CALLS


#: On from the start; a rule of the configuration that has the same name takes the place of one.
DEFAULTS: tuple[Rule, ...] = (
    Rule("error_rate", "error_rate", WINDOW_S, alert=Bound(">", 0.1), min_calls=USUAL_MIN_CALLS, default=True,
         about="More than a tenth of the calls fail."),
    Rule("average_response_time", "latency_avg", WINDOW_S, alert=Bound(">", 5.0), min_calls=USUAL_MIN_CALLS,
         default=True, about="Calls take longer than five seconds on average."),
    Rule("cost_per_hour", "cost_per_hour", 3600.0, alert=Bound(">", 100.0), default=True,
         about="More than a hundred dollars were spent within an hour."),
)  # fmt: skip


def with_defaults(own: Iterable[Rule], off: Iterable[str] = ()) -> tuple[Rule, ...]:
    """The rules of a configuration and those defaults that it neither replaces nor turns off."""
    rules = tuple(own)
    taken = {rule.name for rule in rules} | set(off)
    return (*(rule for rule in DEFAULTS if rule.name not in taken), *rules)
