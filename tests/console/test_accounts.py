"""Accounts, sessions and passwords, on the database, without a page."""

from __future__ import annotations

import asyncio

import pytest

from comporta.console.accounts import Accounts
from comporta.console.passwords import Passwords, hashed, made
from comporta.console.sessions import Sessions
from comporta.console.tries import MOST, WINDOW_S, Tries
from comporta.errors import BadRequest, Conflict, NotFound
from comporta.store.database import Database
from comporta.telemetry import audit


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database, Passwords())


async def seen(database: Database, statement: str) -> list[tuple[object, ...]]:
    async with database.connection() as connection:
        return list(await (await connection.execute(statement.encode())).fetchall())


async def test_a_password_fits_its_own_account_and_no_other(accounts: Accounts) -> None:
    await accounts.add("ana", "admin", password="correct horse", by="test")
    await accounts.add("rui", "viewer", password="another horse", by="test")
    found = await accounts.check("ana", "correct horse")
    assert found is not None and (found.name, found.role) == ("ana", "admin")
    assert await accounts.check("rui", "correct horse") is None
    assert await accounts.check("nobody", "correct horse") is None
    assert await accounts.check("ana", "") is None


async def test_of_a_password_only_a_salted_hash_is_kept(database: Database, accounts: Accounts) -> None:
    for name in ("ana", "rui"):
        await accounts.add(name, "admin", password="correct horse", by="test")
    rows = await seen(database, "select password from console_user")
    assert len({row[0] for row in rows}) == 2
    assert all(str(row[0]).startswith("scrypt$") and "correct" not in str(row[0]) for row in rows)


@pytest.mark.parametrize(
    ("name", "role", "password", "param"),
    [("", "admin", "long enough!", "name"), ("a b", "admin", "long enough!", "name"),
     ("x", "owner", "long enough!", "role"), ("x", "admin", "short", "password"),
     ("x", "admin", "y" * 201, "password")],
)  # fmt: skip
async def test_a_name_role_or_password_that_will_not_do_is_refused(
    accounts: Accounts, name: str, role: str, password: str, param: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await accounts.add(name, role, password=password, by="test")  # type: ignore[arg-type]
    assert caught.value.param == param
    assert await accounts.none()


async def test_the_last_admin_stays_even_when_two_are_taken_away_at_once(accounts: Accounts) -> None:
    for name in ("ana", "rui"):
        await accounts.add(name, "admin", password=None, by="test")
    results = await asyncio.gather(
        accounts.remove("ana", by="test"), accounts.set_role("rui", "viewer", by="test"), return_exceptions=True
    )
    assert sum(isinstance(one, Conflict) for one in results) == 1
    assert sum(one.role == "admin" for one in await accounts.list()) == 1


async def test_a_name_is_taken_once_and_an_unknown_one_is_told(accounts: Accounts) -> None:
    await accounts.add("ana", "admin", password=None, by="test")
    with pytest.raises(Conflict):
        await accounts.add("ana", "viewer", password=None, by="test")
    for act in (accounts.set_role("zoe", "viewer", by="t"), accounts.remove("zoe", by="t"), accounts.get("zoe")):
        with pytest.raises(NotFound):
            await act


async def test_every_act_on_accounts_stands_in_the_audit_log(database: Database, accounts: Accounts) -> None:
    await accounts.add("ana", "admin", password=None, by="root")
    await accounts.add("rui", "viewer", password=None, by="ana")
    await accounts.set_password("rui", "a new password", by="ana")
    await accounts.remove("rui", by="ana")
    found = [(one.by, one.act, one.subject) for one in await audit.read(database, act="console.")]
    assert found == [
        ("ana", "console.user.remove", "rui"), ("ana", "console.user.password", "rui"),
        ("ana", "console.user.add", "rui"), ("root", "console.user.add", "ana"),
    ]  # fmt: skip


async def test_a_session_lives_until_it_is_ended(database: Database, accounts: Accounts) -> None:
    sessions = Sessions(database, idle_s=60, longest_s=600)
    await accounts.add("ana", "viewer", password=None, by="test")
    secret = await sessions.start("ana")
    session = await sessions.live(secret)
    assert session is not None and (session.user, session.admin) == ("ana", False)
    await accounts.add("rui", "admin", password=None, by="test")
    await accounts.set_role("ana", "admin", by="test")
    changed = await sessions.alive(session.digest)
    assert changed is not None and changed.admin, "a new role holds at once"
    await sessions.end(secret)
    assert await sessions.live(secret) is None
    assert await sessions.live("made up") is None


async def test_the_database_holds_nothing_that_one_could_sign_in_with(database: Database, accounts: Accounts) -> None:
    sessions = Sessions(database, idle_s=60, longest_s=600)
    await accounts.add("ana", "admin", password=None, by="test")
    secret = await sessions.start("ana")
    rows = await seen(database, "select session::text from console_session as session")
    assert secret not in str(rows)


@pytest.mark.parametrize("column", ["seen_at", "created_at"])
async def test_a_session_ends_without_use_and_in_any_case(database: Database, accounts: Accounts, column: str) -> None:
    sessions = Sessions(database, idle_s=60, longest_s=600)
    await accounts.add("ana", "admin", password=None, by="test")
    secret = await sessions.start("ana")
    async with database.connection() as connection:
        await connection.execute(f"update console_session set {column} = now() - interval '601 seconds'".encode())
    assert await sessions.live(secret) is None


@pytest.mark.parametrize("end", ["password", "removal"])
async def test_sessions_end_with_the_password_and_with_the_account(
    database: Database, accounts: Accounts, end: str
) -> None:
    sessions = Sessions(database, idle_s=60, longest_s=600)
    await accounts.add("ana", "admin", password="correct horse", by="test")
    await accounts.add("rui", "admin", password=None, by="test")
    secret = await sessions.start("ana")
    await (
        accounts.set_password("ana", "another horse", by="t") if end == "password" else accounts.remove("ana", by="t")
    )
    assert await sessions.live(secret) is None


def test_passwords_that_are_made_differ_and_hashes_are_salted() -> None:
    assert len({made() for _ in range(50)}) == 50
    assert len(made()) == 23
    assert hashed("x") != hashed("x")


def test_failures_are_counted_by_name_and_address_and_forgotten_with_time() -> None:
    now = [0.0]
    tries = Tries(clock=lambda: now[0])
    for _ in range(MOST["both"]):
        assert tries.wait_s("ana", "1.2.3.4") == 0
        tries.failed("ana", "1.2.3.4")
    assert tries.wait_s("ana", "1.2.3.4") == WINDOW_S
    assert tries.wait_s("ana", "5.6.7.8") == 0, "others can't shut a person out"
    now[0] = WINDOW_S + 1
    assert tries.wait_s("ana", "1.2.3.4") == 0


def test_an_address_that_tries_many_names_is_stopped_and_one_that_signs_in_often_is_not() -> None:
    tries = Tries(clock=lambda: 0.0)
    for n in range(200):
        tries.failed("ana", "10.0.0.1")
        tries.passed("ana", "10.0.0.1")
        assert tries.wait_s("ana", "10.0.0.1") == 0, n
    for n in range(MOST["address"]):
        tries.failed(f"name-{n}", "1.2.3.4")
    assert tries.wait_s("somebody", "1.2.3.4") > 0
