"""Routing by task as the configuration says it: strategies, pools and cascades, checked against models and routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct, structs

from comporta.app.cascades import Checker, checker_of
from comporta.app.settings import Settings
from comporta.config.loading import Loaded
from comporta.config.mistakes import did_you_mean
from comporta.config.tree import Step
from comporta.errors import ConfigError
from comporta.gateway.reach import wrong_params
from comporta.providers.catalogue import ModelFacts
from comporta.providers.directory import Provider
from comporta.routing.choose import Route, Variant, target_of
from comporta.routing.settings import RouteSection
from comporta.routing.task.names import is_default, plain, usual_of
from comporta.routing.task.needs import OURS, lacks, our_word
from comporta.routing.task.rows import STRATEGY, TASK, Cascade, Member, Policies, Pool, Row, Tables, Way
from comporta.routing.task.settings import FallbackPoliciesSection, TaskRowSection, aim_of

Path = tuple[Step, ...]
#: The variant that a model's name means; None where what is wrong with it is noted.
Resolve = Callable[[Path, str], Variant | None]


class Tasks(Struct, frozen=True):
    """The tables, and the checkers of cascades by their route's name."""

    tables: Tables = Tables()
    checkers: Mapping[str, Checker] = {}


NO_TASKS = Tasks()
_SECTION = "model_routing"


def put_in(
    loaded: Loaded[Settings], providers: Mapping[str, Provider], routes: dict[str, Route], wrong: list[str],
    resolve: Resolve,
) -> Tasks:  # fmt: skip
    """Add the routes that go by task; what is wrong is noted with its place."""
    return _Reading(loaded, providers, routes, wrong, resolve).tasks()


class _Reading:
    """One configuration while it is read."""

    def __init__(
        self, loaded: Loaded[Settings], providers: Mapping[str, Provider], routes: dict[str, Route],
        wrong: list[str], resolve: Resolve,
    ) -> None:  # fmt: skip
        self._loaded = loaded
        self._settings = loaded.value
        self._section = loaded.value.model_routing
        self._providers = providers
        self._routes = routes
        self._wrong = wrong
        self._resolve = resolve
        self._warnings: list[str] = []
        said = [word for model in self._settings.models.values() for word in model.capabilities or ()]
        #: The operator's own words that some model says of itself: there they are facts, and not only names.
        self._said = frozenset(map(our_word, said)) - OURS
        self._own = {plain(name): one.like for name, one in self._section.tasks.items()}
        self._resolved: dict[tuple[Path, str], Variant | None] = {}

    def tasks(self) -> Tasks:
        ways = {way.route: way for way in self._ways()}
        pools, cascades = {}, {}
        checkers = {}
        for name, route in self._settings.routes.items():
            if route.balance is not None and name in self._routes:
                pools[name] = self._pool(name, route)
            if route.cascade is not None:
                found = self._cascade(name, route)
                if found is not None:
                    cascades[name], checkers[name] = found
        section = self._section
        tables = Tables(
            ways=ways, pools=pools, cascades=cascades, like=self._own,
            examples={name: tuple(one.examples) for name, one in section.tasks.items() if one.examples},
            guesses=section.guess.enabled, sure_at=section.guess.sure_at, like_at=section.guess.like_at,
            figures_for_s=section.figures_for, warnings=tuple(self._warnings),
        )  # fmt: skip
        return Tasks(tables, checkers)

    def _note(self, path: Path, text: str) -> None:
        self._wrong.append(self._loaded.mistake(path, text))

    # ---- strategies ----

    def _ways(self) -> Iterator[Way]:
        strategies = self._section.strategies
        if self._section.default_strategy is not None and self._section.default_strategy not in strategies:
            self._note((_SECTION, "default_strategy"), self._no_strategy(self._section.default_strategy))
        for strategy in strategies:
            yield from self._made(STRATEGY + plain(strategy), strategy, None, None)
        for task, strategy in self._tasks_asked():
            yield from self._made(TASK + plain(task), strategy, task, None)
        for name, route in self._settings.routes.items():
            if route.strategy is None:
                continue
            found = next((one for one in strategies if plain(one) == plain(route.strategy or "")), None)
            if found is None:
                self._note(("routes", name, "strategy"), self._no_strategy(route.strategy))
            else:
                yield from self._made(name, found, route.task, route)

    def _no_strategy(self, name: str) -> str:
        strategies = self._section.strategies
        return f"there is no strategy '{name}' under `model_routing.strategies`{did_you_mean(name, strategies)}"

    def _tasks_asked(self) -> Iterator[tuple[str, str]]:
        """Each task of any strategy with the strategy that `task:<name>` means."""
        strategies, first = self._section.strategies, self._section.default_strategy
        order = sorted(strategies, key=lambda name: name != first)
        seen = set()
        for strategy in order:
            for row in strategies[strategy]:
                if plain(row.task) not in seen and not is_default(row.task):
                    seen.add(plain(row.task))
                    yield row.task, strategy

    def _made(self, name: str, strategy: str, task: str | None, route: RouteSection | None) -> Iterator[Way]:
        """A way and its route; nothing where a model of it is wrong."""
        if route is None and name in self._settings.routes:
            self._note(("routes", name), "is the name that `model_routing` has for one of its own: choose another")
            return
        rows = [self._row(name, strategy, at, row) for at, row in enumerate(self._section.strategies[strategy])]
        complete = [row for row in rows if row.primary]
        if not complete:
            return
        rows = [structs.replace(row, superior=row.superior or self._above(name, row, complete)) for row in complete]
        way = Way(name, strategy, tuple(rows), task, self._section.guess.enabled)
        if task is not None and way.named(task) is None and usual_of(task) is None and plain(task) not in self._own:
            known = [row.task for row in rows]
            near = did_you_mean(task, known)
            told = f"the strategy '{strategy}' has no task '{task}'{near}; it has {', '.join(known)}"
            self._note(("routes", name, "task"), told)
        self._routes[name] = self._route(name, way, route)
        yield way

    def _route(self, name: str, way: Way, route: RouteSection | None) -> Route:
        if route is None:
            return Route(name, way.variants())
        takers = self._takers(name, route.fallback, "fallback")
        larger = self._variant(("routes", name, "larger_context"), route.larger_context)
        return Route(name, (*way.variants(), *takers), route.sticky, larger, route.last_resort, route.on_cut)

    def _takers(self, name: str, models: Sequence[str], key: str) -> list[Variant]:
        found = [self._variant(("routes", name, key, at), model) for at, model in enumerate(models)]
        return [structs.replace(one, weight=0.0) for one in found if one is not None]

    # ---- rows ----

    def _row(self, route: str, strategy: str, at: int, row: TaskRowSection) -> Row:
        path: Path = (_SECTION, "strategies", strategy, at)
        self._check_params(path, row)
        required = frozenset(map(our_word, row.required_capabilities))
        made = Row(
            task=row.task, strategy=strategy, aim=aim_of(strategy), balance=row.balance,
            primary=self._members(route, path, row, "primary"),
            fallback=() if row.skip_fallback else self._members(route, path, row, "fallback"),
            superior=self._members(route, path, row, "superior"),
            usual=self._own.get(plain(row.task)) or usual_of(row.task), complexity=tuple(row.complexity),
            cost_threshold_microusd=row.cost_threshold, quality_threshold=row.quality_threshold,
            quality_score=row.quality_score or self._section.quality.score, max_latency_ms=row.max_latency_ms,
            required=required, vouched=required - OURS - self._said, similarity=row.cache_similarity_threshold,
            policies=self._policies(row.fallback_policies),
        )  # fmt: skip
        self._check_row(route, path, made)
        return made

    def _check_params(self, path: Path, row: TaskRowSection) -> None:
        for text in wrong_params(row.params):
            self._note((*path, "params"), text)

    def _check_row(self, route: str, path: Path, row: Row) -> None:
        """Once for each strategy: what can never work is a mistake, what is odd is told."""
        if not route.startswith(STRATEGY):
            return
        missing = [(member.name, lacks(member.facts, row.required, row.vouched)) for member in row.primary]
        if missing and all(words for _, words in missing):
            told = "; ".join(f"'{name}' lacks {', '.join(words)}" for name, words in missing)
            self._note((*path, "required_capabilities"), f"no primary has them: {told}. Name them under "
                       "`models.….capabilities` where it does")  # fmt: skip
        place = self._loaded.place(path)
        for member in (*row.primary, *row.fallback):
            if row.cost_threshold_microusd is not None and member.rate_microusd is None:
                self._warnings.append(
                    f"{place.file}:{place.line} '{member.name}' has no known price, so that the cost_threshold of "
                    f"'{row.task}' leaves it out: set `models.….price`."
                )
        for word in sorted(row.vouched):
            self._warnings.append(
                f"{place.file}:{place.line} no model says that it has '{word}': the row of '{row.task}' is taken at "
                "its word. Set `models.….capabilities`, and it is held against them."
            )

    def _members(self, route: str, path: Path, row: TaskRowSection, key: str) -> tuple[Member, ...]:
        names: list[str] = getattr(row, key)
        written = isinstance(names, list) and len(names) > 1
        found = []
        for at, name in enumerate(names):
            variant = self._variant((*path, key, at) if written else (*path, key), name)
            if variant is None:
                continue
            extra = dict(row.params) if row.temperature is None else {"temperature": row.temperature, **row.params}
            named = structs.replace(variant, name=f"{plain(row.task)}:{name}", params={**variant.params, **extra})
            target = target_of(Route(route, (named,)), named)
            facts = self._providers[variant.provider].facts(variant.model)
            found.append(Member(name, target, facts))
        return tuple(found)

    def _policies(self, own: FallbackPoliciesSection | None) -> Policies:
        general, mine = self._section.fallback_policies, own or FallbackPoliciesSection()
        return Policies(
            mine.on_rate_limit or general.on_rate_limit,
            mine.on_quality_drop or general.on_quality_drop or "escalate_to_superior_model",
            mine.on_timeout or general.on_timeout,
            mine.default_reply or general.default_reply,
        )

    def _above(self, route: str, row: Row, rows: Sequence[Row]) -> tuple[Member, ...]:
        """Superior models that nobody named: those of quality strategies for the task, else dearer ones of this one."""
        mine = {member.place for member in row.members}
        found: list[Member] = []
        for strategy, sections in self._section.strategies.items():
            if aim_of(strategy) != "quality" or strategy == row.strategy:
                continue
            for at, section in enumerate(sections):
                same = plain(section.task) == plain(row.task) or (row.usual and usual_of(section.task) == row.usual)
                if same or is_default(section.task):
                    found += self._members(route, (_SECTION, "strategies", strategy, at), section, "primary")
        if not found:
            dearest = max((member.rate_microusd or 0 for member in row.primary), default=0)
            dearer = [one for other in rows for one in other.members if (one.rate_microusd or 0) > dearest]
            found = sorted(dearer, key=lambda one: one.rate_microusd or 0)
        unique = {one.place: one for one in reversed(found) if one.place not in mine}
        return tuple(reversed([*unique.values()]))

    # ---- models ----

    def _variant(self, path: Path, name: str | None) -> Variant | None:
        """The variant of a name: told once where it is wrong, though several routes lead to it."""
        if name is None:
            return None
        if (path, name) not in self._resolved:
            self._resolved[path, name] = self._found(path, name)
        return self._resolved[path, name]

    def _found(self, path: Path, name: str) -> Variant | None:
        if name in self._settings.routes:
            self._note(path, f"'{name}' is a route; name a model")
            return None
        if "/" not in name and name not in self._routes:
            offering = self._offering(name)
            if len(offering) > 1:
                several = ", ".join(f"{one}/{name}" for one in offering)
                self._note(path, f"several providers offer '{name}': name one of {several}")
                return None
            if offering:
                return Variant(name, offering[0], name)
            known = [*self._settings.models, *(m for p in self._providers.values() for m in p.models)]
            near = did_you_mean(name, known)
            told = f"no provider offers a model '{name}'{near}; write `provider/model`, or name it under `models`"
            self._note(path, told)
            return None
        return self._resolve(path, name)

    def _offering(self, model: str) -> list[str]:
        """The providers that list a model by its bare name, else those whose catalogue knows of it."""
        listed = [name for name, provider in self._providers.items() if model in provider.models]
        if listed:
            return listed
        return [name for name, provider in self._providers.items() if provider.facts(model).price is not None
                and not provider.row.local]  # fmt: skip

    # ---- pools and cascades ----

    def _pool(self, name: str, section: RouteSection) -> Pool:
        assert section.balance is not None, "asked of routes with one"
        route = self._routes[name]
        members = []
        for variant in route.variants:
            if variant.weight > 0:
                provider = self._providers.get(variant.provider)
                facts = ModelFacts() if provider is None else provider.facts(variant.model)
                members.append(Member(variant.name, target_of(route, variant), facts, variant.weight))
        return Pool(name, section.balance, tuple(members))

    def _cascade(self, name: str, section: RouteSection) -> tuple[Cascade, Checker] | None:
        cascade = section.cascade
        assert cascade is not None, "asked of routes with one"
        path: Path = ("routes", name, "cascade")
        found = [self._variant((*path, "models", at), model) for at, model in enumerate(cascade.models)]
        try:
            checker = checker_of(cascade.checker)
        except ConfigError as error:
            for line in error.message.splitlines():
                self._note((*path, "checker"), line)
            return None
        models = [one for one in found if one is not None]
        if len(models) < len(found):
            return None
        self._check_judge((*path, "checker"), checker)
        if checker.confidence is not None:
            models = [self._sure(path, one) for one in models[:-1]] + models[-1:]
        models = [structs.replace(one, weight=0.0 if at else 1.0) for at, one in enumerate(models)]
        takers = self._takers(name, section.fallback, "fallback")
        larger = self._variant(("routes", name, "larger_context"), section.larger_context)
        route = Route(name, (*models, *takers), section.sticky, larger, section.last_resort, section.on_cut)
        self._routes[name] = route
        targets = tuple(target_of(route, one) for one in models)
        return Cascade(name, targets, name, cascade.stream == "buffer", cascade.unjudged == "accept"), checker

    def _check_judge(self, path: Path, checker: Checker) -> None:
        """A judge that nobody can ask would have every call go to the dearest model."""
        if not checker.judges:
            return
        if checker.judge is None and self._settings.guardrails.judge is None:
            self._note(path, "asks a judge, and no model is named: say its `model`, or `guardrails.judge`")
        if checker.judge is not None and checker.judge not in {*self._routes, *self._settings.routes}:
            self._variant((*path, "model"), checker.judge)

    def _sure(self, path: Path, variant: Variant) -> Variant:
        """The variant asked for probabilities, which tell how sure it is."""
        provider = self._providers.get(variant.provider)
        if provider is not None and not (provider.row.wire.startswith("openai") or provider.row.local):
            told = f"`confidence` goes by the probabilities of tokens, which '{variant.provider}' does not give"
            self._note((*path, "checker"), f"{told}: let a `judge` look, or an assertion")
        return structs.replace(variant, params={**variant.params, "logprobs": True})
