"""Shared pieces: `{include: tone@1.2.0}` in a text stands for the text of another prompt, at that very version."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from comporta.config.tree import Path
from comporta.prompts.prompt import Prompt
from comporta.prompts.semver import is_version, named
from comporta.prompts.shared import INCLUDE, expanded, included
from comporta.prompts.values import Variable

Find = Callable[[str, str], Prompt | None]

_SYNTAX = re.compile(r"\{[A-Za-z_{%#]")
DEEPEST = 20
LONGEST = 1_000_000


class Unlinked(Exception):
    """An include that can't be resolved, in words."""


def linked(prompt: Prompt, texts: Mapping[Path, str], find: Find) -> tuple[Prompt, list[tuple[Path, str]]]:
    """The prompt with the pieces that its texts (by their place) include, and what can't be resolved."""
    linking = _Linking(prompt, find)
    pieces: dict[str, str] = {}
    mistakes: list[tuple[Path, str]] = []
    for path, text in texts.items():
        for written in included(text):
            try:
                pieces[written] = linking.piece(written, (prompt.label,))
            except Unlinked as why:
                mistakes.append((path, f"{{include: {written[:120]}}} {why}"))
    if not pieces:
        return prompt, mistakes
    known = {one.name for one in prompt.variables}
    inherited = tuple(one for name, one in linking.variables.items() if name not in known)
    return structs.replace(prompt, pieces=pieces, variables=prompt.variables + inherited), mistakes


@dataclass
class _Linking:
    """One prompt's includes, each resolved once."""

    prompt: Prompt
    find: Find
    variables: dict[str, Variable] = field(default_factory=dict)
    _done: dict[str, str] = field(default_factory=dict)
    _size: int = 0

    def piece(self, written: str, above: tuple[str, ...]) -> str:
        """The piece's whole text."""
        found = self._found(written)
        if found.label in above:
            circle = " → ".join((*above[above.index(found.label) :], found.label))
            raise Unlinked(f"goes in a circle: {circle}")
        if len(above) > DEEPEST:
            raise Unlinked(f"is nested more than {DEEPEST} pieces deep")
        if found.label not in self._done:
            self._done[found.label] = self._text(found, above)
        return self._done[found.label]

    def _found(self, written: str) -> Prompt:
        name, version = named(written)
        if version is None or not is_version(version):
            raise Unlinked(f"needs a version, as in {{include: {name[:60] or 'tone'}@1.0.0}}")
        found = self.find(name, version)
        if found is None:
            raise Unlinked("leads nowhere: there is no such prompt at this version")
        return found

    def _text(self, found: Prompt, above: tuple[str, ...]) -> str:
        text = (found.system_prompt or found.user_prompt_template).strip("\n")
        if not text:
            raise Unlinked("leads to a prompt without system_prompt and user_prompt_template: it has no text to share")
        if found.template != self.prompt.template and _SYNTAX.search(INCLUDE.sub("", text)):
            raise Unlinked(f"is written for template: {found.template}, and this prompt for {self.prompt.template}")
        below = {one: self.piece(one, (*above, found.label)) for one in included(text)}
        for variable in found.variables:
            self.variables.setdefault(variable.name, structs.replace(variable, inherited=True))
        text = expanded(text, below)
        self._size += len(text)
        if self._size > LONGEST:
            raise Unlinked(f"makes the prompt longer than {LONGEST:,} characters")
        return text
