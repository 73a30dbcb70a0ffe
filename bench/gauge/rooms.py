"""What each stage costs by itself: onions with and without it take turns in one process, without any network.

`python -m gauge.rooms`, or `python -m gauge.profile --rooms`. No server, database or upstream is involved: the gate is
the real one, and its last step has the answer ready. Rounds alternate, since the machine changes its speed while it is
measured: a stage's cost is what its onion took more than the empty one, each in its fastest tenth of the rounds.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from comporta.app.folder import Folder
from comporta.app.gate import Gate
from comporta.app.loaded import Places, load_settings
from comporta.gateway.answering import call_of
from comporta.gateway.doors.openai_chat import OpenAIChat
from comporta.gateway.first import begun
from comporta.pipeline import Call, Next, collect, compose
from comporta.types import Caller, Delta, Event, Target, Usage
from gauge.words import PLAIN, TEXT, question, whole_answer

_CALLS = 50
_ROUNDS = 200
_WARM = 3
_CALLER = Caller(key_id="019a0000-0000-7000-8000-000000000001", name="bench", team="bench", environment="load")
_HEADERS = {"authorization": "Bearer cmp-x", "user-agent": "bench"}
_LIMITS = "limits: [{per: key, requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, concurrent: 1000}"
_MONEY = "budgets: [{name: all, limit: $1000000000}, {name: team, team: bench, limit: $1000000000}"
#: Onions, and the stages in each.
_ONIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "record": ("plain", ("record",)),
    "choose": ("plain", ("choose",)),
    "limit + spend, nothing configured": ("plain", ("limit", "spend")),
    "limit + spend": ("full", ("limit", "spend")),
    "limit + spend, 10,000 keys, 200 budgets": ("large", ("limit", "spend")),
    "choose, 1,000 routes": ("large", ("choose",)),
    "recall, a miss that is kept": ("full", ("recall",)),
    "recall, a miss that is not kept": ("unkept", ("recall",)),
    "5 stages with nothing to do": ("plain", ("limit", "follow", "spend", "images", "recall")),
    "all": ("full", ("record", "limit", "follow", "spend", "choose", "images", "recall")),
    "all, large": ("large", ("record", "limit", "follow", "spend", "choose", "images", "recall")),
}


def _config(kind: str) -> str:
    many = kind == "large"
    routes = {"plain": {"model": "mock/plain"}}
    limits, budgets = f"{_LIMITS}]", f"{_MONEY}]"
    if many:
        routes |= {f"route-{i}": {"model": f"mock/model-{i}"} for i in range(1000)}
        some = ", ".join(f"{{per: team, name: team-{i}, requests_per_minute: {i + 9}}}" for i in range(200))
        limits = f"{_LIMITS}, {some}]"
        budgets = f"{_MONEY}, {', '.join(f'{{name: b{i}, team: team-{i}, limit: $5}}' for i in range(198))}]"
    models = "models: {mock/plain: {price: {input: $1, output: $4}}}"
    cache = f"cache: {{enabled: true, store: memory, min_cost: {'$100' if kind == 'unkept' else '$0'}}}"
    lines = [
        "providers: {mock: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-bench-upstream}}",
        f"routes: {json.dumps(routes)}", models, "logging: {level: warning}",
    ]  # fmt: skip
    return "\n".join(lines if kind == "plain" else [*lines, limits, budgets, cache])


def _gate(kind: str, folder: Path) -> Gate:
    file = folder / f"{kind}.yaml"
    file.write_text(_config(kind))
    home = Folder(folder / kind)
    home.make()
    gate = Gate(home, load_settings(Places(file, home), {}), "postgresql://nowhere")
    gate.metering.purses._spent = _nothing  # type: ignore[assignment]
    gate.metering.purses._drain = _nothing
    count = 10_000 if kind == "large" else 1
    gate.keys._snapshot.put(_key_row(number) for number in range(count))
    return gate


def _key_row(number: int) -> Sequence[Any]:
    id = f"019a0000-0000-7000-8000-{number + 1:012d}"
    return (id, f"key-{number}", "cmp-", "abcd", "bench", None, None, {}, (), False, 0.0, "", *([None] * 7))


async def _nothing(*_: object) -> int:
    return 0


def _answer() -> Event:
    body = whole_answer().partition(b"\r\n\r\n")[2]
    return Event(
        deltas=(Delta(text=TEXT, finish="stop"),), usage=Usage(input=190, output=150), id="chatcmpl-bench",
        model=PLAIN, wire="openai.chat", raw=body, whole=True, last=True,
    )  # fmt: skip


class _Once:
    """The answer, as the upstream step gives it."""

    __slots__ = ("_event",)

    def __init__(self, event: Event) -> None:
        self._event: Event | None = event

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> Event:
        event, self._event = self._event, None
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        self._event = None


class Onion:
    """Some stages around an answer that is there already."""

    def __init__(self, gate: Gate, names: Sequence[str]) -> None:
        event = _answer()

        async def last(call: Call) -> AsyncIterator[Event]:
            return _Once(event)

        stages = [(name, stage) for name, stage in gate._stages() if name in names]
        self._next: Next = compose(stages, gate.metering.toll(last) if "limit" in names else last)
        self._door = OpenAIChat()
        self._body = question(PLAIN)
        self._number = 0

    async def ask(self, calls: int) -> float:
        """Microseconds of CPU a call; parsing is not in it, but comes right before as it does in a gate."""
        spent_ns = 0
        for _ in range(calls):
            call = self._call()
            started_ns = time.thread_time_ns()
            await collect(await begun(await self._next(call)))
            await call.close_events()
            call.end()
            spent_ns += time.thread_time_ns() - started_ns
        return spent_ns / calls / 1000

    def _call(self) -> Call:
        self._number += 1
        body = self._body.replace(b'"content":"', b'"content":"%d ' % self._number, 1)
        call = call_of("openai.chat", self._door.parse(body, _HEADERS), _CALLER, _HEADERS)
        call.target = Target("plain", "mock/plain", "mock", "plain")
        return call


async def measured(folder: Path, rounds: Iterable[int]) -> dict[str, list[float]]:
    """What a call took in each onion, by round; the empty one under no name."""
    gates = {kind: _gate(kind, folder) for kind in ("plain", "full", "unkept", "large")}
    onions = {"": Onion(gates["plain"], ())}
    onions |= {name: Onion(gates[kind], stages) for name, (kind, stages) in _ONIONS.items()}
    found: dict[str, list[float]] = {name: [] for name in onions}
    for number in rounds:
        for name, onion in onions.items():
            us = await onion.ask(_CALLS)
            if number >= _WARM:
                found[name].append(us)
        for gate in gates.values():
            gate.telemetry.metrics.tick()
    for gate in gates.values():
        gate.telemetry.metrics.close()
        gate.telemetry.spool.close()
    return found


def table(found: dict[str, list[float]]) -> Table:
    """The fastest tenth of the rounds: what slows a round down comes from outside."""
    shown = Table(title="What each stage costs, by itself and all together")
    shown.add_column("stages", no_wrap=True)
    shown.add_column("µs a call", justify="right")
    empty_us = quantiles(found[""], n=10)[0]
    shown.add_row("(none: the onion's heart)", f"{empty_us:.1f}")
    for name, spent in found.items():
        if name:
            shown.add_row(name, f"{quantiles(spent, n=10)[0] - empty_us:.1f}")
    return shown


def run(console: Console, rounds: int = _ROUNDS) -> None:
    with tempfile.TemporaryDirectory(prefix="rooms-") as folder:
        gc.freeze()
        found = uvloop.run(measured(Path(folder), track(range(rounds + _WARM), console=console, transient=True)))
    console.print(table(found))


if __name__ == "__main__":
    run(Console(width=None if sys.stdout.isatty() else 120), int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS)
