"""What is measured of each gateway, in alternating rounds, so that a noisy minute falls on all of them alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from gauge.figures import percentile
from gauge.gateways import Comporta, Gateway
from gauge.load import Counted, Load
from gauge.processes import cpu_s
from gauge.words import PACED, PLAIN, STREAMS, Check

CONNECTIONS = 32
PACED_CONNECTIONS = 128
#: Where fewer calls than this fall into a window, a p99 says nothing.
_FEWEST_FOR_P99 = 100
_DRAIN_S = 60.0

Tell = Callable[[str], None]
Series = dict[str, list[float]]


class Plan(Struct, frozen=True):
    """How long everything takes, in seconds per segment."""

    rounds: int
    plain_s: float
    streams_s: float
    one_s: float
    half_s: float
    paced_s: float
    memory_calls: int

    def segments(self, gateways: int) -> int:
        each = 5 + (self.paced_s > 0)
        return self.rounds * (gateways * each - 1)


QUICK = Plan(rounds=3, plain_s=1.2, streams_s=1.0, one_s=0.6, half_s=0.8, paced_s=0.0, memory_calls=10_000)
FULL = Plan(rounds=5, plain_s=5.0, streams_s=4.0, one_s=3.0, half_s=4.0, paced_s=4.0, memory_calls=500_000)


class Measured(Struct):
    """Everything that was seen: measure -> gateway -> one figure per round. Times are in milliseconds."""

    rps: Series = field(default_factory=dict)
    cpu_us: Series = field(default_factory=dict)
    busy: Series = field(default_factory=dict)
    streams: Series = field(default_factory=dict)
    stream_cpu_us: Series = field(default_factory=dict)
    streams_17: Series = field(default_factory=dict)
    streams_paced: Series = field(default_factory=dict)
    one_p50_ms: Series = field(default_factory=dict)
    one_p99_ms: Series = field(default_factory=dict)
    half_p99_ms: Series = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    #: Wrong answers by gateway, and the first one of each.
    wrong: dict[str, int] = field(default_factory=dict)
    first_wrong: dict[str, str] = field(default_factory=dict)
    #: Memory of Comporta's worker over its last calls, and how many these were.
    memory: list[float] = field(default_factory=list)
    memory_calls: int = 0
    #: Good answers of Comporta, and records of them that reached the database.
    answered: int = 0
    recorded: int = 0
    #: Why a gateway is not in the table.
    left_out: dict[str, str] = field(default_factory=dict)


class Rounds:
    """Runs the plan. `direct` is the mock itself; it comes first in every round."""

    def __init__(self, plan: Plan, direct: Gateway, gateways: Sequence[Gateway], tell: Tell) -> None:
        self._plan = plan
        self._direct = direct
        self._gateways = list(gateways)
        self._tell = tell
        self.measured = Measured()

    async def run(self) -> Measured:
        for number in range(self._plan.rounds):
            # Each round starts with another gateway, so that none always comes after the same one.
            turn = number % max(len(self._gateways), 1)
            for gateway in (self._direct, *self._gateways[turn:], *self._gateways[:turn]):
                await self._gateway(gateway, f"round {number + 1}/{self._plan.rounds} · {gateway.name}")
        for gateway in (self._direct, *self._gateways):
            self.measured.rss_mb[gateway.name] = gateway.rss_mb
        return self.measured

    async def _gateway(self, gateway: Gateway, where: str) -> None:
        plan, found, name = self._plan, self.measured, gateway.name
        before = _records(gateway)
        good = 0
        plain = await self._saturate(gateway, PLAIN, plan.plain_s, f"{where} · plain")
        _add(found.rps, name, plain.counted.per_s)
        _add(found.cpu_us, name, plain.cpu_us)
        _add(found.busy, name, plain.busy)
        long = await self._saturate(gateway, STREAMS[0], plan.streams_s, f"{where} · streams of 31 events")
        _add(found.streams, name, long.counted.per_s)
        _add(found.stream_cpu_us, name, long.cpu_us)
        short = await self._saturate(gateway, STREAMS[1], plan.streams_s, f"{where} · streams of 17 events")
        _add(found.streams_17, name, short.counted.per_s)
        good += plain.good + long.good + short.good
        if plan.paced_s:
            paced = await self._saturate(gateway, PACED, plan.paced_s, f"{where} · paced streams", PACED_CONNECTIONS)
            _add(found.streams_paced, name, paced.counted.per_s)
            good += paced.good
        good += await self._latency(gateway, plain.counted.per_s / 2, where)
        await self._idle(gateway)
        self._compare(gateway, before, good)

    async def _latency(self, gateway: Gateway, half: float, where: str) -> int:
        """One connection; then half of what saturates it, beside the mock alone at the same rate. Good calls."""
        plan, found, name = self._plan, self.measured, gateway.name
        self._tell(f"{where} · one connection")
        load = self._load(gateway, PLAIN)
        times = await load.one_by_one(plan.one_s)
        _add(found.one_p50_ms, name, _ms(times, 0.5))
        _add(found.one_p99_ms, name, _ms(times, 0.99))
        if gateway is not self._direct:
            self._tell(f"{where} · at half of saturation")
            direct = await self._load(self._direct, PLAIN).at_rate(half, plan.half_s)
            times = await load.at_rate(half, plan.half_s)
            if len(times) >= _FEWEST_FOR_P99:
                _add(found.half_p99_ms, name, _ms(times, 0.99) - _ms(direct, 0.99))
        self._note(gateway, load.check)
        return load.check.right

    async def _saturate(
        self, gateway: Gateway, model: str, seconds: float, where: str, connections: int = CONNECTIONS
    ) -> Window:
        self._tell(where)
        used: list[float] = []
        load = self._load(gateway, model)
        counted = await load.saturate(connections, seconds, lambda: used.append(cpu_s(gateway.pids)))
        self._note(gateway, load.check)
        return Window(counted, used[1] - used[0], load.check.right)

    def _load(self, gateway: Gateway, model: str) -> Load:
        return Load(gateway.port, gateway.request(model), Check(model))

    def _note(self, gateway: Gateway, check: Check) -> None:
        name = gateway.name
        self.measured.wrong[name] = self.measured.wrong.get(name, 0) + check.wrong
        if check.first_wrong:
            self.measured.first_wrong.setdefault(name, check.first_wrong.decode("utf-8", "replace"))

    async def _idle(self, gateway: Gateway) -> None:
        """Wait until it has done all that it was asked: the next one's window is not to pay for it."""
        until_s = time.monotonic() + _DRAIN_S
        while not gateway.idle() and time.monotonic() < until_s:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)

    def _compare(self, gateway: Gateway, before: int, good: int) -> None:
        if isinstance(gateway, Comporta):
            self.measured.answered += good
            self.measured.recorded += _records(gateway) - before

    async def memory(self, gateway: Gateway) -> None:
        """Memory while many calls go through, in a hundred points."""
        count = self._plan.memory_calls
        every = max(count // 100, 1)
        curve = self.measured.memory
        load = self._load(gateway, PLAIN)

        def look(calls: int) -> None:
            if calls % every == 0:
                curve.append(gateway.rss_mb)
                self._tell(f"memory of Comporta's worker · {calls:,} of {count:,} calls")

        before = _records(gateway)
        await load.calls(CONNECTIONS, count, look)
        await self._idle(gateway)
        self._note(gateway, load.check)
        self._compare(gateway, before, load.check.right)
        self.measured.memory_calls = count


class Window(Struct, frozen=True):
    """A saturated window: calls in it, CPU that the gateway used in it, and all good calls, those outside included."""

    counted: Counted
    cpu_s: float
    good: int

    @property
    def cpu_us(self) -> float:
        return self.cpu_s * 1e6 / max(self.counted.calls, 1)

    @property
    def busy(self) -> float:
        """The share of one core that the gateway had."""
        return self.cpu_s / self.counted.seconds


def _add(series: Series, name: str, value: float) -> None:
    series.setdefault(name, []).append(value)


def _ms(times: Sequence[float], share: float) -> float:
    return percentile(times, share) * 1000 if times else 0.0


def _records(gateway: Gateway) -> int:
    return gateway.recorded() if isinstance(gateway, Comporta) else 0
