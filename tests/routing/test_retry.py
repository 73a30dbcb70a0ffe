"""What a failure calls for: the same variant again, another key, the next variant, or nothing (WIRE 16, 17)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comporta.errors import (
    BadRequest,
    BudgetExceeded,
    ComportaError,
    UpstreamCredential,
    UpstreamCut,
    UpstreamError,
    UpstreamFault,
    UpstreamFiltered,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from comporta.providers.statuses import fault_for
from comporta.routing.retry import Retry, Then, then


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (UpstreamFault("x"), "again"),
        (UpstreamUnreachable("x"), "again"),
        (UpstreamUnreachable("x", code="reset"), "again"),
        (UpstreamCut("x"), "again"),
        (UpstreamTimeout("x", code="connect_timeout"), "again"),
        (UpstreamTimeout("x", code="upstream_timeout"), "again"),
        (UpstreamTimeout("x", code="first_token_timeout"), "next"),
        (UpstreamTimeout("x", code="idle_timeout"), "next"),
        (UpstreamTimeout("x", code="total_timeout"), "next"),
        (UpstreamCredential("x"), "key"),
        (UpstreamLimited("x"), "key"),
        (UpstreamRejected("x"), "stop"),
        (UpstreamFiltered("x"), "stop"),
        (BadRequest("x"), "stop"),
        (BudgetExceeded("x"), "stop"),
        (ComportaError("x"), "stop"),
    ],
)
def test_each_failure_calls_for_its_step_wire_16(error: ComportaError, step: Then) -> None:
    assert then(error) == step


@given(st.integers(400, 599))
def test_only_408_409_429_5xx_and_refused_keys_are_asked_again_wire_16_and_17(status: int) -> None:
    error: UpstreamError = fault_for("x", status, {})
    expected = "again" if status >= 500 or status in (408, 409) else "stop"
    assert then(error) == ("key" if status in (401, 402, 403, 429) else expected)


@given(st.integers(1, 20), st.floats(0, 100), st.floats(1, 10), st.floats(0, 100), st.none() | st.floats(0, 100))
def test_a_pause_grows_to_its_bound_and_is_never_shorter_than_what_was_asked_for_wire_15(
    failed: int, first_s: float, factor: float, longest_s: float, wait_s: float | None
) -> None:
    pause_s = Retry(3, first_s, factor, longest_s).pause_s(failed, wait_s)
    assert (wait_s or 0.0) <= pause_s <= max(longest_s, wait_s or 0.0)
