"""A prompt that is a text in a program: the same templates, rules and checks as those of a prompt file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comporta.errors import BadRequest
from comporta.prompts.checks import findings
from comporta.prompts.folder import load_bytes, survey_bytes
from comporta.text.shortening import shortened

_FILE = "template"
Declared = Sequence[str | Mapping[str, Any]]


@dataclass(frozen=True)
class PromptValidation:
    """What is wrong with a prompt and what is doubtful, a sentence each; true where nothing is wrong."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.errors

    def __bool__(self) -> bool:
        return self.valid


class PromptTemplate:
    """A text with places `{name}`, and what its values must be.

    `variables` are names, or what a prompt file writes under `variables`; a place that none of them names takes any
    text. Raises ConfigError for a text or variable that can't be one.
    """

    def __init__(self, template: str, variables: Declared = (), *, name: str = _FILE) -> None:
        self.template = template
        (self._prompt,) = load_bytes(_written(template, variables, name), name)

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._prompt.variables)

    def render(self, **values: Any) -> str:
        """The text with its values. Raises BadRequest that names each variable at fault and the rule it breaks."""
        rendered = self._prompt.render(values)
        return "\n\n".join(message.text for message in rendered.messages)

    format = render


def validate_prompt(prompt: str | PromptTemplate) -> PromptValidation:
    """As `comporta prompts check` looks at a file: form, secrets and personal data, JSON without a shape."""
    text = prompt.template if isinstance(prompt, PromptTemplate) else prompt
    if not text.strip():
        return PromptValidation(("the prompt is empty",))
    found = findings(survey_bytes(_written(text, (), _FILE), _FILE), lambda model: None)
    # A text by itself can declare neither what it has places for nor the form of the answer.
    told = [one for one in found if one.check != "undeclared"]
    wrong = [one for one in told if one.level == "mistake" and one.check != "json"]
    return PromptValidation(
        tuple(one.text for one in wrong), tuple(dict.fromkeys(one.text for one in told if one not in wrong))
    )


def optimize_prompt(prompt: str, max_tokens: int = 4000) -> str:
    """The prompt in fewer tokens: no needless blank space outside code, no line twice, and at most `max_tokens`.

    Tokens are estimated. Raises BadRequest where `max_tokens` is less than 1.
    """
    try:
        return shortened(prompt, max_tokens)
    except ValueError as why:
        raise BadRequest(f"{why}.", param="max_tokens") from None


def _written(template: str, variables: Declared, name: str) -> bytes:
    """As a prompt file; JSON is YAML."""
    declared = [{"name": one} if isinstance(one, str) else dict(one) for one in variables]
    file: dict[str, Any] = {"id": name, "version": "1.0.0", "user_prompt_template": template}
    return json.dumps(file | ({"variables": declared} if declared else {}), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
