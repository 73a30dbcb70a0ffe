"""What a chain knows while it runs: what was asked, the values so far, and what becomes of prompts with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct, structs

from comporta.chains.text import is_own
from comporta.chains.values import INPUT, Chain, Step, output_keys, steps_of
from comporta.config.mistakes import did_you_mean
from comporta.errors import BadRequest, Unsupported
from comporta.prompts.bullets import shown
from comporta.prompts.given import Wrong, taker
from comporta.prompts.prompt import Prompt
from comporta.prompts.values import Rendered, Variable
from comporta.providers.base import Query
from comporta.types import JSON, Input, Message, Part, PromptRef, ResponseFormat, Text

#: The field of a body that holds the values of a chain's variables.
VARIABLES = "variables"
#: Parameters of the caller's that go to the step that answers.
_CARRIED = (
    "temperature", "top_p", "top_k", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty",
    "reasoning_effort",
)  # fmt: skip
_TYPES = {field.name: field.type for field in structs.fields(Input)}
_UNKNOWN = frozenset({"messages", "texts", "wire", "raw", "extra"})


class Asked(Struct, frozen=True):
    """What the caller asked: the text said last with what is attached to it, the talk before, and parameters."""

    text: str
    attached: tuple[Part, ...]
    history: tuple[Message, ...]
    variables: Mapping[str, Any]
    params: JSON
    user: str | None


def asked_of(chain: Chain, query: Query) -> Asked:
    """Read off a call. Raises Unsupported for what a chain can't do, BadRequest for wrong variables."""
    given = query.input
    _refuse(chain, query)
    messages = given.messages
    if messages and messages[-1].role != "user":
        raise BadRequest("A chain answers the user: the last message must be the user's.", param="messages")
    last = messages[-1] if messages else None
    attached = tuple(part for part in last.parts if not isinstance(part, Text)) if last is not None else ()
    if attached and not any(step.attach for step in steps_of(chain)):
        raise Unsupported(
            f"No step of the chain '{chain.name}' takes images or files (attach: true).", param="messages"
        )
    params = {name: value for name in _CARRIED if (value := getattr(given, name)) not in (None, ())}
    variables = _variables(chain, given.extra.get(VARIABLES))
    return Asked(last.text if last is not None else "", attached, messages[:-1], variables, params, given.user)


def _refuse(chain: Chain, query: Query) -> None:
    given = query.input
    if query.kind != "chat":
        raise Unsupported(f"The chain '{chain.name}' answers chats only.", param="model")
    reasons = {
        "tools": bool(given.tools),
        "response_format": given.response_format is not None and given.response_format.kind != "text",
        "n": given.n > 1,
        "logprobs": bool(given.logprobs or given.top_logprobs),
        "modalities": any(one != "text" for one in given.modalities),
    }
    for param, wanted in reasons.items():
        if wanted:
            raise Unsupported(f"The chain '{chain.name}' takes no {param}: its steps say that themselves.", param=param)


def _variables(chain: Chain, given: Any) -> dict[str, Any]:
    """The values of a chain's variables, each checked."""
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise BadRequest(f"{VARIABLES} must be an object: names and values.", param=VARIABLES)
    known = [one.name for one in chain.variables]
    others = {name: value for name, value in given.items() if name not in known}
    for name in others:
        _check_other(chain, str(name), known)
    return {**others, **{one.name: _variable(chain, one, given.get(one.name)) for one in chain.variables}}


def _check_other(chain: Chain, name: str, known: Sequence[str]) -> None:
    """A value that the chain itself has no variable for may be meant for a prompt of the registry."""
    why = f"The chain '{chain.name}' has no variable {name[:100]}{did_you_mean(name, known)}."
    if name == INPUT or name in output_keys(chain):
        why = f"The chain '{chain.name}' gives {name} itself: a caller can't."
    elif any(isinstance(step.prompt, PromptRef) for step in steps_of(chain)):
        return
    raise BadRequest(why, code="invalid_variable", param=f"{VARIABLES}.{name[:100]}")


def _variable(chain: Chain, variable: Variable, value: Any) -> Any:
    if value is None:
        value = variable.default
        if value is None and variable.required:
            raise _wrong(chain, variable, "is missing (required)")
    try:
        return None if value is None else taker(variable, whole=True)(value)
    except Wrong as why:
        raise _wrong(chain, variable, str(why)) from None


def _wrong(chain: Chain, variable: Variable, why: str) -> BadRequest:
    text = f"The chain '{chain.name}': variable {variable.name} {why}."
    return BadRequest(text, code="invalid_variable", param=f"{VARIABLES}.{variable.name}")


class Context:
    """The values so far, by the names that prompts and conditions have for them."""

    def __init__(self, asked: Asked, keys: Sequence[str]) -> None:
        self.asked = asked
        # What has not run yet, and what is skipped, is nothing.
        self._values: dict[str, Any] = {**dict.fromkeys(keys), **asked.variables, INPUT: asked.text}
        #: For conditions in Python: a view, since they must change nothing.
        self.values: Mapping[str, Any] = MappingProxyType(self._values)

    def put(self, key: str, value: Any) -> None:
        self._values[key] = value

    def given(self, prompt: Prompt, own: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a prompt's variables; `own` go before those of the context."""
        given: dict[str, Any] = {}
        for variable in prompt.variables:
            name = variable.name
            value = own[name] if name in own else self._values.get(name)
            given[name] = _fitting(variable, value, is_own(prompt))
        return {name: value for name, value in given.items() if value is not None}


def _fitting(variable: Variable, value: Any, as_text: bool) -> Any:
    """A value as a variable takes it: answers of models are texts and data, whatever a prompt declares."""
    if value is None:
        return None
    if as_text or (variable.type == "string" and not isinstance(value, str)):
        return shown(value)
    if variable.type == "number" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def input_of(step: Step, rendered: Rendered, asked: Asked, told: str | None, final: bool) -> Input:
    """What a step's model is asked. Raises BadRequest for a parameter that is none."""
    messages = [*rendered.messages]
    if not any(message.role == "user" for message in messages):
        # A prompt that is instructions alone is followed by what the user said.
        messages.append(Message("user", (Text(asked.text),)))
    if step.attach and asked.attached:
        _attach(messages, asked.attached)
    if told is not None:
        at = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
        messages.insert(at, Message("system", (Text(told),)))
    params = {**rendered.params, **step.params, **(asked.params if final else {})}
    return Input(
        messages=tuple(messages), tools=rendered.tools, response_format=_format(step, rendered), user=asked.user,
        **_fields(step, params),
    )  # fmt: skip


def _attach(messages: list[Message], parts: tuple[Part, ...]) -> None:
    at = max(at for at, message in enumerate(messages) if message.role == "user")
    messages[at] = structs.replace(messages[at], parts=(*messages[at].parts, *parts))


def _format(step: Step, rendered: Rendered) -> ResponseFormat | None:
    if step.schema is None or not step.send_schema:
        return rendered.response_format
    return ResponseFormat("json_schema", name=step.output_key[:64], schema=step.schema)


def schema_of(step: Step, rendered: Rendered) -> JSON | None:
    """The schema that the answer must fit."""
    own = rendered.response_format
    return step.schema if step.schema is not None else (own.schema if own is not None else None)


def wants_json(step: Step, form: ResponseFormat | None) -> bool:
    """Whether the answer of a step is data."""
    return step.output == "json" or (form is not None and form.kind != "text")


def _fields(step: Step, params: JSON) -> dict[str, Any]:
    found: dict[str, Any] = {}
    extra: JSON = {}
    for name, value in params.items():
        if name in _UNKNOWN or name not in _TYPES:
            extra[name] = value
            continue
        try:
            value = [value] if name == "stop" and isinstance(value, str) else value
            found[name] = msgspec.convert(value, _TYPES[name])
        except msgspec.ValidationError as error:
            raise BadRequest(f"The parameter '{name}' is wrong: {error}.", param=f"{step.name}.params.{name}") from None
    return {**found, "extra": extra} if extra else found
