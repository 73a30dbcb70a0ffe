"""The fakes that the tests, the demos and the load runs use, and what prompts are tested with from a program."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comporta.testing.prompt_suite import PromptSuite, Result

#: Looked up when first used: the pytest plugin stands in this package, and every run of pytest would pay for them.
_LAZY = {"PromptSuite": "comporta.testing.prompt_suite", "Result": "comporta.testing.prompt_suite"}

__all__ = ["PromptSuite", "Result"]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'comporta.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
