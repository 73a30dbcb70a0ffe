"""The admin key of a data folder."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from comporta.errors import InvalidKey
from comporta.keys.admin import ensure_admin_key
from comporta.keys.keys import Keys
from comporta.store.database import Database


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


def mode_of(file: Path) -> int:
    return file.stat().st_mode & 0o777


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_the_first_start_makes_an_admin_key_that_only_its_owner_can_read(keys: Keys, tmp_path: Path) -> None:
    secret = await ensure_admin_key(tmp_path, keys)
    caller = keys.authenticate(secret, time.time())
    assert (caller.admin, caller.name) == (True, "admin")
    assert (tmp_path / "admin.key").read_text().strip() == secret
    assert mode_of(tmp_path / "admin.key") == 0o600
    assert names_in(tmp_path) == ["admin.key", "folder.id"]


async def test_later_starts_keep_it(keys: Keys, database: Database, tmp_path: Path) -> None:
    secret = await ensure_admin_key(tmp_path, keys)
    assert await ensure_admin_key(tmp_path, Keys(database)) == secret
    assert len(await keys.list(revoked=True)) == 1


async def test_where_the_file_was_lost_there_is_a_new_key_and_the_old_one_ends(keys: Keys, tmp_path: Path) -> None:
    old = await ensure_admin_key(tmp_path, keys)
    (tmp_path / "admin.key").unlink()
    new = await ensure_admin_key(tmp_path, keys)
    assert new != old
    with pytest.raises(InvalidKey):
        keys.authenticate(old, time.time())
    assert keys.authenticate(new, time.time()).name == "admin"


@pytest.mark.parametrize("content", ["", "not a key", "cmp-short", "\xff\xfe"])
async def test_a_file_that_holds_no_key_counts_as_lost(keys: Keys, tmp_path: Path, content: str) -> None:
    await ensure_admin_key(tmp_path, keys)
    (tmp_path / "admin.key").write_text(content, "latin-1")
    secret = await ensure_admin_key(tmp_path, keys)
    assert keys.authenticate(secret, time.time()).admin
    assert (tmp_path / "admin.key").read_text().strip() == secret


async def test_where_the_database_was_lost_the_files_key_is_put_back(
    keys: Keys, database: Database, tmp_path: Path
) -> None:
    secret = await ensure_admin_key(tmp_path, keys)
    async with database.connection() as connection:
        await connection.execute("truncate virtual_key cascade")
    assert await ensure_admin_key(tmp_path, Keys(database)) == secret
    await keys.load()
    assert keys.authenticate(secret, time.time()).admin


async def test_a_revoked_admin_key_gives_way_to_a_new_one(keys: Keys, tmp_path: Path) -> None:
    secret = await ensure_admin_key(tmp_path, keys)
    await keys.revoke(keys.authenticate(secret, time.time()).key_id)
    new = await ensure_admin_key(tmp_path, keys)
    assert new != secret
    assert (tmp_path / "admin.key").read_text().strip() == new


async def test_a_key_that_is_not_an_admins_gives_way_too_and_lives_on(keys: Keys, tmp_path: Path) -> None:
    await keys.load()
    _, plain = await keys.create(name="plain")
    (tmp_path / "admin.key").write_text(plain)
    secret = await ensure_admin_key(tmp_path, keys)
    assert keys.authenticate(secret, time.time()).admin
    assert not keys.authenticate(plain, time.time()).admin


async def test_replicas_with_folders_of_their_own_leave_each_others_admin_key_alone(keys: Keys, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = await ensure_admin_key(tmp_path / "one", keys)
    second = await ensure_admin_key(tmp_path / "two", keys)
    assert await ensure_admin_key(tmp_path / "one", keys) == first
    assert await ensure_admin_key(tmp_path / "two", keys) == second
    names = {keys.authenticate(secret, time.time()).name for secret in (first, second)}
    assert "admin" in names and len(names) == 2


async def test_a_file_open_to_others_is_closed(keys: Keys, tmp_path: Path) -> None:
    await ensure_admin_key(tmp_path, keys)
    (tmp_path / "admin.key").chmod(0o644)
    await ensure_admin_key(tmp_path, keys)
    assert mode_of(tmp_path / "admin.key") == 0o600
