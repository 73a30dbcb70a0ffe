"""The stage `prompt`: a body or a route's variant names a prompt of the registry, and what is asked is made from it.

Every variant starts from what the client sent: when another one takes over, its own prompt is rendered afresh. What a
call has begun with it keeps, wherever labels move meanwhile. Parameters: the body wins over the variant, the variant
over the prompt. The stage `model`, far outside, names the model of a call that leaves that to its prompt.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, structs

from comporta.cache.key import PROMPT_FACT
from comporta.errors import BadRequest, Forbidden, NotFound, Unsupported
from comporta.gateway.admission import HEADERS
from comporta.gateway.attempts import DEADLINE
from comporta.gateway.doors import responses_prompted as responses
from comporta.gateway.doors.prompted import FIELD, Said, is_ours, said_of
from comporta.gateway.reach import wrong_params
from comporta.pipeline import Call, Next
from comporta.prompts.prompt import Prompt
from comporta.prompts.refs import label_of
from comporta.prompts.values import History, Rendered
from comporta.routing.choose import Known, permitted, plan_of
from comporta.routing.rollout.overlay import Overlay
from comporta.telemetry.record import PROMPTED, Prompted
from comporta.types import JSON, Caller, Event, Input, Message, PromptRef, Target

#: The header that says which prompt an answer was asked with, and the one that tells values nobody used.
HEADER, UNUSED_HEADER = "x-comporta-prompt", "x-comporta-unused-variables"
#: What a key with a list of names must have on it to ask for a prompt by itself: `prompt/support`, or `prompt/*`.
SCOPE = "prompt"
#: In the call's facts: the guards that its prompt wants, for the stage `guard`.
GUARDS = "prompt_guards"
_FACT = "prompting"
_NOTHING = Said(None, {})
#: Where a prompt's own model leads is the operator's say, whoever asks.
_ANYBODY = Caller("", admin=True)


class Moved(Protocol):
    """Where a label points, and the tags of the deploy that moved it there."""

    @property
    def version(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


class Prompts(Protocol):
    """What the stage asks the registry."""

    def resolve(self, ref: PromptRef, environment: str | None) -> Prompt | None: ...
    async def fetch(self, ref: PromptRef, environment: str | None) -> Prompt: ...
    def label(self, id: str, environment: str) -> Moved | None: ...


class Resolved(Struct, frozen=True):
    """One version of a prompt, and what is told of it."""

    prompt: Prompt
    told: Prompted


class Begun(Struct):
    """What a call that asks with prompts began with, and has resolved so far."""

    given: Input
    said: Said
    #: Whether a variant has been asked: what stages outside this one made of the input is known by then.
    asked: bool = False
    deadline_s: float | None = None
    resolved: dict[PromptRef, Resolved] = {}
    #: The prompt of the variant asked last: one without its own that takes over asks with it.
    last: PromptRef | None = None
    params: JSON = {}


class Prompting:
    """The stages `model` and `prompt`. `known` gives today's routes and models, `overlay` where labels roll out to."""

    def __init__(self, prompts: Prompts, known: Callable[[], Known], overlay: Overlay | None = None) -> None:
        self._prompts = prompts
        self._known = known
        self._overlay = overlay or Overlay()

    # ---- the stage `model` ----

    @staticmethod
    def nameless(call: Call) -> bool:
        return not call.model

    async def name(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """Ask the model that the prompt names. Raises BadRequest where it names none."""
        begun = _begun(call)
        if begun.said.ref is None:
            raise BadRequest("model is required", code="missing_required_parameter", param="model")
        prompt = (await self._resolved(call, begun, begun.said.ref)).prompt
        if prompt.model is None:
            raise BadRequest(
                f"model is required: prompt {prompt.label} names none", code="missing_required_parameter", param="model"
            )
        call.model = prompt.model
        return await next(call)

    # ---- the stage `prompt` ----

    @staticmethod
    def applies(call: Call) -> bool:
        target = call.target
        return (
            (target is not None and target.prompt is not None)
            or (FIELD in call.input.extra and is_ours(call.input.extra[FIELD]))
            or _FACT in call.facts
        )

    async def stage(self, call: Call, next: Next) -> AsyncIterator[Event]:
        """Make what is asked from the prompt. Raises NotFound, Forbidden, and BadRequest for a value that is wrong."""
        target = call.target
        assert target is not None, "`choose` comes before `prompt`"
        begun = _begun(call)
        if call.kind == "embed":
            return await next(_embedding(call, target))
        if call.first_ns:
            await self._again(call, begun, target)
            return await next(call)
        if not begun.asked:
            begun.given, begun.asked = call.input, True
        ref = begun.last = self._meant(target, begun)
        if ref is None:
            self._without(call, begun)
            return await next(call)
        found = await self._resolved(call, begun, ref)
        self._ask(call, begun, target, found)
        if found.prompt.timeout_s is None:
            return await next(call)
        return await _bounded(call, begun, found.prompt.timeout_s, next)

    async def _again(self, call: Call, begun: Begun, target: Target) -> None:
        """A stream that broke off is taken up again: with the very same question, whoever is asked now."""
        ref = begun.last or target.prompt
        if ref is not None:
            found = begun.resolved.get(ref) or await self._resolved(call, begun, ref)
            call.target = self._placed(target, found.prompt, begun.params, call)

    def _meant(self, target: Target, begun: Begun) -> PromptRef | None:
        """The body's prompt; one that it names by its id alone in the version of the variant."""
        own, said = target.prompt, begun.said.ref
        if said is None:
            return own or begun.last
        by_id_alone = said.version is None and said.label is None
        return own if own is not None and own.id == said.id and by_id_alone else said

    async def _resolved(self, call: Call, begun: Begun, ref: PromptRef) -> Resolved:
        """The prompt, and from now on this very version for this call."""
        known = begun.resolved.get(ref)
        if known is not None:
            return known
        caller = call.caller
        if ref is begun.said.ref:
            check_scope(caller, ref.id)
        meant = self._overlay.ref(call, ref) if self._overlay.moves_labels else ref
        prompt = self._prompts.resolve(meant, caller.environment)
        if prompt is None:
            prompt = await self._prompts.fetch(meant, caller.environment)
        if prompt.extra and (wrong := wrong_params(prompt.extra)):
            raise BadRequest(f"prompt {prompt.label} can't be asked with: {wrong[0]}", code="prompt_parameters")
        label = label_of(ref, caller.environment)
        told = Prompted(prompt.id, prompt.version, label, self._tags(prompt, label), begun.said.variables)
        found = Resolved(prompt, told)
        begun.resolved = {**begun.resolved, ref: found}
        return found

    def _tags(self, prompt: Prompt, label: str | None) -> dict[str, str] | None:
        moved = None if label is None else self._prompts.label(prompt.id, label)
        return dict(moved.tags) if moved is not None and moved.version == prompt.version else None

    def _without(self, call: Call, begun: Begun) -> None:
        """A variant without a prompt, which is fine on a route where others have one. Raises BadRequest elsewhere."""
        route = self._known().route(call.model)
        if route is None or not any(variant.prompt is not None for variant in route.variants):
            message = f"prompt.id is required: '{call.model[:100]}' names no prompt of its own"
            raise BadRequest(message, code="prompt_reference", param="prompt.id")
        given = begun.given
        call.facts.pop(GUARDS, None)
        call.input = given.edit(extra=_without_field(given.extra)) if FIELD in given.extra else given

    def _ask(self, call: Call, begun: Begun, target: Target, found: Resolved) -> None:
        prompt = found.prompt
        # Before anything can be refused: the record then says which prompt refused it.
        call.facts[PROMPTED] = found.told
        want_guards(call, prompt)
        rendered = prompt.render(plain_values(prompt, begun.said.variables))
        begun.params = rendered.params
        call.target = target = self._placed(target, prompt, rendered.params, call)
        call.input = asked(begun.given, prompt, rendered, target.params)
        if not call.input.messages:
            raise BadRequest(f"prompt {prompt.label} says nothing, and there are no messages", param="messages")
        _tell(call, prompt, rendered.unused, found.told)

    def _placed(self, target: Target, prompt: Prompt, params: JSON, call: Call) -> Target:
        """The target with the prompt's parameters, and with its model where the variant names none."""
        if target.provider:
            return structs.replace(target, params={**params, **target.params}) if params else target
        model = prompt.model
        why = "the prompt names none either"
        if model is not None:
            try:
                found = plan_of(self._known(), model, _ANYBODY, call.session or call.user).targets[0]
            except NotFound as error:
                why = f"the prompt names '{model}': {error.message}"
            else:
                if found.provider:
                    merged = {**found.params, **params, **target.params}
                    return structs.replace(target, provider=found.provider, model=found.model, params=merged)
                why = f"the prompt names '{model}', a route whose variants name none either"
        raise NotFound(
            f"The variant '{target.variant}' of '{target.route}' with prompt {prompt.label} leads to no model: {why}.",
            code="model_not_found",
            param="model",
        )


def check_scope(caller: Caller, id: str) -> None:
    """Whether a key may name a prompt itself. Raises Forbidden."""
    if caller.allow and not permitted(caller, f"{SCOPE}/{id}"):
        message = (
            f"This key may not use the prompt '{id}': its list of names has neither '{SCOPE}/{id}' nor '{SCOPE}/*'."
        )
        raise Forbidden(message, code="prompt_not_allowed", param="prompt.id")


def plain_values(prompt: Prompt, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values as they are meant: OpenAI writes texts and images as typed parts, too."""
    for value in given.values():
        if type(value) is dict and "type" in value:
            break
    else:
        return given
    texts = {one.name for one in prompt.variables if one.type in ("string", "image")}
    return {name: _plain(value) if name in texts else value for name, value in given.items()}


def asked(given: Input, prompt: Prompt, rendered: Rendered, params: JSON) -> Input:
    """What the client sent, with the prompt's turns, tools and form of the answer: the client's own words win."""
    before, after = _around(given.messages, prompt, rendered)
    changes: dict[str, Any] = {"extra": _without_field(given.extra)}
    raw = None
    if given.wire == responses.NAME and given.raw is not None and not responses.unknown(params):
        raw = responses.with_turns(given.raw, before, after)
    if rendered.tools and not given.tools and "tools" not in params:
        changes["tools"] = rendered.tools
        if raw is not None:
            responses.with_tools(raw, rendered.tools)
    form = rendered.response_format
    if form is not None and given.response_format is None and _formless(given, params):
        changes["response_format"] = form
        if raw is not None:
            responses.with_format(raw, form)
    leading = _leading(given.messages)
    systems = _leading(before)
    messages = (
        *before[:systems], *given.messages[:leading], *before[systems:], *given.messages[leading:], *after,
    )  # fmt: skip
    return given.edit(messages=messages, raw=raw, **changes)


def _around(
    own: Sequence[Message], prompt: Prompt, rendered: Rendered
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The prompt's turns before what the client says, and after it: where the file has a place for the history."""
    placed = bool(prompt.messages) and any(type(turn) is History for turn in prompt.messages)
    at = rendered.history_at if placed else len(rendered.messages)
    return rendered.messages[:at], rendered.messages[at:]


def _leading(messages: Sequence[Message]) -> int:
    """How many instructions stand at the beginning."""
    # A plain loop: this is asked three times of every call with a prompt.
    for at, message in enumerate(messages):
        if message.role != "system":
            return at
    return len(messages)


def _formless(given: Input, params: JSON) -> bool:
    return not ("response_format" in params or "response_format" in given.extra)


def _without_field(extra: JSON) -> JSON:
    return {name: value for name, value in extra.items() if name != FIELD} if FIELD in extra else extra


def _plain(value: Any) -> Any:
    if type(value) is not dict:
        return value
    kind = value.get("type")
    if kind == "input_text" and type(value.get("text")) is str:
        return value["text"]
    if kind == "input_image" and type(value.get("image_url")) is str:
        url = value["image_url"]
        return {"url": url, "detail": value["detail"]} if type(value.get("detail")) is str else url
    return value


def _begun(call: Call) -> Begun:
    begun: Begun | None = call.facts.get(_FACT)
    if begun is None:
        given = call.input.extra.get(FIELD)
        said = said_of(given) if given is not None and is_ours(given) else _NOTHING
        begun = call.facts[_FACT] = Begun(call.input, said)
    return begun


def _embedding(call: Call, target: Target) -> Call:
    if not target.provider:
        raise Unsupported(
            f"'{target.route}' asks with a prompt that names its model: it has no embeddings.", param="model"
        )
    return call


def want_guards(call: Call, prompt: Prompt) -> None:
    """Have the stage `guard` keep to this prompt's guards, and no others: another variant's prompt may want its own."""
    guards = prompt.guarded
    if guards.input or guards.output:
        call.facts[GUARDS] = guards
    else:
        call.facts.pop(GUARDS, None)


def _tell(call: Call, prompt: Prompt, unused: Sequence[str], told: Prompted) -> None:
    """Say which prompt it is: to the cache, to the client, and in the span."""
    call.facts[PROMPT_FACT] = prompt.label
    head = [one for one in call.facts.get(HEADERS, ()) if one[0] not in (HEADER, UNUSED_HEADER)]
    head.append((HEADER, prompt.label))
    attributes: JSON = {"prompt": prompt.id, "version": prompt.version, **(told.deploy or {})}
    if told.label is not None:
        attributes["label"] = told.label
    if unused:
        names = ", ".join(name for name in unused[:20] if name.isascii() and name.isprintable())
        head.append((UNUSED_HEADER, names[:256]))
        attributes["unused"] = names
    call.facts[HEADERS] = head
    if call.spans:
        span = call.spans[-1]
        span.attributes = {**span.attributes, **attributes} if span.attributes else attributes


async def _bounded(call: Call, begun: Begun, timeout_s: float, next: Next) -> AsyncIterator[Event]:
    """Within the prompt's own time limit; a variant that takes over after it has what is left of the route's."""
    if begun.deadline_s is None:
        begun.deadline_s = call.facts.get(DEADLINE)
    whole_s, own_s = begun.deadline_s, time.monotonic() + timeout_s
    call.facts[DEADLINE] = own_s if whole_s is None else min(whole_s, own_s)
    try:
        return await next(call)
    except BaseException:
        if whole_s is not None:
            call.facts[DEADLINE] = whole_s
        raise
