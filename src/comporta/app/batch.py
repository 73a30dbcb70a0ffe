"""Many calls at once from a program: bounded, in order, with a progress bar where somebody is looking."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from comporta.errors import BadRequest, ComportaError

Item = TypeVar("Item")
Result = TypeVar("Result")


async def batch(
    one: Callable[[Item], Awaitable[Result]], items: Sequence[Item], concurrency: int, progress: bool
) -> list[Result | ComportaError]:
    """Results in the order of the items, at most `concurrency` under way; a failure stands in its place.

    Raises BadRequest for a concurrency below 1.
    """
    if concurrency < 1:
        raise BadRequest("concurrency must be at least 1.", param="concurrency")
    free = asyncio.Semaphore(concurrency)
    with _bar(len(items), progress) as done:

        async def run(item: Item) -> Result | ComportaError:
            async with free:
                try:
                    return await one(item)
                except ComportaError as error:
                    return error
                except Exception as failure:
                    # A fault of ours in one call must not sink the rest either, nor leave them running unwatched.
                    return _fault(failure)
                finally:
                    done()

        return list(await asyncio.gather(*(run(item) for item in items)))


def _fault(failure: Exception) -> ComportaError:
    error = ComportaError(f"Something failed inside the gate: {type(failure).__name__}.")
    error.__cause__ = failure
    return error


@contextlib.contextmanager
def _bar(total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; nothing in a pipe or a log."""
    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("calls"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("calls", total=total)
        yield lambda: bar.advance(task)
