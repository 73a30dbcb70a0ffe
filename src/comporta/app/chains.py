"""Chains as a gate has them: read from the folder beside the configuration, or a program's own; asked as models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from comporta.app.on_behalf import bound, guard_as, keep_no_more
from comporta.app.settings import Settings
from comporta.chains.checks import checked_in_python
from comporta.chains.folder import Survey, chain_files, survey
from comporta.chains.graph import tangles
from comporta.chains.running import PROVIDER, Run
from comporta.chains.steps import Found, Tools
from comporta.chains.values import Chain, StepResult, steps_of
from comporta.config.loading import Loaded
from comporta.config.tree import Path as Place
from comporta.errors import Conflict, NotFound
from comporta.gateway.asking import Streamed, ask
from comporta.gateway.attempt import Reached
from comporta.gateway.fallback import GIVEN_S
from comporta.gateway.prompting import want_guards
from comporta.gateway.reach import wrong_params
from comporta.pipeline import Call, Next
from comporta.prompts.refs import label_of
from comporta.prompts.registry import Registry
from comporta.providers.base import Query
from comporta.providers.catalogue import Catalogue, ModelFacts
from comporta.providers.composed import ComposedModel
from comporta.providers.credentials import Credentials
from comporta.providers.directory import Provider, Timeouts
from comporta.providers.rows import Row
from comporta.routing.choose import Route, Variant
from comporta.telemetry.capture import Mode
from comporta.types import Price, PromptRef, Reply, Usage

#: The folder beside the configuration, where no other is named.
FOLDER = "chains"
_ROW = Row(name=PROVIDER, wire=PROVIDER, title="Chains", needs_key=False, local=True)
#: What a chain costs beside its steps.
_FREE = ModelFacts(price=Price(input=0, output=0))

#: The chains that a name of a route or model leads to.
Leads = Callable[[str], Iterable[str]]


def folder_of(loaded: Loaded[Settings]) -> Path | None:
    """Where chain files are; None where nobody named a folder and the usual one is not there."""
    named = loaded.value.chains.folder
    if named is not None:
        return loaded.folder / named
    usual = loaded.folder / FOLDER
    return usual if usual.is_dir() else None


class Chained(Struct, frozen=True):
    """The chains of a moment, those of the program's own among them."""

    chains: Mapping[str, Chain] = {}
    survey: Survey = Survey()
    model: ComposedModel[Chain] | None = None

    def routes(self) -> dict[str, Route]:
        """The names that chains are asked for by."""
        return {
            chain.model_name: Route(chain.model_name, (Variant(chain.model_name, PROVIDER, name),))
            for name, chain in self.chains.items()
        }

    def provider(self, catalogue: Catalogue) -> Provider:
        """What stands where a provider would. Its own time limits are the chains'."""
        assert self.model is not None, "chains that are asked have a model"
        return Provider(
            name=PROVIDER, row=_ROW, speaks=self.model, base_url="", credentials=Credentials((), {}),
            timeouts=Timeouts(), headers={}, options={}, models=(), catalogue=catalogue,
            overrides=dict.fromkeys(self.chains, _FREE),
        )  # fmt: skip

    def mistakes(self, leads: Leads) -> Iterator[str]:
        """What is wrong in files, and what is wrong between chains and routes."""
        yield from map(str, sorted(self.survey.mistakes, key=lambda one: one.place))
        for chain, text, path in tangles(self.chains, leads):
            yield self._told(chain, text, path)
        for chain in self.chains.values():
            for step in steps_of(chain):
                yield from (self._told(chain, f"step '{step.name}': {why}", ()) for why in wrong_params(step.params))

    def _told(self, chain: Chain, text: str, path: Place) -> str:
        read = self.survey.of(chain)
        return f"chain '{chain.name}' {text}" if read is None else str(read.mistake(path, text))


#: A configuration without chains.
NO_CHAINS = Chained()


def read_chains(loaded: Loaded[Settings]) -> Chained:
    """The chains of a configuration that is checked and not served."""
    return Chaining(_nowhere, None).read(loaded)


def _nowhere() -> Next:
    raise AssertionError("chains that are only checked ask nobody")


def _all(route: str) -> Mode:
    return "full"


class Chaining:
    """The chains of one gate. `pipeline` is what calls go through, `registry` knows the prompts (None: none).

    `mode_of` says how much a route's records keep: of the steps of its chain no more is kept.
    """

    def __init__(
        self, pipeline: Callable[[], Next], registry: Registry | None, mode_of: Callable[[str], Mode] = _all
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._mode_of = mode_of
        #: Those of this program, by name.
        self._own: dict[str, Chain] = {}
        self._now = Chained()
        tools = Tools(self._ask, self._stream, self._prompt, want_guards, self._made)

        def begin(chain: Chain, call: Call, query: Query, total_s: float, depth: int) -> Run:
            return Run(chain, call, query, tools, total_s, depth)

        self.model = ComposedModel[Chain](PROVIDER, lambda: self._now.chains, begin, "chain_too_deep")

    # ---- which there are ----

    def read(self, loaded: Loaded[Settings]) -> Chained:
        """Those of a configuration's folder, and the program's own."""
        folder = folder_of(loaded)
        return self._with_own(Survey() if folder is None else survey(folder))

    def _with_own(self, found: Survey, more: Mapping[str, Chain] | None = None) -> Chained:
        chains = {read.chain.name: read.chain for read in found.reads}
        return Chained({**self._own, **(more or {}), **chains}, found, self.model)

    def take(self, chained: Chained) -> None:
        """Put these in force; what runs finishes on what it began with."""
        self._now = chained

    def adding(self, chain: Chain) -> tuple[Chain, Chained]:
        """One more, of the program's own, in place of its one of that name: what there would be then.

        Raises BadRequest, Conflict.
        """
        for read in self._now.survey.reads:
            if read.chain.name == chain.name:
                raise Conflict(f"The chain '{chain.name}' stands in {read.tree.place.file}.", param="name")
        whole = checked_in_python(chain)
        return whole, self._with_own(self._now.survey, {whole.name: whole})

    def keep(self, chain: Chain, chained: Chained) -> None:
        """Put it in force, also through reloads."""
        self._own[chain.name] = chain
        self.take(chained)

    def get(self, name: str) -> Chain:
        """Raises NotFound."""
        found = self._now.chains.get(name)
        if found is None:
            raise NotFound(f"There is no chain '{name}'.", code="model_not_found")
        return found

    @staticmethod
    def files(loaded: Loaded[Settings]) -> list[Path]:
        """What to watch: the files, and in their folder one that is not there, so that new ones are seen."""
        folder = folder_of(loaded)
        if folder is None:
            return [loaded.folder / FOLDER]
        return [*chain_files(folder), folder / os.devnull.strip("/")]

    # ---- asking ----

    def bound(self, call: Call, reached: Reached) -> Reached:
        """A chain's step upstream: bound to its call, which keeps its time itself."""
        return bound(self.model, call, reached)

    async def _ask(self, call: Call, within_s: float) -> Reply:
        call.facts[GIVEN_S] = within_s
        return await ask(self._pipeline(), call)

    def _stream(self, call: Call, within_s: float) -> Streamed:
        call.facts[GIVEN_S] = within_s
        return Streamed(self._pipeline(), call)

    def _made(self, parent: Call, child: Call) -> None:
        """What holds for the call of a chain holds for its steps."""
        keep_no_more(parent, child, self._mode_of)
        guard_as(parent, child)

    async def _prompt(self, reference: PromptRef, environment: str | None) -> Found:
        registry = self._registry
        if registry is None:
            raise NotFound(f"There is no prompt '{reference.id}': there is no registry.", code="prompt_not_found")
        prompt = registry.resolve(reference, environment) or await registry.fetch(reference, environment)
        label = label_of(reference, environment)
        moved = None if label is None else registry.label(prompt.id, label)
        tags = dict(moved.tags) if moved is not None and moved.version == prompt.version else None
        return Found(prompt, label, tags)


class Ran(Struct, frozen=True):
    """What a chain came to. `cost_microusd` None is unknown; `steps` are in the order in which they ended."""

    text: str
    outputs: Mapping[str, Any]
    steps: tuple[StepResult, ...]
    usage: Usage | None
    cost_microusd: int | None
    call_id: str
    latency_s: float


class Runner:
    """A chain in a program: `await gate.chain("triage").run("My invoice is wrong", customer="Ana")`."""

    def __init__(self, chain: Chain, make: Callable[..., Call], pipeline: Next) -> None:
        self.chain = chain
        self._make = make
        self._pipeline = pipeline

    async def run(
        self, input: str = "", variables: Mapping[str, Any] | None = None, *, timeout_s: float | None = None,
        **more: Any,
    ) -> Ran:  # fmt: skip
        """Run it to its end. Raises ComportaError that names the step; its `details` hold what came before."""
        call = self._call(input, {**(variables or {}), **more}, timeout_s)
        reply = await ask(self._pipeline, call)
        run: Run = call.facts[PROVIDER]
        return Ran(
            reply.text, run.outputs, tuple(run.results), call.usage, call.cost_microusd, call.id, call.latency_s
        )  # fmt: skip

    def stream(
        self, input: str = "", variables: Mapping[str, Any] | None = None, *, timeout_s: float | None = None,
        **more: Any,
    ) -> Streamed:  # fmt: skip
        """The answer as it comes: `async for event in …`."""
        return Streamed(self._pipeline, self._call(input, {**(variables or {}), **more}, timeout_s, stream=True))

    def _call(self, input: str, variables: Mapping[str, Any], timeout_s: float | None, **params: Any) -> Call:
        given = {"variables": variables} if variables else {}
        return self._make(input, self.chain.model_name, timeout_s=timeout_s, **given, **params)
