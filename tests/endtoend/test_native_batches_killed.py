"""Native batches and everything that goes wrong between two steps: lost answers, kills, cancelling, providers away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comporta.app.process import PARENT
from comporta.testing.upstream import Step
from support.native import House, begin, costs, ended, native_house, read, row, spoken
from support.talking import until


@pytest.fixture(scope="module")
def shared() -> Iterator[House]:
    with native_house() as made:
        yield made


@pytest.fixture
def house(shared: House) -> House:
    return shared.fresh()


@pytest.mark.parametrize(
    ("route", "api", "path", "before"),
    [("mini", "openai", "/v1/batches", [Step()]), ("haiku", "anthropic", "/v1/messages/batches", [])],
)
def test_a_batch_whose_beginning_was_lost_on_the_way_is_found_and_not_begun_twice(
    house: House, route: str, api: str, path: str, before: list[Step]
) -> None:
    fake = getattr(house.fakes, api)
    fake.script(*before, Step(lost=True))
    client = house.client(f"lost-{api}")
    batch = begin(client, [row(n, route, f"Lost {api}") for n in range(5)])
    assert until(lambda: spoken(fake, path) == 1)
    assert until(lambda: house.sql("select 1 from batch_handover where batch_id = %s and tries > 0", batch))
    house.hurry()
    found = ended(client, batch)
    assert found.request_counts.completed == 5 and found.comporta["handed_over"] == 5
    assert spoken(fake, path) == 1 and spoken(fake, "/v1/chat/completions") == 0
    assert len(house.calls(f"lost-{api}", 5)) == 5


def test_processes_killed_between_the_steps_ask_nothing_twice_and_book_everything_once(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.hold = True
    fake.script(Step(), Step(delay_s=20))
    client = house.client("killed")
    batch = begin(client, [row(n, text="Killed") for n in range(20)])
    # Between the file and the batch: the gate dies while the provider has not answered.
    assert until(lambda: spoken(fake, "/v1/batches") == 1)
    house.kill("comporta.app.gate_process")
    house.hurry()
    assert until(lambda: house.sql("select 1 from batch_handover where batch_id = %s and remote_id <> ''", batch))
    assert spoken(fake, "/v1/files") == 1 and len(fake.batches.all) == 1
    # While the provider has it: everybody dies.
    house.kill("jobs_process")
    house.kill("comporta.app.gate_process")
    fake.batches.hold = False
    house.hurry()
    # While answers go out: the job worker dies.
    assert until(lambda: client.batches.retrieve(batch).request_counts.completed >= 1)  # type: ignore[union-attr]
    house.kill("jobs_process")
    house.hurry()
    found = ended(client, batch)
    assert found.request_counts.completed == 20 and len(fake.batches.all) == 1
    assert spoken(fake, "/v1/chat/completions") == 0
    calls = house.calls("killed", 20)
    assert len(calls) == 20 and costs(calls) == [175] * 20
    spent = house.sql("select sum(cost_microusd)::bigint from rollup_hour where team = 'killed'")
    assert spent == [(20 * 175,)]


def test_a_cancelled_batch_is_cancelled_there_too_and_what_was_answered_is_given_out(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.hold, fake.batches.answers = True, 2
    client = house.client("fickle")
    batch = begin(client, [row(n, text="Fickle") for n in range(5)])
    assert until(lambda: fake.batches.all)
    client.batches.cancel(batch)
    found = ended(client, batch)
    assert found.status == "cancelled" and found.request_counts.completed == 2
    assert spoken(fake, f"/v1/batches/{next(iter(fake.batches.all))}/cancel") == 1
    errors = read(client, found.error_file_id)
    assert {one["error"]["code"] for one in errors.values()} == {"batch_cancelled"} and len(errors) == 3
    assert costs(house.calls("fickle", 2)) == [175, 175]


def test_a_batch_near_its_end_is_taken_back_and_asked_row_by_row(house: House) -> None:
    fake = house.fakes.openai
    fake.batches.hold, fake.batches.answers = True, 1
    client = house.client("late")
    batch = begin(client, [row(n, text="Late") for n in range(3)])
    assert until(lambda: fake.batches.all)
    house.sql(
        "update batch set created_at = now() - interval '3 hours', expires_at = now() + interval '30 minutes'"
        " where id = %s", batch,
    )  # fmt: skip
    found = ended(client, batch)
    assert (found.status, found.request_counts.completed) == ("completed", 3)
    assert costs(house.calls("late", 3)) == [175, 350, 350]


def test_a_provider_that_is_away_is_waited_for(house: House) -> None:
    fakes, fake = house.fakes, house.fakes.openai
    fake.batches.hold = True
    client = house.client("away")
    batch = begin(client, [row(n, text="Away") for n in range(3)])
    assert until(lambda: fake.batches.all)
    fakes.run(fake.stop())
    assert until(lambda: house.sql("select 1 from batch_handover where batch_id = %s and tries > 0", batch))
    fakes.run(fake.start())
    fake.batches.hold = False
    house.hurry()
    found = ended(client, batch)
    assert found.request_counts.completed == 3 and found.comporta["handed_over"] == 3


def test_two_job_workers_share_the_work_and_hand_nothing_in_twice(house: House) -> None:
    fake = house.fakes.openai
    (pid,) = house.pids("jobs_process")
    pairs = [pair.decode().partition("=") for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pair]
    environment = {**{name: value for name, _, value in pairs}, PARENT: str(os.getpid())}
    with (house.gate.folder / "second.txt").open("wb") as out:
        second = subprocess.Popen(
            [sys.executable, "-m", "comporta.app.jobs_process"], env=environment, cwd=house.gate.folder, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        clients = [house.client(f"pair-{n}") for n in range(4)]
        batches = [begin(client, [row(n, text="Pair") for n in range(10)]) for client in clients]
        for client, batch in zip(clients, batches, strict=True):
            assert ended(client, batch).request_counts.completed == 10
        assert second.poll() is None, (house.gate.folder / "second.txt").read_text()
    finally:
        second.terminate()
        second.wait(15)
    assert len(fake.batches.all) == 4 and spoken(fake, "/v1/chat/completions") == 0
    assert [costs(house.calls(f"pair-{n}", 10)) for n in range(4)] == [[175] * 10] * 4
