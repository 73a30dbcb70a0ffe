"""Whether OTLP by gRPC can be had: without loading anything of it."""

from __future__ import annotations

import importlib.util

from comporta.app.settings import Settings
from comporta.config.loading import Loaded

NO_GRPC = "needs the extra `comporta[grpc]`: pip install 'comporta[grpc]'"


def has_grpc() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("grpc") is not None


def mistakes(loaded: Loaded[Settings], *, installed: bool | None = None) -> list[str]:
    """What is wrong with `otlp` and no section can say: that an extra is missing."""
    if has_grpc() if installed is None else installed:
        return []
    section = loaded.value.otlp
    wanted = {
        ("otlp", "export", "protocol"): section.export.protocol == "grpc",
        ("otlp", "take", "grpc_port"): section.take.grpc_port is not None,
    }
    return [loaded.mistake(place, NO_GRPC) for place, wants in wanted.items() if wants]
