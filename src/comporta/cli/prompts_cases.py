"""The test cases that `comporta prompts push` takes along: the question of each, as a call would ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from comporta.errors import BadRequest, ConfigError
from comporta.evaluation.composing import Version, filled_by_input
from comporta.evaluation.reading_suite import find_suites, load_suite
from comporta.evaluation.suite import Suite, Trying
from comporta.prompts.folder import survey
from comporta.prompts.prompt import Prompt
from comporta.prompts.semver import order


class Gathered(Struct, frozen=True):
    """Cases by their prompt's id, ready to be sent, and what is wrong with others in a line each."""

    cases: dict[str, list[dict[str, Any]]]
    mistakes: tuple[str, ...]


def gathered(folder: Path) -> Gathered:
    """The cases of a folder's prompts, each asked with its highest version. What can't be read is told, and left."""
    newest: dict[str, Prompt] = {}
    for read in sorted(survey(folder, guards=True).reads, key=lambda one: order(one.prompt.version)):
        newest[read.prompt.id] = read.prompt
    cases: dict[str, list[dict[str, Any]]] = {}
    mistakes: list[str] = []
    for path in find_suites(folder if folder.is_dir() else folder.parent):
        try:
            suite = load_suite(path)
        except ConfigError as error:
            mistakes += error.message.splitlines()
            continue
        prompt = newest.get(suite.prompt)
        if prompt is not None and suite.prompt not in cases:
            cases[suite.prompt] = list(_asked(suite, prompt, mistakes))
    return Gathered(cases, tuple(mistakes))


def _asked(suite: Suite, prompt: Prompt, mistakes: list[str]) -> Iterator[dict[str, Any]]:
    for trying in suite.cases:
        try:
            yield _case(suite, prompt, trying)
        except BadRequest as error:
            mistakes.append(f"{suite.path}: {trying.case.id}: {error.message}")


def _case(suite: Suite, prompt: Prompt, trying: Trying) -> dict[str, Any]:
    values, case = dict(trying.case.variables), trying.case
    messages = Version(prompt).body(suite, trying)["messages"]
    name = filled_by_input(prompt, suite, trying) if case.input else None
    if name is not None:
        values[name] = case.input
    asked = [one["content"] for one in messages if one["role"] == "user" and isinstance(one["content"], str)]
    return {"id": case.id, "input": asked[-1] if asked else case.input, "variables": values}
