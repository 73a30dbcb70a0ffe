"""The console's process: its pages over the same database, and the gate over loopback for all that changes anything."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog
import uvicorn

from comporta import __version__
from comporta.app.collector import collect_in_parts, keep_giving_back, leave_what_is_loaded
from comporta.app.console_start import listening
from comporta.app.folder import Folder
from comporta.app.loaded import Places, load_settings, once_it_holds
from comporta.app.loopback import Loopback
from comporta.app.process import PARENT, die_with_parent
from comporta.console.pages.every import PAGES
from comporta.console.settings import ConsoleSection
from comporta.console.site import Site
from comporta.console.teams import TeamDatabases
from comporta.console.view import Around, Finding
from comporta.errors import ComportaError
from comporta.providers.catalogue import Catalogue
from comporta.store.database import Database
from comporta.telemetry import logs

_POOL = 6
_NICE = 5
_DOCTOR_S = 30.0
_END_WITHIN_S = 3

log = structlog.get_logger("comporta.console")


def main() -> None:
    """Run until SIGTERM. Reads what `serve` put into the environment."""
    die_with_parent(parent=int(os.environ[PARENT]))
    # Calls come first: where the machine is busy, a page waits and no call does.
    os.nice(_NICE)
    environment = os.environ
    folder = Folder(Path(environment["COMPORTA_DATA"]))
    places = Places(Path(config) if (config := environment["COMPORTA_CONFIG"]) else None, folder)
    loaded = once_it_holds("console", lambda: load_settings(places, environment))
    settings = listening(loaded.value.console, environment)
    logs.configure(loaded.value.logging.level, loaded.value.logging.format)
    asyncio.run(_run(folder, settings, environment))
    os._exit(0)


async def _run(folder: Folder, settings: ConsoleSection, environment: Mapping[str, str]) -> None:
    gate = Loopback(folder)
    async with Database(environment["COMPORTA_DATABASE_DSN"], max_size=_POOL) as database:
        narrow = TeamDatabases(database.dsn)
        around = Around(database, narrow, gate, Doctor(environment), __version__, Catalogue.shipped())
        site = Site(around, settings, PAGES)
        server = uvicorn.Server(
            uvicorn.Config(
                site.app(),
                host=settings.host,
                port=settings.port,
                log_config=None,
                log_level="warning",
                access_log=False,
                ws="wsproto",
                server_header=False,
                timeout_graceful_shutdown=_END_WITHIN_S,
                lifespan="on",
            )
        )
        leave_what_is_loaded()
        collect_in_parts()
        tidying = asyncio.create_task(keep_giving_back())
        try:
            await server.serve()
        finally:
            tidying.cancel()
            await gate.close()
            await narrow.close()


class Doctor:
    """Runs `comporta doctor` as its own process: it may hang, load models, and take seconds."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def __call__(self) -> list[Finding]:
        """What it found. Raises ComportaError where it did not come to an end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "comporta.cli.main", "doctor", "--json", env=dict(self._environment),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_DOCTOR_S):
                told, _ = await process.communicate()
            return msgspec.json.decode(told, type=list[Finding])
        except (TimeoutError, msgspec.MsgspecError) as error:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            raise ComportaError(
                f"`comporta doctor` gave no answer ({type(error).__name__}); run it in a terminal.", code="doctor"
            ) from None


if __name__ == "__main__":
    main()
