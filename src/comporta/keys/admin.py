"""The admin key made at the first start, kept in the data folder for its owner's eyes only."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from comporta.errors import ConfigError, Conflict
from comporta.keys.keys import Keys
from comporta.keys.rows import SECRET, KeyRow, new_secret

ADMIN_FILE = "admin.key"
ADMIN_NAME = "admin"
#: A random mark of the data folder: replicas share a database but no folder, and must not end each other's admin key.
FOLDER_FILE = "folder.id"
_ORIGIN = "data folder "


async def ensure_admin_key(data_dir: Path, keys: Keys, *, clock: Callable[[], float] = time.time) -> str:
    """The secret of this data folder's admin key, made where there is none.

    Where the file was lost, or its key revoked or expired, there is a new one and the old one ends; where the
    database was lost, the file's key is put back.
    """
    await keys.load()
    file = data_dir / ADMIN_FILE
    folder = await asyncio.to_thread(_folder_mark, data_dir)
    secret = await asyncio.to_thread(_read_secret, file)
    row = keys.owner(secret) if secret else None
    if secret and row and row.admin and row.usable(clock()):
        return secret
    await _revoke_old(keys, folder)
    if secret is None or row is not None:
        # The file comes first: a start cut short after it puts the row in the next time.
        secret = await asyncio.to_thread(_write_secret, file, new_secret())
    await _insert(keys, secret, folder)
    return secret


async def _revoke_old(keys: Keys, folder: str) -> None:
    for row in await keys.list():
        if row.admin and row.created_by == _origin(folder):
            await keys.revoke(row.id, by=_origin(folder))


async def _insert(keys: Keys, secret: str, folder: str) -> None:
    try:
        await keys.create(name=ADMIN_NAME, admin=True, by=_origin(folder), secret=secret)
    except Conflict:
        await keys.create(name=f"{ADMIN_NAME}-{folder[:8]}", admin=True, by=_origin(folder), secret=secret)


def is_folders(row: KeyRow) -> bool:
    """Whether it is a data folder's own key: whoever can read that folder has it, so that its name says nobody."""
    return row.admin and row.created_by.startswith(_ORIGIN)


def _origin(folder: str) -> str:
    return f"{_ORIGIN}{folder[:8]}"


def _folder_mark(data_dir: Path) -> str:
    file = data_dir / FOLDER_FILE
    if not file.is_file():
        _write_private(file, secrets.token_hex(16))
    return file.read_text("utf-8").strip()


def _read_secret(file: Path) -> str | None:
    """The secret in the file; None where there is none or it is no key. Readable by its owner only, from now on."""
    try:
        text = file.read_text("utf-8").strip()
        file.chmod(0o600)
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise ConfigError(
            f"The admin key {file} can't be read: {error.strerror}. Run as the owner of that file."
        ) from error
    return text if SECRET.fullmatch(text) else None


def _write_secret(file: Path, secret: str) -> str:
    try:
        _write_private(file, secret)
    except OSError as error:
        raise ConfigError(f"The admin key {file} can't be written: {error.strerror}.") from error
    return secret


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, at no time half written or open to others."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(f"{text}\n")
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
