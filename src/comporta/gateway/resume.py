"""`on_cut: resume`: a stream that breaks off after its first content goes on, if it can be verified (WIRE 2).

The call is asked again, at the next variant first. What equals the text already delivered is swallowed, and the stream
goes on at the first new token. Where the answers part ways, a model that can continue a given beginning is asked to.
Else the stream ends visibly with the first failure. Only plain text of a single choice is resumed: a tool call or a
thought that was cut can't be compared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import structs

from comporta.errors import ComportaError, UpstreamCut, UpstreamError, UpstreamTimeout
from comporta.gateway.first import begun
from comporta.pipeline import Call, Next
from comporta.types import Delta, Event, Message, Target, Text


def breaks(error: ComportaError) -> bool:
    """Whether an answer broke off: cut, or silent for too long in its middle."""
    return isinstance(error, UpstreamCut) or (isinstance(error, UpstreamTimeout) and error.code == "idle_timeout")


class Resumed:
    """An answer that is taken up again when it breaks off.

    `others` are asked the same again, one after another; `continuers` are asked to go on from what was delivered, once
    an answer parted ways with it.
    """

    def __init__(
        self, events: AsyncIterator[Event], call: Call, next: Next, others: list[Target], continuers: list[Target]
    ) -> None:
        self._events = events
        self._call = call
        self._next = next
        self._others = others
        self._continuers = continuers
        self._failure: UpstreamError | None = None
        self._said: list[str] = []
        self._plain = True
        #: What was delivered already and must come again before anything new.
        self._expected = ""
        #: A fresh answer's first frames say nothing new, and blank space that was delivered is not repeated.
        self._fresh = False
        self._strip = False

    def __aiter__(self) -> Resumed:
        return self

    async def __anext__(self) -> Event:
        while True:
            try:
                event = self._checked(await self._events.__anext__())
            except UpstreamError as error:
                self._failure = self._failure or error
                if not await self._again(error):
                    raise self._failure from None
                continue
            except StopAsyncIteration:
                if self._expected:
                    raise self._failure or UpstreamCut("The answer, asked again, is shorter.") from None
                raise
            if event is not None:
                self._note(event)
                return event

    async def aclose(self) -> None:
        aclose = getattr(self._events, "aclose", None)
        if aclose is not None:
            await aclose()

    def _note(self, event: Event) -> None:
        for delta in event.deltas:
            self._said.append(delta.text)
            other = delta.tools or delta.reasoning or delta.refusal or delta.logprobs or delta.finish or delta.index
            self._plain = self._plain and not other

    def _checked(self, event: Event) -> Event | None:
        """An event of an answer asked again: what was delivered is swallowed. Raises _PartedWays where it differs."""
        if not self._expected:
            return self._first(event) if self._fresh else event
        text = "".join(delta.text for delta in event.deltas)
        if not (self._expected.startswith(text) or text.startswith(self._expected)):
            raise _PartedWays("The answer, asked again, is another one.")
        new = text[len(self._expected) :]
        self._expected = self._expected[len(text) :]
        finish = event.deltas[-1].finish if event.deltas else None
        if self._expected and finish:
            raise _PartedWays("The answer, asked again, is a shorter one.")
        self._fresh = False
        return event.edit(deltas=(Delta(text=new, finish=finish),)) if new or finish else None

    def _first(self, event: Event) -> Event | None:
        """The first frame of a continuation that has content; blank space that was delivered is taken off it."""
        if not event.meaningful:
            return None
        text = event.deltas[0].text if event.deltas else ""
        if not (self._strip and text[:1].isspace()):
            self._fresh = False
            return event
        text = text.lstrip()
        self._fresh = not text
        return event.edit(deltas=(structs.replace(event.deltas[0], text=text), *event.deltas[1:])) if text else None

    async def _again(self, error: UpstreamError) -> bool:
        """Open the answer anew; False where it can't be taken up, or nobody is left to ask."""
        said = "".join(self._said)
        parted = isinstance(error, _PartedWays)
        if not (self._plain and said and (parted or breaks(error))):
            return False
        # What goes on saying something else is not wanted, and paid for.
        await self.aclose()
        waiting = self._continuers if parted else self._others
        while waiting:
            if await self._open(waiting.pop(0), said, parted):
                return True
        return False

    async def _open(self, target: Target, said: str, continued: bool) -> bool:
        call = self._call
        call.target, call.retries = target, call.retries + 1
        given = call.input
        if continued:
            beginning = Message("assistant", (Text(said.rstrip()),))
            call.input = given.edit(messages=(*given.messages, beginning))
        try:
            self._events = await begun(await self._next(call))
        except ComportaError:
            return False
        finally:
            call.input = given
        self._expected = "" if continued else said
        self._fresh = True
        self._strip = said != said.rstrip()
        return True


class _PartedWays(UpstreamError):
    """The answer asked again differs from what was delivered."""

    code = "answers_differ"


def resumable(call: Call) -> bool:
    """Whether an answer to this call can be taken up again at all."""
    given = call.input
    return call.stream and call.kind == "chat" and given.n == 1 and not given.tools and not given.logprobs
