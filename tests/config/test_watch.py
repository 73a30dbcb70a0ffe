"""Hot reload: what changes is read, what is bad is refused, and what was in force stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from comporta.config.loading import Loaded, load
from comporta.config.watch import Watched
from comporta.errors import ConfigError
from support.settings import Settings, write


class Notes:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, /, **fields: Any) -> None:
        self.lines.append((event, fields))

    error = info

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@asynccontextmanager
async def running(watched: Watched[Settings]) -> AsyncIterator[None]:
    task = asyncio.create_task(watched.run())
    # The system's watcher is set up in a thread; the tests are to see its news, not the slower comparison.
    await asyncio.sleep(0.2)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - the file system sets no event
            await asyncio.sleep(0.01)


def watch(path: Path, notes: Notes, **kwargs: Any) -> Watched[Settings]:
    environment = {"COMPORTA_ENV": "x"}

    def read() -> Loaded[Settings]:
        return load(Settings, path, environment)

    return Watched(read(), read, notes, **kwargs)


async def test_a_change_is_read_and_told_to_subscribers(tmp_path: Path, notes: Notes) -> None:
    path = write(tmp_path, "even: 2")
    watched, told = watch(path, notes), []

    async def tell(new: Loaded[Settings]) -> None:
        told.append(new.value.even)

    end = watched.subscribe(tell)
    async with running(watched):
        write(tmp_path, "even: 4")
        await until(lambda: told == [4])
        assert watched.current.value.even == 4
        end()
        write(tmp_path, "even: 6")
        await until(lambda: watched.current.value.even == 6)
    assert told == [4]
    assert notes.events() == ["config.reloaded", "config.reloaded"]


async def test_a_bad_file_is_refused_and_the_old_configuration_stays(tmp_path: Path, notes: Notes) -> None:
    path = write(tmp_path, "even: 2")
    watched = watch(path, notes)
    before = watched.current
    async with running(watched):
        write(tmp_path, "even: 2\nevne: 4\n")
        await until(lambda: watched.refusal is not None)
        assert watched.current is before
        assert watched.refusal == f"{path}:2: evne: unknown key; did you mean 'even'?"
        assert notes.lines == [("config.refused", {"mistakes": [watched.refusal], "in_force": "the old one"})]
        write(tmp_path, "even: 8\n")
        await until(lambda: watched.current.value.even == 8)
        assert watched.refusal is None


async def test_an_editors_replacement_by_rename_is_seen(tmp_path: Path, notes: Notes) -> None:
    path = write(tmp_path, "even: 2")
    watched = watch(path, notes)
    async with running(watched):
        for even in (4, 6):
            write(tmp_path, f"even: {even}", "comporta.yaml.swp").replace(path)
            await until(lambda even=even: watched.current.value.even == even)  # type: ignore[misc]


async def test_an_overlay_that_appears_later_is_seen(tmp_path: Path, notes: Notes) -> None:
    watched = watch(write(tmp_path, "even: 2"), notes)
    async with running(watched):
        overlay = write(tmp_path, "even: 4", "comporta.x.yaml")
        await until(lambda: watched.current.value.even == 4)
        overlay.unlink()
        await until(lambda: watched.current.value.even == 2)


async def test_a_change_of_dot_env_is_seen(tmp_path: Path, notes: Notes) -> None:
    watched = watch(write(tmp_path, "version: ${V:-none}"), notes)
    async with running(watched):
        write(tmp_path, "V=some", ".env")
        await until(lambda: watched.current.value.version == "some")


async def test_a_swapped_link_and_a_change_of_what_it_leads_to_are_seen(tmp_path: Path, notes: Notes) -> None:
    first, second, place = (tmp_path / name for name in ("first", "second", "place"))
    for folder, even in ((first, 2), (second, 4), (place, 0)):
        folder.mkdir()
        write(folder, f"even: {even}")
    link = place / "comporta.yaml"
    link.unlink()
    link.symlink_to(first / "comporta.yaml")
    watched = watch(link, notes)
    async with running(watched):
        new = place / "new"
        new.symlink_to(second / "comporta.yaml")
        new.replace(link)
        await until(lambda: watched.current.value.even == 4)
        await asyncio.sleep(0.3)
        write(second, "even: 6")
        await until(lambda: watched.current.value.even == 6)


async def test_a_file_that_vanishes_and_comes_back_harms_nothing(tmp_path: Path, notes: Notes) -> None:
    path = write(tmp_path, "even: 2")
    watched = watch(path, notes)
    async with running(watched):
        path.unlink()
        await until(lambda: watched.refusal is not None)
        assert watched.current.value.even == 2
        write(tmp_path, "even: 4")
        await until(lambda: watched.current.value.even == 4)


async def test_a_change_between_the_first_reading_and_the_watching_counts(tmp_path: Path, notes: Notes) -> None:
    watched = watch(write(tmp_path, "even: 2"), notes)
    write(tmp_path, "even: 4")
    async with running(watched):
        await until(lambda: watched.current.value.even == 4)


async def test_a_touch_without_a_change_reloads_nothing(tmp_path: Path, notes: Notes) -> None:
    path = write(tmp_path, "even: 2")
    watched = watch(path, notes)
    async with running(watched):
        write(tmp_path, "even: 2")
        write(tmp_path, "unrelated", "other.txt")
        await asyncio.sleep(0.8)
    assert notes.lines == []


async def test_a_request_reloads_without_any_change(tmp_path: Path, notes: Notes) -> None:
    watched = watch(write(tmp_path, "even: 2"), notes)
    before = watched.current
    async with running(watched):
        watched.request()
        await until(lambda: watched.current is not before)
    assert notes.events() == ["config.reloaded"]


async def test_what_the_rooms_can_not_accept_is_refused(tmp_path: Path, notes: Notes) -> None:
    async def accept(new: Loaded[Settings]) -> None:
        if new.value.even == 4:
            raise ConfigError(new.mistake(("even",), "is not to our taste"))

    path = write(tmp_path, "even: 2")
    watched = watch(path, notes, accept=accept)
    write(tmp_path, "even: 4")
    assert not await watched.reload()
    assert watched.current.value.even == 2
    assert watched.refusal == f"{path}:1: even: is not to our taste"


async def test_an_unforeseen_failure_of_a_check_is_refused_without_its_text(tmp_path: Path, notes: Notes) -> None:
    async def accept(new: Loaded[Settings]) -> None:
        raise KeyError("planted-secret")

    watched = watch(write(tmp_path, "even: 2"), notes, accept=accept)
    assert not await watched.reload()
    assert "planted-secret" not in str(notes.lines)
    assert "KeyError" in str(watched.refusal)


async def test_a_failing_subscriber_does_not_keep_it_from_the_others(tmp_path: Path, notes: Notes) -> None:
    async def fail(new: Loaded[Settings]) -> None:
        raise ValueError("planted-secret")

    told: list[int] = []

    async def tell(new: Loaded[Settings]) -> None:
        told.append(new.value.even)

    watched = watch(write(tmp_path, "even: 2"), notes)
    watched.subscribe(fail)
    watched.subscribe(tell)
    assert await watched.reload()
    assert told == [2]
    assert notes.events() == ["config.reloaded", "config.not_applied"]
    assert "planted-secret" not in str(notes.lines)


async def test_watching_ends_at_once_when_it_is_cancelled(tmp_path: Path, notes: Notes) -> None:
    watched = watch(write(tmp_path, "even: 2"), notes)
    async with running(watched):
        start = time.monotonic()
    assert time.monotonic() - start < 4, "the slower comparison looks every five seconds"
