"""Guards as the configuration has them, in this process: what commands try and measure, with no gate running."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from comporta.app.folder import Folder
from comporta.app.guarding import USUAL, Guarding, tools_at_hand
from comporta.app.settings import Settings
from comporta.cli.place import load
from comporta.config.loading import Loaded
from comporta.errors import ComportaError
from comporta.guardrails.base import Side
from comporta.guardrails.policy import Policy

GUARD = typer.Option(
    [], "--guard", "-g", help="A guard by its name, or as JSON with settings of its own; several times."
)
POLICY = typer.Option(None, "--policy", "-p", help="A policy of the configuration; `default` is its own.")


def entry(written: str) -> Any:
    """A guard's name, or the JSON object that stands for one."""
    if not written.lstrip().startswith("{"):
        return written
    try:
        return json.loads(written)
    except ValueError as error:
        raise typer.BadParameter(f"{written[:60]!r} is no JSON: {error}", param_hint="--guard") from None


def at_hand(config: Path | None, data: Path) -> Guarding:
    """The guards as the configuration has them, without a gate."""
    loaded = load(config, data)
    guarding = unconfigured(loaded, data)
    guarding.take(loaded)
    return guarding


def unconfigured(loaded: Loaded[Settings], data: Path) -> Guarding:
    """What reads the policies of a configuration."""
    tools = tools_at_hand(Folder(data).cache, loaded.value.guardrails.functions)
    return Guarding(tools, lambda call, side, report: None)


def policy_of(
    guarding: Guarding, name: str | None, guards: Sequence[Any], side: Side
) -> Policy:  # fmt: skip
    """The guards that are meant: those that are listed, the policy of a name, the configuration's, else the usual."""
    if guards:
        return guarding.of(guards, side)
    policy = guarding.named(name or "default")
    if name is not None or (policy.input if side == "input" else policy.output):
        return policy
    known = {kind.name: kind for kind in guarding.kinds.all}
    usual = [one for one in USUAL if one in known and side in known[one].sides]
    if not usual:
        raise ComportaError("The configuration has no guards for this side: name some with --guard.", code="no_guards")
    return guarding.of(usual, side)
