"""The texts of a prompt in the order in which a model reads them, each with its place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from comporta.config.tree import Path
from comporta.prompts.bullets import label
from comporta.prompts.values import Example, History, Persona, Turn
from comporta.text.language import guess_language
from comporta.types import Role

if TYPE_CHECKING:
    from comporta.prompts.prompt import Prompt


class Placed(Struct, frozen=True):
    """A template text, who says it, and where it stands in the file."""

    path: Path
    role: Role
    text: str


_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {"steps": "Before you answer, think these steps through:", "examples": "Examples:", "input": "Input",
           "output": "Output"},
    "pt": {"steps": "Antes de responder, pense nestes passos:", "examples": "Exemplos:", "input": "Entrada",
           "output": "Saída", "name": "Nome", "role": "Papel", "tone": "Tom", "traits": "Características",
           "scope": "Escopo", "limits": "Limites"},
    "es": {"steps": "Antes de responder, piensa en estos pasos:", "examples": "Ejemplos:", "input": "Entrada",
           "output": "Salida", "name": "Nombre", "role": "Papel", "tone": "Tono", "traits": "Rasgos",
           "scope": "Alcance", "limits": "Límites"},
}  # fmt: skip


def language_of(prompt: Prompt) -> str:
    """The language of the words that are put between the file's own: what it says, else what it looks like."""
    said = prompt.language[:2].lower() or guess_language(prompt.system_prompt or prompt.user_prompt_template).code
    return said if said in _WORDS else "en"


def system_texts(prompt: Prompt) -> Iterator[Placed]:
    """What makes up the system message: persona, system prompt, steps."""
    words = _WORDS[language_of(prompt)]
    if prompt.persona is not None and (text := _persona(prompt.persona, words)):
        yield Placed(("persona",), "system", text)
    if prompt.system_prompt.strip():
        yield Placed(("system_prompt",), "system", prompt.system_prompt.strip("\n"))
    if prompt.reasoning:
        steps = [f"{number}. {step.strip()}" for number, step in enumerate(prompt.reasoning, start=1)]
        yield Placed(("reasoning",), "system", "\n".join([words["steps"], *steps]))


def turn_texts(prompt: Prompt) -> Iterator[Placed | History]:
    """The prompt's own conversation, with the place of the history."""
    for position, one in enumerate(prompt.messages):
        if isinstance(one, History):
            yield one
        else:
            yield Placed(("messages", position, "content"), one.role, one.content.strip("\n"))
    if prompt.user_prompt_template.strip():
        yield Placed(("user_prompt_template",), "user", prompt.user_prompt_template.strip("\n"))


def template_texts(prompt: Prompt) -> Iterator[Placed]:
    """Every text that may hold placeholders."""
    yield from system_texts(prompt)
    yield from (one for one in turn_texts(prompt) if not isinstance(one, History))


def examples_text(prompt: Prompt, turns: list[tuple[str, str]]) -> str:
    """Examples as a part of the system message; `turns` are questions and answers as they read."""
    words = _WORDS[language_of(prompt)]
    shown = [f"{words['input']}: {asked}\n{words['output']}: {answer}" for asked, answer in turns]
    return "\n\n".join([words["examples"], *shown])


def all_texts(prompt: Prompt) -> Iterator[Placed]:
    """Every text of the file that a model may come to see, examples, tools and defaults included."""
    yield from template_texts(prompt)
    for position, example in enumerate(prompt.examples):
        yield from _example(position, example)
    for position, tool in enumerate(prompt.tools):
        yield Placed(("tools", position), "system", f"{tool.name} {tool.description or ''} {tool.parameters or ''}")
    for position, variable in enumerate(prompt.variables):
        if variable.default is not None:
            yield Placed(("variables", position), "user", str(variable.default))


def _example(position: int, example: Example) -> Iterator[Placed]:
    yield Placed(("examples", position), "user", str(example.input))
    yield Placed(("examples", position), "assistant", example.output)


def _persona(persona: Persona, words: Mapping[str, str]) -> str:
    said = {
        "name": persona.name, "role": persona.role, "tone": ", ".join(persona.tone),
        "traits": ", ".join(persona.traits), "scope": _several(persona.scope), "limits": _several(persona.limits),
    }  # fmt: skip
    return "\n".join(f"- {words.get(key, label(key))}: {text}" for key, text in said.items() if text)


def _several(texts: tuple[str, ...]) -> str:
    return texts[0] if len(texts) == 1 else "".join(f"\n  - {text}" for text in texts)


__all__ = [
    "Placed", "Turn", "all_texts", "examples_text", "language_of", "system_texts", "template_texts", "turn_texts",
]  # fmt: skip
