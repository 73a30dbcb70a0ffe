"""Judges of cascades: asked by the model that the checker names, and with no more kept than of the call itself."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

import comporta
from comporta.app.gate import Gate
from comporta.types import Caller

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  scripted:
    options:
      script:
        cheap: {{text: "it is so"}}
        dear: {{text: "it is not"}}
        judge: {{text: '{{"reason": "whole", "score": 9}}'}}
routes:
  checked:
    content: "off"
    cascade: {{models: [scripted/cheap, scripted/dear], checker: {{judge: Whole?, model: scripted/judge}}}}
  endless: {{cascade: {{models: [scripted/cheap, scripted/dear], checker: {{judge: Whole?, model: endless}}}}}}
"""


@pytest.fixture
async def gate(tmp_path: Path, database_dsn: str) -> AsyncIterator[Gate]:
    (tmp_path / "comporta.yaml").write_text(CONFIG.format(dsn=database_dsn))
    async with comporta.open(tmp_path / "comporta.yaml", data=tmp_path / "data") as opened:
        yield opened
    # A connection whose making was cancelled is let go by the collector, and PostgreSQL drops no database before that.
    gc.collect()


async def test_a_checker_asks_the_judge_that_it_names_for_any_key_and_keeps_as_little(
    gate: Gate, database_dsn: str
) -> None:
    call = gate.call("Is it so?", "checked")
    call.caller = Caller(key_id="k", name="k", allow=("checked",))
    assert (await gate.ask(call)).text == "it is so"
    await gate.telemetry.shipper.drain()
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute("select door, model, capture, prompt, parent_id::text from call").fetchall()
    assert sorted(rows, key=lambda row: str(row[0])) == [
        ("cascade", "judge", "off", None, call.id), ("python", "cheap", "off", None, None)
    ]  # fmt: skip


async def test_a_judge_that_leads_back_to_its_cascade_comes_to_an_end(gate: Gate) -> None:
    call = gate.call("Is it so?", "endless")
    assert (await gate.ask(call)).text == "it is not"
    assert call.notes is not None
    assert "could not be judged" in call.notes["route"]["missed"][0]["not_good"]
