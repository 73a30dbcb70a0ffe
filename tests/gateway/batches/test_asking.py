"""Asking a provider for what is no call: once where once is meant, line by line, and with the wire's own errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from comporta.errors import UpstreamError, UpstreamLimited, UpstreamUnreachable
from comporta.gateway.batches.asking import Remotely
from comporta.gateway.transport import HttpTransport
from comporta.providers.base import Request
from comporta.providers.openai import OpenAI
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step

HEADERS = {"authorization": "Bearer sk-x", "content-type": "application/json"}
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}'


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def remotely() -> AsyncIterator[Remotely]:
    transport = HttpTransport()
    yield Remotely(transport, OpenAI("OpenAI").fault)
    await transport.close()


def chat(fake: FakeOpenAI) -> Request:
    return Request(f"{fake.base_url}/chat/completions", BODY, HEADERS)


async def test_what_must_not_be_done_twice_is_sent_once_also_beside_a_kept_connection(
    fake: FakeOpenAI, remotely: Remotely
) -> None:
    fake.script(Step(), Step(lost=True))
    await remotely.ask(chat(fake))
    with pytest.raises(UpstreamError):
        await remotely.ask(chat(fake), once=True)
    assert len(fake.seen) == 2


async def test_lines_are_whole_wherever_the_answer_is_cut(fake: FakeOpenAI, remotely: Remotely) -> None:
    lines = [b'{"a": 1}', '{"b": "é"}'.encode(), b'{"c": 3}']
    fake.default = Step(body=b"\n".join([lines[0], b"", *lines[1:]]), split_bytes=3)
    assert [line async for line in remotely.lines(chat(fake))] == lines


async def test_a_refusal_is_the_error_that_its_wire_says(fake: FakeOpenAI, remotely: Remotely) -> None:
    fake.script(Step(status=429, headers={"retry-after": "7"}))
    with pytest.raises(UpstreamLimited) as caught:
        await remotely.ask(chat(fake))
    assert caught.value.retry_after_s == 7


async def test_a_provider_that_is_not_there_is_told_as_such(remotely: Remotely) -> None:
    with pytest.raises(UpstreamUnreachable):
        await remotely.ask(Request("http://127.0.0.1:9/v1/batches", b"", HEADERS, method="GET"))
