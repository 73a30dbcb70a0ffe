"""Providers' batch APIs as pure requests and readings: the honest fakes take them, and every kind of row is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from comporta.errors import UpstreamFault
from comporta.gateway.batches.asking import Remotely
from comporta.gateway.transport import HttpTransport
from comporta.providers.anthropic import Anthropic
from comporta.providers.anthropic_batches import AnthropicBatches
from comporta.providers.base import Endpoint, Query, Wire
from comporta.providers.batching import Batching, Item, Remote, Result
from comporta.providers.catalogue import batch_cost_microusd, cost_microusd
from comporta.providers.openai import OpenAI
from comporta.providers.openai_batches import OpenAIBatches
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_openai import FakeOpenAI
from comporta.testing.upstream import Step
from comporta.types import Input, Message, Price, Text, Usage

HELLO = Input(messages=(Message("user", (Text("Hello"),)),))
NAME = "cmp-0192f0c1-2345"


def query(**fields: Any) -> Query:
    return Query(**{"kind": "chat", "input": HELLO, "model": "m", **fields})


class Place:
    """A batch API with its fake."""

    def __init__(self, batching: Batching, wire: Wire, fake: Any, base: str, transport: HttpTransport) -> None:
        self.batching = batching
        self.fake = fake
        self.endpoint = Endpoint(provider="p", base_url=base, secret="sk-secret-of-ours")
        self.remotely = Remotely(transport, wire.fault)
        self._wire = wire

    def items(self, count: int) -> list[Item]:
        body = self._wire.encode(query(max_output=100), self.endpoint).body
        return [Item(f"{NAME}-{n}", body) for n in range(count)]

    async def begin(self, items: list[Item]) -> Remote:
        api, upload = self.batching, None
        part = api.part(query())
        assert part is not None
        request = api.upload(self.endpoint, NAME, part, items)
        if request is not None:
            upload = api.uploaded(await self.remotely.ask(request))
        return api.remote(await self.remotely.ask(api.create(self.endpoint, NAME, part, upload, items)))

    async def look(self, id: str) -> Remote:
        return self.batching.remote(await self.remotely.ask(self.batching.look(self.endpoint, id)))

    async def results(self, remote: Remote) -> dict[str, Result]:
        found = {}
        for request in self.batching.results(self.endpoint, remote):
            async for line in self.remotely.lines(request):
                result = self.batching.result(line)
                assert result is not None
                found[result.id] = result
        return found


@pytest.fixture(params=["openai", "anthropic"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    transport = HttpTransport()
    if request.param == "openai":
        async with FakeOpenAI(Step(text="Indeed.")) as fake:
            wire = OpenAI("OpenAI")
            yield Place(OpenAIBatches(wire), wire, fake, fake.base_url, transport)
    else:
        async with FakeAnthropic(Step(text="Indeed.")) as other:
            yield Place(AnthropicBatches(), Anthropic(), other, other.url, transport)
    await transport.close()


async def test_a_batch_is_begun_told_and_read(place: Place) -> None:
    place.fake.batches.hold = True
    begun = await place.begin(place.items(3))
    assert not begun.ended and not (await place.look(begun.id)).ended
    place.fake.batches.hold = False
    ended = await place.look(begun.id)
    assert ended.ended and ended.refused is None
    found = await place.results(ended)
    assert {one.outcome for one in found.values()} == {"answered"} and set(found) == {f"{NAME}-{n}" for n in range(3)}
    assert "Indeed." in found[f"{NAME}-1"].body.decode()
    for request in place.batching.discard(place.endpoint, None, ended):
        await place.remotely.ask(request)


async def test_rows_that_are_wrong_are_told_from_those_to_ask_again(place: Place) -> None:
    place.fake.batches.answers = 3
    place.fake.script(Step(status=400), Step(status=429), model="m")
    found = await place.results(await place.look((await place.begin(place.items(4))).id))
    assert [found[f"{NAME}-{n}"].outcome for n in range(4)] == ["refused", "again", "answered", "again"]
    assert found[f"{NAME}-0"].status == 400 and b"scripted failure" in found[f"{NAME}-0"].body


async def test_a_batch_whose_beginning_nobody_heard_of_is_found_again(place: Place) -> None:
    begun = await place.begin(place.items(2))
    listed = place.batching.listed(await place.remotely.ask(place.batching.recent(place.endpoint)))
    (found,) = [one for one in listed if one.name in (None, NAME)]
    assert found.id == begun.id and found.total == 2 and found.created_s > 0
    # Others' batches of the same account have other names, or none.
    assert found.name != ""
    uploads = place.batching.uploads(place.endpoint)
    if uploads is not None:
        body = await place.remotely.ask(uploads)
        assert place.batching.found_upload(body, NAME) and place.batching.found_upload(body, "cmp-other") is None


async def test_a_cancelled_batch_has_the_results_it_had(place: Place) -> None:
    place.fake.batches.hold, place.fake.batches.answers = True, 1
    begun = await place.begin(place.items(2))
    await place.remotely.ask(place.batching.cancel(place.endpoint, begun.id))
    found = await place.results(await place.look(begun.id))
    assert sorted(one.outcome for one in found.values()) == ["again", "answered"]


async def test_no_error_tells_the_key_that_was_sent(place: Place) -> None:
    place.fake.script(Step(status=400, message="You sent sk-secret-of-ours, or Bearer sk-secret-of-ours."))
    with pytest.raises(Exception, match=r"\*\*\*|secret") as caught:
        await place.begin(place.items(1))
    assert "sk-secret-of-ours" not in str(caught.value.message)  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"id": 7}'])
async def test_what_can_not_be_read_is_a_fault_of_the_providers(place: Place, body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        place.batching.remote(body)
    with pytest.raises(UpstreamFault):
        place.batching.listed(body)
    assert place.batching.result(body) is None


def test_a_batch_takes_what_its_api_has() -> None:
    wire = OpenAI("OpenAI", responses=True)
    api, other = OpenAIBatches(wire), AnthropicBatches()
    embed = query(kind="embed", input=Input(texts=("x",)))
    responses = query(input=Input(messages=HELLO.messages, wire="openai.responses", raw={"input": "x"}))
    assert [api.part(one) for one in (query(), embed, responses, query(stream=True), query(kind="count"))] == [
        "chat/completions", "embeddings", None, None, None,
    ]  # fmt: skip
    beta = query(headers={"anthropic-beta": "x"})
    assert [other.part(one) for one in (query(), query(kind="count"), query(stream=True), beta)] == [
        "messages", None, None, None,
    ]  # fmt: skip


def test_a_file_of_requests_holds_them_as_their_wire_wrote_them() -> None:
    wire = OpenAI("OpenAI")
    endpoint = Endpoint(provider="openai", base_url="https://api.example/v1", secret="sk-x")
    item = Item("cmp-1-7", b'{"model":"m","x":"\\r\\n--"}')
    request = OpenAIBatches(wire).upload(endpoint, NAME, "chat/completions", [item])
    assert request is not None and request.url == "https://api.example/v1/files"
    (line,) = [one for one in request.body.split(b"\r\n") if one.startswith(b'{"custom_id"')]
    assert json.loads(line) == {
        "custom_id": "cmp-1-7", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "m", "x": "\r\n--"},
    }  # fmt: skip


@pytest.mark.parametrize("tokens", [(1, 0), (1001, 333), (3, 7), (999_999, 1)])
def test_half_the_price_is_rounded_up_once(tokens: tuple[int, int]) -> None:
    usage, price = Usage(input=tokens[0], output=tokens[1]), Price(input=150_001, output=600_003)
    exact = (tokens[0] * 150_001 + tokens[1] * 600_003) * 50
    assert batch_cost_microusd(usage, price, 50) == -(-exact // 100_000_000)
    assert batch_cost_microusd(usage, price, 100) == cost_microusd(usage, price)
    assert batch_cost_microusd(usage, Price(input=1), 50) == (None if tokens[1] else 1)


def test_an_answer_keeps_its_own_text() -> None:
    message = '{"id": "msg_1",  "content": [], "odd": 1.50}'
    line = f'{{"custom_id": "a-1", "result": {{"type": "succeeded", "message": {message}}}}}'
    result = AnthropicBatches().result(line.encode())
    assert result == Result("a-1", "answered", 200, message.encode())
    assert msgspec.json.decode(result.body)["odd"] == 1.5


@pytest.mark.parametrize("metadata", ["null", "{}", '{"theirs": "x"}'])
def test_a_batch_of_others_is_not_taken_for_one_without_a_name(metadata: str) -> None:
    body = f'{{"id": "batch_1", "status": "in_progress", "created_at": 1, "metadata": {metadata}}}'
    assert OpenAIBatches(OpenAI("OpenAI")).remote(body.encode()).name == ""
