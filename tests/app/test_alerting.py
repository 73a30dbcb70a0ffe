"""Alert rules and lists in the processes that run them: mistakes with their line, rows of the job worker, erasure."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from comporta.app.alerting import make_tops, mistakes, sum_up, watch_alerts
from comporta.app.settings import Settings
from comporta.app.works import ALL_THE_TIME, BY_CLOCK
from comporta.config.loading import load
from comporta.errors import ConfigError
from comporta.store.database import Database
from comporta.store.people import person_of
from comporta.telemetry.observability.tops import ListedIn

PUT = """
insert into top_hour (period, kind, name, person, calls, failed_calls, tokens, cost_microusd, duration_us)
values (%s, 'user', 'ana', 'ana', 1, 0, 1, 1, 1), (%s, 'session', 's-1', 'ana', 1, 0, 1, 1, 1),
    (%s, 'user', 'rui', 'rui', 1, 0, 1, 1, 1)
"""


def test_a_channel_that_is_not_there_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "comporta.yaml"
    path.write_text(
        "notify:\n  channels:\n    ops: {type: slack, url: http://x.example.com}\n"
        "alerts:\n  - name: one\n    alert: cost > $5\n    channels: [ops, opps]\n"
    )
    [wrong] = mistakes(load(Settings, path, {}))
    assert "comporta.yaml:7" in wrong and "alerts[0].channels[1]" in wrong and "did you mean 'ops'" in wrong


def test_a_figure_that_is_none_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "comporta.yaml"
    path.write_text("alerts:\n  - name: one\n    alert: eror_rate > 5%\n")
    with pytest.raises(ConfigError, match=r"comporta.yaml:2: alerts\[0\].*did you mean 'error_rate'"):
        load(Settings, path, {})


def test_the_job_worker_looks_sums_up_and_makes_lists() -> None:
    assert {watch_alerts, sum_up} <= set(ALL_THE_TIME)
    assert [row.work for row in BY_CLOCK if row.name == "tops"] == [make_tops]


async def test_a_user_is_exported_and_erased_with_the_sessions(database: Database) -> None:
    hour = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    async with database.connection() as connection:
        await connection.execute(PUT, [hour] * 3)
    held, ana = ListedIn(database), person_of("ana")
    page = await held.page(ana, None, 1)
    more = await held.page(ana, page.next, 10)
    assert [row["name"] for row in (*page.rows, *more.rows)] == ["s-1", "ana"] and more.next is None
    assert (await held.erase(ana, None)).count == 2
    async with database.connection() as connection:
        assert await (await connection.execute("select name from top_hour")).fetchall() == [("rui",)]
