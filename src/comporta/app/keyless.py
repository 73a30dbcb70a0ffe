"""What a start should say of keys that are not there: a provider without one refuses its calls only when they come."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from comporta.providers.directory import Provider

log = structlog.get_logger("comporta.gate")


def tell_missing_keys(providers: Mapping[str, Provider], told: frozenset[str] = frozenset()) -> frozenset[str]:
    """Warn of configured keys that are missing, and of providers that have none at all; once, where `told` is kept."""
    found = set()
    for name, provider in providers.items():
        missing = provider.credentials.missing()
        for credential, place in missing:
            found.add(mark := f"{name}/{credential}")
            if mark not in told:
                log.warning("credential_missing", provider=name, credential=credential, looked_for=place)
        if not missing and provider.row.needs_key and not provider.credentials.all():
            found.add(name)
            if name not in told:
                log.warning("provider_without_key", provider=name, variables=list(provider.row.env))
    return frozenset(found)
