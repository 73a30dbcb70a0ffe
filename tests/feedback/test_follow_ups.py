"""Questions asked again: which are, which are not, and what stands beside the answer before them."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from comporta.feedback.follow_ups import again, find, last_words
from comporta.store.database import Database
from comporta.telemetry.partitions import ensure_partitions
from support.put_calls import put


async def followed(database: Database) -> set[str]:
    async with database.connection() as connection:
        rows = await connection.execute("select call_id::text from score where name = 'follow_up' and number = 1")
        return {row[0] for row in await rows.fetchall()}


@pytest.mark.parametrize(
    ("asked", "earlier"),
    [
        ("Where is my parcel?", "where is my parcel??"),
        ("Onde está a minha encomenda agora?", "Onde está a minha encomenda?"),
        ("¿Cuándo llega mi pedido, por favor?", "¿Cuándo llega mi pedido?"),
    ],
)
async def test_the_same_question_is_recognised_by_its_words(asked: str, earlier: str) -> None:
    assert await again(asked, earlier, None)


@pytest.mark.parametrize(
    ("asked", "earlier"),
    [
        ("Where is parcel 4711?", "Where is parcel 4712?"),
        ("Onde está a encomenda 12?", "Onde está a encomenda 13?"),
        ("How do I cancel my order?", "Which colours are there in your shop?"),
        ("yes", "yes"),
        ("go on", "go on"),
    ],
)
async def test_another_question_and_small_talk_are_no_questions_asked_again(asked: str, earlier: str) -> None:
    assert not await again(asked, earlier, None)


class Alike:
    """An embedder to which all texts are the same."""

    name = "local/all-MiniLM-L6-v2"
    dimensions = 2

    async def embed(self, texts: Any) -> list[tuple[float, ...]]:
        return [(1.0, 0.0) for _ in texts]


async def test_english_questions_are_compared_by_meaning_too() -> None:
    asked, earlier = "How do I get a refund for my order?", "How can I get my order refunded?"
    assert await again(asked, earlier, Alike())
    assert not await again(asked, "How do I get a voucher for my order?", Alike())


async def test_a_question_that_is_asked_again_scores_the_answer_before_it_once(database: Database) -> None:
    await ensure_partitions(database)
    first = await put(database, "Where is my parcel?", 120)
    retried = await put(database, "Where is my invoice?", 118, outcome="upstream", session="s-2")
    await put(database, "Where is my invoice?", 100, session="s-2")
    await put(database, "Where is my parcel?", 60)
    other_user = await put(database, "Where is my parcel?", 300, session="s-3", user="u-1")
    await put(database, "Where is my parcel?", 50, session="s-3", user="u-2")
    tool = await put(database, "Where is my refund?", 90, session="s-4")
    await put(database, "Where is my refund?", 40, session="s-4", role="tool")
    long_ago = await put(database, "Where is my voucher?", 3000, session="s-5")
    await put(database, "Where is my voucher?", 30, session="s-5")
    assert await find(database, None) == 1
    assert await followed(database) == {first}
    assert not {retried, other_user, tool, long_ago} & await followed(database)
    assert await find(database, None) == 0
    async with database.connection() as connection:
        row = await (await connection.execute("select count(*), min(source), min(reason) from score")).fetchone()
    assert row is not None and row[:2] == (1, "behaviour") and "parcel" not in row[2]


async def test_a_call_that_still_ran_when_the_next_one_came_is_no_answer_that_did_not_help(database: Database) -> None:
    await ensure_partitions(database)
    await put(database, "Where is my parcel?", 60.5)
    await put(database, "Where is my parcel?", 60)
    assert await find(database, None) == 0


async def test_the_next_look_goes_on_from_the_last_one(database: Database) -> None:
    await ensure_partitions(database)
    await find(database, None)
    async with database.connection() as connection:
        row = await (await connection.execute("select at from feedback_mark where work = 'follow_ups'")).fetchone()
    assert row is not None and datetime.datetime.now(datetime.UTC) - row[0] < datetime.timedelta(seconds=30)


async def test_more_calls_than_are_looked_at_in_one_go_are_all_looked_at(database: Database) -> None:
    await ensure_partitions(database)
    # All of them within the time that is looked at twice, where a round that went back each time never got further.
    for n in range(30):
        await put(database, f"Tell me about topic number {n} again", 90 - n, session=f"one-off-{n}")
    first = await put(database, "Where is my parcel?", 50)
    await put(database, "Where is my parcel?", 20)
    for _ in range(3):
        await find(database, None, most=2)
    assert await followed(database) == {first}


async def test_what_a_prompt_says_around_the_question_makes_none_another(database: Database) -> None:
    await ensure_partitions(database)
    frame = "São {}. Responda com gentileza à mensagem do cliente: {}"
    asked = ("O motoboy sumiu com a comida", "Quero mudar a forma de pagamento", "Quero mudar a forma de pagamento")
    ids = []
    for at, text in enumerate(asked):
        time = f"10:3{at}"
        values = json.dumps({"mensagem": text, "hora": time})
        ids.append(await put(database, frame.format(time, text), 90 - 30 * at, variables=values))
    assert await find(database, None) == 1
    assert await followed(database) == {ids[1]}


def test_the_last_words_of_a_prompt_are_a_users_or_none() -> None:
    user = {"role": "user", "parts": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}
    assert last_words({"messages": [user]}) == "ab"
    assert last_words([{"role": "user", "text": "short", "chars": 5}]) == "short"
    odds: tuple[Any, ...] = (
        {"messages": [user, {"role": "tool", "parts": []}]},
        {"messages": []},
        [],
        None,
        "text",
        [1],
    )
    for odd in odds:
        assert last_words(odd) == ""
