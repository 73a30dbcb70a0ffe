"""Every check, in the order they are told in. A new one is a function and a line here."""

from __future__ import annotations

from comporta.cli.checks import clock, here, ollama, providers, stores
from comporta.cli.checks.site import Check

CHECKS: tuple[Check, ...] = (
    here.configuration,
    here.data_folder,
    here.admin_key,
    here.disk,
    here.spool,
    here.memory,
    here.gpu,
    here.gate,
    here.port,
    stores.database,
    stores.redis_server,
    clock.clock,
    here.embedding,
    providers.providers,
    ollama.ollama,
)
