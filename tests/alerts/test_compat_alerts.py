"""`AlertManager(thresholds)`: thresholds of one's own over the same figures."""

from __future__ import annotations

import pytest

from comporta.compat import AlertManager
from comporta.errors import BadRequest


def test_thresholds_are_numbers_or_as_people_write_them() -> None:
    alerts = AlertManager({"error_rate": 0.1, "p95": "> 5s", "availability": "99%"})
    found = alerts.check_metrics({"error_rate": 0.2, "latency_p95": 6.0, "availability": 0.995})
    assert [(one.metric, one.value, one.threshold) for one in found] == [("error_rate", 0.2, 0.1), ("p95", 6.0, 5.0)]
    assert found[0].message == "error_rate is 20% (> 10%)"


def test_without_any_they_are_those_that_are_on_from_the_start() -> None:
    assert AlertManager().thresholds == {"error_rate": 0.1, "average_response_time": 5.0, "cost_per_hour": 100.0}
    found = AlertManager().check_metrics({"avg_response_time": 9.0, "cost_per_hour": 101.0, "error_rate": None})
    assert [one.metric for one in found] == ["average_response_time", "cost_per_hour"]


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="did you mean 'error_rate'"):
        AlertManager({"eror_rate": 0.1})
