"""Calls by prompt and by deploy on `/metrics`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from comporta.telemetry.metrics import Metrics
from comporta.telemetry.prompt_counts import LABELS, MAX_SERIES, OTHER, PromptCounts
from comporta.telemetry.record import CallRecord

MakeRecord = Callable[..., CallRecord]
TAGS = {"commit_sha": "c0ffee1", "author": "Ana: <ana@example.com>", "model_version": "m-1"}


def _read(folder: Path, *counts: PromptCounts) -> dict[tuple[str, ...], float]:
    made = [Metrics(folder, totals=one.totals) for one in counts]
    for one in made[1:]:
        one.tick()
    text = made[0].text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    found = {tuple(s.labels[name] for name in LABELS): s.value for s in families["comporta_prompt_calls"].samples}
    for one in made:
        one.close()
    return found


def test_calls_are_counted_by_prompt_version_label_outcome_and_the_deploys_tags(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    plain = make_record()
    named = structs.replace(plain, prompt_id="support", prompt_version="1.0.0")
    moved = structs.replace(named, prompt_version="2.0.0", prompt_label="production", deploy=TAGS)
    here, there = PromptCounts(), PromptCounts()
    for counts, record in ((here, named), (here, moved), (there, moved), (there, moved)):
        counts.note(record)
    assert _read(tmp_path, here, there) == {
        ("support", "1.0.0", "", "ok", "", "", ""): 1.0,
        ("support", "2.0.0", "production", "ok", "c0ffee1", "Ana: <ana@example.com>", "m-1"): 3.0,
    }


def test_the_series_are_bounded_however_many_versions_there_are(tmp_path: Path, make_record: MakeRecord) -> None:
    counts = PromptCounts()
    for number in range(MAX_SERIES + 20):
        counts.note(structs.replace(make_record(), prompt_id="p", prompt_version=f"1.0.{number}"))
    found = _read(tmp_path, counts)
    assert len(found) == MAX_SERIES + 1 and sum(found.values()) == MAX_SERIES + 20
    assert found[OTHER, OTHER, OTHER, "ok", "", "", ""] == 20
