"""Forecasts on made-up histories whose future is known."""

from __future__ import annotations

import random

import pytest

from comporta.budget.forecast import DAY_S, HOUR_S, Forecast, TooLittle, forecast
from comporta.budget.periods import period_of

#: A Monday, 2026-06-01.
MONDAY_S = 1_780_272_000.0


def hourly(days: int, of_day: list[int], until_s: float) -> list[tuple[float, int]]:
    """Each hour spends a 24th of its weekday's sum."""
    begin_s = until_s - days * DAY_S
    return [
        (at_s, of_day[int(at_s - MONDAY_S) // 86_400 % 7] // 24)
        for at_s in (begin_s + hour * HOUR_S for hour in range(days * 24))
    ]


def told(hours: list[tuple[float, int]], limit: int, now_s: float, period: str = "month") -> Forecast:
    begin_s, end_s = period_of(period, now_s)  # type: ignore[arg-type]
    found = forecast(hours, limit, begin_s, end_s, now_s)
    assert isinstance(found, Forecast), found
    return found


def test_an_even_pace_goes_on_and_says_when_the_limit_is_reached() -> None:
    now_s = MONDAY_S + 10 * DAY_S
    found = told(hourly(10, [2400] * 7, now_s), 24_000 + 2400 * 5, now_s)
    assert found.basis == "days"
    assert found.expected_microusd == pytest.approx(2400 * 30, rel=0.001)
    assert found.used_up_at_s == pytest.approx(now_s + 5 * DAY_S, abs=HOUR_S)
    # Nothing varies, so nothing is uncertain.
    assert (found.low_microusd, found.high_microusd) == (found.expected_microusd, found.expected_microusd)


def test_a_limit_that_lasts_is_not_used_up() -> None:
    now_s = MONDAY_S + 10 * DAY_S
    found = told(hourly(10, [2400] * 7, now_s), 2400 * 60, now_s)
    assert (found.used_up_at_s, found.earliest_s, found.latest_s) == (None, None, None)


def test_with_two_weeks_weekends_are_told_from_workdays() -> None:
    week = [24_000] * 5 + [0, 0]
    # A Friday's midnight: a mean over all days would have the weekend spend as well.
    now_s = MONDAY_S + 19 * DAY_S
    found = told(hourly(19, week, now_s), 10**9, now_s, "week")
    assert found.basis == "weekdays"
    assert found.expected_microusd == pytest.approx(24_000 * 5, rel=0.01)
    unaware = told(hourly(12, week, now_s)[:], 10**9, now_s, "week")
    assert unaware.basis == "days"
    assert unaware.expected_microusd > 24_000 * 5.5


def test_four_of_five_months_end_within_the_bounds() -> None:
    """Days drawn around a mean: the interval must hold what it promises."""
    draw = random.Random(5)
    inside = 0
    rounds = 300
    now_s = MONDAY_S + 15 * DAY_S
    for _ in range(rounds):
        days = [max(int(draw.gauss(48_000, 12_000)), 0) for _ in range(43)]
        hours = [(MONDAY_S + (day - 13) * DAY_S + h * HOUR_S, days[day] // 24) for day in range(43) for h in range(24)]
        past = [one for one in hours if one[0] < now_s]
        truth = sum(cost for at_s, cost in hours if at_s >= MONDAY_S)
        found = told(past, 10**9, now_s)
        inside += found.low_microusd <= truth <= found.high_microusd
    assert 0.68 <= inside / rounds <= 0.92


def test_too_little_data_is_said_and_no_figure_made_up() -> None:
    begin_s, end_s = period_of("month", MONDAY_S)
    nothing = forecast([], 100, begin_s, end_s, MONDAY_S)
    young = forecast([(MONDAY_S, 5)], 100, begin_s, end_s, MONDAY_S + HOUR_S)
    assert isinstance(nothing, TooLittle)
    assert isinstance(young, TooLittle)
    assert "3 hours" in young.reason


def test_a_first_day_is_forecast_from_its_hours() -> None:
    now_s = MONDAY_S + 12 * HOUR_S
    found = told([(MONDAY_S + hour * HOUR_S, 100) for hour in range(12)], 2000, now_s, "day")
    assert found.basis == "hours"
    assert found.expected_microusd == pytest.approx(2400, rel=0.01)
    assert found.used_up_at_s == pytest.approx(MONDAY_S + 20 * HOUR_S, abs=1)


def test_a_limit_that_is_used_up_already_is_used_up_now() -> None:
    now_s = MONDAY_S + 10 * DAY_S
    found = told(hourly(10, [2400] * 7, now_s), 1000, now_s)
    assert found.used_up_at_s == now_s
