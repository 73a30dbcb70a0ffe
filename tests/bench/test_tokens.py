"""The bench of tokens prints what it measures, and says nothing that it did not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "tokens.py"


def run(*given: str) -> str:
    done = subprocess.run([sys.executable, str(BENCH), *given], capture_output=True, text=True, check=True)
    return done.stdout


def test_errors_and_savings_come_as_json() -> None:
    found = json.loads(run("--json"))
    assert {row["kind"] for row in found["errors"]} == {"en", "pt", "es", "code"}
    assert all(abs(row["bias"]) <= row["mean"] <= row["p95"] <= 0.25 for row in found["errors"])
    savings = {row["prompt"]: row for row in found["savings"]}
    assert savings["code"]["saved"] == 0
    assert savings["24 turns"]["steps"]["history"] > 0
    assert all(row["after"] <= row["before"] for row in savings.values())


def test_it_prints_a_table_of_every_family() -> None:
    printed = run()
    assert all(family in printed for family in ("o200k", "cl100k", "claude", "llama", "12 documents, 6 twice"))
