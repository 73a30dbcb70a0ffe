"""Virtual keys: recognised from memory, changed everywhere at once."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import psycopg
import pytest

from comporta.errors import BadRequest, Conflict, InvalidKey, NotFound, Unavailable
from comporta.keys.keys import LONGEST_OVERLAP_S, Keys
from comporta.store.changes import Changes
from comporta.store.database import Database
from comporta.store.embedded import EmbeddedPostgres
from comporta.store.migrate import migrate
from comporta.testing.servers import FAST, run_apart, short_folder
from comporta.types import Caller


class Clock:
    def __init__(self) -> None:
        # The database keeps microseconds; whole seconds survive the way there and back.
        self.now_s = float(int(time.time()))

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(database: Database, clock: Clock) -> Keys:
    made = Keys(database, clock=clock, snapshot_for_s=1e6)
    await made.load()
    return made


@pytest.fixture
async def other(database_dsn: str) -> AsyncIterator[Keys]:
    """The keys as another worker sees them: own pool, own connection for notices."""
    changes = Changes(database_dsn)
    async with Database(database_dsn) as database:
        keys = Keys(database)
        changes.subscribe(keys.topic, keys.load)
        task = asyncio.create_task(changes.run())
        while not changes.connected:  # noqa: ASYNC110  the loop's own doing
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        yield keys
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def refusal(keys: Keys, secret: str, now_s: float) -> InvalidKey:
    with pytest.raises(InvalidKey) as caught:
        keys.authenticate(secret, now_s)
    return caught.value


async def soon(what: Any) -> None:
    """Long before a worker looks by itself: it was told."""
    async with asyncio.timeout(25):
        while not what():  # noqa: ASYNC110  another worker's doing
            await asyncio.sleep(0.005)


def opens(keys: Keys, secret: str) -> bool:
    try:
        keys.authenticate(secret, time.time())
    except InvalidKey:
        return False
    return True


async def test_a_new_key_is_recognised_at_once_with_all_that_hangs_on_it(keys: Keys, clock: Clock) -> None:
    row, secret = await keys.create(
        name="Support bot", team="support", environment="prod", feature="chat", tags={"cost centre": "7"},
        allow=["support", "gpt-4o"], by="alice",
    )  # fmt: skip
    assert re.fullmatch(r"cmp-[A-Za-z0-9_-]{43}", secret)
    assert keys.authenticate(secret, clock.now_s) == Caller(
        key_id=row.id, name="Support bot", team="support", environment="prod", feature="chat",
        tags={"cost centre": "7"}, allow=("support", "gpt-4o"),
    )  # fmt: skip
    assert (row.created_by, row.prefix, row.last4, row.admin) == ("alice", secret[:8], secret[-4:], False)
    assert await keys.get(row.id) == row
    assert await keys.list() == [row]
    assert keys.owner(secret) == row


async def test_the_secret_stands_nowhere_in_the_database(keys: Keys, database: Database) -> None:
    _, secret = await keys.create(name="one")
    async with database.connection() as connection:
        for table in (b"virtual_key", b"virtual_key_secret"):
            rows = await (await connection.execute(b"select t::text from " + table + b" t")).fetchall()
            assert rows and all(secret not in row[0] for row in rows)


async def test_unknown_expired_and_revoked_keys_hear_the_same_words(keys: Keys, clock: Clock) -> None:
    _, expiring = await keys.create(name="expiring", expires_at_s=clock.now_s + 60)
    row, revoked = await keys.create(name="revoked")
    await keys.revoke(row.id, by="bob")
    assert keys.authenticate(expiring, clock.now_s + 59.9).name == "expiring"
    refusals = [
        refusal(keys, "cmp-" + "x" * 43, clock.now_s),
        refusal(keys, expiring, clock.now_s + 60),
        refusal(keys, revoked, clock.now_s),
    ]
    assert len({error.message for error in refusals}) == 1
    assert [error.code for error in refusals] == ["invalid_api_key", "key_expired", "key_revoked"]
    assert {error.status for error in refusals} == {401}


@pytest.mark.parametrize("secret", ["", "cmp-", "Bearer x", "\ud800", "ключ", "x" * 100_000])
async def test_odd_secrets_are_unknown_ones(keys: Keys, clock: Clock, secret: str) -> None:
    assert refusal(keys, secret, clock.now_s).code == "invalid_api_key"


async def test_a_revocation_reaches_another_worker_within_a_second(keys: Keys, other: Keys) -> None:
    row, secret = await keys.create(name="one")
    await soon(lambda: opens(other, secret))
    revoked = await keys.revoke(row.id, by="bob")
    assert not opens(keys, secret)
    await soon(lambda: not opens(other, secret))
    assert refusal(other, secret, time.time()).code == "key_revoked"
    assert revoked.revoked_by == "bob" and revoked.revoked_at_s is not None


async def test_a_second_revocation_changes_nothing(keys: Keys, clock: Clock) -> None:
    row, _ = await keys.create(name="one")
    first = await keys.revoke(row.id, by="bob")
    clock.now_s += 10
    assert await keys.revoke(row.id, by="eve") == first
    assert await keys.list() == []
    assert await keys.list(revoked=True) == [first]


async def test_a_rotated_key_keeps_its_id_and_its_old_secret_until_the_overlap_ends(
    keys: Keys, other: Keys, clock: Clock
) -> None:
    row, old = await keys.create(name="one", team="red")
    rotated, new = await keys.rotate(row.id, overlap_s=3600)
    assert (rotated.id, rotated.last4) == (row.id, new[-4:])
    for secret in (old, new):
        assert keys.authenticate(secret, clock.now_s).key_id == row.id
        await soon(partial(opens, other, secret))
    assert keys.authenticate(old, clock.now_s + 3599).team == "red"
    assert refusal(keys, old, clock.now_s + 3600).code == "key_expired"
    assert keys.authenticate(new, clock.now_s + 3600).team == "red"


async def test_a_second_rotation_neither_shortens_nor_stretches_the_first_ones_overlap(
    keys: Keys, clock: Clock
) -> None:
    row, first = await keys.create(name="one")
    _, second = await keys.rotate(row.id, overlap_s=100)
    await keys.rotate(row.id, overlap_s=1000)
    assert keys.authenticate(first, clock.now_s + 99).key_id == row.id
    assert refusal(keys, first, clock.now_s + 100).code == "key_expired"
    assert keys.authenticate(second, clock.now_s + 999).key_id == row.id


async def test_rotation_without_overlap_ends_the_old_secret_now_and_revocation_ends_all(
    keys: Keys, clock: Clock
) -> None:
    row, first = await keys.create(name="one")
    _, second = await keys.rotate(row.id)
    assert refusal(keys, first, clock.now_s).code == "key_expired"
    _, third = await keys.rotate(row.id, overlap_s=100)
    await keys.revoke(row.id)
    assert {refusal(keys, secret, clock.now_s).code for secret in (first, second, third)} == {"key_revoked"}


async def test_a_revoked_key_can_be_neither_rotated_nor_changed(keys: Keys) -> None:
    row, _ = await keys.create(name="one")
    await keys.revoke(row.id)
    with pytest.raises(Conflict, match="revoked"):
        await keys.rotate(row.id)
    with pytest.raises(Conflict, match="revoked"):
        await keys.update(row.id, team="red")


async def test_an_update_changes_what_is_given_and_only_that(keys: Keys, other: Keys, clock: Clock) -> None:
    row, secret = await keys.create(name="one", team="red", tags={"a": "b"}, expires_at_s=clock.now_s + 1000)
    changed = await keys.update(row.id, team=None, feature="chat", allow=["support"])
    assert (changed.name, changed.team, changed.feature, changed.tags) == ("one", None, "chat", {"a": "b"})
    assert changed.expires_at_s == pytest.approx(clock.now_s + 1000)
    assert keys.authenticate(secret, clock.now_s).allow == ("support",)
    await soon(lambda: opens(other, secret) and other.authenticate(secret, time.time()).feature == "chat")
    endless = await keys.update(row.id, expires_at_s=None)
    assert endless.expires_at_s is None
    assert keys.authenticate(secret, clock.now_s + 2000)


async def test_two_living_keys_never_share_a_name_but_a_revoked_ones_is_free(keys: Keys) -> None:
    row, _ = await keys.create(name="one")
    second, _ = await keys.create(name="two")
    with pytest.raises(Conflict, match="A key named one exists already"):
        await keys.create(name="one")
    with pytest.raises(Conflict, match="A key named one exists already"):
        await keys.update(second.id, name="one")
    await keys.revoke(row.id)
    await keys.create(name="one")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "ok", "team": "\x00"}, "team"),
        ({"name": "ok", "tags": {"a": 1}}, "tags.a"),
        ({"name": "ok", "allow": "support"}, "allow"),
        ({"name": "ok", "expires_at_s": 1.0}, "expires_at_s"),
        ({"name": "ok", "expires_at_s": float("nan")}, "expires_at_s"),
        ({"name": "ok", "secret": "password"}, "secret"),
    ],
)
async def test_a_mistake_names_its_field_and_makes_no_key(keys: Keys, wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await keys.create(**wrong)
    assert caught.value.param == param
    assert await keys.list() == []


async def test_an_overlap_is_a_bounded_number(keys: Keys) -> None:
    row, _ = await keys.create(name="one")
    for wrong in (-1.0, float("nan"), float("inf"), LONGEST_OVERLAP_S + 1):
        with pytest.raises(BadRequest):
            await keys.rotate(row.id, overlap_s=wrong)


async def test_an_unknown_id_is_not_found(keys: Keys) -> None:
    for work in (keys.get("nope"), keys.revoke("nope"), keys.rotate("nope"), keys.update("nope", team="red")):
        with pytest.raises(NotFound, match="nope"):
            await work


async def test_a_row_taken_out_by_hand_opens_nothing_any_more(keys: Keys, database: Database, clock: Clock) -> None:
    row, secret = await keys.create(name="one")
    _, kept = await keys.create(name="two")
    async with database.connection() as connection:
        await connection.execute("delete from virtual_key where id = %s", [row.id])
    await keys.load()
    assert refusal(keys, secret, clock.now_s).code == "invalid_api_key"
    assert keys.authenticate(kept, clock.now_s).name == "two"


async def test_before_the_first_load_nobody_gets_in(database: Database) -> None:
    with pytest.raises(Unavailable):
        Keys(database).authenticate("cmp-" + "x" * 43, time.time())


async def test_without_the_database_the_snapshot_serves_for_its_time_and_then_nobody_gets_in(clock: Clock) -> None:
    with short_folder() as folder:
        server = EmbeddedPostgres(folder / "data", settings=FAST)
        dsn = await asyncio.to_thread(server.start)
        await asyncio.to_thread(_migrate, dsn)
        try:
            async with Database(dsn, checkout_s=2.0) as database:
                keys = Keys(database, clock=clock)
                await keys.load()
                _, secret = await keys.create(name="one")
                await asyncio.to_thread(server.stop)
                with pytest.raises(Unavailable):
                    await keys.load()
                with pytest.raises(Unavailable):
                    await keys.create(name="two")
                assert keys.authenticate(secret, clock.now_s + 600).name == "one"
                with pytest.raises(Unavailable) as caught:
                    keys.authenticate(secret, clock.now_s + 600.1)
                assert (caught.value.code, caught.value.status) == ("keys_unavailable", 503)
                await asyncio.to_thread(server.start)
                clock.now_s += 700
                await keys.load()
                assert keys.authenticate(secret, clock.now_s).name == "one"
        finally:
            server.stop()


def _migrate(dsn: str) -> None:
    run_apart(migrate(dsn))


async def test_ten_thousand_keys_are_recognised_in_microseconds_and_loading_them_holds_up_nobody(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "insert into virtual_key (id, name, prefix, last4, team, tags)"
            " select i::text, 'key ' || i, 'cmp-abcd', 'wxyz', 'red', '{\"a\": \"b\"}' from generate_series(1, 10000) i"
        )
        await connection.execute(
            "insert into virtual_key_secret (sha256, key_id)"
            " select sha256(convert_to('cmp-' || i, 'utf8')), i::text from generate_series(1, 10000) i"
        )
    keys = Keys(database)
    task = asyncio.create_task(keys.load())
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await task
    assert turns > 40
    now_s = time.time()
    assert keys.authenticate("cmp-9999", now_s).name == "key 9999"
    best = min(_duration_s(keys, now_s) for _ in range(20))
    assert best / 1000 < 60e-6


def _duration_s(keys: Keys, now_s: float) -> float:
    begun = time.perf_counter()
    for _ in range(1000):
        keys.authenticate("cmp-9999", now_s)
    return time.perf_counter() - begun


async def test_a_key_made_during_a_load_is_not_lost(keys: Keys, clock: Clock) -> None:
    made = await asyncio.gather(
        *(keys.create(name=f"key {n}") for n in range(20)), *(keys.load() for _ in range(20)), return_exceptions=True
    )
    secrets = [result[1] for result in made if isinstance(result, tuple)]
    assert len(secrets) == 20
    assert all(keys.authenticate(secret, clock.now_s) for secret in secrets)


async def test_a_statement_that_the_database_refuses_is_not_taken_for_its_absence(
    keys: Keys, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("alter table virtual_key add check (team <> 'forbidden')")
    with pytest.raises(psycopg.errors.CheckViolation):
        await keys.create(name="one", team="forbidden")
