"""Bounds are read as people write them, and wrong ones are told without being repeated."""

from __future__ import annotations

import pytest

from comporta.telemetry.observability.bounds import Bound, read_bound, shown, written
from comporta.telemetry.observability.names import METRICS, metric


@pytest.mark.parametrize(
    ("text", "name", "bound"),
    [
        ("error_rate > 10%", "error_rate", Bound(">", 0.1)),
        ("p95 > 5s", "latency_p95", Bound(">", 5.0)),
        ("latency_p95 >= 1200ms", "latency_p95", Bound(">=", 1.2)),
        ("cost_per_hour > $100", "cost_per_hour", Bound(">", 100.0)),
        ("availability < 99.95%", "availability", Bound("<", 0.9995)),
        ("throughput < 5/s", "throughput", Bound("<", 5.0)),
        ("jailbreak_attempts>20", "jailbreak_attempts", Bound(">", 20.0)),
        ("score.rating ≤ 2.5", "score.rating", Bound("<=", 2.5)),
    ],
)
def test_a_bound_names_its_figure_sign_and_value(text: str, name: str, bound: Bound) -> None:
    metric, found = read_bound(text, None)
    assert metric.name == name
    assert found.sign == bound.sign and found.value == pytest.approx(bound.value)


def test_without_a_sign_the_bad_side_is_meant_and_of_a_target_the_good_one() -> None:
    assert read_bound("10%", METRICS["error_rate"])[1].sign == ">"
    assert read_bound("99%", METRICS["availability"])[1].sign == "<"
    assert read_bound("99%", METRICS["availability"], good=True)[1].sign == ">="
    assert read_bound("1200ms", METRICS["latency_p95"], good=True)[1].sign == "<="
    assert read_bound(0.1, METRICS["error_rate"])[1].value == 0.1


@pytest.mark.parametrize(
    "text", ["error_rate >", "> lots", "eror_rate > 5%", "10%", "", True, "p95 > $5", "calls > 5%"]
)
def test_what_is_no_bound_is_refused_without_being_repeated(text: object) -> None:
    with pytest.raises(ValueError) as refused:
        read_bound(text, None)
    assert "eror" not in str(refused.value) and "lots" not in str(refused.value)


def test_two_names_must_be_the_same() -> None:
    assert read_bound("p95 > 5s", metric("latency_p95"))[1].value == 5.0
    with pytest.raises(ValueError, match="another metric"):
        read_bound("p95 > 5s", metric("latency_p50"))


@pytest.mark.parametrize("text", ["error_rate > 12.5%", "p95 > 1200ms", "cost > $0.05", "calls < 7"])
def test_what_is_written_reads_back_as_the_same(text: str) -> None:
    metric, bound = read_bound(text, None)
    assert read_bound(written(bound, metric.unit), metric) == (metric, bound)


@pytest.mark.parametrize("name", METRICS)
def test_every_figure_can_be_bounded_and_shown(name: str) -> None:
    one = METRICS[name]
    assert read_bound(1, one)[1].value == 1.0
    assert shown(1.0, one.unit) and shown(None, one.unit) == "–"
    assert Bound(">", 1.0).holds(2.0) and not Bound(">", 1.0).holds(1.0) and Bound("<=", 1.0).holds(1.0)
