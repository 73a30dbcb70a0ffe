"""The pytest plugin: the fixture `prompt_suite`, and options to record answers or to give them again.

Loaded into every run of pytest where Comporta is installed, so nothing but pytest is imported until the fixture is
used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("comporta", "prompts under test (Comporta)")
    group.addoption("--comporta-prompts", metavar="DIR", default="prompts", help="The folder of prompt files.")
    group.addoption("--comporta-model", metavar="MODEL", help="Ask this route or model, whatever the prompts say.")
    group.addoption("--comporta-judge", metavar="MODEL", help="The model that judges where a file of tests names none.")
    group.addoption("--comporta-record", metavar="DIR", help="Keep every answer in this folder.")
    group.addoption("--comporta-replay", metavar="DIR", help="Take answers from this folder; ask nobody.")


@pytest.fixture(scope="session")
def prompt_bench(pytestconfig: pytest.Config) -> Iterator[Any]:
    """The gate that prompts are tried on (a `comporta.testing.prompt_suite.Bench`), opened when it is first asked."""
    module = import_module("comporta.testing.prompt_suite")
    record, replay = pytestconfig.getoption("--comporta-record"), pytestconfig.getoption("--comporta-replay")
    if record is None and replay is None:
        bench, leave = module.BENCHES.take()
        yield bench
        leave()
        return
    with module.Bench(record=record, replay=replay) as bench:
        yield bench


@pytest.fixture(scope="session")
def prompt_suite(pytestconfig: pytest.Config, prompt_bench: Any) -> Callable[..., Any]:
    """Makes a `PromptSuite` of a prompt's id: `prompt_suite("support").run(input="…")`."""
    module = import_module("comporta.testing.prompt_suite")
    usual = {
        "folder": pytestconfig.getoption("--comporta-prompts"), "model": pytestconfig.getoption("--comporta-model"),
        "judge": pytestconfig.getoption("--comporta-judge"), "bench": prompt_bench,
    }  # fmt: skip

    def made(prompt: Any, **more: Any) -> Any:
        return module.PromptSuite(prompt, **{**usual, **more})

    return made
