"""AsgiMount: a FastAPI application behind a real granian, over real connections."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comporta.errors import ComportaError
from comporta.gateway.asgi import AsgiMount

_SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from asgi_sample import Worker
app = Worker(Path({notes!r}))
"""


class Sample:
    """A running sample server."""

    def __init__(self, folder: Path) -> None:
        self.notes_file = folder / "notes"
        self.notes_file.touch()
        here = str(Path(__file__).parent)
        (folder / "sample_server.py").write_text(_SERVER.format(here=here, notes=str(self.notes_file)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "granian", "--interface", "rsgi", "--http", "1", "--no-log", "--no-access-log",
             "--port", str(self.port), "sample_server:app"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        )  # fmt: skip
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        """The port is open before the worker is: only its own note says that it serves."""
        for _ in range(1200):
            assert self.process.poll() is None, "the sample server ended"
            if "started" in self.notes():
                return
            time.sleep(0.05)
        pytest.fail("the sample server did not come up")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def notes(self) -> list[str]:
        return self.notes_file.read_text().splitlines()

    async def noted(self, text: str, times: int = 1) -> bool:
        for _ in range(6000):
            if self.notes().count(text) >= times:
                return True
            await asyncio.sleep(0.01)
        return False


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    running = Sample(tmp_path_factory.mktemp("asgi"))
    yield running
    running.stop()


@pytest.fixture
async def http(sample: Sample) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sample.url, timeout=aiohttp.ClientTimeout(total=90)) as session:
        yield session


async def test_request_line_headers_client_and_lifespan_state_reach_the_application(
    http: aiohttp.ClientSession,
) -> None:
    headers = [("x-a", "1"), ("x-a", "2"), ("X-Upper", "v")]
    async with http.get("/echo/caf%C3%A9%20au?q=a%20b&q=2", headers=headers) as response:
        facts = await response.json()
        assert response.status == 201
        assert response.headers["x-answer"] == "yes"
    assert facts["rest"] == "café au"
    assert facts["query"] == "q=a+b&q=2"
    assert facts["headers"] == [["x-a", "1"], ["x-a", "2"], ["x-upper", "v"]]
    assert facts["word"] == "sluice"
    assert facts["client"] == "127.0.0.1"


async def test_an_upload_comes_in_pieces_and_whole(http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000
            await asyncio.sleep(0.001)

    async with http.post("/upload", data=pieces()) as response:
        counted = await response.json()
    assert counted["size"] == 2_000_000
    assert counted["pieces"] > 1


async def test_a_body_cut_off_by_its_client_is_a_disconnect_and_not_an_end(sample: Sample) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", sample.port)
    writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    assert await sample.noted("upload ClientDisconnect")


async def test_a_stream_arrives_piece_by_piece_and_ends(http: aiohttp.ClientSession) -> None:
    async with http.get("/stream", params={"count": 4, "wait_s": 0.5}) as response:
        assert response.headers["content-type"].startswith("text/plain")
        times, text = [], b""
        async for piece in response.content.iter_any():
            times.append(time.monotonic())
            text += piece
    assert text.split() == [b"0", b"1", b"2", b"3"]
    assert times[-1] - times[0] > 0.1


async def test_a_large_stream_is_whole(http: aiohttp.ClientSession) -> None:
    async with http.get("/stream", params={"count": 300, "size": 20_000}) as response:
        body = await response.read()
    assert len(body) == 300 * 20_000


async def test_a_client_that_leaves_ends_the_stream_at_once(http: aiohttp.ClientSession, sample: Sample) -> None:
    async with http.get("/stream", params={"count": 3, "wait_s": 60}) as response:
        await response.content.readany()
        response.close()
    assert await sample.noted("stream CancelledError")


async def test_a_client_that_leaves_before_a_plain_answer_is_seen(http: aiohttp.ClientSession, sample: Sample) -> None:
    with pytest.raises(TimeoutError):
        async with http.get("/slow", timeout=aiohttp.ClientTimeout(total=1)):
            pass
    assert await sample.noted("slow saw the client leave")


async def test_a_failing_application_answers_500_without_its_reason(http: aiohttp.ClientSession) -> None:
    async with http.get("/fail") as response:
        assert response.status == 500
        assert "secret word" not in await response.text()


async def test_one_connection_serves_many_requests(http: aiohttp.ClientSession) -> None:
    for number in range(50):
        async with http.get(f"/echo/{number}") as response:
            assert (await response.json())["rest"] == str(number)


async def test_head_answers_without_a_body(http: aiohttp.ClientSession) -> None:
    async with http.head("/echo/x") as response:
        assert response.status == 405
        assert await response.read() == b""


async def test_a_websocket_echoes_text_and_bytes_and_sees_its_client_leave(
    http: aiohttp.ClientSession, sample: Sample
) -> None:
    async with http.ws_connect("/ws") as connection:
        await connection.send_str("gate")
        assert await connection.receive_str(timeout=60) == "sluice gate"
        await connection.send_str("bytes")
        assert await connection.receive_bytes(timeout=60) == b"\x00\xff"
    assert await sample.noted("websocket ended")


async def test_a_websocket_closed_by_the_application_ends(http: aiohttp.ClientSession) -> None:
    async with http.ws_connect("/ws") as connection:
        await connection.send_str("bye")
        message = await connection.receive(timeout=60)
        assert message.type is aiohttp.WSMsgType.CLOSE


async def test_a_websocket_refused_by_the_application_is_403(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect("/ws?refuse=1")
    assert caught.value.status == 403


def test_the_application_is_started_and_stopped_once(tmp_path: Path) -> None:
    running = Sample(tmp_path)
    assert running.notes() == ["started"]
    running.stop()
    assert running.notes() == ["started", "stopped"]


async def test_an_application_that_fails_to_start_is_told_with_its_reason() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(ComportaError, match="no database"):
        await AsgiMount(app).startup()


async def test_an_application_without_lifespan_starts_and_stops() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    mount = AsgiMount(app)
    await mount.startup()
    await mount.shutdown()
