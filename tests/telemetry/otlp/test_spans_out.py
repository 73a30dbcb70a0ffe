"""Calls in the words of the conventions, of v1.41 and of the repository of their own."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from comporta.telemetry.calls import CallRow, SpanRow
from comporta.telemetry.otlp import names as n
from comporta.telemetry.otlp.metrics_out import MAX_SERIES, Figures
from comporta.telemetry.otlp.scores_out import Judged, resource_logs
from comporta.telemetry.otlp.spans_out import Exported, How, resource_spans
from comporta.types import Usage

AT = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)
PROMPT = {
    "messages": [
        {"role": "system", "parts": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "text": "Where?"}, {"type": "image", "url": "https://x/y.png"}]},
    ],
    "temperature": 0.2, "seed": 2**70, "reasoning_effort": "low",
}  # fmt: skip
REPLY = [{"index": 0, "text": "Here.", "finish": "stop"}]


def row(**changes: Any) -> CallRow:
    values: dict[str, Any] = dict.fromkeys(CallRow.__struct_fields__)
    values |= {
        "id": "0192f0c1-2345-7abc-8def-0123456789ab", "started_at": AT, "trace_id": "ab" * 16, "request_id": "r",
        "duration_us": 1_500_000, "first_us": 250_000, "door": "openai.chat", "kind": "chat", "stream": True,
        "asked": "support", "route": "support", "variant": "v", "provider": "gemini", "model": "gemini-x",
        "key_id": "k", "key_name": "backend", "tags": {}, "session": "s-1", "cost_microusd": 150, "cache": "miss",
        "retries": 0,
        "dropped": [], "outcome": "ok", "outcome_class": "ok", "status": 200, "malformed_frames": 0, "capture": "full",
        "usage": Usage(input=70, cached=20, cache_write=10, audio_in=5, output=30, reasoning=12),
        "prompt_id": "greeting", "prompt_version": "2.0.0", "parent_span": "cd" * 8, "reply_id": "resp-1",
    }  # fmt: skip
    return CallRow(**(values | changes))


def told(call: CallRow, how: How | None = None, **more: Any) -> tuple[Any, dict[str, Any]]:
    exported = Exported(call, prompt=PROMPT, reply=REPLY, **more)
    (span, *_) = resource_spans([exported], how or How()).scope_spans[0].spans
    return span, {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def test_a_call_is_a_span_in_the_conventions_words() -> None:
    span, values = told(row())
    assert (span.name, span.parent_span_id.hex()) == ("chat gemini-x", "cd" * 8)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert values["gen_ai.provider.name"] == "gcp.gemini"
    assert (values["gen_ai.usage.input_tokens"], values["gen_ai.usage.output_tokens"]) == (105, 42)
    assert values["gen_ai.usage.cache_read.input_tokens"] == 20
    assert values["gen_ai.usage.cache_creation.input_tokens"] == 10
    assert values["gen_ai.usage.reasoning.output_tokens"] == 12
    assert (values["gen_ai.request.temperature"], values["gen_ai.response.time_to_first_chunk"]) == (0.2, 0.25)
    assert values["gen_ai.request.seed"] == str(2**70)
    assert (values["gen_ai.conversation.id"], values["gen_ai.prompt.name"]) == ("s-1", "greeting")
    assert json.loads(values["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be kind."}]
    (message,) = json.loads(values["gen_ai.input.messages"])
    assert message["parts"][1] == {"type": "uri", "modality": "image", "uri": "https://x/y.png"}
    (answer,) = json.loads(values["gen_ai.output.messages"])
    assert (answer["parts"][0]["content"], answer["finish_reason"]) == ("Here.", "stop")


def test_a_call_tells_which_server_was_asked_and_a_cached_answer_none() -> None:
    how = How(servers={"gemini": ("models.test", 8443)})
    _, values = told(row(), how)
    assert (values["server.address"], values["server.port"]) == ("models.test", 8443)
    for other in (row(cache="hit-exact"), row(provider="local"), row(provider=None)):
        assert "server.address" not in told(other, how)[1]
    figures = Figures(n.V1_41, 1, how.servers)
    figures.add([row()])
    (metric, *_) = figures.told(how, 2).scope_metrics[0].metrics
    assert "server.address" in {pair.key for pair in metric.histogram.data_points[0].attributes}


def test_the_newest_names_are_told_where_they_are_asked_for() -> None:
    names = n.names_for({n.OPT_IN: f"http, {n.LATEST}"})
    _, values = told(row(), How(names=names))
    assert values["gen_ai.usage.cache_write.input_tokens"] == 10
    assert "gen_ai.usage.cache_creation.input_tokens" not in values
    assert (values["gen_ai.prompt.version"], values["gen_ai.request.reasoning.level"]) == ("2.0.0", "low")
    assert values["gen_ai.usage.audio.input_tokens"] == 5
    assert n.names_for({}) is n.V1_41


@pytest.mark.parametrize(("capture", "content"), [("preview", True), ("off", True), ("full", False)])
def test_content_goes_out_only_where_it_is_captured_and_wanted(capture: str, content: bool) -> None:
    _, values = told(row(capture=capture), How(content=content))
    assert not any("messages" in name or "instructions" in name for name in values)


def test_parameters_are_told_of_calls_whose_content_is_not_kept() -> None:
    notes = {"asked": {"temperature": 0.2, "max_tokens": 50, "finish": ["tool_calls"]}}
    exported = Exported(row(capture="hashed", notes=notes), prompt=[{"type": "text", "length": 4}], reply=None)
    (span,) = resource_spans([exported], How()).scope_spans[0].spans
    values = {pair.key: pair.value for pair in span.attributes}
    assert values["gen_ai.request.temperature"].double_value == 0.2
    assert values["gen_ai.request.max_tokens"].int_value == 50
    assert values["gen_ai.response.finish_reasons"].array_value.values[0].string_value == "tool_call"
    assert "gen_ai.input.messages" not in values


def test_a_failed_call_is_an_error_and_a_step_hangs_at_its_call() -> None:
    parent = "0192f0c1-0000-7abc-8def-00000000beef"
    span, values = told(row(outcome="rate_limited", parent_id=parent))
    assert span.status.code == 2 and values["error.type"] == "rate_limited"
    assert span.parent_span_id.hex() == "8def00000000beef"


def test_stages_nest_by_their_depth() -> None:
    inside = [SpanRow("choose", 5, 100, 0, None, None), SpanRow("request", 9, 90, 1, "timeout", {"n": 1})]
    call = Exported(row(), inside)
    whole, choose, request = resource_spans([call], How(stages=True)).scope_spans[0].spans
    assert choose.parent_span_id == whole.span_id and request.parent_span_id == choose.span_id
    assert request.status.code == 2


def points(figures: Figures) -> dict[str, Any]:
    metrics = figures.told(How(), 2).scope_metrics[0].metrics
    return {metric.name: metric.histogram.data_points or metric.sum.data_points for metric in metrics}


def test_histograms_add_up_over_calls_with_the_conventions_bounds() -> None:
    figures = Figures(n.V1_41, 1)
    figures.add([row(), row(duration_us=30_000, outcome="timeout", usage=None, first_us=None)])
    found = points(figures)
    durations = found["gen_ai.client.operation.duration"]
    assert sum(point.count for point in durations) == 2 and len(durations) == 2
    assert list(durations[0].explicit_bounds)[:3] == [0.01, 0.02, 0.04]
    tokens = {p.attributes[-1].value.string_value: p.sum for p in found["gen_ai.client.token.usage"]}
    assert tokens == {"input": 105, "output": 42}
    assert list(found["gen_ai.client.token.usage"][0].explicit_bounds)[:4] == [1, 4, 16, 64]
    firsts = found["gen_ai.client.operation.time_to_first_chunk"][0]
    assert firsts.sum == 0.25
    assert tuple(firsts.explicit_bounds) == tuple(durations[0].explicit_bounds)


def test_the_newest_names_count_tokens_by_what_they_stand_for() -> None:
    figures = Figures(n.NEWEST, 1)
    figures.add([row(stream=False), row(stream=False, usage=Usage(input=4, output=2))])
    begin = "gen_ai.client.inference.usage."
    counted = {
        (name.removeprefix(begin), point.attributes[-1].value.string_value): point.as_int
        for name, found in points(figures).items() if name.startswith(begin) for point in found
    }  # fmt: skip
    assert counted == {
        ("input_tokens", "text"): 100, ("input_tokens", "audio"): 5, ("input_tokens", "unknown"): 4,
        ("output_tokens", "unknown"): 44, ("cache_read.input_tokens", "unknown"): 20,
        ("cache_write.input_tokens", "unknown"): 10, ("reasoning.output_tokens", "unknown"): 12,
    }  # fmt: skip
    (metric,) = [one for one in figures.told(How(), 2).scope_metrics[0].metrics if one.name == f"{begin}output_tokens"]
    assert metric.sum.is_monotonic and metric.sum.aggregation_temporality == 2


def test_embeddings_are_no_inference_among_the_newest_names() -> None:
    figures = Figures(n.NEWEST, 1)
    figures.add([row(kind="embed", stream=False), row()])
    found = points(figures)
    assert [point.count for point in found["gen_ai.client.operation.duration"]] == [1]
    assert [point.count for point in found["gen_ai.client.inference.duration"]] == [1]
    assert [point.count for point in found["gen_ai.client.inference.operation.input_tokens"]] == [1]


def test_names_that_callers_make_up_cannot_grow_the_figures_without_bound() -> None:
    figures = Figures(n.NEWEST, 1)
    figures.add(row(model=f"m-{number}", usage=None, stream=False) for number in range(MAX_SERIES + 50))
    (metric,) = figures.told(How(), 2).scope_metrics[0].metrics
    found = metric.histogram.data_points
    assert len(found) == MAX_SERIES + 1
    assert sum(point.count for point in found) == MAX_SERIES + 50


def test_a_score_is_an_event_at_the_span_of_its_call() -> None:
    score = Judged(AT, "thumbs", "boolean", 1.0, None, "user", "good words", "ab" * 16, row().id, "resp-1")
    (event,) = resource_logs([score], How(content=False)).scope_logs[0].log_records
    values = {pair.key: pair.value for pair in event.attributes}
    assert event.event_name == "gen_ai.evaluation.result"
    assert event.span_id.hex() == "8def0123456789ab"
    assert values["gen_ai.evaluation.score.label"].string_value == "true"
    assert values["gen_ai.evaluation.score.value"].double_value == 1.0
    assert "gen_ai.evaluation.explanation" not in values
