"""Tokens: what they allow, for how long, and by which keys they are believed on every gate."""

from __future__ import annotations

import time

import pytest

from comporta.errors import InvalidKey, Unavailable
from comporta.feedback.tokens import Claims, Tokens
from comporta.store.database import Database

DAY_S = 86_400.0


class Clock:
    """A clock that is set by hand, from now on."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


async def test_a_token_names_one_answer_until_it_expires(database: Database) -> None:
    clock = Clock()
    tokens = Tokens(database, lambda: 30 * DAY_S, clock)
    with pytest.raises(Unavailable):
        tokens.make("c-1", "t-1", 60)
    await tokens.rotate()
    token = tokens.make("c-1", "t-1", 60)
    assert (await tokens.read(token)) == Claims(int(clock.now_s + 60), "c-1", "")
    assert (await tokens.read(tokens.make("", "t-1", 60))).trace_id == "t-1"
    clock.now_s += 62
    with pytest.raises(InvalidKey) as refused:
        await tokens.read(token)
    assert refused.value.code == "feedback_token_expired"


async def test_a_token_with_any_letter_changed_is_refused(database: Database) -> None:
    tokens = Tokens(database, lambda: 30 * DAY_S)
    await tokens.rotate()
    token = tokens.make("c-1", "t-1", 60)
    # The last letter of a mark holds four bits that mean nothing.
    for at in range(len(token) - 1):
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(InvalidKey):
            await tokens.read(forged)
    for odd in ("", "cfb.", "cfb..", "cfb.a.b", "é" * 40, "x" * 10_000, token + "="):
        with pytest.raises(InvalidKey):
            await tokens.read(odd)


async def test_every_gate_believes_the_tokens_of_every_other(database: Database) -> None:
    one, other = Tokens(database, lambda: 30 * DAY_S), Tokens(database, lambda: 30 * DAY_S)
    await one.rotate()
    # The other one has not heard of the key, and looks.
    assert (await other.read(one.make("c-1", "", 60))).call_id == "c-1"
    await other.rotate()
    async with database.connection() as connection:
        row = await (await connection.execute("select count(*) from feedback_key")).fetchone()
    assert row == (1,)


async def test_a_new_key_is_used_when_all_know_it_and_an_old_one_is_believed_while_its_tokens_live(
    database: Database,
) -> None:
    clock = Clock()
    tokens = Tokens(database, lambda: DAY_S, clock)
    await tokens.rotate()
    before = tokens.make("c-1", "", DAY_S)
    async with database.connection() as connection:
        await connection.execute("update feedback_key set made_at = made_at - interval '2 days'")
    await tokens.rotate()
    assert tokens.make("c-1", "", 60).split(".")[1] == before.split(".")[1]
    clock.now_s += 120
    assert tokens.make("c-1", "", 60).split(".")[1] != before.split(".")[1]
    assert (await tokens.read(before)).call_id == "c-1"
    async with database.connection() as connection:
        await connection.execute("update feedback_key set made_at = made_at - interval '40 days'")
    await tokens.rotate()
    with pytest.raises(InvalidKey):
        await tokens.read(before)
