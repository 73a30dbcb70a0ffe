"""Ensembles as a gate has them: read from routes, or a program's own; what their members take over from the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from msgspec import Struct, structs
from pydantic import ValidationError

from comporta.app.guarding import PROMPT_GUARDS, UNGUARDED
from comporta.app.on_behalf import bound, guard_as, keep_no_more
from comporta.app.settings import Settings
from comporta.app.telemetry import Telemetry
from comporta.config.loading import Loaded
from comporta.embedding.base import Embedder
from comporta.errors import BadRequest
from comporta.evaluation import jsonpath
from comporta.gateway.admission import COVERED, admitted
from comporta.gateway.asking import Streamed
from comporta.gateway.attempt import Reached
from comporta.gateway.ensemble.asking import Tools
from comporta.gateway.ensemble.running import Run
from comporta.gateway.reach import wrong_params
from comporta.pipeline import Call, Next
from comporta.prompts.refs import ref_of
from comporta.providers.base import Query
from comporta.providers.catalogue import Catalogue, ModelFacts
from comporta.providers.composed import ComposedModel
from comporta.providers.credentials import Credentials
from comporta.providers.directory import Provider, Timeouts
from comporta.providers.rows import Row
from comporta.routing.choose import Route, Variant
from comporta.routing.ensemble.plan import PROVIDER, Ensemble, ensemble_of
from comporta.routing.ensemble.settings import EnsembleSection
from comporta.routing.settings import VariantSection
from comporta.types import JSON, Price

_ROW = Row(name=PROVIDER, wire=PROVIDER, title="Ensembles", needs_key=False, local=True)
#: What an ensemble costs beside its members.
_FREE = ModelFacts(price=Price(input=0, output=0))
_UNNAMED = "ensemble"
#: In a parent's facts: a judge was asked with the money that is held for one.
_JUDGED = "ensemble_judged"

#: Whether a name can be asked for.
Leads = Callable[[str], bool]
Path = tuple[str | int, ...]


class Ensembled(Struct, frozen=True):
    """The ensembles of a moment by the name they are asked for by, those of the program's own among them."""

    own: Mapping[str, Ensemble] = {}
    model: ComposedModel[Ensemble] | None = None

    def all(self, settings: Settings) -> dict[str, Ensemble]:
        """Those of the routes, and the program's own."""
        found = dict(self.own)
        for route, section in settings.routes.items():
            for given in section.variants:
                if given.ensemble is not None:
                    key = key_of(route, given)
                    found[key] = ensemble_of(key, given.ensemble)
        return found

    def routes(self) -> dict[str, Route]:
        """The names that the program's own are asked for by."""
        return {name: Route(name, (Variant(name, PROVIDER, name),)) for name in self.own}

    def put_in(
        self, loaded: Loaded[Settings], providers: dict[str, Provider], catalogue: Catalogue, wrong: list[str]
    ) -> dict[str, Ensemble]:
        """All ensembles of a configuration; where there are some, what stands where their provider would is put in."""
        found = self.all(loaded.value)
        if found:
            if PROVIDER in providers:
                path = ("providers", PROVIDER)
                wrong.append(loaded.mistake(path, "has the name that ensembles are asked by; take another"))
            providers[PROVIDER] = self._provider(catalogue, found)
        return found

    def _provider(self, catalogue: Catalogue, ensembles: Mapping[str, Ensemble]) -> Provider:
        """Where nothing is asked (a check) it speaks to nobody."""
        model = self.model or ComposedModel[Ensemble](PROVIDER, dict, _nobody, "ensemble_too_deep")
        return Provider(
            name=PROVIDER, row=_ROW, speaks=model, base_url="", credentials=Credentials((), {}), timeouts=Timeouts(),
            headers={}, options={}, models=(), catalogue=catalogue, overrides=dict.fromkeys(ensembles, _FREE),
        )  # fmt: skip


def _nobody(*_: Any) -> Any:
    raise AssertionError("ensembles that are only checked ask nobody")


#: A program without ensembles of its own.
NO_ENSEMBLES = Ensembled()


def key_of(route: str, given: VariantSection) -> str:
    """The name under which a route's ensemble is asked at its provider."""
    return f"{route}/{given.name or _UNNAMED}"


def variant_of(route: str, given: VariantSection) -> Variant:
    """The variant that asks an ensemble."""
    prompt = None if given.prompt is None else ref_of(given.prompt)
    name = given.name or ":".join(one for one in (given.prompt, _UNNAMED) if one)
    return Variant(name, PROVIDER, key_of(route, given), given.weight, given.params, prompt)


def mistakes(
    loaded: Loaded[Settings], ensembles: Mapping[str, Ensemble], routes: Mapping[str, Route], leads: Leads
) -> Iterator[str]:
    """What is wrong with the ensembles of routes, each mistake with its place."""
    for route, section in loaded.value.routes.items():
        seen: set[str] = set()
        for at, given in enumerate(section.variants):
            if given.ensemble is None:
                continue
            path = ("routes", route, "variants", at, "ensemble")
            key = key_of(route, given)
            if key in seen:
                yield loaded.mistake(path, "is the second one of this name in its route: give each variant a `name`")
            seen.add(key)
            for below, text in wrong_in(given.ensemble, leads):
                yield loaded.mistake((*path, *below), text)
            if _asks_itself(key, ensembles, routes):
                yield loaded.mistake(path, "asks itself: one of its members leads back to it")


def wrong_in(section: EnsembleSection, leads: Leads) -> Iterator[tuple[Path, str]]:
    """What is wrong in an ensemble, and where: names of models, parameters, the field."""
    for at, member in enumerate(section.members):
        if not leads(member.model):
            yield ("members", at), _unknown(member.model)
        yield from ((("members", at), text) for text in wrong_params(member.params))
    for name in ("judge", "embedder"):
        value = getattr(section, name)
        if value is not None and not leads(value):
            yield (name,), _unknown(value)
    if section.field is not None:
        try:
            jsonpath.parse(section.field)
        except ValueError as error:
            yield ("field",), str(error)


def _unknown(name: str) -> str:
    return f"'{name}' is neither `provider/model`, nor a route, nor a model under `models`"


def _asks_itself(key: str, ensembles: Mapping[str, Ensemble], routes: Mapping[str, Route]) -> bool:
    """Whether a name that it asks leads back to it, by whatever way."""
    waiting, seen = list(ensembles[key].models()), set[str]()
    while waiting:
        name = waiting.pop()
        for below in _ensembles_behind(name, routes):
            if below == key:
                return True
            if below in ensembles and below not in seen:
                seen.add(below)
                waiting += ensembles[below].models()
    return False


def _ensembles_behind(name: str, routes: Mapping[str, Route]) -> list[str]:
    route = routes.get(name)
    if route is not None:
        return [variant.model for variant in route.variants if variant.provider == PROVIDER]
    provider, slash, model = name.partition("/")
    return [model] if slash and provider == PROVIDER else []


class Around(Protocol):
    """What ensembles need of the gate around them; asked for when it is needed."""

    telemetry: Telemetry

    @property
    def pipeline(self) -> Next: ...
    @property
    def known(self) -> Asked: ...
    @property
    def metering(self) -> Foreseeing: ...


class Asked(Protocol):
    """The ensembles in force."""

    @property
    def ensembles(self) -> Mapping[str, Ensemble]: ...


class Foreseeing(Protocol):
    """What a call may cost at most; None where nobody knows."""

    def foresee(self, call: Call) -> int | None: ...


class Ensembling:
    """The ensembles of one gate."""

    def __init__(self, gate: Around, embedder: Embedder) -> None:
        self._gate = gate
        #: Those of this program, by name.
        self._own: dict[str, Ensemble] = {}
        tools = Tools(self._stream, self._made, lambda *said: gate.telemetry.review(*said), embedder)

        def begin(ensemble: Ensemble, call: Call, query: Query, total_s: float, depth: int) -> Run:
            return Run(ensemble, call, query, tools, total_s, depth)

        self.model = ComposedModel[Ensemble](PROVIDER, lambda: gate.known.ensembles, begin, "ensemble_too_deep")

    def now(self) -> Ensembled:
        return Ensembled(dict(self._own), self.model)

    def made(self, name: str, given: JSON, leads: Leads) -> Ensemble:
        """One of the program's own. Raises BadRequest that says what is wrong with it."""
        try:
            section = EnsembleSection.model_validate(given)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the ensemble'}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()[:5]
            )
            raise BadRequest(f"The ensemble '{name}' can't be taken: {told}.", param="ensemble") from None
        wrong = [f"{'.'.join(map(str, path))}: {text}" for path, text in wrong_in(section, leads)]
        if name in (member.model for member in section.members):
            wrong.append("members: it asks itself")
        if wrong:
            raise BadRequest(f"The ensemble '{name}' can't be taken: {'; '.join(wrong)}.", param="ensemble")
        return ensemble_of(name, section)

    def keep(self, ensemble: Ensemble) -> None:
        """One more, in place of its one of that name, also through reloads."""
        self._own[ensemble.name] = ensemble

    def bound(self, call: Call, reached: Reached) -> Reached:
        """An ensemble's step upstream: bound to its call, which keeps its time itself."""
        return bound(self.model, call, reached)

    def _stream(self, call: Call) -> Streamed:
        return Streamed(self._gate.pipeline, call)

    def _made(self, parent: Call, child: Call, judge: bool) -> None:
        """What holds for the parent holds for those that it asks: who may see it, what is kept, what is paid from."""
        # The operator chose the models: what the key may name does not matter.
        child.caller = structs.replace(parent.caller, allow=())
        keep_no_more(parent, child, self._gate.telemetry.mode)
        if judge:
            # A judge is told what to think of attacks; what it writes for the caller the parent's own guards see.
            child.facts[UNGUARDED] = True
        else:
            guard_as(parent, child)
            if PROMPT_GUARDS in parent.facts:
                child.facts[PROMPT_GUARDS] = parent.facts[PROMPT_GUARDS]
        self._cover(parent, child, judge)

    def _cover(self, parent: Call, child: Call, judge: bool) -> None:
        """The parent holds money for all members and one question to a judge; what comes beside that holds its own."""
        held = admitted(parent)
        if held is None or not held.purses or child.kind != "chat" or (judge and _JUDGED in parent.facts):
            return
        if judge:
            parent.facts[_JUDGED] = True
        most = self._gate.metering.foresee(child)
        if most is not None:
            child.facts[COVERED] = most
