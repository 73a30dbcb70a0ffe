"""A prompt: one version of one file, immutable, compiled at its first rendering and quick from then on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from comporta.prompts.compiled import Compiled
from comporta.prompts.values import (
    MASK_PII,
    Example,
    ExamplesAs,
    Guardrails,
    History,
    Persona,
    Rendered,
    Template,
    Turn,
    Variable,
)
from comporta.types import JSON, Message, ResponseFormat, Tool


class Prompt(Struct, frozen=True, dict=True, kw_only=True, omit_defaults=True):
    """One version of a prompt. `pieces` are the texts it includes, by `id@version`."""

    id: str
    version: str
    name: str = ""
    description: str = ""
    owner: str = ""
    language: str = ""
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    timeout_s: float | None = None
    #: Further parameters, in the words of the provider.
    extra: JSON = {}
    template: Template = "plain"
    system_prompt: str = ""
    user_prompt_template: str = ""
    messages: tuple[Turn | History, ...] = ()
    examples: tuple[Example, ...] = ()
    examples_as: ExamplesAs = "turns"
    reasoning: tuple[str, ...] = ()
    persona: Persona | None = None
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] = ()
    metadata: JSON = {}
    variables: tuple[Variable, ...] = ()
    guardrails: Guardrails = Guardrails()
    pieces: dict[str, str] = {}

    @property
    def guarded(self) -> Guardrails:
        """Its guards; a variable with `mask_pii` has personal data masked in what goes in."""
        if any("mask_pii" in one.sanitization for one in self.variables):
            return Guardrails((*self.guardrails.input, MASK_PII), self.guardrails.output)
        return self.guardrails

    @property
    def label(self) -> str:
        """`support@2.3.1`."""
        return f"{self.id}@{self.version}"

    @property
    def params(self) -> JSON:
        """What the file says about sampling, in OpenAI's words; what it doesn't say is not there."""
        said = {
            "temperature": self.temperature, "max_tokens": self.max_tokens, "top_p": self.top_p,
            "stop": list(self.stop) or None, "seed": self.seed,
        }  # fmt: skip
        return {**self.extra, **{name: value for name, value in said.items() if value is not None}}

    @cached_property
    def digest(self) -> str:
        """A hash of all that the file says: comments, order and spelling of the YAML don't count."""
        own = tuple(one for one in self.variables if not one.implied and not one.inherited)
        written = msgspec.json.encode(msgspec.structs.replace(self, variables=own, pieces={}))
        # Read back, since a whole number may stand where a number is meant: 1 and 1.0 are the same.
        said = msgspec.json.decode(written, type=Prompt)
        return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()

    @cached_property
    def compiled(self) -> Compiled:
        """The templates made ready. Raises Untemplatable where a text can't be one."""
        return Compiled(self)

    def render(self, variables: Mapping[str, Any] | None = None, history: Sequence[Message] = ()) -> Rendered:
        """The messages and parameters with these values, the conversation so far in its place.

        Raises BadRequest that names the prompt, each variable at fault and the rule it breaks.
        """
        return self.compiled.render(variables or {}, history)
