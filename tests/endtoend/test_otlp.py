"""OpenTelemetry with real processes: the real SDK and instrumentations send spans, a backend gets calls and scores."""

from __future__ import annotations

import gzip
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from comporta.testing.servers import short_folder
from support.receiving import Receiver, receiving
from support.serving import Served
from support.talking import ask, until

CONFIG = """
providers:
  scripted: {{}}
routes:
  echo: {{model: scripted/echo}}
otlp:
  export: {{endpoint: "{url}", every: 200ms, stages: true, headers: {{x-key: planted-otlp-secret}}}}
"""


@pytest.fixture(scope="module")
def backend() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def served(backend: Receiver) -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, CONFIG.format(url=backend.url))
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output
        assert "planted-otlp-secret" not in gate.output


@pytest.fixture
def provider(served: Served) -> Iterator[TracerProvider]:
    """The application's own tracing, as its authors would set it up."""
    made = TracerProvider(resource=Resource.create({"service.name": "delivery-app"}))
    exporter = OTLPSpanExporter(
        endpoint=f"http://127.0.0.1:{served.port}/v1/traces", headers={"authorization": f"Bearer {served.key}"}
    )
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.shutdown()


def calls_of(gate: Served, trace: str) -> list[dict[str, Any]]:
    answer = ask(gate, f"/admin/calls?trace={trace}")
    return list(answer.json["data"])


def spans_of(gate: Served, trace: str) -> list[dict[str, Any]]:
    answer = ask(gate, f"/admin/traces/{trace}")
    return list(answer.json["spans"]) if answer.status == 200 else []


def spans_at(backend: Receiver) -> list[Any]:
    found = []
    for got in list(backend.got):
        if got.path.endswith("/v1/traces"):
            request = ExportTraceServiceRequest.FromString(gzip.decompress(got.body))
            found += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return found


def test_a_call_reaches_the_backend_with_its_stages_its_metrics_and_its_score(
    served: Served, backend: Receiver
) -> None:
    trace, parent = os.urandom(16).hex(), os.urandom(8).hex()
    asked = {"model": "echo", "messages": [{"role": "user", "content": "Where is the sluice?"}]}
    answer = ask(served, "/v1/chat/completions", asked, traceparent=f"00-{trace}-{parent}-01")
    call_id = answer.call

    spans = until(lambda: [s for s in spans_at(backend) if s.trace_id.hex() == trace])
    root = next(span for span in spans if span.name == "chat echo")
    values = {pair.key: pair.value for pair in root.attributes}
    assert root.parent_span_id.hex() == parent
    assert values["gen_ai.operation.name"].string_value == "chat"
    assert values["gen_ai.provider.name"].string_value == "scripted"
    assert values["gen_ai.usage.input_tokens"].int_value > 0
    assert "Where is the sluice?" in values["gen_ai.input.messages"].string_value
    inside = [span for span in spans if span is not root]
    ids = {span.span_id for span in spans}
    assert inside and all(span.parent_span_id in ids for span in inside)

    ask(served, "/v1/feedback", {"call_id": call_id, "thumbs": "up"})
    got = until(lambda: [g for g in list(backend.got) if g.path.endswith("/v1/logs")])
    logs = ExportLogsServiceRequest.FromString(gzip.decompress(got[0].body))
    event = logs.resource_logs[0].scope_logs[0].log_records[0]
    assert event.event_name == "gen_ai.evaluation.result"
    assert event.span_id == root.span_id and event.trace_id.hex() == trace

    got = [g for g in list(backend.got) if g.path.endswith("/v1/metrics")]
    request = ExportMetricsServiceRequest.FromString(gzip.decompress(got[-1].body))
    metrics = {m.name: m for m in request.resource_metrics[0].scope_metrics[0].metrics}
    duration = metrics["gen_ai.client.operation.duration"].histogram.data_points[0]
    assert duration.explicit_bounds[0] == 0.01 and sum(duration.bucket_counts) == duration.count >= 1
    assert {"gen_ai.client.token.usage"} <= set(metrics)
    assert all(g.headers["x-key"] == "planted-otlp-secret" for g in backend.got)


def test_spans_of_the_sdk_stand_in_the_trace_and_a_model_call_among_calls(
    served: Served, provider: TracerProvider
) -> None:
    tracer = provider.get_tracer("support-agent")
    with tracer.start_as_current_span("plan") as agent:
        agent.set_attribute("gen_ai.operation.name", "invoke_agent")
        with tracer.start_as_current_span("chat gpt-4o-mini") as call:
            call.set_attributes(
                {
                    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 1_000_000,
                    "gen_ai.usage.output_tokens": 0, "session.id": "order-7", "user.id": "ana",
                }
            )  # fmt: skip
    trace = f"{agent.get_span_context().trace_id:032x}"
    (found,) = until(lambda: calls_of(served, trace))
    assert (found["provider"], found["model"], found["session"]) == ("openai", "gpt-4o-mini", "order-7")
    assert found["cost_microusd"] == 150_000
    assert found["tags"]["application"] == "delivery-app"
    spans = ask(served, f"/admin/traces/{trace}").json["spans"]
    assert {span["name"]: span["kind"] for span in spans} == {"plan": "agent", "chat gpt-4o-mini": "chat"}
    inner = next(span for span in spans if span["kind"] == "chat")
    assert inner["parent_span_id"] == f"{agent.get_span_context().span_id:016x}"
    assert inner["call_id"] == found["id"]


@pytest.mark.parametrize("instrumentor", [OpenInference, OpenAIInstrumentor])
def test_a_call_that_an_instrumentation_saw_and_the_gate_made_counts_once(
    served: Served, provider: TracerProvider, instrumentor: Any
) -> None:
    propagator = TraceContextTextMapPropagator()

    def lead_on(request: httpx2.Request) -> None:
        head: dict[str, str] = {}
        propagator.inject(head)
        request.headers.update(head)

    watched = instrumentor()
    watched.instrument(tracer_provider=provider)
    try:
        with httpx2.Client(event_hooks={"request": [lead_on]}) as http:
            client = OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=served.key, http_client=http)
            with provider.get_tracer("app").start_as_current_span("answer") as root:
                client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "Once?"}])
    finally:
        watched.uninstrument()
    trace = f"{root.get_span_context().trace_id:032x}"
    seen = until(lambda: [span for span in spans_of(served, trace) if span["kind"] == "chat"])
    (found,) = calls_of(served, trace)
    assert found["provider"] == "scripted"
    assert [span["call_id"] for span in seen] == [found["id"]]


def test_json_is_taken_and_bad_batches_are_counted_and_never_a_500(served: Served) -> None:
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    now_ns = time.time_ns()
    good = {
        "traceId": trace, "spanId": span, "name": "old words", "startTimeUnixNano": str(now_ns - 10**9),
        "endTimeUnixNano": str(now_ns), "kind": 3,
        "attributes": [
            {"key": "llm.model", "value": {"stringValue": "claude-x"}},
            {"key": "llm.provider", "value": {"stringValue": "anthropic"}},
            {"key": "llm.prompt.tokens", "value": {"intValue": "12"}},
            {"key": "llm.completion.tokens", "value": {"intValue": "3"}},
            {"key": "llm.prompt.preview", "value": {"stringValue": "How far is it?"}},
        ],
    }  # fmt: skip
    nameless = {**good, "traceId": "00" * 16}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [good, nameless]}]}], "somethingNew": 1}).encode()
    assert post(served, body, "application/json") == (200, b"{}")
    assert post(served, gzip.compress(body), "application/json", "gzip") == (200, b"{}")
    assert post(served, b"\x00nonsense", "application/x-protobuf")[0] == 200
    assert post(served, b"no gzip", "application/json", "gzip")[0] == 200
    assert post(served, b"{}", "text/plain")[0] == 415
    assert post(served, b"{}", "application/json", "br")[0] == 415
    assert post(served, b"{}", "application/json", key="wrong")[0] == 401

    (found,) = until(lambda: calls_of(served, trace))
    assert (found["model"], found["usage"]["input"], found["usage"]["output"]) == ("claude-x", 12, 3)
    assert until(lambda: metric(served, "comporta_otlp_batches_refused_total") >= 2)
    assert until(lambda: metric(served, "comporta_otlp_spans_refused_total") >= 2)


def post(gate: Served, body: bytes, kind: str, encoding: str = "", key: str | None = None) -> tuple[int, bytes]:
    headers = {"content-type": kind, "authorization": f"Bearer {key or gate.key}"}
    if encoding:
        headers["content-encoding"] = encoding
    request = urllib.request.Request(f"http://127.0.0.1:{gate.port}/v1/traces", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def metric(gate: Served, name: str) -> float:
    text = ask(gate, "/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} "))
