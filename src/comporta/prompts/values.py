"""What a prompt file says, as frozen values: variables with their rules, turns, examples, persona, guards."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from comporta.types import JSON, Message, ResponseFormat, Role, Tool

Type = Literal["string", "number", "boolean", "list", "object", "image"]
Sanitization = Literal["strip_html", "trim", "prevent_injection", "mask_pii"]
Template = Literal["plain", "jinja"]
ExamplesAs = Literal["turns", "text"]


class Rules(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a value must keep to. Lengths are characters of a text, items entries of a list or an object."""

    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False
    one_of: tuple[str | int | float | bool, ...] = ()
    pattern: str | None = None
    format: Literal["email", "url", "date", "uuid"] | None = None


class Variable(Struct, frozen=True, omit_defaults=True):
    """A value that a call brings. Without a default it is required, unless the file says otherwise."""

    name: str
    type: Type = "string"
    required: bool = True
    default: Any = None
    description: str = ""
    rules: Rules = Rules()
    sanitization: tuple[Sanitization, ...] = ()
    #: Declared by no file: a placeholder alone made it (and it is then a required text).
    implied: bool = False
    #: Declared by a shared piece that the prompt includes.
    inherited: bool = False


class Turn(Struct, frozen=True, tag="turn"):
    """A message of a prompt's own conversation."""

    role: Role
    content: str


class History(Struct, frozen=True, tag="history"):
    """Where the conversation so far goes."""


class Example(Struct, frozen=True):
    """A question with its answer; a question may be the variables that its template is filled with."""

    input: str | dict[str, Any]
    output: str


class Persona(Struct, frozen=True, omit_defaults=True):
    """Who speaks: how, with which traits, about what, and what never."""

    name: str = ""
    role: str = ""
    tone: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


class Guard(Struct, frozen=True, omit_defaults=True):
    """A check of what goes in or comes out, with the options of its type."""

    type: str
    action: str | None = None
    options: JSON = {}


#: What the sanitization `mask_pii` asks for.
MASK_PII = Guard("pii_detection", "mask")


class Guardrails(Struct, frozen=True, omit_defaults=True):
    """The guards of a prompt, for the guard stage."""

    input: tuple[Guard, ...] = ()
    output: tuple[Guard, ...] = ()


class Rendered(Struct, frozen=True):
    """A prompt with its values filled in: what a call asks, and of whom."""

    id: str
    version: str
    messages: tuple[Message, ...]
    model: str | None
    #: temperature, max_tokens, top_p … in OpenAI's words.
    params: JSON
    tools: tuple[Tool, ...]
    response_format: ResponseFormat | None
    timeout_s: float | None
    #: Values that were given and that the prompt has no variable for.
    unused: tuple[str, ...]
    #: Where in `messages` the conversation so far begins, or would.
    history_at: int
