"""The chain to start from that ships with the package."""

from __future__ import annotations

from importlib.resources import files

NAME = "document-analysis.yaml"


def starter() -> bytes:
    """What stands in its file."""
    return files("comporta.chains").joinpath("starters", NAME).read_bytes()
