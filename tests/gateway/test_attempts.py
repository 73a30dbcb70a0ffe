"""Attempts at one variant, without a provider: what is waited for, and what is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from comporta.errors import UpstreamFault
from comporta.gateway.attempts import Attempts
from comporta.pipeline import Call
from comporta.providers.directory import Provider
from comporta.routing.health import BreakerLimits, Health
from comporta.routing.retry import Retry
from comporta.types import Caller, Event, Input, Target


class Keys:
    """Keys in turn, without a provider."""

    def __init__(self, *names: str) -> None:
        self._all = [SimpleNamespace(name=name, secret=name) for name in names]

    def all(self) -> list[Any]:
        return self._all

    def pick(self, without: Any = ()) -> Any:
        return next((key for key in self._all if key.name not in without), None)


@pytest.mark.parametrize(
    ("names", "failures", "asked"),
    [(("one",), 2, ["one", "one"]), (("one", "two"), 2, ["one", "one", "two", "two"]), (("one",), 9, ["one"] * 3)],
)
async def test_nobody_waits_for_what_rests_longer_than_the_pause(
    names: tuple[str, ...], failures: int, asked: list[str]
) -> None:
    """A breaker that opens in the middle of a call lets other variants take over at once."""
    seen: list[str | None] = []
    slept: list[float] = []
    facts = SimpleNamespace(context=None)
    provider = cast(
        Provider,
        SimpleNamespace(
            name="p", row=SimpleNamespace(local=False), credentials=Keys(*names), facts=lambda model: facts
        ),
    )

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def fails(call: Call) -> AsyncIterator[Event]:
        assert call.target is not None
        seen.append(call.target.credential)
        raise UpstreamFault("down")

    health = Health(limits=BreakerLimits(failures=failures, rest_s=15.0))
    retry = Retry(attempts=3 if len(names) == 1 else 9, first_s=0.1, longest_s=0.1)
    attempts = Attempts(lambda name: provider, health, lambda call: retry, sleep)
    call = Call(kind="chat", input=Input(), model="r", caller=Caller("k"))
    call.target = Target("r", "v", "p", "m")
    with pytest.raises(UpstreamFault):
        await attempts(call, fails)
    assert seen == asked
    assert call.retries == len(slept) == len(asked) - 1
