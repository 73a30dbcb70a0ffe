"""The base of the fake providers plays every fault over a real connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from comporta.testing.upstream import Answer, FakeUpstream, Route, Seen, Step, frame


class Plain(FakeUpstream):
    wire = "plain"

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return {("POST", "/say"): self.say, ("GET", "/names"): self.names}

    def say(self, seen: Seen, step: Step) -> Answer:
        if not seen.json.get("stream"):
            return Answer(body=step.whole_text.encode())
        frames = [frame({"t": token}) for token in step.tokens]
        return Answer(content_type="text/event-stream", frames=frames, end=b"data: end\n\n", error=b"data: err\n\n")

    def names(self, seen: Seen, step: Step) -> Answer:
        return Answer(body=b"[]")

    def failure(self, seen: Seen, step: Step) -> bytes:
        return (step.error or "wrong").encode()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def said(client: aiohttp.ClientSession, fake: FakeUpstream, **body: Any) -> tuple[int, bytes]:
    async with client.post(fake.url + "/say", json=body) as response:
        return response.status, await response.read()


async def test_steps_are_answered_in_order_and_then_the_default(client: aiohttp.ClientSession) -> None:
    async with Plain(Step(text="rest")) as fake:
        fake.script(Step(text="one"), Step(text="two", status=201))
        fake.script(Step(text="mine"), model="m")
        async with client.get(fake.url + "/names") as response:
            assert await response.json(content_type=None) == []
        answers = [await said(client, fake), await said(client, fake, model="m"), await said(client, fake)]
        assert [text for _, text in [*answers, await said(client, fake)]] == [b"one", b"mine", b"two", b"rest"]
        assert fake.seen[2].json == {"model": "m"}
        assert fake.seen[2].headers["content-type"] == "application/json"
        assert all(seen.done.is_set() and not seen.gone.is_set() for seen in fake.seen)


async def test_a_status_comes_with_the_wires_own_envelope_and_headers(client: aiohttp.ClientSession) -> None:
    async with Plain() as fake:
        fake.script(Step(status=429, error="slow_down", headers={"Retry-After": "2"}))
        async with client.post(fake.url + "/say", json={}) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "2")
            assert await response.read() == b"slow_down"


async def test_garbage_errors_and_a_missing_end_come_where_the_script_says(client: aiohttp.ClientSession) -> None:
    async with Plain() as fake:
        fake.script(Step(text=("a", "b"), garbage_after=1), Step(text=("a", "b"), error_after=1, omit_done=True))
        _, body = await said(client, fake, stream=True)
        assert body == b'data: {"t":"a"}\n\ndata: {"broken": \n\ndata: {"t":"b"}\n\ndata: end\n\n'
        assert (await said(client, fake, stream=True))[1] == b'data: {"t":"a"}\n\ndata: err\n\n'


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_answer_breaks_the_connection_before_its_end(client: aiohttp.ClientSession, stream: bool) -> None:
    async with Plain() as fake:
        fake.script(Step(text=("a", "b", "c"), cut_after=2))
        with pytest.raises(aiohttp.ClientPayloadError):
            await said(client, fake, stream=stream)
        assert not fake.seen[0].gone.is_set()


async def test_a_dropped_connection_gives_no_headers(client: aiohttp.ClientSession) -> None:
    async with Plain() as fake:
        fake.script(Step(drop=True))
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await said(client, fake)


@pytest.mark.parametrize(
    "step", [Step(delay_s=30), Step(stall_after=0), Step(stall_after=1), Step(first_delay_s=30), Step(token_delay_s=30)]
)
async def test_the_fake_knows_when_the_client_left_before_the_end(step: Step) -> None:
    """WIRE 8"""
    async with Plain(step) as fake, aiohttp.ClientSession() as client:
        task = asyncio.create_task(said(client, fake, stream=True))
        seen = await fake.arrived(1)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait_for(seen.gone.wait(), 25)
        assert not seen.done.is_set()
        assert fake.in_flight == 0


async def test_stopping_cuts_what_stalls_and_the_same_port_serves_again(client: aiohttp.ClientSession) -> None:
    fake = Plain(Step(text="ok"))
    await fake.start()
    fake.script(Step(stall_after=1))
    task = asyncio.create_task(said(client, fake, stream=True))
    await fake.arrived(1)
    await asyncio.sleep(0.02)
    began_s = time.monotonic()
    await fake.stop()
    assert time.monotonic() - began_s < 25
    with pytest.raises(aiohttp.ClientError):
        await task
    with pytest.raises(aiohttp.ClientConnectorError):
        await said(client, fake)
    await fake.start()
    assert await said(client, fake) == (200, b"ok")
    await fake.stop()
    assert not fake.seen[0].gone.is_set()


async def test_frames_are_written_in_small_pieces_when_asked(client: aiohttp.ClientSession) -> None:
    async with Plain() as fake:
        fake.script(Step(text=("a", "b"), split_bytes=3))
        async with client.post(fake.url + "/say", json={"stream": True}) as response:
            pieces = [piece async for piece in response.content.iter_any()]
        assert b"".join(pieces) == b'data: {"t":"a"}\n\ndata: {"t":"b"}\n\ndata: end\n\n'
        assert len(pieces) > 2
