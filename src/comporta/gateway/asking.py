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
        await call.close_events()
        call.end(error)


class Streamed:
    """The events of a call as they come; leaving the loop early, or `aclose`, cancels the call.

    An `async for` over it needs nothing more; its record is written when the last event has been taken.
    """

    def __init__(self, pipeline: Next, call: Call) -> None:
        self._pipeline = pipeline
        self._events: AsyncIterator[Event] | None = None
        self.call = call

    def __aiter__(self) -> Streamed:
        return self

    async def __anext__(self) -> Event:
        try:
            if self._events is None:
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
        await self.call.close_events()
        self.call.end(error)


def _fault(failure: BaseException) -> ComportaError:
    return ComportaError(f"Something failed inside the gate: {type(failure).__name__}.")
