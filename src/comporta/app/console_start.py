"""What `serve` does for the console before its process starts: whether it can listen, and the first password."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from comporta.app.folder import Folder
from comporta.console.accounts import Accounts
from comporta.console.passwords import Passwords, made
from comporta.console.settings import ConsoleSection
from comporta.errors import Conflict
from comporta.store.database import Database

#: The first admin: of a fresh database, and never again.
FIRST = "admin"
FILE = "console.password"
_BY = "first start"


def listening(console: ConsoleSection, environment: Mapping[str, str]) -> ConsoleSection:
    """The section with what the command line and the environment say instead."""
    port = environment.get("COMPORTA_CONSOLE_PORT", "")
    said = {
        "host": environment.get("COMPORTA_CONSOLE_HOST") or console.host,
        "port": int(port) if port.isdecimal() and 0 < int(port) < 65536 else console.port,
    }
    return console.model_copy(update=said)


def problem(console: ConsoleSection) -> str | None:
    """Why it can't listen there; None where it can. The gate goes on without it: nothing depends on a page."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(console.host, console.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "that is no host"
        return (
            f"The console can't listen on {console.host} port {console.port}: {reason}. The gate goes on without it. "
            "Set COMPORTA_CONSOLE_PORT (or console.port) to a free port, or console.enabled to false."
        )
    return None


async def ensure_password(folder: Folder, dsn: str) -> str | None:
    """The password made for the first admin; None where there are users already.

    It lies in the data folder as long as nobody takes it away; after the database was lost it holds again.
    """
    async with Database(dsn, max_size=1) as database:
        accounts = Accounts(database, Passwords())
        if not await accounts.none():
            return None
        file = folder.path / FILE
        password = await asyncio.to_thread(_kept, file)
        try:
            await accounts.add(FIRST, "admin", password=password, by=_BY)
        except Conflict:
            # Another replica was faster; its own folder has the password.
            return None
        return password


def lines(console: ConsoleSection, address: str, folder: Folder, password: str | None) -> str:
    """For the banner."""
    file = folder.path / FILE
    told = f"\n  Console         {address}\n"
    if password is not None:
        return (
            told + f"                  name {FIRST}, password {password}\n                  (also in {file}, mode 600)"
        )
    if file.is_file():
        return told + f"                  name {FIRST}, password in {file}"
    return told.rstrip("\n")


def _kept(file: Path) -> str:
    """The file's password, or a new one that lies there from now on."""
    try:
        password = file.read_text("utf-8").strip()
    except FileNotFoundError:
        password = ""
    if len(password) >= 10:
        return password
    password = made()
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{password}\n")
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
    return password
