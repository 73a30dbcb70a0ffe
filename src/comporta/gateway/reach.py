"""From a chosen target to everything the upstream step needs: provider, credential, query, time limits. No I/O."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from comporta.errors import NotFound
from comporta.gateway.attempt import Reached, TimeLimits
from comporta.gateway.attempts import DEADLINE
from comporta.pipeline import Call
from comporta.providers.base import Query
from comporta.providers.catalogue import ModelFacts
from comporta.providers.directory import Provider, Timeouts
from comporta.providers.estimate import Estimate
from comporta.types import JSON, Input

#: Models that think take their time before the first word.
_THINKING_FIRST_TOKEN_S = 120.0
_ESTIMATE = Estimate()
_CANONICAL = frozenset(Input.__struct_fields__) - {"messages", "raw", "wire", "extra", "texts"}
#: What a parameter is called in the words of a door, where it isn't called as in OpenAI's chat.
_RENAMED: Mapping[str, Mapping[str, str]] = {
    "anthropic.messages": {"stop": "stop_sequences"},
    "openai.responses": {"max_tokens": "max_output_tokens"},
}


def reach(
    call: Call, provider_of: Callable[[str], Provider | None], timeouts_of: Callable[[str], Timeouts | None]
) -> Reached:
    """Look up what `call.target` names. Raises NotFound if the provider has gone since it was chosen."""
    target = call.target
    assert target is not None, "`choose` comes before `attempt`"
    provider = provider_of(target.provider)
    if provider is None:
        raise NotFound(f"The provider '{target.provider}' is not configured any more.", code="provider_not_found")
    facts = provider.facts(target.model)
    query = Query(
        kind=call.kind,
        input=with_defaults(call.input, target.params),
        model=target.model,
        stream=call.stream,
        headers=call.headers,
        capabilities=facts.capabilities,
        max_output=facts.max_output,
    )
    if call.kind == "count" and not provider.row.counts:
        return Reached(_ESTIMATE, provider.bare, query, None, TimeLimits())
    credential, endpoint = provider.endpoint(target.credential)
    limits = bounded(limits_of(timeouts_of(target.route), provider.timeouts, facts, call.input), call)
    return Reached(provider.speaks, endpoint, query, credential, limits)


def with_defaults(given: Input, params: JSON) -> Input:
    """The input with a variant's parameters where the body left them out: the body wins."""
    if not params:
        return given
    changes: dict[str, Any] = {}
    extra: JSON = {}
    for name, value in params.items():
        if name not in _CANONICAL:
            extra[name] = value
        elif getattr(given, name) == _ABSENT[name]:
            changes[name] = _frozen(name, value)
    if extra:
        changes["extra"] = {**extra, **given.extra}
    raw = given.raw
    if raw is not None:
        raw = {**dict(_in_words_of(given.wire, name, value) for name, value in params.items()), **raw}
    return structs.replace(given, raw=raw, **changes)


#: What a field holds when the body left it out; zero and False are words of the body's.
_ABSENT: Mapping[str, Any] = msgspec.structs.asdict(Input())


def _in_words_of(wire: str, name: str, value: Any) -> tuple[str, Any]:
    """A parameter as a door's own body would say it."""
    name = _RENAMED.get(wire, {}).get(name, name)
    return name, [value] if name == "stop_sequences" and isinstance(value, str) else value


def wrong_params(params: JSON) -> list[str]:
    """What is wrong with a variant's parameters, a sentence each; the configuration's are checked with it at start."""
    wrong = []
    for name, value in params.items():
        if name in _CANONICAL:
            try:
                _frozen(name, value)
            except msgspec.ValidationError as error:
                wrong.append(f"the parameter '{name}' is wrong: {error}")
    return wrong


def _frozen(name: str, value: Any) -> Any:
    """A value as `Input` holds it; the configuration writes plain YAML."""
    if name == "stop" and isinstance(value, str):
        return (value,)
    return msgspec.convert(value, _TYPES[name])


_TYPES = {field.name: field.type for field in structs.fields(Input)}


def limits_of(route: Timeouts | None, provider: Timeouts, facts: ModelFacts, asked: Input) -> TimeLimits:
    """The time limits of one attempt: the route's word, else the provider's, else the defaults."""
    return _limits(route, provider, "reasoning" in facts.capabilities or asked.reasoning_effort is not None)


@functools.lru_cache(1024)
def _limits(route: Timeouts | None, provider: Timeouts, thinks: bool) -> TimeLimits:
    standard = TimeLimits()
    first_s = _THINKING_FIRST_TOKEN_S if thinks else standard.first_token_s
    route = route or Timeouts()
    return TimeLimits(
        connect_s=_first(route.connect_s, provider.connect_s, standard.connect_s),
        first_token_s=_first(route.first_token_s, provider.first_token_s, first_s),
        idle_s=_first(route.idle_s, provider.idle_s, standard.idle_s),
        total_s=_first(route.total_s, provider.total_s, standard.total_s),
    )


def bounded(limits: TimeLimits, call: Call) -> TimeLimits:
    """The limits of an attempt that must also keep its call's deadline."""
    deadline_s = call.facts.get(DEADLINE)
    if deadline_s is None:
        return limits
    left_s = max(deadline_s - time.monotonic(), 0.001)
    return limits if left_s >= limits.total_s else structs.replace(limits, total_s=left_s)


def _first(*values: float | None) -> float:
    return next(v for v in values if v is not None)
