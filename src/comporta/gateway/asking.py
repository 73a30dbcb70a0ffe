"""A call without HTTP: what in-process use and the rooms that must ask a model themselves go through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from comporta.errors import ClientGone, ComportaError
from comporta.gateway.first import begun
from comporta.pipeline import Call, Next, collect
from comporta.types import Event, Reply


async def ask(pipeline: Next, call: Call) -> Reply:
    """The whole reply. Raises the ComportaError that ended the call; the record is written either way."""
    error: ComportaError | None = None
    try:
        return await collect(await begun(await pipeline(call)))
    except ComportaError as failure:
        error = failure
        raise
    except asyncio.CancelledError:
        error = ClientGone("The call was cancelled.")
        raise
    except Exception as failure:
        error = _fault(failure)
        raise
    finally:
        await _ended(call, error)


class Streamed:
    """The events of a call as they come; leaving the loop early, or `aclose`, cancels the call.

    An `async for` over it needs nothing more; its record is written when the last event has been taken.
    """

    def __init__(self, pipeline: Next, call: Call) -> None:
        self._pipeline = pipeline
        self._events: AsyncIterator[Event] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.call = call

    def __del__(self) -> None:
        # `break` in an `async for` closes nothing: what was left is ended here, or its upstream would write on.
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            left = ClientGone("The stream was left before its end.")
            loop.call_soon_threadsafe(_end_soon, self.call, left)

    def __aiter__(self) -> Streamed:
        return self

    async def __anext__(self) -> Event:
        try:
            if self._events is None:
                self._loop = asyncio.get_running_loop()
                self._events = await begun(await self._pipeline(self.call))
            return await self._events.__anext__()
        except StopAsyncIteration:
            await self._end(None)
            raise
        except ComportaError as error:
            await self._end(error)
            raise
        except BaseException as failure:
            gone = isinstance(failure, asyncio.CancelledError)
            await self._end(ClientGone("The call was cancelled.") if gone else _fault(failure))
            raise

    async def aclose(self) -> None:
        """Cancel what still runs. Safe to call again."""
        await self._end(ClientGone("The stream was closed before its end."))

    async def __aenter__(self) -> Streamed:
        return self

    async def __aexit__(self, *ending: object) -> None:
        await self.aclose()

    async def _end(self, error: ComportaError | None) -> None:
        self._loop = None
        await _ended(self.call, error)


async def _ended(call: Call, error: ComportaError | None) -> None:
    """Close the layers and run the endings, whatever a layer's closing raises."""
    try:
        await call.close_events()
    finally:
        call.end(error)


#: Tasks need a reference while they run (asyncio keeps weak ones only).
_ENDING: set[asyncio.Task[None]] = set()


def _end_soon(call: Call, error: ComportaError) -> None:
    task = asyncio.get_running_loop().create_task(_ended(call, error))
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


def _fault(failure: BaseException) -> ComportaError:
    return ComportaError(f"Something failed inside the gate: {type(failure).__name__}.")
