"""The open gate and workshop for LLM applications."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comporta.app.gate import Gate
    from comporta.app.opening import open
    from comporta.errors import ComportaError

__version__ = "0.1.0"

#: Looked up when first used: `import comporta` itself must cost nothing.
_LAZY = {"open": "comporta.app.opening", "Gate": "comporta.app.gate", "ComportaError": "comporta.errors"}

__all__ = ["ComportaError", "Gate", "__version__", "open"]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'comporta' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)
