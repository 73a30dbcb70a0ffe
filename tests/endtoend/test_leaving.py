"""A client that leaves, in every phase of its call: its provider sees it at once, and nothing of the call stays."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import Struct

from comporta.testing.servers import short_folder
from comporta.testing.upstream import Seen, Step
from support.serving import Fakes, Served
from support.talking import ask, chat, until

CONFIG = """
providers:
  up: {{kind: openai, base_url: "{up}/v1", api_key: sk-x, timeouts: {{first_token: 90s, idle: 90s, total: 90s}}}}
  full: {{kind: openai, base_url: "{full}/v1", api_key: sk-x, timeouts: {{connect: 90s}}}}
models:
{models}
routes:
  waiting: {{model: up/leave-waiting}}
limits:
  - {{per: key, concurrent: 1}}
  - {{per: route, name: waiting, concurrent: 1, on_limit: wait, longest_wait: 30s}}
budgets:
{budgets}
retry: {{attempts: 3, first_wait: 1s, longest_wait: 60s}}
breaker: {{failures: 1000, share: 100%, of: 1000}}
"""
#: Micro-dollars for a token, so that a hold is most of its budget and two don't fit.
INPUT, OUTPUT = 10, 1_000
MAX_TOKENS = 50
BUDGET = 99_000


class Phase(Struct, frozen=True):
    """When a client leaves: what the provider does meanwhile, and what is billed for it."""

    name: str
    step: Step
    stream: bool = False
    #: So many words have come to the client before it leaves.
    words: int = 0
    #: What may be on the bill: whether input counts, and at most how many tokens written.
    input: bool = True
    written: int = 0


TEXT = "one two three four five six seven"
PHASES = [
    Phase("before-headers", Step(delay_s=90)),
    Phase("before-the-first-chunk", Step(first_delay_s=90), stream=True),
    Phase("after-the-role", Step(text=TEXT, stall_after=1), stream=True),
    Phase("in-mid-stream", Step(text=TEXT, stall_after=5), stream=True, words=3, written=10),
    Phase("in-a-plain-body", Step(text=TEXT, stall_after=0)),
    Phase("in-back-off", Step(status=503, headers={"Retry-After": "58"}), input=False),
    Phase("in-a-streams-back-off", Step(status=503, headers={"Retry-After": "58"}), stream=True, input=False),
]


@pytest.fixture(scope="module")
def full_backlog() -> Iterator[str]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def gate(fakes: Fakes, full_backlog: str) -> Iterator[Served]:
    names = [*(phase.name for phase in PHASES), "waiting", "connecting", "reset", "after"]
    price = f"{{price: {{input: ${INPUT}, output: ${OUTPUT}}}}}"
    models = "\n".join(f"  {p}/leave-{name}: {price}" for name in names for p in ("up", "full"))
    budgets = "\n".join(
        f"  - {{name: {name}, feature: {name}, period: month, limit: ${BUDGET / 1e6}}}" for name in names
    )
    config = CONFIG.format(up=fakes.openai.url, full=full_backlog, models=models, budgets=budgets)
    with short_folder() as folder:
        served = Served(folder, config)
        served.start()
        yield served
        assert served.stop() == 0, served.output


class Client:
    """A client that sends one call and may leave at any time."""

    def __init__(self, gate: Served, key: str, model: str, *, stream: bool) -> None:
        self.session = f"leaving-{time.monotonic_ns()}"
        self._socket = socket.create_connection(("127.0.0.1", gate.port))
        body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream,
             "max_tokens": MAX_TOKENS}
        ).encode()  # fmt: skip
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            f"x-comporta-session: {self.session}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)

    def read_until(self, word: bytes) -> None:
        self._socket.settimeout(60)
        came = b""
        while word not in came:
            data = self._socket.recv(65536)
            assert data, came
            came += data

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def new_key(gate: Served, name: str) -> str:
    made = ask(gate, "/admin/keys", {"name": f"{name}-{time.monotonic_ns()}", "feature": name})
    assert made.status == 201, made.body
    secret: str = made.json["secret"]
    return secret


def in_flight(gate: Served) -> int:
    lines = ask(gate, "/metrics").body.decode().splitlines()
    return int(float(next(line.split()[-1] for line in lines if line.startswith("comporta_calls_in_flight"))))


def seen_by(fakes: Fakes, model: str) -> list[Seen]:
    return [seen for seen in list(fakes.openai.seen) if seen.json.get("model") == model]


def record_of(gate: Served, session: str) -> Any:
    found = until(lambda: ask(gate, f"/admin/calls?session={session}").json["data"])
    assert len(found) == 1, found
    return found[0]


def assert_free_again(gate: Served, fakes: Fakes, key: str, model: str) -> None:
    """The one place and the one hold that this key and its budget have room for can be taken again."""
    fakes.openai.script(Step(text="next"), model=model)
    assert happens(lambda: chat(gate, f"up/{model}", key=key, max_tokens=MAX_TOKENS).status == 200)


def happens(look: Callable[[], bool]) -> bool:
    """Whether it happens long before the gate's own limits, and the provider's answer, would bring it about."""
    return until(look, 40)


@pytest.mark.parametrize("phase", PHASES, ids=[phase.name for phase in PHASES])
def test_wire_8_whenever_the_client_leaves_upstream_sees_it_and_nothing_stays(
    gate: Served, fakes: Fakes, phase: Phase
) -> None:
    """WIRE 8, 14: recorded as 499, and billed for what was produced."""
    model, key = f"leave-{phase.name}", new_key(gate, phase.name)
    fakes.openai.script(phase.step, model=model)
    client = Client(gate, key, f"up/{model}", stream=phase.stream)
    assert until(lambda: seen_by(fakes, model))
    [seen] = seen_by(fakes, model)
    if phase.words:
        client.read_until(TEXT.split()[phase.words - 1].encode())
    elif phase.step.status == 503:
        assert until(seen.done.is_set)
    # It must have got as far as its phase; no event tells that from outside.
    time.sleep(0.2)
    client.leave()
    if phase.step.status == 200:
        assert happens(seen.gone.is_set)
    # What was asked to wait is left alone for a while, by everybody.
    assert_free_again(gate, fakes, key, "leave-after" if phase.step.status == 503 else model)
    record = record_of(gate, client.session)
    assert (record["status"], record["outcome"]) == (499, "client_closed")
    assert_billed(record, phase)
    others = 1 if phase.step.status == 200 else 0
    assert len(seen_by(fakes, model)) == 1 + others, "what a client left is not asked again"


def assert_billed(record: Any, phase: Phase) -> None:
    usage = record["usage"]
    if not phase.input:
        assert usage is None and not record["cost_microusd"], record
        return
    assert usage["estimated"] and usage["input"] > 0
    assert (0 < usage["output"] <= phase.written) if phase.written else usage["output"] == 0
    assert record["cost_microusd"] == usage["input"] * INPUT + usage["output"] * OUTPUT


def test_wire_8_a_connection_that_is_reset_is_a_client_that_left(gate: Served, fakes: Fakes) -> None:
    key = new_key(gate, "reset")
    fakes.openai.script(Step(text=TEXT, stall_after=4), model="leave-reset")
    client = Client(gate, key, "up/leave-reset", stream=True)
    client.read_until(b"two")
    client.leave(reset=True)
    [seen] = seen_by(fakes, "leave-reset")
    assert happens(seen.gone.is_set)
    assert_free_again(gate, fakes, key, "leave-reset")
    assert record_of(gate, client.session)["status"] == 499


def test_wire_8_a_client_may_leave_while_the_gate_connects(gate: Served, fakes: Fakes) -> None:
    key = new_key(gate, "connecting")
    client = Client(gate, key, "full/leave-connecting", stream=True)
    assert until(lambda: in_flight(gate) == 1)
    time.sleep(0.1)
    client.leave()
    assert happens(lambda: in_flight(gate) == 0)
    assert_free_again(gate, fakes, key, "leave-connecting")
    assert record_of(gate, client.session)["status"] == 499


def test_wire_8_a_client_may_leave_while_it_waits_for_a_limit(gate: Served, fakes: Fakes) -> None:
    holder, waiter = new_key(gate, "waiting"), new_key(gate, "after")
    fakes.openai.script(Step(delay_s=90), model="leave-waiting")
    first = Client(gate, holder, "waiting", stream=False)
    assert until(lambda: seen_by(fakes, "leave-waiting"))
    second = Client(gate, waiter, "waiting", stream=False)
    assert until(lambda: in_flight(gate) == 2)
    second.leave()
    assert until(lambda: in_flight(gate) == 1)
    record = record_of(gate, second.session)
    assert (record["status"], record["usage"], record["cost_microusd"] or 0) == (499, None, 0)
    first.leave()
    fakes.openai.script(Step(text="next"), model="leave-waiting")
    assert chat(gate, "waiting", key=waiter, max_tokens=MAX_TOKENS).status == 200
    assert len(seen_by(fakes, "leave-waiting")) == 2, "the one that left was never asked"
