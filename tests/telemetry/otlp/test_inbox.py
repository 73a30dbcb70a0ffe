"""Batches on the disk: bounded, whole or not there, and read while others come and go."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from comporta.errors import Unavailable
from comporta.telemetry.otlp import inbox as module
from comporta.telemetry.otlp.inbox import Envelope, Inbox
from comporta.types import Caller

MEGABYTE = 1 << 20


def batch(body: bytes = b"spans") -> Envelope:
    return Envelope(Caller("k", "app"), "application/json", "identity", body)


def lying(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_batches_are_read_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "traces", MEGABYTE)
    assert inbox.waiting() == [] and inbox.count_bytes() == 0
    for number in range(5):
        await inbox.put(batch(str(number).encode()))
    found = [inbox.read(path) for path in inbox.waiting()]
    assert [one.body for one in found if one is not None] == [b"0", b"1", b"2", b"3", b"4"]
    assert inbox.waiting(older_than_s=60) == []


async def test_beyond_its_bound_it_asks_to_come_again_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    inbox = Inbox(tmp_path / "traces", 3000)
    await inbox.put(batch(b"x" * 2000))
    with pytest.raises(Unavailable) as refused:
        await inbox.put(batch(b"x" * 2000))
    assert (refused.value.code, refused.value.status) == ("spans_waiting", 503)
    for path in inbox.waiting():
        path.unlink()
    await inbox.put(batch(b"x" * 2000))


async def test_a_burst_between_two_looks_is_bounded_too(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "traces", 10_000)
    with pytest.raises(Unavailable):
        for _ in range(100):
            await inbox.put(batch(b"x" * 1000))
    assert 5 <= len(inbox.waiting()) < 10


async def test_a_disk_that_takes_no_more_is_said_and_nothing_worse(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be here")
    with pytest.raises(Unavailable, match="can't be kept in"):
        await Inbox(tmp_path / "file" / "traces", MEGABYTE).put(batch())


async def test_batches_may_go_while_others_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    folder = tmp_path / "traces"
    inbox, done = Inbox(folder, 100 * MEGABYTE), threading.Event()

    def takes() -> None:
        while not done.is_set():
            for path in Inbox(folder, 0).waiting():
                path.unlink(missing_ok=True)

    taker = asyncio.create_task(asyncio.to_thread(takes))
    try:
        for _ in range(300):
            await inbox.put(batch())
    finally:
        done.set()
        await taker


async def test_what_is_left_over_goes_after_its_time_and_what_waits_never(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, MEGABYTE)
    for _ in range(3):
        await inbox.put(batch())
    ready, aside, partly = inbox.waiting()
    inbox.put_aside(aside)
    inbox.put_aside(aside)
    partly.rename(partly.with_suffix(".partly"))
    inbox.tidy()
    assert len(lying(tmp_path)) == 3
    week_ago_s = time.time() - 7 * 86_400
    for path in lying(tmp_path):
        os.utime(path, (week_ago_s, week_ago_s))
    inbox.tidy()
    assert lying(tmp_path) == [ready]
