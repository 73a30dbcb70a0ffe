"""Texts that stand in a chain itself, made into prompts: same templates, same care with values as in prompt files."""

from __future__ import annotations

from msgspec import structs

from comporta.prompts.compiled import Templates
from comporta.prompts.prompt import Prompt
from comporta.prompts.texts import template_texts
from comporta.prompts.values import Variable

#: A text in a chain has no version of its own.
UNVERSIONED = "0.0.0"


def prompt_of(name: str, *, system: str = "", user: str = "") -> Prompt:
    """A prompt with a variable for each placeholder, none of them required. Raises Untemplatable."""
    bare = Prompt(id=name, version=UNVERSIONED, system_prompt=system, user_prompt_template=user)
    templates = Templates(bare)
    names: set[str] = set()
    for one in template_texts(bare):
        names |= templates.make(one).names
    variables = tuple(Variable(one, required=False, implied=True) for one in sorted(names))
    prompt = structs.replace(bare, variables=variables)
    _ = prompt.compiled
    return prompt


def is_own(prompt: Prompt) -> bool:
    """Whether a prompt is a text of a chain, and none of the registry."""
    return prompt.version == UNVERSIONED
