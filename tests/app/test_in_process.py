"""A gate inside a Python program: the same stages and the same records as over HTTP, without a server."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import comporta
from comporta.app.batch import batch
from comporta.app.gate import Gate
from comporta.errors import (
    BadRequest,
    ComportaError,
    ConfigError,
    Conflict,
    NotFound,
    UpstreamFault,
    UpstreamTimeout,
)
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.servers import short_folder
from comporta.testing.upstream import Step
from comporta.types import Reply

CONFIG = """
database: {{url: "{dsn}"}}
providers:
  openai:
    base_url: {url}/v1
    api_key: sk-in-process-000000000000
    timeouts: {{first_token: 2s, idle: 5s, total: 60s, connect: 10s}}
  scripted: {{}}
  offline: {{}}
retry: {{attempts: 1}}
routes:
  support: {{model: openai/support-a}}
"""

Opened = Callable[[], AbstractAsyncContextManager[Gate]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def config(tmp_path: Path, database_dsn: str, fake: FakeOpenAI) -> Iterator[Path]:
    path = tmp_path / "comporta.yaml"
    path.write_text(CONFIG.format(dsn=database_dsn, url=fake.url))
    yield path
    # A connection whose making was cancelled is let go by the collector, and PostgreSQL drops no database before that.
    gc.collect()


@pytest.fixture
def opened(config: Path, tmp_path: Path) -> Opened:
    return lambda: comporta.open(config, data=tmp_path / "data")


def records(dsn: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute("select * from call order by started_at, id").fetchall()


async def test_a_chat_is_answered_and_recorded_like_any_other(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    fake.script(Step(text="Água mole em pedra dura."))
    async with opened() as gate:
        reply = await gate.chat("Say a proverb.", "support", user="ana", metadata={"session_id": "s1"}, temperature=0.1)
    assert reply.text == "Água mole em pedra dura."
    assert fake.seen[0].json["temperature"] == 0.1
    [row] = records(database_dsn)
    assert (row["door"], row["outcome"], row["status"], row["stream"]) == ("python", "ok", 200, False)
    assert (row["route"], row["provider"], row["model"]) == ("support", "openai", "support-a")
    assert (row["user_id"], row["session"], row["key_name"]) == ("ana", "s1", "python")
    assert reply.usage is not None and row["output_tokens"] == reply.usage.output > 0
    with psycopg.connect(database_dsn) as connection:
        spans = [name for (name,) in connection.execute("select name from span order by number")]
    assert [name for name in spans if name in ("record", "choose", "request")] == ["record", "choose", "request"]


async def test_a_stream_gives_events_as_they_come_and_is_recorded(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    fake.script(Step(text="one two three"))
    async with opened() as gate:
        pieces = [delta.text async for event in gate.stream("Count.", "support") for delta in event.deltas]
    assert "".join(pieces) == "one two three" and len(pieces) > 2
    [row] = records(database_dsn)
    assert (row["stream"], row["outcome"], row["door"]) == (True, "ok", "python")
    assert row["first_us"] is not None and row["output_tokens"]


@pytest.mark.parametrize("way", ["break", "async with", "aclose"])
async def test_leaving_a_stream_early_cancels_the_upstream_and_bills_what_came(
    opened: Opened, database_dsn: str, fake: FakeOpenAI, way: str
) -> None:
    fake.script(Step(text="one two three four", token_delay_s=1.0))
    async with opened() as gate:
        if way == "break":
            async for event in gate.stream("Count.", "support"):
                if event.meaningful:
                    break
        elif way == "async with":
            async with gate.stream("Count.", "support") as events:
                await anext(events)
        else:
            events = gate.stream("Count.", "support")
            await anext(events)
            await events.aclose()
        async with asyncio.timeout(25):
            await fake.seen[0].gone.wait()
        assert gate.telemetry.recorder.in_flight == 0
    [row] = records(database_dsn)
    assert (row["status"], row["outcome"], row["estimated"]) == (499, "client_closed", True)


async def test_a_stream_that_nobody_began_asks_nothing(opened: Opened, database_dsn: str, fake: FakeOpenAI) -> None:
    async with opened() as gate:
        gate.stream("Count.", "support")
        gc.collect()
        await asyncio.sleep(0.05)
        assert gate.telemetry.recorder.in_flight == 0
    assert not fake.seen and not records(database_dsn)


async def test_a_cancelled_chat_cancels_the_upstream_before_its_headers(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    fake.script(Step(delay_s=30))
    async with opened() as gate:
        asking = asyncio.create_task(gate.chat("Hello", "support"))
        seen = await fake.arrived(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(25):
            await seen.gone.wait()
        assert gate.telemetry.recorder.in_flight == 0
    [row] = records(database_dsn)
    assert (row["status"], row["outcome"]) == (499, "client_closed")


# ---- many at once ----


async def test_a_batch_keeps_the_order_and_one_failure_does_not_sink_the_rest(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    fake.default = lambda seen: (
        Step(status=500) if "bad" in seen.body.decode() else Step(text=seen.json["messages"][-1]["content"].upper())
    )
    items: list[Any] = [
        "one",
        "bad",
        [{"role": "user", "content": "three"}],
        {"messages": [{"role": "user", "content": "four"}], "temperature": 0},
        object(),
        {"messages": 5},
        "lone \ud800 surrogate",
        "eight",
    ]
    async with opened() as gate:
        results = await gate.batch(items, "support", concurrency=3)
    shown = [r.text if isinstance(r, Reply) else type(r) for r in results]
    assert shown[:4] == ["ONE", UpstreamFault, "THREE", "FOUR"]
    assert all(isinstance(results[i], BadRequest) for i in (4, 5, 6)), results
    assert shown[7] == "EIGHT"
    assert sorted(row["outcome"] for row in records(database_dsn)) == ["ok"] * 4 + ["upstream_fault"]


async def test_a_batch_never_has_more_under_way_than_it_may(opened: Opened, fake: FakeOpenAI) -> None:
    under_way: list[int] = []

    def step(_: object) -> Step:
        under_way.append(fake.in_flight)
        return Step(text="ok", delay_s=0.2)

    fake.default = step
    async with opened() as gate:
        results = await gate.batch([f"call {n}" for n in range(12)], "support", concurrency=4)
    assert all(isinstance(r, Reply) for r in results)
    assert max(under_way) == 4


async def test_a_batch_of_none_at_a_time_is_refused(opened: Opened) -> None:
    async with opened() as gate:
        with pytest.raises(BadRequest) as refused:
            await gate.batch(["one"], "support", concurrency=0)
        assert refused.value.param == "concurrency"
        assert await gate.batch([], "support") == []


async def test_cancelling_a_batch_cancels_what_is_under_way(opened: Opened, fake: FakeOpenAI) -> None:
    fake.default = Step(delay_s=30)
    async with opened() as gate:
        asking = asyncio.create_task(gate.batch(["one", "two", "three"], "support", concurrency=2))
        await fake.arrived(2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(25):
            await asyncio.gather(*(seen.gone.wait() for seen in fake.seen))
        await asyncio.sleep(0.05)
        assert len(fake.seen) == 2
        assert gate.telemetry.recorder.in_flight == 0


def _read(end: int) -> bytes:
    """What lies in a terminal or a pipe, nothing once its other end is closed: a terminal passes on what was written
    when it likes, and tells of its end by an error."""
    try:
        return os.read(end, 65536)
    except OSError as reason:
        assert reason.errno == errno.EIO
        return b""


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_progress_bar_shows_in_a_terminal_only(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    async def one(item: int) -> int:
        return item

    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with os.fdopen(theirs, "w", buffering=1) as written:
        monkeypatch.setattr(sys, "stderr", written)
        assert await batch(one, [1, 2, 3], 2, True) == [1, 2, 3]
        monkeypatch.undo()
    shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert (b"3/3" in shown) == terminal, shown


# ---- the rest of what a program asks ----


async def test_embeddings_are_a_vector_per_text_in_order(opened: Opened, database_dsn: str, fake: FakeOpenAI) -> None:
    fake.script(Step(vectors=((1.0, 0.0), (0.0, 1.0))))
    async with opened() as gate:
        assert await gate.embed(["a", "b"], "openai/e") == [(1.0, 0.0), (0.0, 1.0)]
        [alone] = await gate.embed("a", "scripted/echo", dimensions=16)
        assert len(alone) == 16
    assert [(r["kind"], r["door"]) for r in records(database_dsn)] == [("embed", "python")] * 2


async def test_failures_are_raised_as_what_they_are_and_recorded(
    opened: Opened, database_dsn: str, fake: FakeOpenAI
) -> None:
    fake.script(Step(status=500), model="broken")
    fake.script(Step(first_delay_s=30), model="slow")
    async with opened() as gate:
        with pytest.raises(NotFound, match="Did you mean 'support'"):
            await gate.chat("Hello", "suport")
        with pytest.raises(BadRequest) as wrong:
            await gate.chat("Hello", "support", temperature="hot")
        assert wrong.value.param == "temperature"
        with pytest.raises(UpstreamFault):
            await gate.chat("Hello", "openai/broken")
        with pytest.raises(UpstreamTimeout) as late:
            async for _ in gate.stream("Hello", "openai/slow"):
                pass
        assert late.value.code == "first_token_timeout"
        assert gate.telemetry.recorder.in_flight == 0
    # What could not even be read is no call.
    assert [row["outcome"] for row in records(database_dsn)] == [
        "model_not_found", "upstream_fault", "first_token_timeout",
    ]  # fmt: skip


async def test_a_model_registered_while_running_answers_at_once(opened: Opened, fake: FakeOpenAI) -> None:
    async with opened() as gate:
        await gate.register_model("mine", "openai/real-name", params={"temperature": 0.5})
        await gate.chat("Hello", "mine")
        assert fake.seen[0].json["model"] == "real-name" and fake.seen[0].json["temperature"] == 0.5
        with pytest.raises(BadRequest, match="configured provider"):
            await gate.register_model("mine", "nowhere/x")
        # A route of the configuration would go on answering under that name: saying nothing would be a lie.
        with pytest.raises(Conflict, match=r"comporta\.yaml:12"):
            await gate.register_model("support", "openai/other")
    async with opened() as gate:
        await gate.chat("Hello again", "mine")
    assert fake.seen[1].json["model"] == "real-name"


async def test_a_key_added_while_running_is_used_and_never_kept(
    opened: Opened, database_dsn: str, fake: FakeOpenAI, tmp_path: Path
) -> None:
    planted = "planted.credential.without.a.known.look"
    async with opened() as gate:
        gate.add_credential("openai", planted)
        for _ in range(2):
            await gate.chat(f"My key is {planted}", "support")
    assert f"Bearer {planted}" in {seen.headers["authorization"] for seen in fake.seen}
    assert planted not in str(records(database_dsn))
    assert not _files_with(planted, tmp_path)


def _files_with(text: str, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


# ---- the folder and the configuration ----


async def test_a_second_gate_on_the_folder_is_refused_until_the_first_has_closed(opened: Opened) -> None:
    async with opened():
        with pytest.raises(ComportaError, match=r"data folder .* is in use") as refused:
            async with opened():
                pass
        assert refused.value.code == "data_folder_in_use"
    async with opened() as gate:
        assert (await gate.chat("still here", "scripted/echo")).text == "still here"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  support: {modell: openai/support-a}", r"comporta\.yaml:12: routes\.support\.modell.*model"),
        ("  support: {model: opnai/support-a}", r"comporta\.yaml:12: .*no provider 'opnai'.*'?openai"),
    ],
)
async def test_a_bad_configuration_is_told_with_its_line_and_the_next_good_one_opens(
    opened: Opened, config: Path, line: str, told: str
) -> None:
    good = _changed(config, line)
    with pytest.raises(ConfigError, match=told):
        async with opened():
            pass
    config.write_text(good)  # noqa: ASYNC240
    async with opened():
        pass


def _changed(config: Path, line: str) -> str:
    """What stood there before."""
    good = config.read_text()
    config.write_text(good.replace("  support: {model: openai/support-a}", line))
    return good


async def test_without_a_database_of_ones_own_one_is_started_and_stopped(fake: FakeOpenAI) -> None:
    with short_folder() as folder:
        config = folder / "comporta.yaml"
        config.write_text("providers: {scripted: {}}\n")
        async with comporta.open(config, data=folder / "data") as gate:
            assert (await gate.chat("hello", "scripted/echo")).text == "hello"
            running = _postgres_of(folder)
        assert running and not _postgres_of(folder)


def _postgres_of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"postgres" in command and str(folder).encode() in command:
                found.append(int(entry.name))
    return found


# ---- what it costs to have it ----


def test_importing_comporta_imports_nothing_heavy() -> None:
    program = "import sys; before = set(sys.modules); import comporta; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    new = {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    assert new == {"comporta"}
    assert "comporta.app" not in done.stdout.split()


def test_a_program_with_a_gate_gets_no_output_but_its_own(config: Path, tmp_path: Path) -> None:
    program = f"""
import asyncio, comporta
async def main():
    async with comporta.open({str(config)!r}, data={str(tmp_path / "data")!r}) as gate:
        print((await gate.chat("hello", "scripted/echo")).text)
        print(len(await gate.batch(["a", "b"], "scripted/echo")))
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n2\n", "")
