"""`comporta.open`: a gate inside a Python program, without a server: same stages, same records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from comporta.app.folder import Folder
from comporta.app.gate import Gate
from comporta.app.loaded import Places, load_settings
from comporta.app.serve import database, prepare
from comporta.config.loading import find


@contextlib.asynccontextmanager
async def open(config: str | Path | None = None, *, data: str | Path | None = None) -> AsyncIterator[Gate]:
    """A gate for the length of the block.

    `config` is a file, else `COMPORTA_CONFIG`, else `comporta.yaml` here, else what the environment has keys for.
    `data` is the data folder, else `COMPORTA_DATA`, else `.comporta`; it is held exclusively, since limits are counted
    in this process: a folder that a running gate holds is refused.

    Raises ConfigError with a line per mistake, ComportaError for a folder that can't be used.
    """
    folder = Folder(Path(data or os.environ.get("COMPORTA_DATA") or ".comporta"))
    path = Path(config) if config is not None else find(os.environ)
    loaded = load_settings(Places(path, folder), os.environ)
    folder.make()
    with folder.held():
        async with database(folder, loaded.value, _quiet) as dsn:
            await prepare(folder, dsn)
            gate = Gate(folder, loaded, dsn)
            await gate.open()
            try:
                yield gate
            finally:
                await gate.close()


def _quiet(text: str) -> None:
    """What a server says while it starts is nothing to a program."""
