"""Models registered while the gate runs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from comporta.errors import BadRequest, NotFound
from comporta.routing.registered import RegisteredModel, RegisteredModels
from comporta.store.database import Database
from comporta.types import Price

FULL = RegisteredModel(
    name="team/fast", provider="groq", model="llama-3.3-70b", price=Price(input=590_000, output=790_000, cached=0),
    context=131_072, max_output=32_768, capabilities=("tools", "json"), params={"temperature": 0.2},
    source="price list of November",
)  # fmt: skip


@pytest.fixture
async def models(database: Database) -> RegisteredModels:
    made = RegisteredModels(database, clock=lambda: 1000.0)
    await made.load()
    return made


async def test_a_registered_model_is_known_at_once_and_to_other_workers_after_a_load(
    models: RegisteredModels, database: Database
) -> None:
    put = await models.put(FULL, by="alice")
    assert put == structs.replace(FULL, created_at_s=1000.0, created_by="alice")
    assert models.get("team/fast") == put
    other = RegisteredModels(database)
    assert other.get("team/fast") is None
    await other.load()
    assert other.get("team/fast") == put
    assert other.list() == [put]
    assert dict(other.models) == {"team/fast": put}


async def test_a_second_put_replaces_all_but_who_registered_it_first(models: RegisteredModels) -> None:
    await models.put(FULL, by="alice")
    plain = await models.put(RegisteredModel("team/fast", "ollama", "qwen3"), by="bob")
    assert (plain.provider, plain.context, plain.price, plain.params) == ("ollama", None, None, {})
    assert plain.created_by == "alice"


async def test_an_unknown_price_stays_unknown_and_free_stays_free(models: RegisteredModels) -> None:
    """WIRE 28: an unknown price is never zero by silence."""
    await models.put(structs.replace(FULL, price=Price(input=0)))
    found = models.get("team/fast")
    assert found is not None and found.price == Price(input=0)
    assert found.price is not None and found.price.output is None


async def test_a_deleted_model_is_gone(models: RegisteredModels) -> None:
    await models.put(FULL)
    await models.delete("team/fast")
    assert models.get("team/fast") is None
    with pytest.raises(NotFound, match="team/fast"):
        await models.delete("team/fast")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "with space"}, "name"),
        ({"name": "/rooted"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"provider": ""}, "provider"),
        ({"model": "a\nb"}, "model"),
        ({"context": 0}, "context"),
        ({"context": True}, "context"),
        ({"max_output": 2**31}, "max_output"),
        ({"max_output": 1.5}, "max_output"),
        ({"price": Price(input=-1)}, "price.input"),
        ({"price": Price(output=10**12 + 1)}, "price.output"),
        ({"price": Price(output=float("nan"))}, "price.output"),  # type: ignore[arg-type]
        ({"capabilities": "tools"}, "capabilities"),
        ({"params": {"temperature": float("nan")}}, "params"),
        ({"params": {"stop": "\x00"}}, "params"),
        ({"params": {"x": object()}}, "params"),
        ({"params": {"x": "y" * 20_001}}, "params"),
        ({"params": ["temperature"]}, "params"),
    ],
)
async def test_a_mistake_names_its_field_and_registers_nothing(
    models: RegisteredModels, wrong: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await models.put(structs.replace(FULL, **wrong))
    assert caught.value.param == param
    await models.load()
    assert models.list() == []
