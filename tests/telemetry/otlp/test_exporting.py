"""Calls on their way out: in requests of bounded size, each signal by itself, and none lost that may come again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import structs
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from comporta.store.database import Database
from comporta.telemetry.otlp import exporting, outbox
from comporta.telemetry.otlp.exporting import LOGS, METRICS, MOST_BYTES, TRACES, Exporter, Sent, Unsent, What, hint_of
from comporta.telemetry.otlp.spans_out import How
from comporta.telemetry.partitions import ensure_partitions
from comporta.telemetry.record import CallRecord
from comporta.telemetry.shipping import insert_batch

MakeRecord = Callable[..., CallRecord]


class Backend:
    """Takes what it is sent; `most_bytes` is all that one request may hold, `answers` are by signal."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.answers: dict[str, Sent | Unsent] = {}
        self.most_bytes = most_bytes
        self.took = asyncio.Event()

    async def send(self, signal: str, body: bytes) -> Sent:
        answer = self.answers.get(signal, Sent(200))
        if isinstance(answer, Unsent):
            raise answer
        if len(body) > self.most_bytes:
            return Sent(413)
        if answer.status < 300:
            self.got.append((signal, body))
            self.took.set()
        return answer

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for signal, body in self.got if signal == TRACES]
        return [s for r in requests for one in r.resource_spans for scope in one.scope_spans for s in scope.spans]

    def figures(self) -> list[Any]:
        return [ExportMetricsServiceRequest.FromString(body) for signal, body in self.got if signal == METRICS]


class Counts(dict[str, float]):
    def __call__(self, name: str, more: float) -> None:
        self[name] = self.get(name, 0) + more


async def waiting_calls(database: Database, make_record: MakeRecord, texts: Sequence[str]) -> None:
    await outbox.turn(database, True)
    await ensure_partitions(database)
    await insert_batch(database, [asking(make_record(), text) for text in texts])


def asking(record: CallRecord, text: str) -> CallRecord:
    parts = [{"type": "text", "text": text}]
    return structs.replace(record, prompt=json.dumps({"messages": [{"role": "user", "parts": parts}]}))


def names(span: Any) -> set[str]:
    return {pair.key for pair in span.attributes}


async def test_many_long_calls_go_out_in_requests_of_bounded_size(database: Database, make_record: MakeRecord) -> None:
    await waiting_calls(database, make_record, ["x" * 700_000] * 10)
    backend, counts = Backend(), Counts()
    assert not await Exporter(database, backend.send, What(), counts).calls()
    assert len(backend.spans()) == 10 and all("gen_ai.input.messages" in names(span) for span in backend.spans())
    assert len(backend.got) > 1 and max(len(body) for _, body in backend.got) <= MOST_BYTES
    assert counts == {"otlp_calls_exported": 10, "otlp_calls_refused": 0}
    assert await outbox.waiting(database) == 0


async def test_a_backend_that_takes_less_is_sent_less_and_one_long_call_goes_without_its_words(
    database: Database, make_record: MakeRecord
) -> None:
    await waiting_calls(database, make_record, ["x" * 9000, "short", "short too"])
    backend, counts = Backend(most_bytes=4000), Counts()
    await Exporter(database, backend.send, What(), counts).calls()
    told = sorted("gen_ai.input.messages" in names(span) for span in backend.spans())
    assert told == [False, True, True]
    assert counts["otlp_calls_exported"] == 3


async def test_what_is_too_large_in_any_form_is_refused_and_counted(
    database: Database, make_record: MakeRecord
) -> None:
    await waiting_calls(database, make_record, ["short", "short too"])
    counts = Counts()
    await Exporter(database, Backend(most_bytes=10).send, What(), counts).calls()
    assert counts == {"otlp_calls_exported": 0, "otlp_calls_refused": 2}


async def test_what_may_come_again_stays_in_the_queue(database: Database, make_record: MakeRecord) -> None:
    await waiting_calls(database, make_record, ["one", "two"])
    backend = Backend()
    exporter = Exporter(database, backend.send, What())
    for answer in (Sent(503, retry_after_s=3), Unsent("unavailable"), Sent(401), Sent(404)):
        backend.answers[TRACES] = answer
        with pytest.raises(Unsent):
            await exporter.calls()
        assert await outbox.waiting(database) == 2
    del backend.answers[TRACES]
    await exporter.calls()
    assert len(backend.spans()) == 2


async def test_a_wrong_address_is_said_with_what_to_do(database: Database, make_record: MakeRecord) -> None:
    await waiting_calls(database, make_record, ["one"])
    backend = Backend()
    backend.answers[TRACES] = Sent(404)
    with pytest.raises(Unsent, match="it answered 404") as told:
        await Exporter(database, backend.send, What()).calls()
    assert "otlp.export.endpoint" in str(told.value.hint)


async def test_a_backend_that_takes_no_metrics_delays_no_span(
    database: Database, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_PAUSES_S", (60.0, 60.0))
    backend = Backend()
    backend.answers = {METRICS: Unsent("unavailable"), LOGS: Unsent("unavailable")}
    await waiting_calls(database, make_record, ["one"])
    exporting_task = asyncio.create_task(Exporter(database, backend.send, What()).run(0.01))
    try:
        async with asyncio.timeout(60):
            await backend.took.wait()
            backend.took.clear()
            await insert_batch(database, [make_record("two")])
            await backend.took.wait()
    finally:
        exporting_task.cancel()
        await asyncio.gather(exporting_task, return_exceptions=True)


async def test_figures_are_told_when_they_change_and_again_after_a_while(
    database: Database, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend()
    exporter = Exporter(database, backend.send, What())
    await exporter.metrics()
    assert backend.figures() == []
    await waiting_calls(database, make_record, ["one"])
    await exporter.calls()
    await exporter.metrics()
    await exporter.metrics()
    assert len(backend.figures()) == 1
    monkeypatch.setattr(exporter, "_retell_at_s", 0.0)
    await exporter.metrics()
    assert len(backend.figures()) == 2


async def test_figures_that_did_not_arrive_are_told_by_the_next_try(
    database: Database, make_record: MakeRecord
) -> None:
    backend = Backend()
    exporter = Exporter(database, backend.send, What())
    await waiting_calls(database, make_record, ["one"])
    await exporter.calls()
    backend.answers[METRICS] = Unsent("unavailable")
    with pytest.raises(Unsent):
        await exporter.metrics()
    del backend.answers[METRICS]
    await exporter.metrics()
    assert len(backend.figures()) == 1


async def test_a_refusal_that_comes_every_time_is_logged_once_with_what_to_do(
    database: Database, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(exporting.log, "warning", lambda event, **told: said.append({"event": event, **told}))
    backend = Backend()
    backend.answers[METRICS] = Sent(404)
    exporter = Exporter(database, backend.send, What(How()))
    for text in ("one", "two"):
        await waiting_calls(database, make_record, [text])
        await exporter.calls()
        await exporter.metrics()
    assert [(one["event"], one["signal"]) for one in said] == [("otlp.refused", "metrics")]
    assert "otlp.export.metrics: false" in said[0]["hint"]


def test_a_hint_names_what_is_to_be_changed() -> None:
    assert "otlp.export.endpoint" in (hint_of(TRACES, 404) or "")
    assert "otlp.export.scores: false" in (hint_of(LOGS, 501) or "")
    assert "otlp.export.headers" in (hint_of(METRICS, 401) or "")
    assert hint_of(TRACES, 418) is None
