"""Rules as people write them: with a threshold alone, with all of it, and with every slip told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from comporta.alerts.settings import AlertSection, rules_of
from comporta.telemetry.observability.bounds import Bound
from comporta.telemetry.observability.settings import ObservabilitySection


def rule(**written: Any) -> AlertSection:
    return AlertSection.model_validate({"name": "one", **written})


def test_a_threshold_alone_is_a_rule() -> None:
    found = rule(alert="p95 > 5s").rule()
    assert (found.metric, found.alert, found.window_s, found.min_calls) == ("latency_p95", Bound(">", 5.0), 300.0, 10)


def test_all_of_it_can_be_said() -> None:
    found = rule(
        metric="cost", filter={"route": "support"}, window="30m", warning="$5", alert="$10", recover="$4",
        no_data="keep", min_calls=3, renotify=None, channels=["ops"], about="Ask Ana.",
        **{"for": 2, "recover_for": 3},
    ).rule()  # fmt: skip
    assert (found.warning, found.alert, found.recover) == (Bound(">", 5.0), Bound(">", 10.0), Bound("<=", 4.0))
    assert (found.for_windows, found.recover_windows, found.channels) == (2, 3, ("ops",))
    assert (found.no_data, found.min_calls, found.renotify_s) == ("keep", 3, None)


def test_unusual_looks_at_an_hour_and_takes_how_many_spreads() -> None:
    assert rule(metric="cost", unusual=True).rule().unusual == 5.0
    assert rule(metric="cost", unusual=3.5).rule().unusual == 3.5
    assert rule(metric="cost", unusual=True).rule().window_s == 3600.0


def test_sums_need_no_calls_to_be_judged() -> None:
    assert rule(alert="cost > $5").rule().min_calls == 0
    assert rule(alert="jailbreak_attempts > 5").rule().min_calls == 0


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "needs `alert`, `warning` or `unusual`"),
        ({"alert": "eror_rate > 5%"}, "did you mean 'error_rate'"),
        ({"alert": "> 5%"}, "names no metric"),
        ({"alert": "error_rate > lots"}, "`alert` is no bound"),
        ({"metric": "cots", "alert": "5"}, "did you mean 'cost'"),
        ({"alert": "cost > 5", "filter": {"rout": "x"}}, "did you mean 'route'"),
        ({"alert": "cost > 5", "warning": "calls > 5"}, "another metric"),
        ({"alert": "cost > 5", "unusual": True}, "not both"),
        ({"unusual": True}, "needs `metric`"),
        ({"alert": "cost > 5", "window": "5s"}, "greater than or equal to 60"),
        ({"alert": "cost > 5", "name": "a/b"}, "pattern"),
        ({"metric": "open_breakers", "unusual": True}, "give it a threshold"),
        ({"alert": "budget_utilization > 90%", "filter": {"team": "shop"}}, "takes no `filter`"),
    ],
)
def test_a_slip_is_told(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rule(**written)


def test_the_defaults_are_there_until_they_are_replaced_or_turned_off() -> None:
    assert [one.name for one in rules_of([])] == ["error_rate", "average_response_time", "cost_per_hour"]
    own = AlertSection.model_validate({"name": "error_rate", "alert": "error_rate > 50%"})
    off = AlertSection.model_validate({"name": "cost_per_hour", "enabled": False})
    found = {one.name: one for one in rules_of([own, off])}
    assert found.keys() == {"error_rate", "average_response_time"}
    assert found["error_rate"].alert == Bound(">", 0.5) and not found["error_rate"].default


def test_targets_are_read_in_every_shape_that_people_write() -> None:
    lists = {"metrics": {"performance": ["latency_p50", {"latency_p95": "1200ms"}], "reliability": ["availability"]}}
    plain = {"performance": {"latency_p95": "1200ms", "latency_p50": None}}
    for written in (lists, plain):
        found = ObservabilitySection.model_validate(written).targets()
        assert [(one.name, one.bound) for one in found] == [("latency_p95", Bound("<=", 1.2))]
    found = ObservabilitySection.model_validate({"reliability": {"availability": "99.95%"}}).targets()
    assert found[0].bound.sign == ">=" and found[0].bound.value == pytest.approx(0.9995)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"reliability": {"availabilty": "99%"}}, "did you mean 'availability'"),
        ({"reliability": {"cost": "$5"}}, "belongs below cost"),
        ({"reliability": {"availability": "much"}}, "availability is no bound"),
    ],
)
def test_a_slip_in_a_target_is_told(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ObservabilitySection.model_validate(written)
