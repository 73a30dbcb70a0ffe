"""`/metrics`: right with several workers, bounded, and never going back while the gate runs."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from comporta.telemetry import metrics
from comporta.telemetry.metrics import Metrics
from comporta.telemetry.record import CallRecord

MakeRecord = Callable[..., CallRecord]
change = msgspec.structs.replace


def read(source: Metrics) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    families = text_string_to_metric_families(source.text().decode())
    order = ("route", "provider", "model", "outcome", "bucket", "le")
    samples = [s for family in families for s in family.samples]
    return {(s.name, *(s.labels[label] for label in order if label in s.labels)): s.value for s in samples}


def test_tokens_that_the_cache_gave_again_are_counted_apart(tmp_path: Path, make_record: MakeRecord) -> None:
    made = Metrics(tmp_path)
    made.note(make_record())
    made.note(change(make_record(), cache="hit", cost_microusd=0))
    found = read(made)
    ok = ("support", "openai", "gpt-x", "ok")
    assert found["comporta_tokens_total", *ok, "input"] == 100
    assert found["comporta_cache_tokens_total", *ok] == 150 and found["comporta_cache_hits_total", *ok] == 1


def test_calls_tokens_cost_and_times_are_counted(tmp_path: Path, make_record: MakeRecord) -> None:
    made = Metrics(tmp_path)
    made.note(make_record(duration_us=30_000))
    made.note(change(make_record(duration_us=3_000_000), cost_microusd=None, malformed_frames=2, retries=1))
    made.note(change(make_record(), outcome="upstream_fault", outcome_class="upstream", usage=None, first_us=None))
    found = read(made)
    ok = ("support", "openai", "gpt-x", "ok")
    assert found["comporta_calls_total", *ok] == 2
    assert found["comporta_calls_total", "support", "openai", "gpt-x", "upstream"] == 1
    assert found["comporta_tokens_total", *ok, "cached"] == 40
    assert found["comporta_cost_usd_total", *ok] == 0.00015
    assert found["comporta_unpriced_calls_total", *ok] == 1
    assert found["comporta_malformed_frames_total", *ok] == 2
    assert found["comporta_retries_total", *ok] == 1
    assert found["comporta_call_duration_seconds_bucket", *ok, "0.05"] == 1
    assert found["comporta_call_duration_seconds_bucket", *ok, "+Inf"] == 2
    assert found["comporta_call_duration_seconds_count", *ok] == 2
    assert found["comporta_call_duration_seconds_sum", *ok] == 3.03
    assert found["comporta_first_token_seconds_count", "support", "openai", "gpt-x", "upstream"] == 0
    made.close()


async def test_it_can_be_read_without_holding_up_calls(tmp_path: Path, make_record: MakeRecord) -> None:
    made = Metrics(tmp_path)
    made.note(make_record())
    assert await made.exposition() == made.text()
    made.close()


def test_figures_kept_elsewhere_are_asked_for(tmp_path: Path) -> None:
    made = Metrics(
        tmp_path, totals=lambda: {"records_lost": 3}, gauges=lambda: {"spool_bytes": 512, "calls_in_flight": 2}
    )
    found = read(made)
    assert found["comporta_records_lost_total",] == 3
    assert found["comporta_records_quarantined_total",] == 0
    assert (found["comporta_spool_bytes",], found["comporta_calls_in_flight",]) == (512, 2)
    made.close()


CHILD = """
import sys
from pathlib import Path
from comporta.telemetry.metrics import Metrics
made = Metrics(Path(sys.argv[1]), totals=lambda: {"records_lost": 1}, gauges=lambda: {"calls_in_flight": 5})
made.tick()
print("ready", flush=True)
sys.stdin.read()
"""


def test_whichever_worker_is_asked_it_tells_of_all_and_of_a_dead_one_its_counts_but_not_its_gauges(
    tmp_path: Path,
) -> None:
    mine = Metrics(tmp_path, totals=lambda: {"records_lost": 10}, gauges=lambda: {"calls_in_flight": 1})
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = read(mine)
        assert (found["comporta_records_lost_total",], found["comporta_calls_in_flight",]) == (11, 6)
        child.kill()
        child.wait()
        found = read(mine)
        assert (found["comporta_records_lost_total",], found["comporta_calls_in_flight",]) == (11, 1)
    mine.close()


def test_the_counts_of_the_dead_are_folded_into_one_file_and_lost_by_nobody(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    for _ in range(5):
        gone = Metrics(tmp_path)
        gone.note(make_record())
        gone.close()
    last = Metrics(tmp_path)
    assert read(last)["comporta_calls_total", "support", "openai", "gpt-x", "ok"] == 5
    assert len(list(tmp_path.glob("*.counts"))) == 2
    last.close()
    metrics.clear(tmp_path)
    fresh = Metrics(tmp_path)
    assert ("comporta_calls_total", "support", "openai", "gpt-x", "ok") not in read(fresh)
    fresh.close()


def test_on_a_full_disk_a_process_still_tells_its_own_counts_and_says_so_once(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, counts: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    made = Metrics(tmp_path)
    made.note(make_record())
    first = read(made)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(metrics, "_write", full)
        made.note(make_record())
        key = ("comporta_calls_total", "support", "openai", "gpt-x", "ok")
        assert [read(made)[key] for _ in range(3)] == [first[key] + 1] * 3
        assert [log["event"] for log in logs] == ["metrics_not_written"]
        metrics.fold_dead(tmp_path)
    assert read(made)[key] == first[key] + 1
    assert read(Metrics(tmp_path))[key] == first[key] + 1, "and the others hear of it again"


def test_a_client_that_invents_models_can_t_blow_up_the_series(tmp_path: Path, make_record: MakeRecord) -> None:
    made = Metrics(tmp_path)
    record = make_record()
    for n in range(metrics.MAX_SERIES + 200):
        made.note(change(record, model=f"model-{n}"))
    found = {labels: value for labels, value in read(made).items() if labels[0] == "comporta_calls_total"}
    assert len(found) == metrics.MAX_SERIES + 1
    assert found["comporta_calls_total", "other", "other", "other", "ok"] == 200
    made.close()


def test_no_user_session_key_or_content_stands_in_it(tmp_path: Path, make_record: MakeRecord) -> None:
    made = Metrics(tmp_path)
    made.note(make_record("the words of a user"))
    text = made.text().decode()
    for private in ("u-1", "s-1", "key-1", "backend", "the words"):
        assert private not in text
    made.close()


def test_odd_names_are_escaped(tmp_path: Path, make_record: MakeRecord) -> None:
    made = Metrics(tmp_path)
    made.note(change(make_record(), model='a"b\\c\nd'))
    assert read(made)["comporta_calls_total", "support", "openai", 'a"b\\c\nd', "ok"] == 1
    made.close()
