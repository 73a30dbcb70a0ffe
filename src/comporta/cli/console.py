"""`comporta console`: who may sign in to the web page; also for those who lost their password."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import typer

from comporta.app.folder import Folder
from comporta.cli.place import CONFIG, load
from comporta.cli.shown import AS_JSON, DATA, say, say_json, table
from comporta.console.accounts import Accounts, Role
from comporta.console.passwords import Passwords, made
from comporta.errors import BadRequest, Unavailable
from comporta.store.database import Database

T = TypeVar("T")
NAME = typer.Argument(help="What the person signs in with.")
TEAM = typer.Option([], "--team", help="A team whose calls they see, as a viewer; several times for more. All without.")
ROLE = typer.Option("viewer", "--role", help="admin changes things, viewer only looks.")


def add(app: typer.Typer, name: str, summary: str) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=summary)
    below.command("users", help="List who may sign in.")(_users)
    below.command("add", help="Let somebody in; prints the password made for them.")(_add)
    below.command("password", help="Make a new password; ends all of that person's sessions.")(_password)
    below.command("role", help="Change what somebody may do.")(_role)
    below.command("teams", help="Bind a viewer to teams, whose calls alone they see; ends their sessions.")(_teams)
    below.command("remove", help="Let somebody in no more; their sessions end at once.")(_remove)
    app.add_typer(below, name=name, help=summary)


def _users(config: Path | None = CONFIG, data: Path = DATA, as_json: bool = AS_JSON) -> None:
    found = _with(config, data, lambda accounts: accounts.list())
    if as_json:
        say_json(msgspec.to_builtins(found))
        return
    columns = ("name", "role", "teams", "password", "last signed in", "made by")
    rows = [
        (one.name, one.role, ", ".join(one.teams or ["all"]), one.has_password,
         f"{one.seen_at:%Y-%m-%d %H:%M}" if one.seen_at else None, one.created_by)
        for one in found
    ]  # fmt: skip
    table(columns, rows, "Nobody may sign in yet.")


def _add(
    name: str = NAME, role: str = ROLE, team: list[str] = TEAM, config: Path | None = CONFIG, data: Path = DATA
) -> None:  # fmt: skip
    password = made()
    wanted: Role = role  # type: ignore[assignment]
    _with(config, data, lambda accounts: accounts.add(name, wanted, password=password, by=_who(), teams=team or None))
    say(password)


def _password(name: str = NAME, config: Path | None = CONFIG, data: Path = DATA) -> None:
    password = made()
    _with(config, data, lambda accounts: accounts.set_password(name, password, by=_who()))
    say(password)


def _role(
    name: str = NAME, role: str = typer.Argument(help="admin or viewer."), config: Path | None = CONFIG,
    data: Path = DATA,
) -> None:  # fmt: skip
    wanted: Role = role  # type: ignore[assignment]
    _with(config, data, lambda accounts: accounts.set_role(name, wanted, by=_who()))
    say(f"{name} is {role} now.")


def _teams(
    name: str = NAME,
    teams: list[str] | None = typer.Argument(None, help="The teams; none with --all."),
    every: bool = typer.Option(False, "--all", help="Bound to no team: they see all."),
    config: Path | None = CONFIG, data: Path = DATA,
) -> None:  # fmt: skip
    if every == bool(teams):
        raise BadRequest("Name the teams whose calls they see, or say --all.", param="teams")
    _with(config, data, lambda accounts: accounts.set_teams(name, teams or None, by=_who()))
    say(f"{name} sees {', '.join(teams or ['all teams'])} now.")


def _remove(name: str = NAME, config: Path | None = CONFIG, data: Path = DATA) -> None:
    _with(config, data, lambda accounts: accounts.remove(name, by=_who()))
    say(f"{name} may sign in no more.")


def _with(config: Path | None, data: Path, act: Callable[[Accounts], Awaitable[T]]) -> T:
    """Straight in the database: whoever can read the data folder, or has its address, may do anything anyway."""
    dsn = _dsn(config, data)

    async def acted() -> T:
        async with Database(dsn, max_size=1) as database:
            return await act(Accounts(database, Passwords()))

    return asyncio.run(acted())


def _dsn(config: Path | None, data: Path) -> str:
    running = Folder(data).running()
    if running is not None:
        return running.dsn
    url = load(config, data).value.database.url
    if url is None:
        raise Unavailable(f"Nothing runs on {data}, and the database ends with it; start it with `comporta serve`.")
    return url.get_secret_value()


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"
