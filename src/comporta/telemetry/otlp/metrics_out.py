"""The conventions' histograms of calls: duration, tokens, time to the first chunk; sums since the process began."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from comporta import __version__
from comporta.telemetry.calls import CallRow
from comporta.telemetry.otlp import names as n
from comporta.telemetry.otlp.spans_out import (
    SCOPE,
    How,
    Servers,
    attributes,
    error_of,
    operation_of,
    provider_of,
    resource_of,
    server_of,
)
from comporta.types import Usage

#: Series of one metric; what comes beyond them is counted under the attribute that OpenTelemetry has for it.
MAX_SERIES = 2000
_OVERFLOW = (("otel.metric.overflow", True),)

_Labels = tuple[tuple[str, Any], ...]


class _Kind(Struct, frozen=True):
    unit: str
    about: str
    bounds: Sequence[float]


_SECONDS = _Kind("s", "How long calls to models take.", n.DURATION_BOUNDS_S)
_FIRST = _Kind("s", "How long streams take to their first chunk.", n.DURATION_BOUNDS_S)
_TOKENS = _Kind("{token}", "Tokens that went in and came out.", n.TOKEN_BOUNDS)


class _Series:
    """One histogram."""

    __slots__ = ("count", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.total = 0.0

    def add(self, value: float, bounds: Sequence[float]) -> None:
        self.counts[bisect.bisect_left(bounds, value)] += 1
        self.count += 1
        self.total += value


class Figures:
    """Histograms of the calls that were exported by this process, from `since_ns` on. `servers` as in `How`."""

    def __init__(self, names: n.Names, since_ns: int, servers: Servers = MappingProxyType({})) -> None:
        self._names = names
        self._servers = servers
        self._since_ns = since_ns
        self._series: dict[str, dict[_Labels, _Series]] = {}
        self._counts: dict[str, dict[_Labels, int]] = {}
        self._kinds: dict[str, _Kind] = {
            names.duration: _SECONDS, names.other_duration: _SECONDS, names.first_chunk: _FIRST
        }  # fmt: skip
        for name in (names.token_usage, names.input_tokens, names.output_tokens):
            if name:
                self._kinds[name] = _TOKENS

    @property
    def empty(self) -> bool:
        """Whether there was no call yet."""
        return not self._series

    def add(self, calls: Iterable[CallRow]) -> None:
        for call in calls:
            self._add(call)

    def told(self, how: How, now_ns: int) -> ResourceMetrics:
        """Everything so far, as cumulative histograms and counters."""
        metrics = [self._metric(name, series, now_ns) for name, series in self._series.items()]
        metrics += [self._counter(name, counts, now_ns) for name, counts in self._counts.items()]
        scope = InstrumentationScope(name=SCOPE, version=__version__)
        return ResourceMetrics(
            resource=resource_of(how),
            scope_metrics=[ScopeMetrics(scope=scope, metrics=metrics, schema_url=self._names.schema)],
        )

    def _add(self, call: CallRow) -> None:
        labels = _labels(call, self._servers)
        names = self._names
        failed = (*labels, (n.ERROR_TYPE, error_of(call))) if error_of(call) is not None else labels
        inferred = call.kind != "embed"
        self._count(names.duration if inferred else names.other_duration, failed, call.duration_us / 1e6)
        if call.stream and call.first_us is not None:
            self._count(names.first_chunk, labels, call.first_us / 1e6)
        if call.usage is None:
            return
        for kind, tokens, own in (
            ("input", call.usage.prompt, names.input_tokens),
            ("output", call.usage.completion, names.output_tokens),
        ):
            if names.token_usage is not None:
                self._count(names.token_usage, (*labels, (n.TOKEN_TYPE, kind)), tokens)
            elif inferred:
                self._count(own, labels, tokens)
        if inferred and names.usage:
            for name, modality, tokens in _spent(call.usage):
                self._spend(f"{names.usage}{name}", (*labels, (n.TOKEN_MODALITY, modality)), tokens)

    def _spend(self, name: str, labels: _Labels, tokens: int) -> None:
        counts = self._counts.setdefault(name, {})
        if labels not in counts and len(counts) >= MAX_SERIES:
            labels = _OVERFLOW
        counts[labels] = counts.get(labels, 0) + tokens

    def _count(self, name: str, labels: _Labels, value: float) -> None:
        series = self._series.setdefault(name, {})
        if labels not in series and len(series) >= MAX_SERIES:
            labels = _OVERFLOW
        bounds = self._kinds[name].bounds
        series.setdefault(labels, _Series(bounds)).add(value, bounds)

    def _metric(self, name: str, series: Mapping[_Labels, _Series], now_ns: int) -> Metric:
        kind = self._kinds[name]
        points = [
            HistogramDataPoint(
                attributes=attributes(dict(labels)),
                start_time_unix_nano=self._since_ns,
                time_unix_nano=now_ns,
                count=one.count,
                sum=one.total,
                bucket_counts=one.counts,
                explicit_bounds=kind.bounds,
            )
            for labels, one in series.items()
        ]
        cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        histogram = Histogram(data_points=points, aggregation_temporality=cumulative)
        return Metric(name=name, unit=kind.unit, description=kind.about, histogram=histogram)

    def _counter(self, name: str, counts: Mapping[_Labels, int], now_ns: int) -> Metric:
        points = [
            NumberDataPoint(
                attributes=attributes(dict(labels)), start_time_unix_nano=self._since_ns, time_unix_nano=now_ns,
                as_int=tokens,
            )
            for labels, tokens in counts.items()
        ]  # fmt: skip
        cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        spent = Sum(data_points=points, aggregation_temporality=cumulative, is_monotonic=True)
        return Metric(name=name, unit=_TOKENS.unit, description=_TOKENS.about, sum=spent)


def _spent(usage: Usage) -> Iterable[tuple[str, str, int]]:
    """Counter, modality and tokens. What providers don't tell apart is `unknown`; details are part of the totals."""
    words_in = usage.prompt - usage.audio_in - usage.image_in
    yield "input_tokens", "text" if usage.audio_in or usage.image_in else "unknown", words_in
    yield "output_tokens", "text" if usage.audio_out else "unknown", usage.completion - usage.audio_out
    for name, modality, tokens in (
        ("input_tokens", "audio", usage.audio_in),
        ("input_tokens", "image", usage.image_in),
        ("output_tokens", "audio", usage.audio_out),
        ("cache_read.input_tokens", "unknown", usage.cached),
        ("cache_write.input_tokens", "unknown", usage.cache_write),
        ("reasoning.output_tokens", "unknown", usage.reasoning),
    ):
        if tokens:
            yield name, modality, tokens


def _labels(call: CallRow, servers: Servers) -> _Labels:
    found = (
        (n.OPERATION, operation_of(call)),
        (n.PROVIDER, provider_of(call)),
        (n.REQUEST_MODEL, call.model or call.asked),
        (n.RESPONSE_MODEL, call.reply_model),
        *server_of(call, servers).items(),
    )
    return tuple((name, value) for name, value in found if value is not None)
