"""Every kind of guard there is: each module of `kinds/`, and what other packages offer under `comporta.guards`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points

from comporta.errors import ConfigError
from comporta.guardrails import kinds
from comporta.guardrails.base import Kind

#: Other packages give a `Kind`, or a sequence of them, under this entry point.
GROUP = "comporta.guards"


def known_kinds() -> tuple[Kind, ...]:
    """All kinds, by name. Raises ConfigError where an installed package offers what is none."""
    found = {kind.name: kind for kind in (*_ours(), *_others())}
    return tuple(found[name] for name in sorted(found))


def _ours() -> Iterator[Kind]:
    for module in sorted(pkgutil.iter_modules(kinds.__path__), key=lambda module: module.name):
        yield from importlib.import_module(f"{kinds.__name__}.{module.name}").KINDS


def _others() -> Iterator[Kind]:
    for point in entry_points(group=GROUP):
        offered = point.load()
        for kind in offered if isinstance(offered, list | tuple) else (offered,):
            if not isinstance(kind, Kind):
                raise ConfigError(
                    f"the installed package behind the guard '{point.name}' offers no guardrails.base.Kind"
                )
            yield kind
