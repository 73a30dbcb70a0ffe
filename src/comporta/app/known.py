"""What a gate knows at one moment: providers, routes and names. Built whole from the configuration, then swapped in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from comporta.app.addresses import credentials_of, url_of
from comporta.app.alerting import mistakes as alert_mistakes
from comporta.app.budgeting import mistakes as budget_mistakes
from comporta.app.chains import NO_CHAINS, Chained
from comporta.app.ensembles import NO_ENSEMBLES, Ensembled, variant_of
from comporta.app.ensembles import mistakes as ensemble_mistakes
from comporta.app.live import live_mistakes
from comporta.app.model_facts import meant, overrides_of
from comporta.app.otlp_extra import mistakes as otlp_mistakes
from comporta.app.recall_works import cache_mistakes
from comporta.app.settings import Settings
from comporta.app.tasks import NO_TASKS, Tasks
from comporta.app.tasks import put_in as put_in_tasks
from comporta.chains.running import PROVIDER
from comporta.chains.values import PREFIX
from comporta.config.loading import Loaded
from comporta.config.mistakes import did_you_mean
from comporta.errors import ConfigError, NotFound
from comporta.gateway.attempt import TimeLimits
from comporta.gateway.images import ImagesPolicy, policy_of
from comporta.gateway.reach import wrong_params
from comporta.prompts.refs import ref_of
from comporta.providers.base import Local, Wire
from comporta.providers.catalogue import Catalogue, ModelFacts
from comporta.providers.directory import Provider, Timeouts
from comporta.providers.rows import ROWS, Row, wrong_options
from comporta.providers.script import read_script
from comporta.providers.settings import ProviderSection, TimeoutsSection
from comporta.providers.wires import Speakers
from comporta.routing.choose import Route, Variant
from comporta.routing.ensemble.plan import Ensemble
from comporta.routing.registered import RegisteredModel
from comporta.routing.retry import Retry
from comporta.routing.settings import RetrySection, RouteSection, VariantSection
from comporta.types import Target

#: Asked for when a client names no model of its own; the best of what is there.
DEFAULT_ROUTE = "default"
OFFLINE_MODEL = "extractive"


class Known:
    """A snapshot; `registered` looks up models that were registered while running."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        routes: Mapping[str, Route],
        registered: Callable[[], Mapping[str, RegisteredModel]],
        ensembles: Mapping[str, Ensemble],
        tasks: Tasks = NO_TASKS,
    ) -> None:
        self.settings = settings
        #: Which routes go by task, by live figures or by a cascade.
        self.tasks = tasks
        #: Of routes and of the program's own, by the name that they are asked for at their provider.
        self.ensembles = ensembles
        self.providers = providers
        self.routes = routes
        self._registered = registered
        self._offering: dict[str, tuple[str, ...]] = {}
        for name, provider in providers.items():
            for model in provider.models:
                self._offering[model] = (*self._offering.get(model, ()), name)
        self._timeouts = {
            name: timeouts(section.timeouts) for name, section in settings.routes.items() if section.timeouts
        }

        self._images_default = policy_of(settings.images, None)
        self._images = {
            name: policy_of(settings.images, section.images)
            for name, section in settings.routes.items()
            if section.images is not None
        }

        self._retry = retry_of(settings.retry)
        self._retries = {name: retry_of(section.retry) for name, section in settings.routes.items() if section.retry}

    def can_continue(self, target: Target) -> bool:
        """Whether a target's model goes on from a given beginning of its answer."""
        provider = self.providers.get(target.provider)
        return provider is not None and "prefill" in provider.facts(target.model).capabilities

    def retry(self, route: str) -> Retry:
        """How often a variant of a route is asked again."""
        return self._retries.get(route, self._retry)

    def total_s(self, route: str) -> float:
        """How long all attempts of a call may take together."""
        own = self._timeouts.get(route)
        return own.total_s if own is not None and own.total_s is not None else TimeLimits().total_s

    def route(self, name: str) -> Route | None:
        route = self.routes.get(name)
        if route is not None:
            return route
        model = self._registered().get(name)
        return None if model is None else route_of(model)

    @property
    def registered(self) -> Mapping[str, RegisteredModel]:
        """The models registered while running; another mapping after each change."""
        return self._registered()

    def name_of(self, asked: str) -> str:
        """The one name of what several lead to: a bare model is meant as `provider/model`."""
        if "/" in asked or self.route(asked) is not None:
            return asked
        offering = self.offering(asked)
        return f"{offering[0]}/{asked}" if len(offering) == 1 else asked

    def leads_to(self, asked: str) -> str | None:
        """The one name of what is asked for by this one; None where it leads nowhere."""
        name = self.name_of(asked)
        return name if self.route(name) is not None or name.partition("/")[0] in self.providers else None

    def provider(self, name: str) -> bool:
        return name in self.providers

    def offering(self, model: str) -> tuple[str, ...]:
        return self._offering.get(model, ())

    def names(self) -> Iterable[str]:
        """Every name that can be asked for, routes first."""
        yield from self.routes
        yield from self._registered()
        for name, provider in self.providers.items():
            for model in provider.models:
                yield f"{name}/{model}"

    def images(self, route: str) -> ImagesPolicy:
        """What holds for images on a route."""
        return self._images.get(route, self._images_default)

    def add_credential(self, provider: str, name: str, secret: str) -> None:
        """One more key for a provider of this snapshot. Raises NotFound."""
        found = self.providers.get(provider)
        if found is None:
            raise NotFound(f"There is no provider '{provider}'{did_you_mean(provider, self.providers)}.")
        found.credentials.add(name, secret)

    def timeouts(self, route: str) -> Timeouts | None:
        return self._timeouts.get(route)


def route_of(model: RegisteredModel) -> Route:
    return Route(
        model.name, (Variant(f"{model.provider}/{model.model}", model.provider, model.model, 1.0, model.params),)
    )


class Found(Struct, frozen=True):
    """What is there without any configuration."""

    rows: tuple[str, ...]
    #: The models of every Ollama that answered, by the provider's name.
    ollama: Mapping[str, tuple[str, ...]] = {}


def build(
    loaded: Loaded[Settings],
    found: Found,
    catalogue: Catalogue,
    speakers: Speakers,
    registered: Callable[[], Mapping[str, RegisteredModel]],
    chained: Chained = NO_CHAINS,
    ensembled: Ensembled = NO_ENSEMBLES,
) -> Known:
    """The snapshot of a configuration. Raises ConfigError for what the rooms can only say together."""
    settings = loaded.value
    wrong: list[str] = []
    sections = dict(settings.providers) or {name: ProviderSection() for name in found.rows}
    sections.setdefault("offline", ProviderSection())
    sections.setdefault("local", ProviderSection())
    overrides = overrides_of(loaded, wrong)
    providers: dict[str, Provider] = {}
    for name, section in sections.items():
        row = ROWS.get(section.kind or name)
        if row is None:
            wrong.append(loaded.mistake(("providers", name), _unknown_kind(section.kind or name)))
            continue
        if not (section.base_url or url_of(row, loaded.environment) or row.local):
            wrong.append(loaded.mistake(("providers", name), "needs a base_url"))
        providers[name] = _provider(
            name, section, row, loaded, catalogue, speakers.of(name, row), overrides.get(name, {}), found
        )
    if chained.chains:
        if PROVIDER in settings.providers:
            wrong.append(loaded.mistake(("providers", PROVIDER), "has the name that chains are asked by; take another"))
        providers[PROVIDER] = chained.provider(catalogue)
    ensembles = ensembled.put_in(loaded, providers, catalogue, wrong)
    routes = _routes(loaded, providers, wrong, {**chained.routes(), **ensembled.routes()})
    tasks = put_in_tasks(
        loaded, providers, routes, wrong, lambda path, name: _taker(loaded, path, name, providers, routes, wrong)
    )
    wrong += ensemble_mistakes(loaded, ensembles, routes, lambda name: _leads(name, routes, providers))
    wrong += budget_mistakes(loaded, lambda name: _leads(name, routes, providers))
    wrong += cache_mistakes(loaded, lambda name: _leads(name, routes, providers))
    wrong += live_mistakes(loaded, routes, lambda name: _leads(name, routes, providers))
    wrong += chained.mistakes(lambda name: _chains_behind(name, routes))
    wrong += alert_mistakes(loaded)
    wrong += otlp_mistakes(loaded)
    if wrong:
        raise ConfigError("\n".join(wrong))
    if DEFAULT_ROUTE not in routes:
        routes[DEFAULT_ROUTE] = _default(providers)
    return Known(settings, providers, routes, registered, ensembles, tasks)


def _leads(name: str, routes: Mapping[str, Route], providers: Mapping[str, Provider]) -> bool:
    """Whether a name can be asked for."""
    return name in routes or name == DEFAULT_ROUTE or name.partition("/")[0] in providers


def _wrong_options(section: ProviderSection) -> list[str]:
    wrong = wrong_options(section.options)
    try:
        read_script(section.options.get("script"), "script")
    except ConfigError as error:
        wrong.append(error.message)
    return wrong


def _unknown_kind(kind: str) -> str:
    return f"no kind of provider is called '{kind}'{did_you_mean(kind, ROWS)}; `kind: openai` suits most endpoints"


def _provider(
    name: str, section: ProviderSection, row: Row, loaded: Loaded[Settings], catalogue: Catalogue,
    speaks: Wire | Local, overrides: Mapping[str, ModelFacts], found: Found,
) -> Provider:  # fmt: skip
    models = tuple(section.models) or catalogue.names(row.name)
    if row.name == "ollama" and not section.models:
        models = found.ollama.get(name, ())
    return Provider(
        name=name,
        row=row,
        speaks=speaks,
        base_url=section.base_url or url_of(row, loaded.environment),
        credentials=credentials_of(section, row, loaded),
        timeouts=timeouts(section.timeouts),
        headers=section.headers,
        options=section.options,
        models=(*models, *(m for m in overrides if m not in models)),
        catalogue=catalogue,
        overrides=overrides,
    )


def retry_of(section: RetrySection) -> Retry:
    return Retry(section.attempts, section.first_wait, section.factor, section.longest_wait)


def timeouts(section: TimeoutsSection) -> Timeouts:
    return Timeouts(section.connect, section.first_token, section.idle, section.total)


def _chains_behind(name: str, routes: Mapping[str, Route]) -> list[str]:
    """The chains that a name leads to, by itself or by a variant of its route."""
    route = routes.get(name)
    if route is not None:
        return [variant.model for variant in route.variants if variant.provider == PROVIDER]
    provider, slash, model = name.partition("/")
    if slash and provider == PROVIDER:
        return [model]
    return [name.removeprefix(PREFIX)] if name.startswith(PREFIX) else []


def _routes(
    loaded: Loaded[Settings], providers: Mapping[str, Provider], wrong: list[str], chains: Mapping[str, Route]
) -> dict[str, Route]:
    settings = loaded.value
    routes = dict(chains)
    taken = [(part, name) for part in ("models", "routes") for name in getattr(settings, part) if name in chains]
    wrong += [loaded.mistake(path, "is the name of a chain; take another") for path in taken]
    for name, section in settings.models.items():
        provider, model = meant(name, section)
        if provider not in providers:
            wrong.append(loaded.mistake(("models", name), _unknown_provider(provider, providers)))
            continue
        wrong += [loaded.mistake(("models", name, "params"), text) for text in wrong_params(section.params)]
        if name != f"{provider}/{model}":
            routes[name] = Route(name, (Variant(f"{provider}/{model}", provider, model, 1.0, section.params),))
    # Not the routes that were read so far: a route stands for several models, and their order must mean nothing.
    models = dict(routes)
    for name, route in settings.routes.items():
        if route.strategy is not None or route.cascade is not None:
            continue
        variants = []
        for number, given in enumerate(route.variants or (VariantSection(model=route.model or ""),)):
            path = ("routes", name, "variants", number) if route.variants else ("routes", name)
            wrong += [loaded.mistake((*path, "params"), text) for text in wrong_params(given.params)]
            variant = variant_of(name, given) if given.ensemble else _variant(given, providers, models)
            if isinstance(variant, str):
                wrong.append(loaded.mistake((*path, "model"), variant))
            else:
                variants.append(variant)
        variants += _takers(loaded, name, route, providers, models, wrong)
        larger = _taker(loaded, ("routes", name, "larger_context"), route.larger_context, providers, models, wrong)
        routes[name] = Route(name, tuple(variants), route.sticky, larger, route.last_resort, route.on_cut)
    return routes


def _takers(
    loaded: Loaded[Settings], name: str, route: RouteSection, providers: Mapping[str, Provider],
    models: Mapping[str, Route], wrong: list[str],
) -> list[Variant]:  # fmt: skip
    """The variants of `fallback`, which get no calls of their own."""
    found = []
    for number, model in enumerate(route.fallback):
        taker = _taker(loaded, ("routes", name, "fallback", number), model, providers, models, wrong)
        if taker is not None:
            found.append(taker)
    return found


def _taker(
    loaded: Loaded[Settings], path: tuple[str | int, ...], model: str | None, providers: Mapping[str, Provider],
    models: Mapping[str, Route], wrong: list[str],
) -> Variant | None:  # fmt: skip
    if model is None:
        return None
    variant = _variant(VariantSection(model=model, weight=0), providers, models)
    if isinstance(variant, str):
        wrong.append(loaded.mistake(path, variant))
        return None
    return variant


def _variant(given: VariantSection, providers: Mapping[str, Provider], models: Mapping[str, Route]) -> Variant | str:
    """The variant, or what is wrong with it."""
    prompt = None if given.prompt is None else ref_of(given.prompt)
    name = given.name or ":".join(one for one in (given.prompt, given.model) if one)
    if given.model is None:
        return Variant(name, "", "", given.weight, given.params, prompt)
    named = models.get(given.model)
    if named is not None:
        base = named.variants[0]
        return Variant(name, base.provider, base.model, given.weight, {**base.params, **given.params}, prompt)
    provider, slash, model = given.model.partition("/")
    if not slash or not model:
        near = did_you_mean(given.model, models)
        return f"'{given.model}' is neither `provider/model` nor a model under `models`{near}"
    if provider not in providers:
        return _unknown_provider(provider, providers)
    return Variant(name, provider, model, given.weight, given.params, prompt)


def _unknown_provider(name: str, providers: Mapping[str, Provider]) -> str:
    return f"there is no provider '{name}' under `providers`{did_you_mean(name, providers)}"


def _default(providers: Mapping[str, Provider]) -> Route:
    """Where `model: default` leads when no route has that name: the first provider with a key, else offline."""
    for name, provider in providers.items():
        if provider.row.default_model and provider.credentials.pick() is not None:
            return _plain(DEFAULT_ROUTE, name, provider.row.default_model)
        if provider.row.name == "ollama" and provider.models:
            return _plain(DEFAULT_ROUTE, name, provider.models[0])
    return _plain(DEFAULT_ROUTE, "offline", OFFLINE_MODEL)


def _plain(name: str, provider: str, model: str) -> Route:
    return Route(name, (Variant(f"{provider}/{model}", provider, model),))
