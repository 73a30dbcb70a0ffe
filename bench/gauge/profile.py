"""Where the microseconds of a call go: every step of Comporta's own code, timed inside one process.

`python -m gauge.profile`, or `make bench PROFILE=1`. Requests are handed to the gate's server as granian would hand
them, and the upstream is a stub that has its answer ready: what is timed is our own code, its records going to the
spool and from there to PostgreSQL. What granian and the HTTP client take comes on top; how much the client takes is
said below each table. `--functions` adds cProfile's view; `--rooms` tells instead what each stage costs by itself
(`gauge.rooms`), without server and database.
"""

from __future__ import annotations

import asyncio
import cProfile
import functools
import importlib
import io
import pstats
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter_ns, process_time_ns
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

import comporta
from comporta import pipeline
from comporta.app.doors import make_server
from comporta.app.gate import Gate
from comporta.pipeline import Call, Next, Stage
from gauge import rooms
from gauge.gateways import COMPORTA_CONFIG, comporta_config, mock
from gauge.words import PLAIN, STREAMS, question, stream_answer, whole_answer

_CALLS = 3_000
_WARM = 300
_TOP = 28
_MODELS = (PLAIN, STREAMS[0])
#: What is timed: how the step is called in the table, module, and name inside it. A name that has gone is passed over.
STEPS: tuple[tuple[str, str, str], ...] = (
    ("door: the whole of it but what follows", "gateway.answering", "Answering.__call__"),
    ("door: recognise the key", "keys.keys", "Keys.authenticate"),
    ("door: read the body", "gateway.answering", "read_body"),
    ("door: parse the body", "gateway.doors.openai_chat", "OpenAIChat.parse"),
    ("door: make the call", "gateway.answering", "call_of"),
    ("door: wait for the first content", "gateway.answering", "begun"),
    ("door: collect the reply", "gateway.answering", "collect"),
    ("door: headers of the answer", "gateway.answering", "_head"),
    ("door: write the answer", "gateway.doors.openai_chat", "OpenAIChat.reply"),
    ("door: write an event", "gateway.doors.chat_writing", "ChatStream.event"),
    ("door: close the layers, run the endings", "gateway.answering", "_finish"),
    ("stage record: watch events", "telemetry.recorder", "Watched.__anext__"),
    ("stage record: fold events, usage", "telemetry.recorder", "Watched._settle"),
    ("stage record: cost", "app.gate", "Gate._price"),
    ("stage record: at the end", "telemetry.recorder", "Recorder.record"),
    ("stage record: capture the prompt", "telemetry.capture", "Capture.prompt"),
    ("stage record: capture the reply", "telemetry.capture", "Capture.reply"),
    ("stage record: make the record", "telemetry.recorder", "record_of"),
    ("stage record: encode it", "telemetry.recorder", "encoded"),
    ("stage record: look for secrets", "telemetry.scrubbing", "Scrubber.suspects"),
    ("stage record: write to the spool", "telemetry.spool", "Spool.append"),
    ("stage record: note for the metrics", "telemetry.metrics", "Metrics.note"),
    ("attempt: itself", "gateway.attempt", "Attempt.__call__"),
    ("attempt: reach", "app.gate", "Gate._reach"),
    ("attempt: encode the request", "providers.openai", "OpenAI.encode"),
    ("attempt: read the body", "gateway.attempt", "_whole"),
    ("attempt: decode the reply", "providers.openai", "OpenAI.reply"),
    ("attempt: next event", "gateway.attempt", "UpstreamEvents.__anext__"),
    ("attempt: decode events", "providers.openai_decode", "SseDecoder.feed"),
)


class Stub:
    """A transport whose answer is there at once, its stream cut by event."""

    def __init__(self, answers: Mapping[bool, tuple[bytes, ...]]) -> None:
        self._answers = answers

    async def send(self, request: Any, connect_s: float, timeout_s: float | None) -> Answered:
        return Answered(self._answers[b'"stream":true' in request.body])


class Answered:
    """The stub's answer."""

    status = 200

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self._parts = iter(parts)
        self.headers = {"content-type": "application/json" if len(parts) == 1 else "text/event-stream"}

    async def read(self, limit: int) -> bytes:
        return next(self._parts)

    async def chunk(self) -> bytes:
        return next(self._parts, b"")

    def fail(self, error: Exception) -> None:
        return

    def abort(self) -> None:
        return

    def finish(self) -> None:
        return


class Scope:
    """What granian says of a request."""

    proto = "http"
    method = "POST"
    path = "/v1/chat/completions"
    query_string = ""

    def __init__(self, key: str, body: bytes) -> None:
        self.headers = {
            "host": "127.0.0.1", "authorization": f"Bearer {key}", "content-type": "application/json",
            "accept": "*/*", "user-agent": "bench", "content-length": str(len(body)),
        }  # fmt: skip


class Proto:
    """granian's end of a connection: it takes what is sent and forgets it."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.status = 0
        self.sent = 0

    async def __call__(self) -> bytes:
        return self._body

    async def client_disconnect(self) -> None:
        await asyncio.get_running_loop().create_future()

    def response_bytes(self, status: int, headers: object, body: bytes) -> None:
        self.status, self.sent = status, len(body)

    def response_stream(self, status: int, headers: object) -> Proto:
        self.status = status
        return self

    async def send_bytes(self, data: bytes) -> None:
        self.sent += len(data)


class Clock:
    """Times functions, each without those that it calls and that are timed themselves."""

    def __init__(self) -> None:
        self._inside: list[int] = []
        self._now: dict[str, list[int]] = {}
        #: Step -> microseconds per call, one for each call in which it ran; and how often it ran.
        self.spent_us: dict[str, list[float]] = {}
        self.times: dict[str, int] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._inside.append(0)
        started_ns = perf_counter_ns()
        try:
            yield
        finally:
            took_ns = perf_counter_ns() - started_ns
            own_ns = took_ns - self._inside.pop()
            if self._inside:
                self._inside[-1] += took_ns
            self._now.setdefault(name, []).append(own_ns)

    def end_call(self) -> None:
        for name, spent in self._now.items():
            self.spent_us.setdefault(name, []).append(sum(spent) / 1000)
            self.times[name] = len(spent)
        self._now.clear()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if asyncio.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_async(*args: Any, **kwargs: Any) -> Any:
                with self.step(name):
                    return await function(*args, **kwargs)

            return timed_async

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.step(name):
                return function(*args, **kwargs)

        return timed


@contextmanager
def timed(clock: Clock) -> Iterator[None]:
    """Put the clock around every step and every stage that are made meanwhile, and take it away again."""
    undo: list[tuple[Any, str, Any]] = []

    def put(place: Any, attribute: str, new: Any) -> None:
        undo.append((place, attribute, getattr(place, attribute)))
        setattr(place, attribute, new)

    layer = pipeline._layer
    put(pipeline, "_layer", lambda name, stage, inner: layer(name, _timed_stage(clock, name, stage), inner))
    try:
        for name, module, path in STEPS:
            place, attribute = _place(module, path)
            if place is not None:
                put(place, attribute, clock.around(name, getattr(place, attribute)))
        yield
    finally:
        for place, attribute, function in reversed(undo):
            setattr(place, attribute, function)


def _timed_stage(clock: Clock, name: str, stage: Stage) -> Stage:
    """A stage timed without what lies inside it: that is one more step."""

    async def timed_stage(call: Call, inner: Next) -> Any:
        async def timed_inner(call: Call) -> Any:
            with clock.step("the onion between the stages: spans, layers"):
                return await inner(call)

        with clock.step(f"stage {name}"):
            return await stage(call, timed_inner)

    return timed_stage


def _place(module: str, path: str) -> tuple[Any, str]:
    try:
        place: Any = importlib.import_module(f"comporta.{module}")
        *outer, attribute = path.split(".")
        for name in outer:
            place = getattr(place, name)
        getattr(place, attribute)
    except (ImportError, AttributeError):
        return None, path
    return place, attribute


Ask = Callable[[], Awaitable[None]]


class Bench:
    """A gate in this process, asked as by granian, with a stub or the mock behind it."""

    def __init__(self, gate: Gate, key: str) -> None:
        self._gate = gate
        self._key = key
        self._server = make_server(gate)

    def stubbed(self) -> None:
        stub = Stub({False: (_body(whole_answer()),), True: _events()})
        self._gate.transport.send = stub.send  # type: ignore[method-assign, assignment]

    def asking(self, model: str) -> Ask:
        body = question(model)
        scope = Scope(self._key, body)

        async def ask() -> None:
            proto = Proto(body)
            await self._server(scope, proto)
            # What a call leaves behind, cancelled tasks say, has its turn.
            await asyncio.sleep(0)
            assert proto.status == 200, f"the gate answered {proto.status}"

        return ask

    async def untimed_us(self, model: str, calls: int = _CALLS) -> float:
        """CPU per call without any clock in between, everything in this process included: the least of some batches."""
        ask = self.asking(model)
        for _ in range(_WARM):
            await ask()
        best = []
        for _ in range(5):
            started_ns = process_time_ns()
            for _ in range(calls // 5):
                await ask()
            best.append((process_time_ns() - started_ns) / (calls // 5) / 1000)
            await asyncio.sleep(0.3)
        return min(best)

    async def steps(self, model: str, clock: Clock, console: Console) -> None:
        """Let the clock see many calls; what it saw of the first ones is forgotten."""
        ask = self.asking(model)
        clock.end_call()
        for number in track(range(_WARM + _CALLS), f"timing {model}", console=console, transient=True):
            await ask()
            clock.end_call()
            if number <= _WARM:
                clock.spent_us.clear()

    async def functions(self, model: str) -> str:
        """cProfile's view, by own time."""
        ask = self.asking(model)
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(_CALLS):
            await ask()
        profile.disable()
        out = io.StringIO()
        pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(_TOP)
        return out.getvalue()


def step_table(title: str, clock: Clock, untimed_us: float) -> Table:
    table = Table(title=title)
    table.add_column("step", no_wrap=True)
    table.add_column("times", justify="right")
    table.add_column("µs a call", justify="right")
    rows = [(name, clock.times[name], median(spent)) for name, spent in clock.spent_us.items()]
    for name, times, spent in sorted(rows, key=lambda row: -row[2]):
        table.add_row(name, str(times), f"{spent:.1f}")
    table.add_section()
    table.add_row("all of them, the clock's own cost included", "", f"{sum(row[2] for row in rows):.1f}")
    table.add_row("CPU of the process without the clock, shipping to PostgreSQL included", "", f"{untimed_us:.1f}")
    return table


async def _run(folder: Path, port: int, console: Console) -> None:
    config = folder / "comporta.yaml"
    config.write_text(comporta_config(COMPORTA_CONFIG, port))
    found: dict[str, tuple[Clock, float, float]] = {}
    async with _opened(config, folder / "plain") as bench:
        with_client = {model: await bench.untimed_us(model, 1000) for model in _MODELS}
        bench.stubbed()
        without = {model: await bench.untimed_us(model) for model in _MODELS}
        if "--functions" in sys.argv:
            for model in _MODELS:
                console.print(await bench.functions(model), markup=False, highlight=False)
    for model in _MODELS:
        clock = Clock()
        with timed(clock):
            async with _opened(config, folder / f"timed-{model}") as bench:
                bench.stubbed()
                await bench.steps(model, clock, console)
        found[model] = clock, without[model], with_client[model]
    for model, (clock, untimed_us, client_us) in found.items():
        console.print(step_table(f"What each step costs · {model}", clock, untimed_us))
        console.print(f"With the HTTP client and sockets instead of the stub: {client_us:.1f} µs a call.\n")


@asynccontextmanager
async def _opened(config: Path, data: Path) -> AsyncIterator[Bench]:
    async with comporta.open(config, data=data) as gate:
        _, key = await gate.keys.create(name="bench")
        yield Bench(gate, key)


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def _events() -> tuple[bytes, ...]:
    """The stream as a client reads it: an event a read."""
    pieces = stream_answer(31, usage=True)
    chunks = (_body(pieces[0]), *pieces[1:])
    events = (part for chunk in chunks for part in chunk.split(b"\r\n") if part.startswith(b"data:"))
    return tuple(events)


def main() -> int:
    console = Console(width=None if sys.stdout.isatty() else 120)
    if "--rooms" in sys.argv:
        rooms.run(console)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o711)
    upstream = mock(folder)
    try:
        uvloop.run(_run(folder, upstream.port, console))
    finally:
        upstream.process.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
