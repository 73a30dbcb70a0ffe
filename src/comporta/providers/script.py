"""What a scripted model is told to do: steps, where they are read from, and what is wrong with a bad one.

A script is one step, a list of steps (taken in turn, then again from the first), or a mapping from a model's name to
either, `"*"` standing for every other name. A single call adds to its step by the model's name
(`scripted/echo?tokens=20&token_delay=0.01`) or by a field `script` of its body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct, structs

from comporta.errors import ConfigError
from comporta.types import JSON, Finish

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Fail(Struct, frozen=True, forbid_unknown_fields=True):
    """The failure a step ends in: before anything, or `after` so many content events. Status 0: no connection."""

    status: Annotated[int, Meta(ge=0, le=599)] = 500
    code: str | None = None
    retry_after: Seconds | None = None
    after: Count | None = None


class ScriptedTool(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call the model makes; `arguments` is an object, or JSON text to be sent as it stands (even broken)."""

    name: str
    arguments: JSON | str = {}
    id: str | None = None


class ScriptedUsage(Struct, frozen=True, forbid_unknown_fields=True):
    """Figures that stand in for the words counted."""

    input: Count | None = None
    cached: Count | None = None
    cache_write: Count | None = None
    audio_in: Count | None = None
    image_in: Count | None = None
    output: Count | None = None
    reasoning: Count | None = None
    audio_out: Count | None = None


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer. With nothing said it echoes the last text of the user. Delays are seconds."""

    text: str | None = None
    #: So many words of made-up text, drawn from the seed.
    tokens: Count | None = None
    reasoning: str = ""
    tools: tuple[ScriptedTool, ...] = ()
    finish: Finish | None = None
    #: False: the model gives no usage at all.
    usage: ScriptedUsage | bool = True
    first_delay: Seconds = 0.0
    token_delay: Seconds = 0.0
    error: Fail | None = None
    #: How often the error comes; with no `error` said it is a 500.
    error_rate: Share | None = None
    #: After so many content events the answer ends without its end.
    cut_after: Count | None = None
    #: After so many content events nothing comes any more.
    stall_after: Count | None = None
    #: Whether an event with nothing but the role comes first.
    role_first: bool = True
    #: How long the vectors of embeddings are where the call doesn't say.
    dimensions: Annotated[int, Meta(ge=1, le=8192)] = 256
    seed: int | None = None


Steps = tuple[Step, ...]
_FIELDS = frozenset(field.name for field in structs.fields(Step))


class Script(Struct, frozen=True):
    """Steps by the name of a model. With none at all every name echoes."""

    models: dict[str, Steps] = {}

    def steps(self, model: str) -> Steps | None:
        """The steps of a model; None where the script names other models only."""
        if not self.models:
            return (Step(),)
        found = self.models.get(model) or self.models.get("*")
        return found or ((Step(),) if model == "echo" else None)


def read_script(value: object, path: str = "script") -> Script:
    """A script from configuration. Raises ConfigError that names the path at fault."""
    if value is None or value == {}:
        return Script()
    if isinstance(value, Mapping) and not set(value) <= _FIELDS:
        return Script({str(name): _steps(steps, f"{path}.{name}") for name, steps in value.items()})
    return Script({"*": _steps(value, path)})


def _steps(value: object, path: str) -> Steps:
    if isinstance(value, list | tuple):
        if not value:
            raise ConfigError(f"{path}: the list of steps is empty; give at least one step, `{{}}` echoes")
        return tuple(_step(item, f"{path}[{i}]") for i, item in enumerate(value))
    return (_step(value, path),)


def _step(value: object, path: str) -> Step:
    if value is None:
        return Step()
    try:
        return msgspec.convert(value, Step)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from None


def split_model(model: str) -> tuple[str, JSON]:
    """A model's name and what its `?…` asks for: `echo?tokens=3` is `echo` with three words."""
    name, mark, rest = model.partition("?")
    return (name, dict(parse_qsl(rest, keep_blank_values=True))) if mark else (name, {})


def changed(step: Step, by_name: JSON, by_body: object) -> Step:
    """A step with what the call itself asks for. Raises msgspec.ValidationError for what a step doesn't have."""
    changes: dict[str, Any] = _fields(by_name, strict=False)
    if by_body is not None:
        if not isinstance(by_body, Mapping):
            raise msgspec.ValidationError("Expected `object` of a step's fields")
        changes |= _fields(cast(JSON, by_body), strict=True)
    return structs.replace(step, **changes) if changes else step


def _fields(values: JSON, *, strict: bool) -> dict[str, Any]:
    if not values:
        return {}
    read = msgspec.convert(values, Step, strict=strict)
    return {name: getattr(read, name) for name in values}
