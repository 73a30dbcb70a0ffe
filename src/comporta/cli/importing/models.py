"""LiteLLM's `model_list` read: every entry a deployment, which becomes a variant of the route of its name."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from comporta.cli.importing.endpoints import Endpoints, written
from comporta.cli.importing.kinds import ELSEWHERE, KINDS, MODES, split
from comporta.cli.importing.source import Part
from comporta.config.values import show_money
from comporta.providers.catalogue import Catalogue
from comporta.providers.settings import ModelSection
from comporta.routing.settings import VariantSection

#: Defaults of a call that variants take, and ours for LiteLLM's name of it.
_PARAMS = {name: name for name in ("temperature", "top_p", "top_k", "max_tokens", "seed", "presence_penalty",
                                   "frequency_penalty", "reasoning_effort", "n")}  # fmt: skip
_PARAMS["max_completion_tokens"] = "max_tokens"
#: Dollars a token, and our bucket.
_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out",
}
_WORDS = {
    "aws_": "Amazon's credentials have no place here yet",
    "vertex_": "Vertex AI is not spoken here yet",
    "watsonx_": "watsonx is not spoken here yet",
    "s3_": "batches on S3 are not done here",
}


class Deployment(Struct, frozen=True):
    """One entry: a way to answer the route `route`."""

    route: str
    provider: str
    model: str
    weight: float | None = None
    order: int = 1
    params: dict[str, Any] = {}
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    timeout_s: float | None = None
    stream_timeout_s: float | None = None
    retries: int | None = None
    facts: dict[str, Any] = {}

    @property
    def full(self) -> str:
        return f"{self.provider}/{self.model}"


def deployments(whole: Part, endpoints: Endpoints, catalogue: Catalogue) -> list[Deployment]:
    """All entries that have a place here; the others are told."""
    found = []
    for entry in whole.parts("model_list"):
        one = _deployment(entry, endpoints, catalogue)
        if one is not None:
            found.append(one)
        entry.rest()
    return found


def _deployment(entry: Part, endpoints: Endpoints, catalogue: Catalogue) -> Deployment | None:
    route = entry.word("model_name")
    given, about = entry.part("litellm_params"), entry.part("model_info")
    model = given.word("model")
    if route is None or model is None:
        entry.tell("model_name" if route is None else "litellm_params", "is missing: the entry is left out")
        return None
    kind, name = _kind(entry, given, about, model, catalogue)
    if kind is None:
        # What else the entry says goes with it and needs no word of its own.
        return None
    endpoint = endpoints.take(kind, given)
    provider = endpoints.name(endpoint)
    if "*" in name or "*" in route:
        _wildcard(entry, route, provider)
        _tell_rest(given, about)
        return None
    found = Deployment(
        route=written(route), provider=provider, model=written(name), weight=given.number("weight"),
        order=given.count("order") or 1, params=_params(given), requests_per_minute=given.count("rpm"),
        tokens_per_minute=given.count("tpm"), concurrent=given.count("max_parallel_requests"),
        timeout_s=given.number("timeout", 0.001), stream_timeout_s=given.number("stream_timeout", 0.001),
        retries=_retries(given), facts=_facts(given, about),
    )  # fmt: skip
    _tell_rest(given, about)
    return found


def _kind(entry: Part, given: Part, about: Part, model: str, catalogue: Catalogue) -> tuple[str | None, str]:
    """Our kind of provider and its name of the model; None, and told, where there is none."""
    theirs, name = split(model, given.word("custom_llm_provider"), catalogue)
    mode = about.word("mode") or "chat"
    reason = None
    if mode not in MODES:
        reason = f"models of the mode '{mode}' are not served here"
    elif theirs is None:
        reason = "its provider can't be told from the name: write `provider/model`"
    elif theirs not in KINDS:
        reason = f"the provider '{theirs}' is unknown here" + (f": {ELSEWHERE[theirs]}" if theirs in ELSEWHERE else "")
    elif given.text("litellm_credential_name") is not None:
        reason = "its key lies in LiteLLM's own list of credentials: name it in `providers`"
    if reason is not None:
        entry.tell("litellm_params", f"{reason}: the entry is left out")
        return None, name
    return KINDS[theirs or ""], name


def _wildcard(entry: Part, route: str, provider: str) -> None:
    prefix = route.partition("/")[0]
    if "/" in route and prefix == provider:
        why = f"needs no entry: `{provider}/…` asks any model of the provider"
    else:
        why = f"a name with * has no counterpart: clients ask `{provider}/…` instead"
    entry.tell("model_name", why)


def _params(given: Part) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for theirs, ours in _PARAMS.items():
        if theirs == "reasoning_effort":
            value: Any = given.word(theirs)
        else:
            number = given.number(theirs, -1e9)
            value = int(number) if number is not None and number.is_integer() else number
        if value is not None:
            found[ours] = value
    stop = given.texts("stop")
    return {**found, "stop": [written(text) for text in stop]} if stop else found


def _retries(given: Part) -> int | None:
    first, second = given.number("num_retries"), given.number("max_retries")
    found = first if first is not None else second
    return None if found is None else int(found)


def _facts(given: Part, about: Part) -> dict[str, Any]:
    """Price and size, as `models.NAME` says them."""
    price = {}
    for theirs, ours in _PRICES.items():
        dollars = given.number(theirs)
        other = about.number(theirs)
        dollars = other if dollars is None else dollars
        if dollars is not None:
            price[ours] = show_money(round(dollars * 1e12))
    found: dict[str, Any] = {"price": price} if price else {}
    context, most = about.count("max_input_tokens"), about.count("max_output_tokens")
    most = about.count("max_tokens") or most
    return {**found, **({"context": context} if context else {}), **({"max_output": most} if most else {})}


def _tell_rest(given: Part, about: Part) -> None:
    for key in given.names():
        for beginning, why in _WORDS.items():
            if key.startswith(beginning):
                given.leave(key, why)
    given.leave(
        "drop_params", "hints that a provider can't do are dropped and reported here; what changes an answer is refused"
    )
    given.leave("tags", "calls are tagged by their keys here")
    given.leave("mock_response", "use the provider `scripted`")
    given.leave("api_version", "only Azure has versions here")
    given.rest()
    for known in ("id", "base_model", "db_model"):
        about.leave(known, "nothing here needs it" if known != "base_model" else _BASE_MODEL)
    about.rest("the catalogue says what models can do; `models.NAME.capabilities` overrides it")


_BASE_MODEL = "an Azure deployment of another name has no price here: set `models.NAME.price`"


def limit_of(one: Deployment) -> dict[str, Any] | None:
    """The limit towards a deployment."""
    kinds = ("requests_per_minute", "tokens_per_minute", "concurrent")
    figures = {kind: getattr(one, kind) for kind in kinds if getattr(one, kind) is not None}
    return {"per": "model", "name": one.full, **figures} if figures else None


def variants_of(group: list[Deployment]) -> list[dict[str, Any]]:
    """The variants of a route, with LiteLLM's shares: by weight, else by requests, else by tokens a minute."""
    weights = _shares(group)
    first = min(one.order for one in group)
    found: dict[str, dict[str, Any]] = {}
    for one, weight in sorted(zip(group, weights, strict=True), key=lambda pair: pair[0].order):
        share = weight if one.order == first else 0.0
        same = found.setdefault(f"{one.full} {sorted(one.params.items(), key=str)}", {"model": one.full, "weight": 0.0})
        same["weight"] += share
        if one.params:
            same["params"] = one.params
    variants = list(found.values())
    for number, variant in enumerate(variants):
        if sum(other["model"] == variant["model"] for other in variants) > 1:
            variant["name"] = f"{variant['model']} {number + 1}"
    if not any(variant["weight"] for variant in variants):
        variants[0]["weight"] = 1.0
    return [_lean(variant) for variant in variants]


def _shares(group: list[Deployment]) -> list[float]:
    for of in ("weight", "requests_per_minute", "tokens_per_minute"):
        given = [getattr(one, of) for one in group]
        if len(group) > 1 and any(given):
            least = min(value for value in given if value)
            return [float(least if value is None else value) for value in given]
    return [1.0] * len(group)


def _lean(variant: dict[str, Any]) -> dict[str, Any]:
    """Without what is the default anyway."""
    weight = variant["weight"]
    variant["weight"] = int(weight) if float(weight).is_integer() else weight
    if variant["weight"] == VariantSection.model_fields["weight"].default:
        del variant["weight"]
    return variant


def facts_of(group: list[Deployment]) -> dict[str, Any]:
    """Sections of `models:`, by the full name."""
    return {one.full: one.facts for one in group if one.facts and set(one.facts) <= set(ModelSection.model_fields)}
