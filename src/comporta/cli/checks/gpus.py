"""The GPUs that nvidia-smi lists."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from msgspec import Struct

_COMMAND = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
_LIMIT_S = 5.0


class Gpu(Struct, frozen=True):
    """One card; sizes in bytes."""

    name: str
    total: int
    free: int


async def read_gpus() -> list[Gpu]:
    """None where there is no nvidia-smi, or it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return []
    try:
        async with asyncio.timeout(_LIMIT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return []
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
                await process.wait()
    return list(parse_gpus(output.decode(errors="replace"))) if process.returncode == 0 else []


def parse_gpus(text: str) -> Iterator[Gpu]:
    """Lines of name, total and free in MiB; others (`[N/A]` on some cards) are left out."""
    for line in text.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 2)]
        if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
            yield Gpu(parts[0], int(parts[1]) * 1024**2, int(parts[2]) * 1024**2)
