"""One step of a handover at a time, against the fake: what is tried again, what is given up, and what is looked for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from comporta.gateway.batches.handing import Handing
from comporta.gateway.batches.handovers import Handovers, Share
from comporta.gateway.transport import HttpTransport
from comporta.providers.anthropic import Anthropic
from comporta.providers.anthropic_batches import AnthropicBatches
from comporta.providers.base import Endpoint
from comporta.store.database import Database
from comporta.testing.fake_anthropic import FakeAnthropic
from comporta.testing.fake_batches import Row
from comporta.testing.upstream import Step

BODY = '{"model":"claude-haiku-4-5","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}'
BATCH = """
insert into batch (id, owner, key_id, endpoint, input_file_id, status, native, expires_at)
values ('b', 'o', 'k', '/v1/messages', 'f', 'in_progress', true, now() + interval '1 day')
"""
ROWS = """
insert into batch_row (batch_id, number, custom_id, body, state, parked, request, place)
select 'b', number, 'r', '{}', 'parked', %s, %s, '["anthropic",null,"claude-haiku-4-5","messages"]'
from generate_series(1, 3) as number
"""


class OneProvider:
    """As much of a provider as a step asks for."""

    name = "anthropic"
    speaks = Anthropic()

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint(provider="anthropic", base_url=url, secret="sk-ant-x")

    def endpoint(self, wished: str | None) -> tuple[str | None, Endpoint]:
        return None, self._endpoint


class Money:
    """Remembers what is held; `room` says whether there is any."""

    def __init__(self) -> None:
        self.room = True
        self.held: dict[str, int] = {}

    async def hold(self, id: str, shares: Sequence[Share], before: Sequence[str], *, whole: bool) -> list[str] | None:
        if not self.room:
            return None
        self.held[id] = sum(share.most_microusd for share in shares)
        return ["purse"]

    def let_go(self, id: str, purses: Sequence[str]) -> None:
        if purses:
            self.held.pop(id, None)


class World:
    def __init__(self, database: Database, fake: FakeAnthropic, transport: HttpTransport) -> None:
        self.database = database
        self.fake = fake
        self.money = Money()
        self.handovers = Handovers(database)
        self.provider: OneProvider | None = OneProvider(fake.url)
        self.handing = Handing(
            self.handovers, lambda name: self.provider, lambda provider: AnthropicBatches(), transport, self.money,  # type: ignore[arg-type, return-value]
            lambda: 60.0, lambda: 60.0,
        )  # fmt: skip
        self.id = ""

    async def begin(self) -> None:
        kept = msgspec.json.encode({"caller": {"key_id": "k"}, "most_microusd": 10}).decode()
        async with self.database.connection() as connection:
            await connection.execute(BATCH)
            await connection.execute(ROWS, [kept, BODY])
        assert await self.handovers.gather() == 1
        self.id = await self.handovers.claim(60) or ""

    async def step(self) -> float:
        return await self.handing.step(self.id)

    async def state(self) -> str:
        found = await self.handovers.find(self.id, 0, 0)
        assert found is not None
        return found.state

    async def rows(self) -> list[tuple[str, bool]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute("select state, alone from batch_row order by number")
            return [(state, alone) for state, alone in await cursor.fetchall()]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    transport = HttpTransport()
    async with FakeAnthropic(Step(text="Indeed.")) as fake:
        made = World(database, fake, transport)
        await made.begin()
        yield made
    await transport.close()


async def test_a_handover_goes_its_way_and_holds_its_money_until_all_is_booked(world: World) -> None:
    world.fake.batches.hold = True
    assert 0 < await world.step() < 60 and await world.state() == "running"
    assert world.money.held == {world.id: 30} and await world.step() == 60
    world.fake.batches.hold = False
    await world.step()
    assert await world.state() == "ended" and await world.rows() == [("waiting", False)] * 3
    assert await world.step() > 0 and world.money.held
    async with world.database.connection() as connection:
        await connection.execute("update batch_row set state = 'done', parked = null")
    assert await world.step() == 0 and await world.state() == "closed"
    assert not world.money.held and not world.fake.batches.all


async def test_what_others_began_at_the_same_time_is_told_by_its_results_and_left_to_them(world: World) -> None:
    world.fake.script(Step(drop=True))
    await world.step()
    assert await world.state() == "creating" and not world.fake.batches.all
    # As large, and begun when ours would have been.
    rows = [Row(f"theirs-{n}", "/v1/messages", BODY.encode()) for n in range(3)]
    theirs = world.fake.batches.begin("msgbatch_theirs", rows, {"at_s": time.time()})
    await world.step()
    assert await world.state() == "running"
    await world.step()
    assert await world.state() == "creating" and theirs.id in world.fake.batches.all
    for _ in range(3):
        await world.step()
    assert await world.state() == "ended" and await world.rows() == [("waiting", False)] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_a_batch_that_is_refused_is_asked_row_by_row_with_its_money_free_again(world: World, status: int) -> None:
    world.fake.script(Step(status=status))
    await world.step()
    assert await world.rows() == [("waiting", True)] * 3 and not world.money.held
    assert await world.step() == 0 and await world.state() == "closed"


async def test_a_provider_that_can_not_now_is_tried_again_and_never_twice_at_once(world: World) -> None:
    world.fake.script(Step(status=529), Step(status=500))
    assert await world.step() >= 10 and await world.step() >= 10
    assert await world.rows() == [("parked", False)] * 3
    await world.step()
    assert await world.state() == "running" and len(world.fake.batches.all) == 1


async def test_a_batch_that_vanished_and_one_without_a_provider_are_asked_row_by_row(world: World) -> None:
    world.fake.batches.hold = True
    await world.step()
    world.fake.batches.all.clear()
    await world.step()
    assert await world.rows() == [("waiting", True)] * 3


async def test_without_its_provider_or_without_room_in_a_budget_rows_are_asked_by_themselves(world: World) -> None:
    world.money.room = False
    await world.step()
    assert await world.rows() == [("waiting", True)] * 3 and not world.fake.seen
    world.provider = None
    assert await world.step() == 0 and await world.state() == "closed"
