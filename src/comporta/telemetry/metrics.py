"""`/metrics`: counts of this process and of the others beside it, in Prometheus' text format.

Each worker counts for itself and writes what it has to a small file, some times a second; whoever is asked adds the
files up. The files of processes that ended are folded into one, so that no counter ever goes back while the gate runs;
the supervisor clears the folder at its start. Calls are counted in batches, off the hot path.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from comporta.telemetry.budget_gauges import budget_gauges
from comporta.telemetry.guard_counts import guard_metrics
from comporta.telemetry.labelled import scores
from comporta.telemetry.prompt_counts import prompt_calls
from comporta.telemetry.record import BUCKETS, CallRecord, is_hit
from comporta.telemetry.rollout_counts import rollout_calls

log = structlog.get_logger("comporta.telemetry")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds of the histograms' buckets, in seconds.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: Routes, models and teams come from configuration, but `provider/model` is what a client writes: series are bounded.
MAX_SERIES = 300
OTHER = "other"
#: Calls that wait to be counted when nobody counts: then they are counted on the spot.
_MAX_WAITING = 500
_LONG_CHARS = 10_000
_TICK_S = 0.5
_SUFFIX = ".counts"
_DEAD = "dead"

_BOUNDS_US = tuple([round(bound * 1_000_000) for bound in SECONDS])
_tokens = attrgetter(*BUCKETS)
_place = attrgetter("route", "provider", "model", "outcome_class", "cache")
#: Route, provider, model and outcome class.
Labels = tuple[str, str, str, str]
Gauges = Callable[[], Mapping[str, float]]


class Histogram(Struct, array_like=True):
    """Calls by bucket (not cumulative, the last one is beyond all bounds) and the sum of their seconds."""

    calls: list[int]
    sum_s: float = 0.0

    def add(self, microseconds: Sequence[int]) -> None:
        calls = self.calls
        for value in microseconds:
            calls[bisect_left(_BOUNDS_US, value)] += 1
        self.sum_s += sum(microseconds) / 1e6

    def merge(self, other: Histogram) -> None:
        self.calls = [a + b for a, b in zip(self.calls, other.calls, strict=True)]
        self.sum_s += other.sum_s


def _empty() -> Histogram:
    return Histogram([0] * (len(SECONDS) + 1))


class Series(Struct, array_like=True):
    """Everything that is counted of the calls with the same labels."""

    calls: int = 0
    retries: int = 0
    cache_hits: int = 0
    unpriced: int = 0
    malformed: int = 0
    cost_microusd: int = 0
    tokens: list[int] = msgspec.field(default_factory=lambda: [0] * len(BUCKETS))
    duration: Histogram = msgspec.field(default_factory=_empty)
    first_token: Histogram = msgspec.field(default_factory=_empty)
    hit_tokens: int = 0

    def add(self, records: Sequence[CallRecord], *, hits: bool) -> None:
        """Count calls, all of them answered by a cache or none of them."""
        self.calls += len(records)
        self.retries += sum([r.retries for r in records])
        self.malformed += sum([r.malformed_frames for r in records])
        self.cache_hits += len(records) * hits
        self.duration.add([r.duration_us for r in records])
        self.first_token.add([r.first_us for r in records if r.first_us is not None])
        used = [(r.usage, r.cost_microusd) for r in records if r.usage is not None]
        self.unpriced += sum([cost is None for _, cost in used])
        self.cost_microusd += sum([cost or 0 for _, cost in used])
        if hits:
            self.hit_tokens += sum([usage.total for usage, _ in used])
        elif used:
            columns = zip(*[_tokens(usage) for usage, _ in used], strict=True)
            self.tokens = [old + sum(column) for old, column in zip(self.tokens, columns, strict=True)]

    def merge(self, other: Series) -> None:
        for name in ("calls", "retries", "cache_hits", "unpriced", "malformed", "cost_microusd", "hit_tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tokens = [a + b for a, b in zip(self.tokens, other.tokens, strict=True)]
        self.duration.merge(other.duration)
        self.first_token.merge(other.first_token)


class Counts(Struct):
    """What one process has counted. `totals` only grow, `gauges` are how things stand now."""

    series: list[tuple[Labels, Series]]
    totals: dict[str, float] = {}
    gauges: dict[str, float] = {}


class Sums:
    """Counts of several processes put together."""

    def __init__(self) -> None:
        self.series: dict[Labels, Series] = {}
        self.totals: dict[str, float] = {}
        self.gauges: dict[str, float] = {}

    def of(self, labels: Labels) -> Series:
        series = self.series.get(labels)
        if series is None:
            if len(self.series) >= MAX_SERIES:
                labels = (OTHER, OTHER, OTHER, labels[3])
            series = self.series.setdefault(labels, Series())
        return series

    def add(self, counts: Counts, *, alive: bool) -> None:
        for labels, series in counts.series:
            self.of(labels).merge(series)
        for name, value in counts.totals.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        for name, value in counts.gauges.items() if alive else ():
            self.gauges[name] = self.gauges.get(name, 0.0) + value

    def counts(self) -> Counts:
        return Counts(list(self.series.items()), self.totals, self.gauges)


class Metrics:
    """The counts of this process. Give `note` to the Recorder as `seen`, run `run` as a task, serve `text()`.

    `totals` and `gauges` are asked at every tick for the figures that others keep: spool, shipping, calls in flight.
    """

    def __init__(self, folder: Path, *, totals: Gauges = dict, gauges: Gauges = dict) -> None:
        self._folder = folder
        self._totals = totals
        self._gauges = gauges
        self._sums = Sums()
        self._waiting: list[CallRecord] = []
        #: Our own counts, where the disk would not take them.
        self._unwritten: bytes | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fold_dead(folder)
        self._path, self._lock = _own_file(folder)

    def note(self, record: CallRecord) -> None:
        """Remember a record to be counted; long content, which is not counted, is let go of at once."""
        self._waiting.append(record if len(record.prompt or "") < _LONG_CHARS else record.without_content())
        if len(self._waiting) >= _MAX_WAITING:
            self._count()

    def tick(self) -> None:
        """Count what waits, and let the other processes know."""
        self._count()
        self._sums.totals = dict(self._totals())
        self._sums.gauges = dict(self._gauges())
        counts = msgspec.msgpack.encode(self._sums.counts())
        try:
            _write(self._path, counts)
        except OSError as error:
            if self._unwritten is None:
                log.warning("metrics_not_written", reason=os.strerror(error.errno or 0))
            self._unwritten = counts
        else:
            self._unwritten = None

    def _count(self) -> None:
        waiting, self._waiting = self._waiting, []
        # Most of them are alike, and alike they are counted at a third of the cost.
        alike: dict[tuple[str | None, ...], list[CallRecord]] = {}
        for record in waiting:
            place = _place(record)
            found = alike.get(place)
            if found is None:
                alike[place] = [record]
            else:
                found.append(record)
        for (*labels, cache), records in alike.items():
            self._sums.of(_labels(*labels)).add(records, hits=is_hit(cache or ""))

    async def run(self, interval_s: float = _TICK_S) -> None:
        """Tick until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(interval_s)

    def text(self) -> bytes:
        """Everything, this process and the others, as Prometheus reads it (`CONTENT_TYPE`)."""
        self.tick()
        return self._added_up()

    async def exposition(self, more: Sequence[Metric] = ()) -> bytes:
        """The same, and `more`, without holding up the calls of this process: many series take a while to write."""
        self.tick()
        return await asyncio.to_thread(self._added_up, more)

    def _added_up(self, more: Sequence[Metric] = ()) -> bytes:
        sums = Sums()
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path == self._path and self._unwritten is not None:
                continue
            counts = _read(path)
            if counts is not None:
                sums.add(counts, alive=path == self._path or _is_alive(path))
        if self._unwritten is not None:
            sums.add(msgspec.msgpack.decode(self._unwritten, type=Counts), alive=True)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(sums, more))
        return generate_latest(registry)

    def close(self) -> None:
        """Write the last counts and let go of the file; they keep counting for the others."""
        self.tick()
        os.close(self._lock)


def clear(folder: Path) -> None:
    """Forget the counts of an earlier run: for the supervisor, before it starts any worker."""
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)


def fold_dead(folder: Path) -> None:
    """Put the counts of all processes that ended into one file, so that a crash loop leaves no thousand files."""
    with _held(folder / "fold.lock") as held:
        if not held:
            return
        dead = [p for p in folder.glob(f"*{_SUFFIX}") if p.stem != _DEAD and not _is_alive(p)]
        sums = Sums()
        for path in (folder / f"{_DEAD}{_SUFFIX}", *dead):
            counts = _read(path)
            if counts is not None:
                sums.add(counts, alive=False)
        if not dead:
            return
        try:
            _write(folder / f"{_DEAD}{_SUFFIX}", msgspec.msgpack.encode(sums.counts()))
        except OSError as error:
            # They stay as they are until there is room.
            log.warning("metrics_not_written", reason=os.strerror(error.errno or 0))
            return
        for path in dead:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)


def _own_file(folder: Path) -> tuple[Path, int]:
    path = folder / f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}"
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return path, lock


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def _is_alive(path: Path) -> bool:
    """Whether the process that writes a file still runs: it holds the lock beside it."""
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _write(path: Path, counts: bytes) -> None:
    """A reader sees the old file or the new one, never half of it."""
    new = path.with_suffix(".new")
    new.write_bytes(counts)
    new.replace(path)


def _read(path: Path) -> Counts | None:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Counts)
    except (OSError, msgspec.MsgspecError):
        return None


def _labels(route: str | None, provider: str | None, model: str | None, outcome: str | None) -> Labels:
    return (route or "", provider or "", model or "", outcome or "")


_LABELS = ("route", "provider", "model", "outcome")
_TOTALS = {
    "records_lost": "Records lost since the spool was full",
    "records_stripped": "Records kept without content since the spool was nearly full",
    "records_quarantined": "Records that could not be shipped and were put aside",
    "records_shipped": "Records that reached the database",
    "cache_store_failures": "Times that the cache's store was away, slow or failing, and so passed over",
    "shadow_calls": "Copies of calls that were sent to side B of a rollout in shadow mode",
    "live_answers_scored": "Live answers that were scored",
    "live_answers_left_out": "Live answers of the sample that were not scored: too many were under way",
    "live_answers_unpaid": "Live answers that no judge was asked about: the day's money was used up",
    "live_scorers_failed": "Scorers of live answers that could not judge",
    "follow_ups_found": "Answers after which the same was asked again",
    "shadow_calls_left_out": "Copies that were not sent: too much was under way, or their money was used up",
    "optimized_calls": "Calls whose prompts were sent in fewer tokens",
    "tokens_saved": "Tokens of prompts that were not sent since they said nothing, or nothing new",
    "optimize_checks": "Shortened prompts that were also asked as they came, and their answers compared",
    "optimize_checks_failed": "Such comparisons that could not be made",
    "cache_entries_lost": "Answers that could not be written to the cache's store",
    "semantic_hits": "Answers given again to a question that means the same",
    "semantic_refused": "Questions that were alike to one answered before, and were told apart",
    "semantic_skipped": "Calls whose question was not looked for by meaning",
    "semantic_failures": "Look-ups by meaning that failed: embedder or database away, slow or broken",
    "semantic_lost": "Answers that could not be written to the semantic cache",
    "semantic_checks": "Semantic hits that were answered afresh and compared",
    "semantic_wrong": "Semantic hits whose fresh answer said something else",
    "semantic_checks_left_out": "Such checks that could not be made",
    "scores_lost": "Scores lost since there was no room for them",
    "scores_shipped": "Scores that reached the database",
    "batch_rows_done": "Rows of batches that were answered",
    "batch_rows_failed": "Rows of batches that were refused",
    "batch_rows_native": "Rows of batches that a provider's own batch API answered",
    "batch_saved_usd": "US dollars that those would have cost more when asked one by one",
    "otlp_spans_taken": "Spans of others that were taken in",
    "otlp_spans_refused": "Spans of others without sound ids or times",
    "otlp_batches_refused": "Batches of spans that could not be read",
    "otlp_spans_of_gate_calls": "Spans of others that stand for a call which passed the gate",
    "otlp_calls_exported": "Calls that were told to OpenTelemetry",
    "otlp_calls_refused": "Calls that OpenTelemetry refused to take",
    "otlp_calls_dropped": "Calls that were not exported: too many waited",
    "notices_delivered": "Notices that a channel took",
    "notice_attempts_failed": "Attempts to deliver a notice that failed",
}
_GAUGES = {
    "calls_in_flight": "Calls that are being answered",
    "spool_bytes": "Bytes of records on the disk that wait for the database",
    "score_spool_bytes": "Bytes of scores on the disk that wait for the database",
    "records_bytes": "Bytes that the records of calls take in the database",
}


class _Collected(Collector):
    """Sums in the words of prometheus_client."""

    def __init__(self, sums: Sums, more: Sequence[Metric]) -> None:
        self._sums = sums
        self._more = more

    def collect(self) -> Iterator[Metric]:
        yield from self._by_calls()
        yield self._histogram("call_duration_seconds", "Time from a call's arrival to its end", "duration")
        yield self._histogram("first_token_seconds", "Time to the first event with content", "first_token")
        for name, text in _TOTALS.items():
            yield CounterMetricFamily(f"comporta_{name}", text, value=self._sums.totals.get(name, 0.0))
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"comporta_{name}", text, value=self._sums.gauges.get(name, 0.0))
        yield prompt_calls(self._sums.totals)
        yield from guard_metrics(self._sums.totals)
        yield rollout_calls(self._sums.totals)
        yield from scores(self._sums.totals)
        yield from self._more
        yield from budget_gauges(self._sums.gauges)

    def _by_calls(self) -> Iterator[Metric]:
        yield self._counter("calls", "Calls by where they went and how they ended", lambda s: s.calls)
        yield self._counter("retries", "Further attempts at providers", lambda s: s.retries)
        yield self._counter("cache_hits", "Calls answered from a cache", lambda s: s.cache_hits)
        yield self._counter("cache_tokens", "Tokens of answers from a cache", lambda s: s.hit_tokens)
        yield self._counter("cost_usd", "Known cost in US dollars", lambda s: s.cost_microusd / 1e6)
        yield self._counter("unpriced_calls", "Calls whose cost is unknown", lambda s: s.unpriced)
        yield self._counter("malformed_frames", "Frames of providers that could not be read", lambda s: s.malformed)
        tokens = CounterMetricFamily("comporta_tokens", "Tokens by disjoint bucket", labels=(*_LABELS, "bucket"))
        for labels, series in self._sums.series.items():
            for bucket, count in zip(BUCKETS, series.tokens, strict=True):
                if count:
                    tokens.add_metric((*labels, bucket), count)
        yield tokens

    def _counter(self, name: str, text: str, value: Callable[[Series], float]) -> Metric:
        family = CounterMetricFamily(f"comporta_{name}", text, labels=_LABELS)
        for labels, series in self._sums.series.items():
            family.add_metric(labels, value(series))
        return family

    def _histogram(self, name: str, text: str, field: str) -> Metric:
        family = HistogramMetricFamily(f"comporta_{name}", text, labels=_LABELS)
        for labels, series in self._sums.series.items():
            histogram: Histogram = getattr(series, field)
            total, buckets = 0, []
            for bound, calls in zip((*map(str, SECONDS), "+Inf"), histogram.calls, strict=True):
                total += calls
                buckets.append((bound, total))
            family.add_metric(labels, buckets, histogram.sum_s)
        return family
