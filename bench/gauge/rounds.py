"""What is measured of each gateway, in alternating rounds, so that a noisy minute falls on all of them alike."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from gauge.figures import percentile
from gauge.gateway import Gateway
from gauge.load import Counted, Load
from gauge.measured import Measured, Series
from gauge.ours import CAN_FINISH, FINISH, Comporta
from gauge.processes import GATEWAY_CORE, LOAD_CORE, below, core_busy_s, cpu_s
from gauge.words import PACED, PLAIN, STREAMS, Check

CONNECTIONS = 32
PACED_CONNECTIONS = 128
#: Where fewer calls than this fall into a window, a p99 says nothing.
_FEWEST_FOR_P99 = 100
_DRAIN_S = 60.0

Tell = Callable[[str], None]


class Plan(Struct, frozen=True):
    """How long everything takes, in seconds per segment."""

    rounds: int
    warm_s: float
    plain_s: float
    streams_s: float
    one_s: float
    half_s: float
    paced_s: float
    memory_calls: int
    #: Rounds of the two gates that are held against each other.
    pair_rounds: int
    #: Calls that such a gate answers first: a new one has caches to fill and connections to make.
    warm_calls: int = 0
    #: On a slow machine rounds are left out, so that all of it takes about so long; 0 for however long it takes.
    limit_s: float = 0.0

    def segments(self, names: Sequence[str]) -> int:
        """How often `tell` is heard from the rounds of these gateways, `direct` not named."""
        each = 5 + (self.paced_s > 0)
        ours = 2 + CAN_FINISH if "comporta" in names else 0
        return self.rounds * ((1 + len(names)) * each - 1 + ours)


QUICK = Plan(
    rounds=3, warm_s=0.3, plain_s=1.0, streams_s=0.7, one_s=0.5, half_s=0.7, paced_s=0.0, memory_calls=10_000,
    pair_rounds=2, warm_calls=1_000, limit_s=210.0,
)  # fmt: skip
FULL = Plan(
    rounds=5, warm_s=0.7, plain_s=3.0, streams_s=2.0, one_s=1.5, half_s=2.0, paced_s=2.0, memory_calls=500_000,
    pair_rounds=5, warm_calls=8_000,
)  # fmt: skip


class Window(Struct, frozen=True):
    """A saturated window, and what the gateway used per call: its own CPU, and its database's."""

    counted: Counted
    cpu_us: float
    postgres_us: float
    #: Shares of the two cores, and cores that were taken by what is not of the bench.
    busy: float
    load_busy: float
    others_busy: float


class Rounds:
    """Runs the plan. `direct` is the mock itself; it comes first in every round."""

    def __init__(
        self, plan: Plan, direct: Gateway, gateways: Sequence[Gateway], tell: Tell, since_s: float | None = None
    ) -> None:  # fmt: skip
        self._plan = plan
        self._direct = direct
        self._gateways = list(gateways)
        self._tell = tell
        #: By the monotonic clock, when the run began: gateways take their time to start.
        self._since_s = time.monotonic() if since_s is None else since_s
        self.measured = Measured()

    def is_late(self, share: float) -> bool:
        """Whether that share of the time is used up."""
        return 0 < self._plan.limit_s * share < time.monotonic() - self._since_s

    async def run(self) -> Measured:
        for number in range(self._plan.rounds):
            if number and self.is_late(0.55):
                break
            # Each round starts with another gateway, so that none always comes after the same one.
            turn = number % max(len(self._gateways), 1)
            for gateway in (self._direct, *self._gateways[turn:], *self._gateways[:turn]):
                await self._try(gateway, number)
        for gateway in (self._direct, *self._gateways):
            self.measured.rss_mb[gateway.name] = gateway.rss_mb
        return self.measured

    async def _try(self, gateway: Gateway, number: int) -> None:
        """One that breaks down is left out from then on; what was seen of it before stays."""
        if gateway.name in self.measured.left_out:
            return
        try:
            await self._gateway(gateway, f"round {number + 1}/{self._plan.rounds} · {gateway.name}")
        except OSError as error:
            said = gateway.process.said().strip().splitlines()
            self.measured.left_out[gateway.name] = (
                f"it stopped answering in round {number + 1} ({type(error).__name__}); its last word: "
                f"{said[-1] if said else 'none'}"
            )

    async def _gateway(self, gateway: Gateway, where: str) -> None:
        plan, found, name = self._plan, self.measured, gateway.name
        plain = await self.saturate(gateway, PLAIN, plan.plain_s, f"{where} · plain")
        long = await self.saturate(gateway, STREAMS[0], plan.streams_s, f"{where} · streams of 31 events")
        short = await self.saturate(gateway, STREAMS[1], plan.streams_s, f"{where} · streams of 17 events")
        if plan.paced_s:
            paced = await self.saturate(gateway, PACED, plan.paced_s, f"{where} · paced streams", PACED_CONNECTIONS)
            add(found.streams_paced, name, paced.counted.per_s)
        one = await self.one(gateway, f"{where} · one connection")
        half = await self._half(gateway, plain.counted.per_s / 2, where)
        add(found.rps, name, plain.counted.per_s)
        add(found.cpu_us, name, plain.cpu_us)
        add(found.busy, name, plain.busy)
        add(found.load_busy, name, plain.load_busy)
        add(found.others_busy, name, plain.others_busy)
        add(found.streams, name, long.counted.per_s)
        add(found.stream_cpu_us, name, long.cpu_us)
        add(found.streams_17, name, short.counted.per_s)
        add(found.one_p50_ms, name, ms(one, 0.5))
        add(found.one_p99_ms, name, ms(one, 0.99))
        if half is not None:
            add(found.half_p99_ms, name, half)
        if isinstance(gateway, Comporta):
            add(found.postgres_cpu_us, name, plain.postgres_us)
            await self._ours(gateway, where)

    async def _ours(self, gate: Comporta, where: str) -> None:
        """What only our own gate is asked."""
        plan, found, name = self._plan, self.measured, gate.name
        hits = await self.saturate(gate, PLAIN, plan.plain_s, f"{where} · exact hits", hit=True)
        add(found.exact_hits, name, hits.counted.per_s)
        add(found.hit_cpu_us, name, hits.cpu_us)
        gate.place_postgres(GATEWAY_CORE)
        try:
            alone = await self.saturate(gate, PLAIN, plan.plain_s, f"{where} · PostgreSQL on the same core")
            add(found.rps_one_core, name, alone.counted.per_s)
        finally:
            gate.place_postgres(LOAD_CORE)
        if CAN_FINISH:
            finish = await self.saturate(gate, FINISH, plan.plain_s, f"{where} · plain, on_client_gone: finish")
            add(found.rps_finish, name, finish.counted.per_s)
            add(found.finish_cpu_us, name, finish.cpu_us)

    async def warm(self, gateway: Gateway) -> None:
        """Calls that count for nothing but the books."""
        load = self.load(gateway, PLAIN)
        await load.calls(CONNECTIONS, max(self._plan.warm_calls, CONNECTIONS), lambda calls: None)
        self.note(gateway, load.check)

    async def one(self, gateway: Gateway, where: str) -> list[float]:
        """Latencies in seconds on one connection."""
        self._tell(where)
        load = self.load(gateway, PLAIN)
        times = await load.one_by_one(self._plan.one_s)
        self.note(gateway, load.check)
        await self.settle(gateway)
        return times

    async def _half(self, gateway: Gateway, per_s: float, where: str) -> float | None:
        """The p99 in milliseconds that it adds at half of what saturates it, over the mock alone at the same rate."""
        if gateway is self._direct:
            return None
        self._tell(f"{where} · at half of saturation")
        if per_s * self._plan.half_s < _FEWEST_FOR_P99:
            return None
        direct = self.load(self._direct, PLAIN)
        base = await direct.at_rate(per_s, self._plan.half_s)
        load = self.load(gateway, PLAIN)
        times = await load.at_rate(per_s, self._plan.half_s)
        self.note(self._direct, direct.check)
        self.note(gateway, load.check)
        await self.settle(gateway)
        return ms(times, 0.99) - ms(base, 0.99) if len(times) >= _FEWEST_FOR_P99 // 2 else None

    async def saturate(
        self, gateway: Gateway, model: str, seconds: float, where: str, connections: int = CONNECTIONS, *,
        hit: bool = False,
    ) -> Window:  # fmt: skip
        self._tell(where)
        used: list[tuple[float, float, float]] = []
        load = self.load(gateway, model, hit=hit)
        before = gateway.cpu_s()
        pids = [os.getpid(), *below(gateway.process.pid), *below(self._direct.process.pid)]
        ours = list(dict.fromkeys(pids))
        counted = await load.saturate(
            connections, seconds,
            lambda: used.append((core_busy_s(GATEWAY_CORE), core_busy_s(LOAD_CORE), cpu_s(ours))),
        )  # fmt: skip
        self.note(gateway, load.check, hit=hit)
        await self.settle(gateway)
        own, postgres = (after - then for after, then in zip(gateway.cpu_s(), before, strict=True))
        calls = max(load.check.right + load.check.wrong, 1)
        busy, load_busy, all_ours = ((after - then) / counted.seconds for then, after in zip(*used, strict=True))
        others = max(busy + load_busy - all_ours, 0.0)
        return Window(counted, own * 1e6 / calls, postgres * 1e6 / calls, busy, load_busy, others)

    def load(self, gateway: Gateway, model: str, *, hit: bool = False) -> Load:
        asked = gateway.request(model, same=hit)
        return Load(gateway.port, asked, gateway.check(model, hit=hit), self._plan.warm_s)

    def note(self, gateway: Gateway, check: Check, *, hit: bool = False) -> None:
        name = gateway.name
        gateway.answered += check.right
        gateway.hits += check.right if hit else 0
        self.measured.wrong[name] = self.measured.wrong.get(name, 0) + check.wrong
        if check.first_wrong:
            self.measured.first_wrong.setdefault(name, check.first_wrong.decode("utf-8", "replace"))

    async def settle(self, gateway: Gateway) -> None:
        """Wait until it has done all that it was asked: it is to be counted, and no other's window is to pay for it."""
        until_s = time.monotonic() + _DRAIN_S
        while not gateway.idle() and time.monotonic() < until_s:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)


def add(series: Series, name: str, value: float) -> None:
    series.setdefault(name, []).append(value)


def ms(times: Sequence[float], share: float) -> float:
    return percentile(times, share) * 1000 if times else float("nan")
