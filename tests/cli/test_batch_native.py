"""`comporta batch --native`: one batch of the gate's, waited for across stops, with what it saved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from comporta.types import Usage
from support.serving import SECRETS, Fakes, Served
from support.talking import until

CONFIG = """
providers:
  openai: {{base_url: "{openai}/v1", api_key: "${{OPENAI_API_KEY}}"}}
models:
  openai/gpt-4o-mini: {{price: {{input: $0.15, output: $0.60}}}}
routes:
  mini: {{model: openai/gpt-4o-mini}}
batches: {{native_poll: 200ms}}
"""


@pytest.fixture(scope="module")
def fakes() -> Iterator[Fakes]:
    made = Fakes()
    made.openai.default = Step(text="Indeed.", usage=Usage(input=1000, output=1000))
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(fakes: Fakes) -> Iterator[Served]:
    with short_folder() as folder:
        gate = Served(folder, CONFIG.format(openai=fakes.openai.url), SECRETS)
        gate.start()
        yield gate
        assert gate.stop() == 0, gate.output


def command(gate: Served, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "comporta.cli.main", "batch", *words, "--native", "--data", str(gate.data), "--json",
    ]  # fmt: skip


def run(gate: Served, *words: str) -> tuple[int, Any, str]:
    done = subprocess.run(command(gate, *words), capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def answers(file: Path) -> dict[str, str]:
    told = [json.loads(line) for line in file.read_text().splitlines()]
    return {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in told}


def test_a_stopped_wait_goes_on_with_the_same_batch_and_tells_what_it_saved(
    served: Served, fakes: Fakes, tmp_path: Path
) -> None:
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked.write_text("".join(f"Question {number}\n" for number in range(6)))
    words = (str(asked), "-o", str(out), "-m", "mini")
    fakes.openai.batches.hold = True
    with subprocess.Popen(command(served, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert until(lambda: fakes.openai.batches.all)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
        assert process.stderr is not None and b"goes on at the gate" in process.stderr.read()
    kept = tmp_path / "out.jsonl.batch"
    assert kept.read_text().startswith("batch_") and not out.exists()
    fakes.openai.batches.hold = False
    code, told, errors = run(served, *words)
    assert code == 0, errors
    # 1000 tokens in and out: 750 millionths of a dollar each, and half of that in a batch.
    assert (told["asked"], told["handed_over"], told["spent_usd"], told["saved_usd"]) == (6, 6, 0.00225, 0.00225)
    assert answers(out) == {f"row-{number}": "Indeed." for number in range(1, 7)}
    assert len(fakes.openai.batches.all) == 1 and not kept.exists()
    # Nothing is left to ask.
    assert run(served, *words)[:2] == (0, {**told, "asked": 0, "before": 6, "spent_usd": 0.0, "saved_usd": 0.0,
                                           "handed_over": 0})  # fmt: skip


def test_what_one_batch_can_not_do_is_told_before_anything_is_asked(
    served: Served, fakes: Fakes, tmp_path: Path
) -> None:
    asked, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"custom_id": "a", "url": "/v1/embeddings", "body": {"input": "x"}}, {"custom_id": "b", "prompt": "Why?"},
    ]  # fmt: skip
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, errors = run(served, str(asked), "-o", str(out), "-m", "mini")
    assert code != 0 and "one endpoint" in errors
    code, _, errors = run(served, str(asked), "-o", str(out), "-m", "mini", "--max-cost", "$1")
    assert code != 0 and "budget" in errors
    assert not out.exists()
