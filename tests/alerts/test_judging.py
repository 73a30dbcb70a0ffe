"""A rule's state goes on from look to look: worse, better, held, reminded; by pure functions."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from comporta.alerts.judging import Baseline, Standing, after_telling, judged, judged_unusual, stepped, to_tell
from comporta.alerts.rules import NoData, Rule
from comporta.telemetry.observability.bounds import Bound

RULE = Rule("errors", "error_rate", 300.0, warning=Bound(">", 0.05), alert=Bound(">", 0.1), min_calls=10)


def told(rule: Rule, values: Iterable[float | None], every_s: float = 300.0, calls: int = 100) -> list[str | None]:
    """What people are told, look by look."""
    standing, now_s = Standing(), 0.0
    found: list[str | None] = []
    for value in values:
        standing = stepped(
            rule, standing, judged(rule, standing.state, value, calls if value is not None else 0), now_s
        )
        what = to_tell(rule, standing, now_s)
        found.append(what)
        if what is not None:
            standing = after_telling(standing, now_s)
        now_s += every_s
    return found


def test_each_change_is_told_once_and_recovery_waits_for_one_more_window() -> None:
    found = told(RULE, [0.0, 0.2, 0.2, 0.01, 0.01, 0.01])
    assert found == [None, "alert.raised", None, None, "alert.recovered", None]


def test_a_warning_comes_before_an_alert_and_after_it() -> None:
    found = told(RULE, [0.06, 0.2, 0.06, 0.06, 0.0, 0.0])
    assert found == ["alert.raised", "alert.raised", None, "alert.eased", None, "alert.recovered"]


def test_it_has_not_recovered_before_the_line_of_recovery() -> None:
    rule = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), recover=Bound("<", 0.03))
    assert told(rule, [0.2, 0.05, 0.05, 0.05, 0.02, 0.02]) == [
        "alert.raised",
        None,
        None,
        None,
        None,
        "alert.recovered",
    ]
    assert told(rule, [0.05, 0.05]) == [None, None], "between the lines nothing begins"


def test_a_value_that_goes_to_and_fro_tells_nobody_twice() -> None:
    assert told(RULE, [0.2, 0.0, 0.2, 0.0, 0.2, 0.0]) == ["alert.raised", None, None, None, None, None]


def test_some_rules_want_to_see_it_in_several_windows() -> None:
    rule = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), for_windows=3)
    assert told(rule, [0.2, 0.2, 0.2]) == [None, None, "alert.raised"]
    assert told(rule, [0.2, 0.0, 0.2, 0.2, 0.2]) == [None, None, None, None, "alert.raised"]


def test_looks_between_do_not_make_windows() -> None:
    rule = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), for_windows=2)
    found = told(rule, [0.2] * 12, every_s=30.0)
    assert found.index("alert.raised") == 10


def test_few_calls_alert_nobody() -> None:
    assert judged(RULE, "ok", 1.0, 1).level == "ok"
    assert judged(RULE, "ok", 1.0, 10).level == "alert"
    assert "10 are needed" in str(judged(RULE, "ok", 1.0, 1).reason)


def test_people_are_reminded_while_it_lasts() -> None:
    rule = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), renotify_s=900.0)
    assert told(rule, [0.2] * 7) == ["alert.raised", None, None, "alert.still", None, None, "alert.still"]
    quiet = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), renotify_s=None)
    assert told(quiet, [0.2] * 100) == ["alert.raised"] + [None] * 99


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("ok", ["alert.raised", None, "alert.recovered", None]),
        ("keep", ["alert.raised", None, None, None]),
        ("alert", ["alert.raised", "alert.no_data", None, None]),
    ],
)
def test_a_window_without_calls_means_what_the_rule_says(mode: str, found: list[str | None]) -> None:
    rule = Rule("errors", "error_rate", 300.0, alert=Bound(">", 0.1), no_data=mode)  # type: ignore[arg-type]
    assert told(rule, [0.2, None, None, None]) == found


@pytest.mark.parametrize(
    ("metric", "bound", "mode", "level"),
    [
        ("cost", Bound(">", 20.0), "alert", "no_data"),
        ("cost", Bound(">", 20.0), "keep", None),
        ("cost", Bound(">", 20.0), "ok", "ok"),
        ("calls", Bound("<", 1.0), "alert", "alert"),
    ],
)
def test_a_sum_of_no_calls_is_no_data_where_a_rule_wants_that(
    metric: str, bound: Bound, mode: NoData, level: str | None
) -> None:
    rule = Rule("sums", metric, 300.0, alert=bound, no_data=mode)
    assert judged(rule, "alert", 0.0, 0).level == level


def test_what_was_silenced_is_told_afterwards_while_it_lasts_and_never_once_it_is_over() -> None:
    standing = stepped(RULE, Standing(), judged(RULE, "ok", 0.2, 100), 0.0)
    assert to_tell(RULE, standing, 9_999.0) == "alert.raised"
    for now_s in (300.0, 600.0):
        standing = stepped(RULE, standing, judged(RULE, standing.state, 0.0, 100), now_s)
    assert standing.state == "ok" and to_tell(RULE, standing, 601.0) is None


BASE = Baseline(100.0, 10.0, 4)


@pytest.mark.parametrize(
    ("metric", "value", "state", "level"),
    [
        ("cost", 149.0, "ok", "ok"),
        ("cost", 151.0, "ok", "alert"),
        ("cost", 10.0, "ok", "ok"),
        ("calls", 10.0, "ok", "alert"),
        ("thumbs_up_ratio", 40.0, "ok", "alert"),
        ("cost", 130.0, "alert", "alert"),
        ("cost", 120.0, "alert", "ok"),
    ],
)
def test_unusual_is_far_off_the_usual_on_the_bad_side(metric: str, value: float, state: str, level: str) -> None:
    rule = Rule("odd", metric, 3600.0, unusual=5.0)
    assert judged_unusual(rule, state, value, 100, BASE).level == level  # type: ignore[arg-type]


def test_nothing_is_unusual_before_anything_is_usual() -> None:
    look = judged_unusual(Rule("odd", "cost", 3600.0, unusual=5.0), "ok", 1e9, 100, "needs two weeks")
    assert look.level == "ok" and look.reason == "needs two weeks"
