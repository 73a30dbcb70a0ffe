"""Money that is spent without the gate stands in its ledger, and budgets count it; asked through `comporta.compat`."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import comporta
from comporta.app.gate import Gate
from comporta.budget.ledger import spent_from
from comporta.budget.periods import period_of
from comporta.compat import BudgetManager
from comporta.errors import BadRequest, BudgetExceeded, NotFound

CONFIG = """
database: {{url: "{dsn}"}}
providers: {{scripted: {{}}}}
models:
  scripted/echo: {{price: {{input: $1, output: $1}}}}
budgets:
  - {{name: red, team: red, tag: {{centre: a}}, daily_limit: $5, monthly_limit: $8}}
  - {{name: all, limit: $6}}
"""


@pytest.fixture
async def gate(tmp_path: Path, database_dsn: str) -> AsyncIterator[Gate]:
    config = tmp_path / "comporta.yaml"
    config.write_text(CONFIG.format(dsn=database_dsn))
    async with comporta.open(config, data=tmp_path / "data") as gate:
        yield gate
    # A connection whose making was cancelled is let go by the collector, and PostgreSQL drops no database before that.
    gc.collect()


async def test_what_is_recorded_counts_for_every_budget_and_stands_in_the_ledger(gate: Gate) -> None:
    red = BudgetManager(gate, "red")
    assert await red.check_budget(5.0)
    assert not await red.check_budget(5.000001)
    await red.record_cost(4.5)
    assert await red.check_budget(0.5)
    assert not await red.check_budget(0.6)
    assert await BudgetManager(gate, "all").check_budget(1.5)
    await red.record_cost(2.0)
    assert not await red.check_budget()
    with pytest.raises(BudgetExceeded, match="'all'"):
        await gate.chat("Hello", model="scripted/echo")

    assert await gate.telemetry.shipper.drain(5)
    for budget in gate.budgets.list():
        begin_s, end_s = period_of(budget.period, time.time())
        assert await spent_from(gate.database)(budget, begin_s, end_s) == 6_500_000


async def test_what_makes_no_sense_is_refused(gate: Gate) -> None:
    with pytest.raises(NotFound):
        await BudgetManager(gate, "nothing").check_budget()
    for cost in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadRequest):
            await BudgetManager(gate, "red").record_cost(cost)
