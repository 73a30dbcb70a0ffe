"""The connection to Redis: it signs in, reads answers however they are cut, and gives none to another's question."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from comporta.counters.line import Line
from comporta.testing.servers import ask_redis, redis_server


def line(url: str, answer_s: float = 2.0) -> Line:
    return Line(url, connect_s=2.0, answer_s=answer_s)


@asynccontextmanager
async def scripted(*answers: bytes | None, pause_s: float = 0.0) -> AsyncIterator[str]:
    """A server that answers each command with the next of these, in single bytes; None: not at all."""
    left = list(answers)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                answer = left.pop(0)
                for at in range(len(answer or b"")):
                    writer.write((answer or b"")[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(pause_s)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    async with asyncio.timeout(60):
        await asyncio.gather(*serving)


async def test_it_asks_a_real_server_and_selects_the_database_that_is_named(redis_url: str) -> None:
    first, other = line(redis_url), line(redis_url.replace("db=0", "db=3"))
    assert await first.ask("SET", "k", b"\r\nraw\x00\xff") == b"OK"
    assert await first.bulk("GET", "k") == b"\r\nraw\x00\xff"
    assert await first.ask("INCRBY", "n", 41) == 41
    assert await other.ask("GET", "k") is None
    with pytest.raises(RedisConnectionError):
        await other.bulk("GET", "k")
    await first.close()
    await other.close()


def test_it_asks_on_uvloop_as_well(redis_url: str) -> None:
    async def ask() -> object:
        asked = line(redis_url)
        try:
            return await asked.ask("PING")
        finally:
            await asked.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == b"PONG"


async def test_a_large_answer_comes_whole(redis_url: str) -> None:
    asked = line(redis_url)
    await asked.ask("SET", "k", b"x" * 3_000_000)
    assert len(await asked.bulk("GET", "k")) == 3_000_000
    await asked.close()


async def test_it_signs_in_and_says_so_where_the_password_is_wrong() -> None:
    with redis_server() as url:
        path = urlsplit(url).path
        ask_redis(Path(path), "CONFIG SET requirepass secret")
        right, wrong, none = line(f"unix://:secret@{path}?db=1"), line(f"unix://:no@{path}"), line(f"unix://{path}")
        assert await right.ask("PING") == b"PONG"
        for refused in (wrong, none):
            with pytest.raises(AuthenticationError):
                await refused.ask("PING")
        for one in (right, wrong, none):
            await one.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"-NOSCRIPT No matching script.\r\n", NoScriptError),
        (b"-ERR something\r\n", ResponseError),
        (b"-LOADING Redis is loading\r\n", RedisConnectionError),
        (b"HTTP/1.1 400 Bad Request\r\n", RedisConnectionError),
        (b"$99999999999\r\n", RedisConnectionError),
        (b"$five\r\n", RedisConnectionError),
    ],
)
async def test_what_is_no_good_answer_is_an_error_of_its_kind(answer: bytes, error: type[RedisError]) -> None:
    async with scripted(answer) as url:
        asked = line(url)
        with pytest.raises(error) as raised:
            await asked.ask("PING")
        assert type(raised.value) is error
        await asked.close()


async def test_an_answer_cut_anywhere_is_read_whole() -> None:
    async with scripted(b"$7\r\na\r\nb\r\nc\r\n", b"$-1\r\n", b":12\r\n") as url:
        asked = line(url)
        assert [await asked.ask("GET", "k") for _ in range(3)] == [b"a\r\nb\r\nc", None, 12]
        await asked.close()


async def test_a_server_that_is_silent_is_left_after_the_limit_and_its_late_answer_goes_to_nobody() -> None:
    async with scripted(None, b"+second\r\n") as url:
        asked = line(url, answer_s=1)
        # Without a limit nothing would end this.
        with pytest.raises(RedisTimeoutError):
            await asked.ask("PING")
        assert await asked.ask("PING") == b"second"
        await asked.close()


async def test_after_a_cancelled_question_the_next_one_gets_its_own_answer() -> None:
    async with scripted(b"+first\r\n", b"+second\r\n", pause_s=0.01) as url:
        asked = line(url)
        asking = asyncio.create_task(asked.ask("PING"))
        await asyncio.sleep(0.03)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asked.ask("PING") == b"second"
        await asked.close()


async def test_nobody_there_is_an_error_at_once() -> None:
    for url in ("unix:///nonexistent/redis.sock", "redis://127.0.0.1:9/0"):
        with pytest.raises(OSError):
            await line(url).ask("PING")


async def test_an_address_with_tls_goes_through_the_library() -> None:
    asked = line("rediss://127.0.0.1:9/0")
    with pytest.raises(RedisConnectionError):
        await asked.ask("PING")
    await asked.close()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError):
        line("http://nowhere")
