"""A simulation of recorded traffic, from inside a gate and from beside it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from comporta.app.folder import Folder
from comporta.app.simulating.policy import Policy, read_policy
from comporta.app.simulating.recorded import Window, count, pages
from comporta.app.simulating.report import Report
from comporta.app.simulating.running import simulate, spanned
from comporta.app.simulating.standing import tools_of
from comporta.config.loading import find
from comporta.errors import BadRequest
from comporta.store.database import Database
from comporta.telemetry.summary import parse_window

#: Called with how many calls are done, and how many there are.
Progress = Callable[[int, int], None]
When = str | datetime.datetime | None


def window_of(begin: When, end: When, routes: Sequence[str] = ()) -> Window:
    """`7d` back, a day, or a point in time; the end is now where it is left out. Raises BadRequest."""
    until = datetime.datetime.now(datetime.UTC) if end is None else _point(end, "to")
    since = until - datetime.timedelta(days=7) if begin is None else _point(begin, "from", until)
    if since >= until:
        raise BadRequest(f"The window ends ({until:%Y-%m-%d %H:%M}) before it begins.", param="from")
    return Window(since, until, tuple(routes))


def _point(written: str | datetime.datetime, name: str, until: datetime.datetime | None = None) -> datetime.datetime:
    if isinstance(written, datetime.datetime):
        return written if written.tzinfo else written.replace(tzinfo=datetime.UTC)
    try:
        found = datetime.datetime.fromisoformat(written)
    except ValueError:
        try:
            return (until or datetime.datetime.now(datetime.UTC)) - parse_window(written)
        except BadRequest:
            raise BadRequest(
                f"--{name} is `7d`, `24h`, a day as 2026-11-03, or a time as 2026-11-03T14:00 (UTC).", param=name
            ) from None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


async def simulate_recorded(
    database: Database, policy: Policy, window: Window, cache: Path, progress: Progress | None = None
) -> Report:
    """What a policy would have saved on the calls of a window; no model is asked. Raises ConfigError, Unavailable."""
    tools = await tools_of(policy, database, cache)
    whole = 0 if progress is None else await count(database, window)

    def told(done: int) -> None:
        if progress is not None:
            progress(done, max(done, whole))

    try:
        return await simulate(
            pages(database, window), policy, tools, spanned(window.since, window.until), told
        )  # fmt: skip
    finally:
        tools.close()


async def simulate_beside(
    dsn: str, folder: Folder, policy: Policy, window: Window, progress: Progress | None = None
) -> Report:
    """The same from a process of its own: it takes no time from the gate's calls."""
    async with Database(dsn, max_size=2) as database:
        return await simulate_recorded(database, policy, window, folder.cache, progress)


def policy_over(file: str | Path | None, config: str | Path | None) -> Policy:
    """The policy of a file over the usual configuration. Raises ConfigError with a line for every mistake."""
    path = Path(config) if config is not None else find(os.environ)
    return read_policy(None if file is None else Path(file), path, os.environ)
