"""The fakes' batch APIs satisfy the official SDKs, and go wrong as the script says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest

from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(Step(text="Indeed.")) as server:
        yield server


@pytest.fixture
async def sdk(fake: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=fake.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


def line(number: int, model: str = "gpt-4o-mini") -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": f"Question {number}"}]}
    told = {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(told).encode() + b"\n"


async def begin(sdk: openai.AsyncOpenAI, content: bytes) -> Any:
    file = await sdk.files.create(file=("in.jsonl", content), purpose="batch")
    return await sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
    )


async def test_openais_sdk_uploads_begins_waits_and_reads(fake: FakeOpenAI, sdk: openai.AsyncOpenAI) -> None:
    fake.batches.hold = True
    begun = await begin(sdk, line(1) + line(2))
    assert (await sdk.batches.retrieve(begun.id)).status == "in_progress"
    fake.batches.hold = False
    ended = await sdk.batches.retrieve(begun.id)
    assert ended.status == "completed" and ended.output_file_id and ended.metadata == {"a": "b"}
    told = [json.loads(one) for one in (await sdk.files.content(ended.output_file_id)).text.splitlines()]
    assert [one["custom_id"] for one in told] == ["r-1", "r-2"]
    assert told[0]["response"]["body"]["choices"][0]["message"]["content"] == "Indeed."
    assert [one.id async for one in sdk.batches.list()] == [begun.id]
    await sdk.files.delete(begun.input_file_id)
    assert not [one async for one in sdk.files.list()]


async def test_openai_tells_rows_that_failed_or_expired_apart(fake: FakeOpenAI, sdk: openai.AsyncOpenAI) -> None:
    fake.batches.answers = 2
    fake.script(Step(status=400), model="gpt-4o-mini")
    ended = await sdk.batches.retrieve((await begin(sdk, line(1) + line(2) + line(3))).id)
    assert ended.status == "expired" and ended.error_file_id
    told = [json.loads(one) for one in (await sdk.files.content(ended.error_file_id)).text.splitlines()]
    assert [(one["custom_id"], bool(one["response"]), bool(one["error"])) for one in told] == [
        ("r-1", True, False), ("r-3", False, True),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [line(1) + line(1), line(1) + line(2, "gpt-4o")])
async def test_openai_finds_a_wrong_file_wrong(sdk: openai.AsyncOpenAI, content: bytes) -> None:
    found = await sdk.batches.retrieve((await begin(sdk, content)).id)
    assert found.status == "failed" and found.errors and found.errors.data


async def test_a_cancelled_batch_keeps_what_was_answered(fake: FakeOpenAI, sdk: openai.AsyncOpenAI) -> None:
    fake.batches.hold, fake.batches.answers = True, 1
    begun = await begin(sdk, line(1) + line(2))
    ended = await sdk.batches.cancel(begun.id)
    assert ended.status == "cancelled" and ended.output_file_id and ended.error_file_id


async def test_anthropics_sdk_begins_waits_and_reads() -> None:
    async with FakeAnthropic(Step(text="Indeed.")) as fake:
        fake.batches.answers = 2
        fake.script(Step(status=400), model="claude-haiku-4-5")
        async with anthropic.AsyncAnthropic(base_url=fake.url, api_key="sk-ant-test", max_retries=0) as sdk:
            params: Any = {
                "model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}],
            }  # fmt: skip
            begun = await sdk.messages.batches.create(
                requests=[{"custom_id": f"r-{n}", "params": params} for n in range(3)]
            )
            assert begun.processing_status == "in_progress" and begun.request_counts.processing == 3
            ended = await sdk.messages.batches.retrieve(begun.id)
            assert ended.processing_status == "ended"
            kinds = {one.custom_id: one.result.type async for one in await sdk.messages.batches.results(begun.id)}
            assert kinds == {"r-0": "errored", "r-1": "succeeded", "r-2": "expired"}
            with pytest.raises(anthropic.BadRequestError, match="custom_id"):
                await sdk.messages.batches.create(requests=[{"custom_id": "a b", "params": params}])
            await sdk.messages.batches.delete(begun.id)
            with pytest.raises(anthropic.NotFoundError):
                await sdk.messages.batches.retrieve(begun.id)
