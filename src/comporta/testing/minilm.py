"""Where the tests keep the built embedding model, so that one build serves every run of the same builder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from comporta.embedding import build


def builder_hash() -> str:
    """Changes with the code that builds: a model kept from an older builder is not mistaken for a new one."""
    folder = Path(build.__file__).parent
    return hashlib.sha256((folder / "graph.py").read_bytes() + (folder / "build.py").read_bytes()).hexdigest()[:12]
