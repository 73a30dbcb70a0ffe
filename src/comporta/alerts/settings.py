"""The section `alerts:` of the configuration: a list of rules."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator, model_validator

from comporta.alerts.rules import (
    RENOTIFY_S,
    SENSITIVITY,
    UNUSUAL_WINDOW_S,
    WINDOW_S,
    NoData,
    Rule,
    min_calls_of,
    with_defaults,
)
from comporta.config.mistakes import did_you_mean
from comporta.config.section import Section
from comporta.config.values import Duration
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.observability.bounds import Bound, read_bound
from comporta.telemetry.observability.names import Metric, known, unknown

_MOST_RULES = 200
_Bound = str | float
#: Names stand in addresses and on terminals.
_NAME = r"^[^\x00-\x20\x7f-\xa0/]([^\x00-\x1f\x7f-\x9f/]*[^\x00-\x20\x7f-\xa0/])?$"


class AlertSection(Section):
    """A rule: when people are told of a figure. `alert: error_rate > 10%` is enough."""

    name: str = Field(
        min_length=1, max_length=100, pattern=_NAME, description="What to call it. A default of that name gives way."
    )
    about: str | None = Field(None, max_length=1000, description="What it means and what to do, for whoever is told.")
    enabled: bool = Field(True, description="Whether it is looked at; false turns a default of that name off.")
    metric: str | None = Field(None, description="The figure; left out where a threshold names it.")
    filter: dict[str, str] = Field(
        default_factory=dict, description="Of which calls: `route`, `model`, `team` … with their values."
    )
    window: Duration | None = Field(
        None, ge=60, le=7 * 86_400, description="How far it looks back: 5m, and 1h with `unusual`, unless said."
    )
    warning: _Bound | None = Field(None, description="From when on it is a warning: `> 5%`.")
    alert: _Bound | None = Field(None, description="From when on it is an alert: `> 10%`, `error_rate > 10%`.")
    recover: _Bound | None = Field(
        None, description="What it must come back to: `< 3%`. Left out: behind the threshold."
    )
    unusual: bool | float | None = Field(
        None, description="An alert where it is unusual for this hour of the week, by so many times the usual spread "
        "(true: 5). It needs two weeks of figures.",
    )  # fmt: skip
    no_data: NoData = Field("ok", description="What a window without (enough) calls means: ok, alert, keep.")
    min_calls: int | None = Field(
        None, ge=0, description="So many calls (or scores) must lie in the window; 10 for shares and times, else 0."
    )
    for_windows: int = Field(
        1, alias="for", ge=1, le=100, description="In how many windows in a row it must be seen to get worse."
    )
    recover_windows: int = Field(
        2, alias="recover_for", ge=1, le=100, description="In how many windows in a row to get better."
    )
    renotify: Duration | None = Field(
        RENOTIFY_S, ge=60, validate_default=True, description="How often people are reminded while it lasts; null: not."
    )
    channels: list[str] | None = Field(None, description="Channels of `notify`; left out: the usual ones.")

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and known(name) is None:
            raise ValueError(unknown(name))
        return name

    @field_validator("filter")
    @classmethod
    def _dimensions(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if name not in COLUMNS:
                hint = did_you_mean(name, COLUMNS)
                raise ValueError(f"calls have no such property{hint or '; there are ' + ', '.join(COLUMNS)}")
        return given

    @model_validator(mode="after")
    def _whole(self) -> AlertSection:
        if not self.enabled and self.alert is None and self.warning is None and not self.unusual:
            return self
        if self.alert is None and self.warning is None and not self.unusual:
            raise ValueError("needs `alert`, `warning` or `unusual`")
        if self.unusual and (self.alert is not None or self.warning is not None):
            raise ValueError("give thresholds or `unusual`, not both")
        self._of_now(self.rule())
        return self

    def _of_now(self, rule: Rule) -> None:
        """A state of now has no past and belongs to no calls: what asks for either would never be told."""
        if rule.of_now and self.unusual:
            raise ValueError(f"{rule.metric} is a figure of now, which `unusual` can't tell: give it a threshold")
        if rule.of_now and self.filter:
            raise ValueError(f"{rule.metric} is one figure of the whole gate: it takes no `filter`")

    def rule(self) -> Rule:
        """The rule that it says. Raises ValueError for thresholds that can't be read."""
        figure = self._figure()
        spread = SENSITIVITY if self.unusual is True else self.unusual
        return Rule(
            self.name, figure.name, self.window or (UNUSUAL_WINDOW_S if self.unusual else WINDOW_S), dict(self.filter),
            unusual=float(spread) if spread else None, no_data=self.no_data,
            min_calls=min_calls_of(figure) if self.min_calls is None else self.min_calls,
            for_windows=self.for_windows, recover_windows=self.recover_windows, renotify_s=self.renotify,
            channels=None if self.channels is None else tuple(self.channels), about=self.about,
            warning=self._bound("warning", figure), alert=self._bound("alert", figure),
            recover=self._bound("recover", figure),
        )  # fmt: skip

    def _figure(self) -> Metric:
        """By `metric`, else by the threshold that names it."""
        if self.metric is not None:
            found = known(self.metric)
            assert found is not None, "checked by its validator"
            return found
        for name in ("alert", "warning"):
            written = getattr(self, name)
            if written is not None:
                return _said(name, written, None, good=False)[0]
        raise ValueError("needs `metric`: `unusual` names none")

    def _bound(self, name: str, figure: Metric) -> Bound | None:
        written = getattr(self, name)
        return None if written is None else _said(name, written, figure, good=name == "recover")[1]


def _said(name: str, written: _Bound, figure: Metric | None, *, good: bool) -> tuple[Metric, Bound]:
    try:
        return read_bound(written, figure, good=good)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None


def rules_of(sections: Sequence[AlertSection]) -> tuple[Rule, ...]:
    """What is looked at: the defaults, as far as nothing has their names, and the rules that are enabled."""
    on = [section.rule() for section in sections if section.enabled]
    return with_defaults(on, [section.name for section in sections if not section.enabled])
