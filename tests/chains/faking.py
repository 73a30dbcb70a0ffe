"""Models that answer by script, for chains that run without a gate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from comporta.chains.running import PROVIDER, Run
from comporta.chains.steps import Found, Tools
from comporta.chains.values import Chain
from comporta.errors import ClientGone, ComportaError, NotFound
from comporta.pipeline import Call, collect
from comporta.prompts.prompt import Prompt
from comporta.providers.base import Endpoint, Query
from comporta.providers.composed import ComposedModel
from comporta.types import Caller, Choice, Delta, Event, Input, Message, PromptRef, Reply, Target, Text, Usage

Said = str | Exception | Callable[[Call], str]
USAGE = Usage(input=10, output=5)


class Models:
    """Each model answers with what comes next of what it is told, the last again and again; `{}` echoes.

    Every answer costs 100 micro-dollars and USAGE. `slow` models never answer.
    """

    def __init__(self, **told: Said | list[Said]) -> None:
        self._told: dict[str, list[Said]] = {
            name: [*said] if isinstance(said, list) else [said] for name, said in told.items()
        }
        self.calls: list[Call] = []
        self.left: list[str] = []
        self.prompts: dict[str, Prompt] = {}
        self.found: list[tuple[PromptRef, str | None]] = []
        self.within_s: list[float] = []
        self.guarded: list[tuple[str, str]] = []

    @property
    def tools(self) -> Tools:
        return Tools(self.ask, self.stream, self.prompt, self.guard, lambda parent, child: None)

    @property
    def asked(self) -> list[str]:
        """What was asked, in order: `model: last message`."""
        return [f"{call.model}: {call.input.messages[-1].text}" for call in self.calls]

    async def prompt(self, reference: PromptRef, environment: str | None) -> Found:
        self.found.append((reference, environment))
        if reference.id not in self.prompts:
            raise NotFound(f"There is no prompt '{reference.id}'.", code="prompt_not_found")
        return Found(self.prompts[reference.id], "production", {"commit_sha": "abc"})

    def guard(self, call: Call, prompt: Prompt) -> None:
        self.guarded.append((call.model, prompt.label))

    async def ask(self, call: Call, within_s: float) -> Reply:
        text = await self._say(call, within_s)
        return Reply(choices=(Choice(0, text=text, finish="stop"),), usage=USAGE)

    def stream(self, call: Call, within_s: float) -> Stream:
        return Stream(self, call, within_s)

    async def _say(self, call: Call, within_s: float) -> str:
        self.calls.append(call)
        self.within_s.append(within_s)
        if call.model == "slow":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.left.append(call.model)
                raise
        await asyncio.sleep(0)
        said = self._told.setdefault(call.model, ["{}"])
        one = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(one, Exception):
            raise one
        call.usage, call.cost_microusd = USAGE, 100
        text: str = one if isinstance(one, str) else one(call)
        return text.replace("{}", call.input.messages[-1].text)


class Stream:
    """An answer word by word, its usage at the end."""

    def __init__(self, models: Models, call: Call, within_s: float) -> None:
        self.call = call
        self._models = models
        self._within_s = within_s
        self._events: AsyncIterator[Event] | None = None
        self.closed = False

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        if self._events is None:
            text = await self._models._say(self.call, self._within_s)
            self._events = self._words(text)
        return await self._events.__anext__()

    async def _words(self, text: str) -> AsyncIterator[Event]:
        if not self.call.stream:
            yield Event(deltas=(Delta(text=text, finish="stop"),), usage=USAGE, whole=True, last=True)
            return
        for word in text.split():
            if word == "BREAK":
                raise ComportaError("Broken off.", code="upstream_cut", status=502)
            if word == "HANG":
                await asyncio.Event().wait()
            yield Event(deltas=(Delta(text=f"{word} "),))
        yield Event(deltas=(Delta(finish="stop"),), usage=USAGE, last=True)

    async def aclose(self) -> None:
        self.closed = True
        if self._events is not None and not self.call.ended:
            self._models.left.append(self.call.model)
        self.call.end(ClientGone("closed"))


def asking(text: str = "Hello", *, stream: bool = False, depth: int = 0, **fields: Any) -> Call:
    """A call of a chain."""
    history = fields.pop("history", ())
    caller = Caller("key", environment="staging", allow=("chain:*",))
    asked = Input(messages=(*history, Message("user", (Text(text),))), **fields)
    call = Call(kind="chat", input=asked, model="chain:c", caller=caller, stream=stream, depth=depth, user="ana",
                session="s1", tags={"team": "x"})  # fmt: skip
    call.target = Target("chain:c", "chain:c", "chain", "c")
    return call


def events(
    chain: Chain, models: Models, call: Call, total_s: float = 10.0, others: Sequence[Chain] = ()
) -> AsyncIterator[Event]:
    """The events of a chain's answer."""
    query = Query(kind=call.kind, input=call.input, model=chain.name, stream=call.stream)
    chains = {one.name: one for one in (chain, *others)}

    def begin(chain: Chain, call: Call, query: Query, total_s: float, depth: int) -> Run:
        return Run(chain, call, query, models.tools, total_s, depth)

    model = ComposedModel[Chain](PROVIDER, lambda: chains, begin, "chain_too_deep")
    return model.of(call, total_s).answer(query, Endpoint(PROVIDER, ""))


async def run(chain: Chain, models: Models, call: Call | None = None, total_s: float = 10.0) -> Reply:
    """The whole answer; the call is ended as a door ends it."""
    call = call or asking()
    error: ComportaError | None = None
    try:
        return await collect(events(chain, models, call, total_s))
    except ComportaError as failure:
        error = failure
        raise
    finally:
        call.end(error)
