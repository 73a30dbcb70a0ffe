"""The check of a folder of chains before anybody asks them: with the models and prompts that are known beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from comporta.chains.folder import Read, Survey, survey
from comporta.chains.graph import direct, tangles
from comporta.chains.values import PREFIX, Step, steps_of, steps_within
from comporta.config.mistakes import did_you_mean
from comporta.config.tree import Mistake, exact
from comporta.config.tree import Path as Place
from comporta.errors import NotFound
from comporta.prompts.folder import Prompts
from comporta.types import PromptRef


class Models(Protocol):
    """What names lead to."""

    def route(self, name: str) -> object | None: ...
    def provider(self, name: str) -> bool: ...
    def offering(self, model: str) -> tuple[str, ...]: ...
    def names(self) -> Iterable[str]: ...


class Report(Struct, frozen=True):
    """The ids of the chains, and a line for everything that is wrong or doubtful, with its place."""

    chains: tuple[str, ...]
    mistakes: tuple[str, ...]
    warnings: tuple[str, ...]


def examine(folder: Path, models: Models | None, prompts: Prompts | None) -> Report:
    """`models` and `prompts` are compared with where they are known; what is not there may come later, so it warns."""
    found = survey(folder) if folder.exists() else Survey()
    chains = {read.chain.name: read.chain for read in found.reads}
    mistakes = [*found.mistakes]
    for chain, text, path in tangles(chains, direct):
        read = found.of(chain)
        assert read is not None, "chains of files have a file"
        mistakes.append(read.mistake(path, text))
    warnings = [*found.warnings, *(one for read in found.reads for one in _doubts(read, models, prompts))]
    return Report(tuple(chains), _told(mistakes), _told(warnings))


def _told(found: Iterable[Mistake]) -> tuple[str, ...]:
    return tuple(str(one) for one in sorted(found, key=lambda one: one.place))


def _doubts(read: Read, models: Models | None, prompts: Prompts | None) -> Iterator[Mistake]:
    names = [*models.names()] if models is not None else []
    for step in steps_of(read.chain):
        path = _place(read, step)
        model = step.model or read.chain.model
        if models is not None and model and not model.startswith(PREFIX) and not _known(models, model):
            text = f"step '{step.name}' asks '{model}', which the configuration does not know"
            yield read.mistake(path, text + did_you_mean(model, names))
        if prompts is not None and isinstance(step.prompt, PromptRef):
            try:
                prompts.get(step.prompt.id, step.prompt.version)
            except NotFound as error:
                yield read.mistake(path, f"step '{step.name}': {error.message}, as far as files go")


def _known(models: Models, name: str) -> bool:
    provider, slash, _ = name.partition("/")
    return models.route(name) is not None or (bool(slash) and models.provider(provider)) or bool(models.offering(name))


def _place(read: Read, step: Step) -> Place:
    """Where a step stands; of one within others the place of the outermost."""
    for at, part in enumerate(read.chain.steps):
        if any(one is step for one in steps_within([part])):
            return ("steps", at) if exact(read.tree, ("steps", at)) is not None else ()
    return ()
