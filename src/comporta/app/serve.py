"""`comporta serve`: PostgreSQL, gate and job worker as one command, and a clean end of all of them.

The order is fixed: the data folder is held, the configuration read, PostgreSQL started and migrated, the admin key
made, then the gate and the job worker run as child processes. They end in the other order. Nothing outlives it: the
children ask the kernel to end with it, so that even SIGKILL leaves nothing running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import aiohttp
from msgspec import Struct

from comporta.app import console_start
from comporta.app.children import Child
from comporta.app.folder import Folder, Running
from comporta.app.loaded import Places, demand_redis, known, load_settings
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.console.settings import ConsoleSection, address_of
from comporta.errors import ComportaError, ConfigError
from comporta.keys.admin import ensure_admin_key
from comporta.keys.keys import Keys
from comporta.store.database import Database
from comporta.store.embedded import EmbeddedPostgres
from comporta.store.migrate import migrate
from comporta.telemetry import metrics

#: What the gate gets beyond `server.drain` before it is killed: it cuts what runs, ships records and ends by itself.
_SLACK_S = 15.0
_JOBS_S = 10.0
#: The same Ctrl-C may reach us twice, straight and from whoever started us.
_SAME_SIGNAL_S = 0.1
_START_LIMIT_S = 60.0


class Options(Struct, frozen=True):
    """What the command line and the environment say; None leaves it to the configuration."""

    data: Path
    config: Path | None = None
    host: str | None = None
    port: int | None = None
    workers: int | None = None
    console: bool | None = None
    console_port: int | None = None


class Plan(Struct, frozen=True):
    """What will run, after the configuration was read."""

    host: str
    port: int
    workers: int
    #: How long running calls get to finish.
    drain_s: float = 30.0
    #: Where the console listens; None where there is to be none.
    console: ConsoleSection | None = None

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 (compared, not bound)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def serve(options: Options, tell: Callable[[str], None]) -> int:
    """Run until SIGINT or SIGTERM; a second one ends it at once.

    Returns the exit code: 0 for a clean end, 1 for a failure told through `tell`, 128 and the signal's number where
    running calls were not waited for.
    """
    folder = Folder(options.data)
    try:
        places = Places(options.config, folder)
        loaded = load_settings(places, os.environ)
        # Here as well as in the gate: there a mistake would only end one process after the other.
        known(loaded, folder)
        settings = loaded.value
        plan = _plan(options, loaded)
        folder.make()
        with folder.held():
            address = listening_address(plan)
            return asyncio.run(_serve(folder, places, settings, plan, address, tell))
    except ComportaError as error:
        tell(error.message)
        return 2 if isinstance(error, ConfigError) else 1


def _plan(options: Options, loaded: Loaded[Settings]) -> Plan:
    server = loaded.value.server
    console = console_start.listening(loaded.value.console, os.environ)
    if options.console_port is not None:
        console = console.model_copy(update={"port": options.console_port})
    wanted = console.enabled if options.console is None else options.console
    plan = Plan(
        options.host or server.host, options.port or server.port, options.workers or server.workers, server.drain,
        console if wanted else None,
    )  # fmt: skip
    demand_redis(loaded, plan.workers)
    return plan


def listening_address(plan: Plan) -> str:
    """The plan's host as a number, once it is sure that we may listen there. Raises ComportaError.

    Tried out here since workers share their port, and two gates would: each would get a part of the other's calls.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(plan.host, plan.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "that is no host"
        raise ComportaError(
            f"The gate can't listen on {plan.host} port {plan.port}: {reason}. Set COMPORTA_HOST and COMPORTA_PORT "
            "(or server.host and server.port) to an address of this machine and a free port.",
            code="cannot_listen",
        ) from None
    return str(address[0])


async def _serve(
    folder: Folder, places: Places, settings: Settings, plan: Plan, address: str, tell: Callable[[str], None]
) -> int:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.ask, number)
    loop.add_signal_handler(signal.SIGHUP, folder.ask_reload)
    async with database(folder, settings, tell) as dsn:
        admin_key = await prepare(folder, dsn)
        folder.write_running(Running(plan.url, os.getpid(), dsn))
        try:
            environment = _environment(folder, places, plan, address, dsn)
            words = await _console_lines(folder, plan, dsn)
            await _run_children(folder, plan, environment, banner(plan.url, admin_key, folder, words), stop, tell)
        finally:
            folder.run.unlink(missing_ok=True)
    return stop.code


class Stop:
    """What the operator's signals ask for: the first to leave in good order, the next to leave at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self.code = 0
        self._first = (0, 0.0)

    def ask(self, number: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self.asked.is_set():
            self._first = (number, now_s)
            self.asked.set()
        elif not self.hurry.is_set() and (number != self._first[0] or now_s - self._first[1] > _SAME_SIGNAL_S):
            self.code = 128 + number
            self.hurry.set()


@contextlib.asynccontextmanager
async def database(folder: Folder, settings: Settings, tell: Callable[[str], None]) -> AsyncIterator[str]:
    """A DSN: of the configured server, else of our own under the data folder, which ends with the block."""
    if settings.database.url is not None:
        yield settings.database.url.get_secret_value()
        return
    embedded = EmbeddedPostgres(folder.path, tell)
    dsn = await asyncio.to_thread(embedded.start)
    watching = asyncio.create_task(_keep_database(embedded, tell))
    try:
        yield dsn
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await asyncio.to_thread(embedded.stop)


async def _keep_database(embedded: EmbeddedPostgres, tell: Callable[[str], None]) -> None:
    """Start PostgreSQL again when it has died: the gate records to its spool meanwhile."""
    while True:
        await asyncio.sleep(1)
        if not embedded.alive:
            tell("PostgreSQL ended; starting it again")
            try:
                await asyncio.to_thread(embedded.start)
            except ComportaError as error:
                tell(error.message)
                await asyncio.sleep(4)


async def prepare(folder: Folder, dsn: str) -> str:
    """Migrations and the admin key; returns the key."""
    store = Database(dsn, max_size=1)
    await store.open()
    try:
        await migrate(dsn)
        keys = Keys(store)
        await keys.load()
        return await ensure_admin_key(folder.path, keys)
    finally:
        await store.close()


async def _console_lines(folder: Folder, plan: Plan, dsn: str) -> str:
    """What the banner says of the console; the first start makes its password."""
    if plan.console is None:
        return ""
    password = await console_start.ensure_password(folder, dsn)
    return console_start.lines(plan.console, address_of(plan.console), folder, password)


def _beside(plan: Plan, environment: Mapping[str, str], tell: Callable[[str], None]) -> list[Child]:
    """What runs beside the gate."""
    found = [Child("job worker", "comporta.app.jobs_process", environment, tell)]
    if plan.console is not None:
        problem = console_start.problem(plan.console)
        if problem is not None:
            tell(problem)
        else:
            found.append(Child("console", "comporta.app.console_process", environment, tell))
    return found


async def _run_children(
    folder: Folder, plan: Plan, environment: Mapping[str, str], welcome: str, stop: Stop, tell: Callable[[str], None]
) -> None:
    metrics.clear(folder.metrics)
    gate = Child("gate", "comporta.app.gate_process", environment, tell)
    beside: list[Child] = []
    keeping = [asyncio.create_task(gate.keep())]
    try:
        if await _ready(plan.url, stop.asked):
            tell(welcome)
            # Only now: beside the gate they would make the first answer wait, on a machine with few cores.
            beside = _beside(plan, environment, tell)
            keeping += [asyncio.create_task(child.keep()) for child in beside]
        await stop.asked.wait()
        tell(f"Stopping: calls that run get {plan.drain_s:g} s to finish; a second Ctrl-C or SIGTERM ends them now.")
    finally:
        await gate.stop(plan.drain_s + _SLACK_S, stop.hurry)
        await asyncio.gather(*(child.stop(_JOBS_S, stop.hurry) for child in beside))
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


def _environment(folder: Folder, places: Places, plan: Plan, address: str, dsn: str) -> Mapping[str, str]:
    """What the children read."""
    return {
        **os.environ,
        "COMPORTA_DATA": str(folder.path),
        "COMPORTA_CONFIG": str(places.config or ""),
        "COMPORTA_HOST": address,
        "COMPORTA_PORT": str(plan.port),
        "COMPORTA_WORKERS": str(plan.workers),
        "COMPORTA_DRAIN": str(plan.drain_s),
        "COMPORTA_DATABASE_DSN": dsn,
        "COMPORTA_CONSOLE_HOST": plan.console.host if plan.console else "",
        "COMPORTA_CONSOLE_PORT": str(plan.console.port) if plan.console else "",
    }


async def _ready(url: str, stop: asyncio.Event) -> bool:
    """Whether the gate answered; False when it was stopped before."""
    deadline_s = asyncio.get_running_loop().time() + _START_LIMIT_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while asyncio.get_running_loop().time() < deadline_s:
            if stop.is_set():
                return False
            try:
                async with session.get(f"{url}/health/ready") as response:
                    if response.status == 200:
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.03)
    raise ComportaError(
        f"The gate did not answer at {url} within {_START_LIMIT_S:g} s; see what it said above.", code="start_failed"
    )


def banner(url: str, admin_key: str, folder: Folder, console: str = "") -> str:
    """What a newcomer needs: the base URL, the key, and a line to paste."""
    return f"""
Comporta is open.

  OpenAI SDK      base_url="{url}/v1"
  Anthropic SDK   base_url="{url}"
  Admin key       {admin_key}
                  (also in {folder.admin_key}, mode 600)
  Admin API       {url}/admin/docs
{console}
Try it:

  curl -s {url}/v1/chat/completions -H "Authorization: Bearer {admin_key}" -H "Content-Type: application/json" \\
    -d '{{"model": "default", "messages": [{{"role": "system", "content": "Comporta is Portuguese for sluice gate. \
A gate lets water through in measure."}}, {{"role": "user", "content": "What does Comporta mean?"}}]}}'

Ctrl-C stops everything."""


def print_line(text: str) -> None:
    """`tell` for a terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
