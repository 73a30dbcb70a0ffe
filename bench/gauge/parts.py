"""What is asked of Comporta alone: memory over many calls, several workers, many keys; and if its books are right."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

from gauge.gateway import Gateway
from gauge.load import Load
from gauge.measured import Measured, Pair
from gauge.ours import CALL_MICROUSD, Books, Comporta, Redis, Setup, start
from gauge.rounds import CONNECTIONS, Plan, Rounds, Tell, add, ms
from gauge.words import PLAIN, STREAMS

_POINTS = 99
_BOOKS_WITHIN_S = 30.0
KEYS, ROUTES, BUDGETS = 10_000, 1_000, 200


class Parts:
    """The parts of a run that come after the rounds. What it starts, it ends."""

    def __init__(self, plan: Plan, folder: Path, direct: Gateway, rounds: Rounds, tell: Tell) -> None:
        self._plan = plan
        self._folder = folder
        self._direct = direct
        self._rounds = rounds
        self._tell = tell

    @property
    def _measured(self) -> Measured:
        return self._rounds.measured

    async def memory(self, gate: Comporta) -> None:
        """Memory while many calls go through, in 99 points, so that the thirds are even."""
        count = self._plan.memory_calls
        every = max(count // _POINTS, 1)
        curve = self._measured.memory
        load = Load(gate.port, gate.request(PLAIN), gate.check(PLAIN))

        def look(calls: int) -> None:
            if calls % every == 0 and len(curve) < _POINTS:
                curve.append(gate.rss_mb)
                self._tell(f"memory of Comporta's worker · {calls:,} of {count:,} calls")

        started_s = time.monotonic()
        await load.calls(CONNECTIONS, count, look)
        self._rounds.note(gate, load.check)
        await self._rounds.settle(gate)
        self._measured.memory_s = time.monotonic() - started_s
        self._measured.memory_calls = load.check.right + load.check.wrong
        self._measured.rss_mb[gate.name] = gate.rss_mb

    async def workers(self) -> None:
        """Two workers against one, with the same Redis behind them, all of a gate's processes on one core."""
        with ExitStack() as stack:
            redis = await asyncio.to_thread(Redis, self._folder)
            stack.callback(redis.process.stop)
            # Each in a database of its own, or one would find the other's answers and count its calls.
            one = Setup("one worker, Redis", workers=1, redis=f"{redis.path}?db=1")
            two = Setup("two workers, Redis", workers=2, redis=f"{redis.path}?db=2")
            self._measured.workers = await self._pair(one, two)

    async def keys(self) -> None:
        """A gate with many keys, routes and budgets against one with few."""
        few = Setup("few keys")
        many = Setup("many keys", keys=KEYS, routes=ROUTES, budgets=BUDGETS - 1)
        self._measured.keys = await self._pair(few, many)

    async def _pair(self, one: Setup, other: Setup) -> Pair:
        pair = Pair(one.name, other.name)
        with ExitStack() as stack:
            gates = []
            for setup in (one, other):
                self._tell(f"starting a gate with {setup.name}")
                gates.append(await asyncio.to_thread(start, self._folder, self._direct.port, setup))
                stack.callback(gates[-1].process.stop)
            for gate in gates:
                await self._rounds.warm(gate)
            for number in range(self._plan.pair_rounds):
                if number and self._rounds.is_late(1.0):
                    break
                for gate in gates if number % 2 else reversed(gates):
                    await self._look(pair, gate, f"{gate.name} · {number + 1}/{self._plan.pair_rounds}")
            for gate in gates:
                await self.books(gate)
        return pair

    async def _look(self, pair: Pair, gate: Comporta, where: str) -> None:
        plan, rounds = self._plan, self._rounds
        plain = await rounds.saturate(gate, PLAIN, plan.plain_s, where)
        streams = await rounds.saturate(gate, STREAMS[0], plan.streams_s, where)
        add(pair.rps, gate.name, plain.counted.per_s)
        add(pair.cpu_us, gate.name, plain.cpu_us)
        add(pair.streams, gate.name, streams.counted.per_s)
        add(pair.one_p50_ms, gate.name, ms(await rounds.one(gate, where), 0.5))

    async def books(self, gate: Comporta) -> None:
        """Whether every answered call has its record, and the ledger holds what they cost. Waits for the last ones."""
        until_s = time.monotonic() + _BOOKS_WITHIN_S
        faults = ["not looked at"]
        while faults and time.monotonic() < until_s:
            books = await asyncio.to_thread(gate.books)
            faults = faults_of(books, gate.answered, gate.hits)
            await asyncio.sleep(0.3)
        self._measured.answered += gate.answered
        self._measured.recorded += books.records
        self._measured.cost_microusd += books.ledger_microusd
        self._measured.faults += [f"{gate.name}: {fault}" for fault in faults]


def faults_of(books: Books, answered: int, hits: int) -> list[str]:
    """What is wrong in the books, a sentence each."""
    cost = (answered - hits) * CALL_MICROUSD
    said = (
        (books.records, answered, "{:,} records of {:,} answered calls"),
        (books.refused, 0, "{:,} records of calls that were not answered, and {:,} were wanted"),
        (books.ledger_calls, answered, "the ledger holds {:,} calls of {:,} answered ones"),
        (books.cost_microusd, cost, "the records' costs come to {:,} micro-dollars, the calls cost {:,}"),
        (books.ledger_microusd, cost, "the ledger holds {:,} micro-dollars, the calls cost {:,}"),
        (books.budget_microusd, cost, "the budget says {:,} micro-dollars were spent, the calls cost {:,}"),
    )
    return [text.format(found, wanted) for found, wanted, text in said if found != wanted]
